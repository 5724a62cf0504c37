//! Foreign readers of image files: `qemu-img`, `qemu-io` and `sha256sum`.
//!
//! Judges nothing itself. Invariant: a tool that is missing or fails is a failed test, never a
//! skipped one.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `program`; panics with its output unless it ends with 0. Returns its standard output.
pub(crate) fn run(program: &str, package: &str, args: &[&str]) -> String {
    let output = output(program, package, args);
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `program`, whatever it ends with.
pub(crate) fn output(program: &str, package: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; install the package {package}"))
}

/// Runs `qemu-img`.
pub(crate) fn qemu_img(args: &[&str]) -> String {
    run("qemu-img", "qemu-utils", args)
}

/// The path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `qemu-img info` as JSON.
pub(crate) fn info(path: &Path, format: &str) -> serde_json::Value {
    let json = qemu_img(&["info", "--output=json", "-f", format, text(path)]);
    serde_json::from_str(&json).unwrap()
}

/// `qemu-img check`: panics unless the file is consistent and has no leaks. (Exit 63 means that
/// the format cannot be checked: no oracle, so a failure, too.) Returns what it counted.
pub(crate) fn check(path: &Path) -> serde_json::Value {
    let args = ["check", "--output=json", "-f", "qcow2", text(path)];
    let output = output("qemu-img", "qemu-utils", &args);
    let json = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{json}{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (key, wanted) in [("check-errors", 0), ("corruptions", 0), ("leaks", 0)] {
        let found = report.get(key).map_or(0, |n| n.as_i64().unwrap());
        assert_eq!(found, wanted, "{key}: {json}");
    }
    report
}

/// `qemu-img compare`: panics unless both have the same bytes. (Not `-s`: that compares holes, too.
/// Without it sizes may differ by zeros, so whoever calls this compares sizes as well.)
pub(crate) fn compare(raw: &Path, other: &Path, format: &str) {
    qemu_img(&["compare", "-f", "raw", "-F", format, text(raw), text(other)]);
}

/// What `sha256sum` says, in our notation.
pub(crate) fn sha256sum(path: &Path) -> String {
    let line = run("sha256sum", "coreutils", &[text(path)]);
    format!("sha256:{}", line.split(' ').next().unwrap())
}
