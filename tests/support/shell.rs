//! Commands of a shell.
//!
//! Installs nothing. Invariant: one that fails fails the test, with the name of its package.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a shell command in `directory`; what it printed.
pub(crate) fn shell(directory: &Path, package: &str, command: &str) -> String {
    let output = Command::new("bash")
        .args(["-euc", &format!("set -o pipefail; {command}")])
        .current_dir(directory)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}; is {package} installed?");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
