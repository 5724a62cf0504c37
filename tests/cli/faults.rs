//! What the host does to a conversion: full disks, signals, links, changes under our feet.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::images::disk;
use crate::support::{Desk, PROGRAM, Ran, ended, signal, wait_until};

const CONVERT: &[&str] = &["convert", "--from", "raw", "a.raw"];

fn convert(desk: &Desk, more: &[&str]) -> Ran {
    desk.run(&[CONVERT, more].concat())
}

/// Runs a script in a mount namespace of its own, where $0 is the program.
fn unshared(desk: &Desk, script: &str) -> Ran {
    let flags = if geteuid().is_root() { "-m" } else { "-Urm" };
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", script, PROGRAM]);
    desk.at_home(&mut command);
    Ran::from(
        command.output().unwrap_or_else(|e| panic!("unshare: {e}; apt-get install util-linux")),
    )
}

#[test]
fn outputs_that_are_there_are_judged() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    desk.write("old.raw", "old");
    desk.write("real", "real");
    symlink("real", desk.path("link.raw")).unwrap();
    symlink("nowhere", desk.path("dangling.raw")).unwrap();
    fs_err::hard_link(desk.path("a.raw"), desk.path("same.raw")).unwrap();
    fs_err::create_dir(desk.path("dir.raw")).unwrap();
    let before = desk.names();
    for (out, code, says) in [
        ("link.raw", 65, "is a symbolic link to real"),
        ("dangling.raw", 65, "is a symbolic link to nothing"),
        ("a.raw", 65, "is the input"),
        ("same.raw", 65, "is the input"),
        ("dir.raw", 74, "a directory is in its place"),
        ("none/b.raw", 74, "none/b.raw"),
    ] {
        let err = convert(&desk, &[out]).failed(code);
        assert!(err.contains(says), "{out}: {err}");
    }
    assert_eq!(desk.names(), before);
    assert_eq!(desk.read("real"), b"real");
    convert(&desk, &["old.raw"]).ok();
    assert!(desk.read("old.raw") == desk.read("a.raw"));
    let err = convert(&desk, &["old.raw", "--device"]).failed(65);
    assert!(err.contains("is not a block device"), "{err}");
    convert(&desk, &["a line\nand\tmore.qcow2"]).ok();
    assert!(desk.path("a line\nand\tmore.qcow2").exists());
    let long = format!("{}.raw", "n".repeat(251));
    convert(&desk, &[&long]).ok();
    assert!(desk.path(&long).exists());
}

#[test]
fn a_full_disk_and_a_read_only_directory_leave_nothing() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    fs_err::create_dir(desk.path("out")).unwrap();
    let script = "mount -t tmpfs -o size=256k none out || exit 99
        \"$0\" convert -q --from raw a.raw out/b.qcow2; code=$?
        ls -A out; exit $code";
    let ran = unshared(&desk, script);
    assert_eq!(ran.out, "", "nothing is left");
    let err = ran.failed(67);
    assert!(err.contains("No space left on device") && err.lines().count() == 1, "{err}");
    let script =
        "mount -t tmpfs none out && echo old > out/b.raw && mount -o remount,ro out || exit 99
        \"$0\" convert -q --from raw a.raw out/b.raw; code=$?
        cat out/b.raw; exit $code";
    let ran = unshared(&desk, script);
    assert_eq!(ran.out, "old\n");
    let err = ran.failed(74);
    assert!(err.contains("Read-only file system"), "{err}");
}

#[test]
fn a_limit_on_file_sizes_is_one_clear_error() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    let script =
        "trap '' XFSZ; exec prlimit --fsize=100000 \"$0\" convert -q --from raw a.raw b.qcow2";
    let mut command = Command::new("sh");
    command.args(["-c", script, PROGRAM]);
    desk.at_home(&mut command);
    let err = Ran::from(command.output().unwrap()).failed(74);
    assert!(err.contains("File too large") && err.lines().count() == 1, "{err}");
    assert_eq!(desk.names(), ["a.raw"]);
}

#[test]
fn an_interrupt_leaves_what_was_there() {
    for name in ["INT", "TERM"] {
        let desk = Desk::new();
        // Data all over, so that it takes a while.
        let file = fs_err::File::create(desk.path("a.raw")).unwrap();
        std::io::Write::write_all(&mut &file, &vec![0x5a; 512 << 20]).unwrap();
        desk.write("b.qcow2", "old");
        let arguments = [CONVERT, &["b.qcow2", "--compression", "zstd", "--threads", "1"]].concat();
        let mut child = desk.command(&arguments).spawn().unwrap();
        wait_until(&mut child, "a temporary file", || desk.names().len() > 2);
        signal(&child, name);
        let err = ended(child).failed(130);
        assert!(err.ends_with("error: interrupted; nothing was changed\n"), "{err}");
        assert_eq!(desk.names(), ["a.raw", "b.qcow2"]);
        assert_eq!(desk.read("b.qcow2"), b"old");
    }
}

fn fifo(desk: &Desk) {
    crate::support::tool("coreutils", "mkfifo", &[desk.path("pipe").as_os_str()]);
}

/// Whether the process has a handler for SIGINT.
fn listens(id: u32) -> bool {
    let status = fs_err::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
    caught.is_some_and(|mask| u64::from_str_radix(mask, 16).unwrap() & 2 != 0)
}

#[test]
fn an_interrupt_ends_what_waits_for_a_pipe() {
    let to_pipe = [CONVERT, &["pipe", "--format", "raw"]].concat();
    let from_pipe = vec!["convert", "--from", "raw", "pipe", "b.raw"];
    let from_stdin = vec!["convert", "--from", "raw", "-", "b.raw"];
    for (arguments, reads) in
        [(&to_pipe, false), (&to_pipe, true), (&from_pipe, false), (&from_stdin, false)]
    {
        let desk = Desk::new();
        disk(&desk, "a.raw");
        fifo(&desk);
        let mut child = desk.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let mut reader = reads.then(|| fs_err::File::open(desk.path("pipe")).unwrap());
        if let Some(reader) = &mut reader {
            reader.read_exact(&mut [0; 100]).unwrap();
        }
        let id = child.id();
        wait_until(&mut child, "a handler", || listens(id));
        signal(&child, "INT");
        ended(child).failed(130);
        drop((input, reader));
        assert_eq!(desk.names(), ["a.raw", "pipe"], "{arguments:?}");
    }
}

#[test]
fn a_pipe_is_an_input_of_bounded_length() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    fifo(&desk);
    for (limit, code) in [("4Mi", 0), ("4194303", 66)] {
        let arguments = ["convert", "--from", "raw", "pipe", "b.raw", "--limit", limit];
        let child = desk.command(&arguments).spawn().unwrap();
        let mut writer = fs_err::OpenOptions::new().write(true).open(desk.path("pipe")).unwrap();
        // Too much is not read to its end.
        let _ = writer.write_all(&desk.read("a.raw"));
        drop(writer);
        let err = ended(child).failed(code);
        assert_eq!(
            err.contains("has more than 4194303 bytes; --limit allows more"),
            code != 0,
            "{err}"
        );
    }
    assert!(desk.read("b.raw") == desk.read("a.raw"));
}

/// The conversion stands still while nobody reads the FIFO: time to change its source.
#[test]
fn a_source_that_changes_is_no_source() {
    for (change, says) in [
        ("truncate -s 1000 a.raw", "became shorter while it was read: it had 4194304 bytes"),
        ("truncate -s +1M a.raw", "changed while it was read: from 4194304 bytes to 5242880"),
        ("printf x | dd of=a.raw conv=notrunc status=none", "somebody wrote to it"),
    ] {
        let desk = Desk::new();
        disk(&desk, "a.raw");
        fifo(&desk);
        let pipe = desk.path("pipe");
        let arguments = [CONVERT, &["pipe", "--format", "raw", "--threads", "1"]].concat();
        let child = desk.command(&arguments).spawn().unwrap();
        let mut reader = fs_err::File::open(&pipe).unwrap();
        reader.read_exact(&mut [0; 100]).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", change]);
        desk.at_home(&mut command);
        Ran::from(command.output().unwrap()).ok();
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        let err = ended(child).failed(66);
        assert!(err.contains(says), "{change}: {err}");
    }
}

#[test]
fn two_writers_on_one_name_leave_one_whole_file() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    desk.write("b.raw", vec![3; 2 << 20]);
    let start = |input: &str| {
        desk.command(&["convert", "--from", "raw", input, "out.qcow2"]).spawn().unwrap()
    };
    for child in [start("a.raw"), start("b.raw"), start("a.raw"), start("b.raw")] {
        ended(child).ok();
    }
    assert_eq!(desk.names(), ["a.raw", "b.raw", "out.qcow2"]);
    let digest = desk.run(&["digest", "--from", "qcow2", "out.qcow2"]).ok();
    let raw = |name: &str| crate::support::sha256sum(&desk.path(name));
    assert!([raw("a.raw"), raw("b.raw")].iter().any(|one| digest.starts_with(one)), "{digest}");
}

/// Needs loop devices, and so root.
#[test]
fn a_block_device_is_overwritten_only_when_asked_and_wholly() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    desk.write("backing", vec![0xee; 6 << 20]);
    // The disk ends with a hole.
    fs_err::OpenOptions::new()
        .write(true)
        .open(desk.path("a.raw"))
        .unwrap()
        .set_len(5 << 20)
        .unwrap();
    let script = "
        device=$(losetup --find --show backing) || exit 99
        trap 'losetup -d $device' EXIT
        \"$0\" convert -q --from raw a.raw $device --format raw && exit 98
        \"$0\" convert -q --from raw a.raw $device --format qcow2 --device && exit 97
        \"$0\" convert -q --from raw a.raw $device --format raw --device || exit 96
        \"$0\" convert -q --from raw --format raw $device back.raw || exit 95
        truncate -s 7M big.raw
        \"$0\" convert -q --from raw big.raw $device --format raw --device; code=$?
        sync; exit $code";
    let mut command = Command::new("sh");
    command.args(["-c", script, PROGRAM]);
    desk.at_home(&mut command);
    let err = Ran::from(command.output().unwrap()).failed(67);
    assert!(err.contains("--device overwrites it"), "{err}");
    assert!(err.contains("takes the raw disk, not qcow2"), "{err}");
    assert!(err.contains("has 6291456 bytes, too few for 7340032"), "{err}");
    let (back, wanted) = (desk.read("back.raw"), desk.read("a.raw"));
    assert!(back[..5 << 20] == wanted, "the disk is there, its holes are zero");
    assert!(back[5 << 20..].iter().all(|byte| *byte == 0xee), "what lies behind it is left alone");
}

/// Needs loop devices, and so root.
#[test]
fn blocks_are_shared_where_the_filesystem_can() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    fs_err::create_dir(desk.path("out")).unwrap();
    let script = "
        truncate -s 320M xfs && mkfs.xfs -q -m reflink=1 xfs && mount -o loop xfs out || exit 99
        cp a.raw out/a.raw && cd out
        \"$0\" convert -q --from raw a.raw b.raw || exit 98
        cmp a.raw b.raw || exit 97
        filefrag -v b.raw";
    let out = unshared(&desk, script).ok();
    assert!(out.contains("shared"), "{out}");
}
