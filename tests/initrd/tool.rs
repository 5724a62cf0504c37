//! Foreign tools as witnesses.
//!
//! Invariant: a tool that is missing or fails fails the test, with the name of its package.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Debian's packages of what is not called like its package.
const PACKAGES: [(&str, &str); 5] = [
    ("bsdtar", "libarchive-tools"),
    ("xz", "xz-utils"),
    ("modprobe", "kmod"),
    ("modinfo", "kmod"),
    ("qemu-system-x86_64", "qemu-system-x86"),
];

/// Runs a command and returns what it printed.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    with_input(command, &[])
}

/// The same with these bytes as its input.
pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let output = output(command, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    output.stdout
}

/// Runs a command to its end, whatever that is.
pub(crate) fn output(command: &mut Command, input: &[u8]) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    let package = PACKAGES.iter().find(|(tool, _)| *tool == program).map_or(&*program, |p| p.1);
    command.env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = command.spawn();
    let mut child =
        spawned.unwrap_or_else(|e| panic!("{program}: {e}; install it: apt install {package}"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A tool that has seen enough may close its input.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}
