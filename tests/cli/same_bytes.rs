//! The same document gives the same bytes, whoever builds it and however.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::geteuid;

use crate::support::{Desk, PROGRAM, Ran, document, sha256sum};

const FILES: [&str; 11] = [
    "hello.raw",
    "hello.qcow2",
    "hello.zlib",
    "hello.zstd",
    "hello.vmdk",
    "hello.vhdx",
    "hello.vdi",
    "hello.qcow2.gz",
    "hello.raw.zst",
    "hello.ova",
    "hello.build.json",
];

fn desk() -> Desk {
    let desk = Desk::new();
    let text = "  boot: {sector: {message: \"Same bytes\"}}
  disk: {size: 70Mi}
  formats:
  - {type: raw}
  - {type: qcow2}
  - {type: qcow2, name: zlib, qcow2: {compression: zlib}}
  - {type: qcow2, name: zstd, qcow2: {compression: zstd}}
  - {type: vmdk, vmdk: {subformat: streamOptimized}}
  - {type: vhdx}
  - {type: vdi}
  - {type: qcow2, wrap: gzip}
  - {type: raw, wrap: zstd}
  - {type: ova}
";
    desk.write("d.yaml", document(text));
    desk
}

/// Builds with `script`, in which "$@" is the program with its arguments, and hashes the files.
#[track_caller]
fn digests(desk: &Desk, out: &str, script: &str) -> Vec<String> {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", PROGRAM, "build", "-f", "d.yaml", "-o", out]);
    desk.at_home(&mut command);
    Ran::from(command.output().unwrap()).ok();
    FILES.iter().map(|name| sha256sum(&desk.path(out).join(name))).collect()
}

#[test]
fn threads_umask_locale_zone_and_directory_do_not_matter() {
    let desk = desk();
    let first = digests(&desk, "first", "exec \"$@\" --threads 1");
    for (at, script) in [
        "exec \"$@\" --threads 2",
        "exec \"$@\" --threads 7",
        "umask 077; exec \"$@\"",
        "umask 000; exec \"$@\"",
        "LC_ALL=tr_TR.UTF-8 LANG=de_DE.UTF-8 TZ=Pacific/Chatham exec \"$@\"",
        "HOME=/nonexistent TMPDIR=/nonexistent exec \"$@\"",
        "SOURCE_DATE_EPOCH=1700000000 exec \"$@\"",
        "exec nice -n 19 \"$@\" --quiet",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(digests(&desk, &format!("again{at}"), script), first, "{script}");
    }
}

/// Needs root, to become somebody else.
#[test]
fn the_user_does_not_matter() {
    assert!(geteuid().is_root(), "this test becomes another user: run it as root");
    let desk = desk();
    let first = digests(&desk, "first", "exec \"$@\"");
    fs_err::create_dir(desk.path("other")).unwrap();
    for (name, mode) in [(".", 0o755), ("other", 0o777), ("d.yaml", 0o644)] {
        let mode = std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(desk.path(name), mode).unwrap();
    }
    // The program may lie where only root can go.
    fs_err::copy(PROGRAM, desk.path("vmimage")).unwrap();
    let script = "shift; exec setpriv --reuid 65534 --regid 65534 --clear-groups ./vmimage \"$@\"";
    assert_eq!(digests(&desk, "other", script), first);
}
