//! Examples that are one filesystem: slim's root, a seed for cloud-init, a squashfs, a btrfs.

use fs_err as fs;

use crate::desk::desk;
use crate::roots::{clean, debugfs, superblock};
use crate::tool;

/// What blkid says of a file: `LABEL="…" … TYPE="…"`.
pub(crate) fn blkid(file: &str) -> String {
    tool::run("util-linux", "blkid", &["-p", file])
}

#[test]
fn slim_has_an_ext4_without_a_table() {
    let file = desk().file("slim-ext4.raw");
    clean(&file);
    let superblock = superblock(&file);
    assert_eq!(superblock["Filesystem volume name"], "slim-rootfs");
    assert!(superblock["Filesystem features"].contains("extent"), "{superblock:?}");
    let number = |field: &str| superblock[field].parse::<u64>().unwrap();
    let free = number("Free blocks") * number("Block size");
    assert!((64 << 20..66 << 20).contains(&free), "{free} bytes are free");
    let said = blkid(&file);
    assert!(said.contains("LABEL=\"slim-rootfs\"") && said.contains("TYPE=\"ext4\""), "{said}");
    let fstab = "# static information about the filesystems\n\
                 LABEL=slim-rootfs / ext4 discard,errors=remount-ro 0 1\n";
    assert_eq!(debugfs(&file, "cat /etc/fstab"), fstab);
    assert_eq!(debugfs(&file, "cat /etc/hostname"), "slim\n");
    let hosts = debugfs(&file, "cat /etc/hosts");
    let named = |line: &str| line.split_whitespace().eq(["127.0.1.1", "slim"]);
    assert!(hosts.contains("localhost") && hosts.lines().any(named), "{hosts}");
    let root = debugfs(&file, "ls -l /");
    assert!(!root.contains(".dockerenv"), "{root}");
    for (name, wanted) in [("root", " 40700 "), ("tmp", " 41777 "), ("bin", " 40755 ")] {
        let line = root.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
        assert!(line.contains(wanted), "{line}");
    }
    let home = debugfs(&file, "stat /home/user");
    assert!(home.contains("User:  1000   Group:  1000"), "{home}");
    let other = desk().file("slim-ext4.qcow2");
    tool::run("qemu-utils", "qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &file, &other]);
    tool::run("qemu-utils", "qemu-img", &["check", &other]);
}

#[test]
fn a_seed_is_found_by_its_volume_name() {
    let file = desk().file("cidata.iso");
    let said = blkid(&file);
    assert!(said.contains("LABEL=\"cidata\"") && said.contains("TYPE=\"iso9660\""), "{said}");
    let said = tool::run("genisoimage", "isoinfo", &["-d", "-i", &file]);
    assert!(said.contains("Volume id: cidata"), "{said}");
    assert!(said.contains("Joliet with UCS level 3"), "{said}");
    assert!(said.contains("Rock Ridge signatures version 1 found"), "{said}");
    let joliet = tool::run("genisoimage", "isoinfo", &["-J", "-f", "-i", &file]);
    assert_eq!(joliet, "/meta-data;1\n/user-data;1\n");
    let config = desk().path("examples/inputs/cidata/user-data");
    for (path, wanted) in [
        ("/user-data", fs::read_to_string(config).unwrap()),
        ("/meta-data", "instance-id: i-1\nlocal-hostname: test\n".to_owned()),
    ] {
        let found = tool::run("genisoimage", "isoinfo", &["-R", "-x", path, "-i", &file]);
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_squashfs_lists_as_its_document_says() {
    let file = desk().file("squashfs.raw");
    let said = tool::run("squashfs-tools", "unsquashfs", &["-s", &file]);
    assert!(said.contains("Compression zstd"), "{said}");
    let said = tool::run("squashfs-tools", "unsquashfs", &["-lln", "-UTC", &file]);
    let lines: Vec<String> = said
        .lines()
        .filter(|line| line.contains("squashfs-root"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let wanted = [
        "drwxr-xr-x 0/0 44 1970-01-01 00:00 squashfs-root",
        "drwxr-xr-x 0/0 48 1970-01-01 00:00 squashfs-root/bin",
        "-rwxr-xr-x 0/0 21 1970-01-01 00:00 squashfs-root/bin/hello",
        "-rwxr-xr-x 0/0 21 1970-01-01 00:00 squashfs-root/bin/hey",
        "lrwxrwxrwx 0/0 5 1970-01-01 00:00 squashfs-root/bin/hi -> hello",
        "drwxr-xr-x 0/0 31 1970-01-01 00:00 squashfs-root/etc",
        "-rw-r----- 1000/1000 17 1970-01-01 00:00 squashfs-root/etc/app.conf",
    ];
    // The size of a directory is that of its listing on the disk.
    let plain = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let size = if line.starts_with('d') { "" } else { words[2] };
        format!("{} {} {size} {}", words[0], words[1], words[3..].join(" "))
    };
    let (found, wanted): (Vec<_>, Vec<_>) =
        (lines.iter().map(|l| plain(l)).collect(), wanted.iter().map(|l| plain(l)).collect());
    assert_eq!(found, wanted);
    let text = tool::run("squashfs-tools", "unsquashfs", &["-cat", &file, "bin/hey"]);
    assert_eq!(text, "#!/bin/sh\necho hello\n");
}

#[test]
fn tinyboot_finds_its_disk() {
    let (file, raw) = (desk().file("tinyboot-data.qcow2"), desk().file("tinyboot-data.img"));
    tool::run("qemu-utils", "qemu-img", &["convert", "-f", "qcow2", "-O", "raw", &file, &raw]);
    let bytes = fs::read(&raw).unwrap();
    assert_eq!(bytes.len(), 256 << 20);
    // What tinyboot reads: the magic, and a label that begins with its name.
    assert_eq!(&bytes[0x1_0040..0x1_0048], b"_BHRfS_M");
    assert_eq!(&bytes[0x1_012b..0x1_0134], b"tinyboot\0");
    tool::run("btrfs-progs", "btrfs", &["check", "--readonly", "--check-data-csum", &raw]);
    let said = blkid(&raw);
    assert!(said.contains("LABEL=\"tinyboot\"") && said.contains("TYPE=\"btrfs\""), "{said}");
}
