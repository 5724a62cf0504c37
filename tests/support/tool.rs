//! Foreign tools as witnesses.
//!
//! Does not install anything. Invariant: a tool that is missing or fails fails the test, with the
//! name of its package; nothing is ever skipped.

use std::process::{Command, Output};

/// Runs `program` of the Debian package `package` and returns what it printed on stdout.
pub(crate) fn run(package: &str, program: &str, arguments: &[&str]) -> String {
    let output = output(package, program, arguments);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `program` to its end, whatever that is.
fn output(package: &str, program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; install it: apt install {package}"))
}
