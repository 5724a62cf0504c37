//! The console, and how much memory the init itself takes.
//!
//! Invariant: after `open`, input, output and errors are the console, where there is one.

use fs_err as fs;

use rustix::fs::{Mode, OFlags, open as open_file};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// Opens /dev/console for input and output: the kernel could not, if the initramfs has no such
/// node.
pub(crate) fn open() {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(console) = open_file("/dev/console", flags, Mode::empty()) else { return };
    // What fails leaves the old file there, which is no worse.
    let _ = dup2_stdin(&console);
    let _ = dup2_stdout(&console);
    let _ = dup2_stderr(&console);
}

/// The largest resident set so far, in KiB (VmHWM of proc_pid_status(5)).
pub(crate) fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_ascii_whitespace().next()).unwrap_or("unknown").to_owned()
}
