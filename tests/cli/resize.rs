//! resize, with sgdisk and qemu-img as judges.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

use crate::support::{Desk, Ran, sha256sum};

/// A raw disk of 20 MiB with a GPT of two partitions and some data in each.
fn partitioned(desk: &Desk, name: &str) {
    let file = fs_err::File::create(desk.path(name)).unwrap();
    file.set_len(20 << 20).unwrap();
    shell(desk, &format!("sgdisk -n 1:2048:+2M -c 1:boot -n 2:0:+2M {name}")).ok();
    shell(desk, &format!("echo data | dd of={name} bs=1M seek=4 conv=notrunc status=none")).ok();
}

fn shell(desk: &Desk, script: &str) -> Ran {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]);
    desk.at_home(&mut command);
    Ran::from(command.output().unwrap())
}

#[track_caller]
fn gpt_is_right(desk: &Desk, raw: &str) {
    let out = shell(desk, &format!("sgdisk -v {raw}")).ok();
    assert!(out.contains("No problems found"), "{out}");
    let out = shell(desk, &format!("sgdisk -p {raw}")).ok();
    assert!(out.contains("boot") && !out.contains("Caution"), "{out}");
}

#[test]
fn a_gpt_follows_the_end_in_both_directions_and_formats() {
    let desk = Desk::new();
    partitioned(&desk, "a.raw");
    desk.run(&["convert", "--from", "raw", "a.raw", "a.qcow2"]).ok();
    // By one sector the new backup lies across the old one.
    for size in ["+512", "+40Mi", "9Mi", "9437696", "3Ti", "8Mi"] {
        for file in ["a.raw", "a.qcow2"] {
            let from = if file == "a.raw" { "raw" } else { "qcow2" };
            desk.run(&["resize", "--from", from, "--move-gpt", "--shrink", file, size]).ok();
        }
        gpt_is_right(&desk, "a.raw");
        shell(&desk, "qemu-img compare -q -f raw -F qcow2 a.raw a.qcow2").ok();
        let compare = ["compare", "--from-a=raw", "--from-b=qcow2", "--strict", "a.raw", "a.qcow2"];
        if size != "3Ti" {
            desk.run(&compare).ok();
            shell(&desk, "qemu-img check -q -f qcow2 a.qcow2").ok();
        }
    }
    let err =
        desk.run(&["resize", "--from=raw", "--move-gpt", "--shrink", "a.raw", "3Mi"]).failed(65);
    assert!(err.contains("partition 1 ends at sector 6143"), "{err}");
}

#[test]
fn only_zeros_are_cut_off() {
    let desk = Desk::new();
    let mut bytes = vec![0; 1 << 20];
    bytes[700_000] = 1;
    desk.write("a.raw", &bytes);
    desk.run(&["convert", "--from", "raw", "a.raw", "a.qcow2"]).ok();
    let before = [sha256sum(&desk.path("a.raw")), sha256sum(&desk.path("a.qcow2"))];
    for (from, file) in [("raw", "a.raw"), ("qcow2", "a.qcow2")] {
        let resize = |more: &[&str]| desk.run(&[&["resize", "--from", from, file], more].concat());
        let err = resize(&["512Ki"]).failed(65);
        assert!(err.contains("524288 bytes are less than the 1048576"), "{err}");
        let err = resize(&["512Ki", "--shrink"]).failed(65);
        assert!(err.contains("byte 700000 is not zero, so it needs at least 700001"), "{err}");
        let err = resize(&["--move-gpt", "2Mi"]).failed(65);
        assert!(err.contains("no GPT"), "{err}");
        resize(&["12M"]).failed(65);
        resize(&["+16Ei"]).failed(65);
    }
    assert_eq!([sha256sum(&desk.path("a.raw")), sha256sum(&desk.path("a.qcow2"))], before);
    desk.run(&["resize", "--from", "qcow2", "a.qcow2", "700001", "--shrink"]).failed(65);
    desk.run(&["resize", "--from", "raw", "a.raw", "700001", "--shrink"]).ok();
    assert!(desk.read("a.raw") == bytes[..700_001]);
    assert_eq!(desk.names(), ["a.qcow2", "a.raw"]);
}

#[test]
fn growing_keeps_what_is_there() {
    let desk = Desk::new();
    desk.write("a.raw", vec![5; 100_000]);
    let path = desk.path("a.raw");
    let inode = fs_err::metadata(&path).unwrap().ino();
    let out = desk.run(&["resize", "--from", "raw", "a.raw", "+100", "--json"]).ok();
    assert!(out.contains("\"virtualSize\": 100100"), "{out}");
    assert!(desk.read("a.raw") == [vec![5; 100_000], vec![0; 100]].concat());
    assert_eq!(fs_err::metadata(&path).unwrap().ino(), inode, "a raw file grows where it is");

    desk.run(&["convert", "--from", "raw", "a.raw", "a.qcow2"]).ok();
    let path = desk.path("a.qcow2");
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    desk.run(&["resize", "--from", "qcow2", "a.qcow2", "1Gi"]).ok();
    assert_eq!(fs_err::metadata(&path).unwrap().mode() & 0o777, 0o640);
    shell(&desk, "qemu-img check -q -f qcow2 a.qcow2").ok();
    desk.run(&["compare", "--detect", "a.raw", "a.qcow2"]).ok();
    shell(&desk, "qemu-img snapshot -c one a.qcow2").ok();
    let err = desk.run(&["resize", "--from", "qcow2", "a.qcow2", "2Gi"]).failed(65);
    assert!(err.contains("1 snapshots, which resizing would lose"), "{err}");
    fs_err::os::unix::fs::symlink("a.raw", desk.path("link")).unwrap();
    let err = desk.run(&["resize", "--from", "raw", "link", "2Gi"]).failed(65);
    assert!(err.contains("symbolic link"), "{err}");
}
