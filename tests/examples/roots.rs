//! NetBSD's rescue root as ext2, as FFS and in a GPT.

use std::collections::BTreeMap;

use crate::desk::desk;
use crate::tool;

/// The nodes that mksmolnb makes, with the later numbers of its second disk: what `ls -l` shows of
/// them on a NetBSD for i386.
const NODES: &[(&str, char, u32, u32, &str)] = &[
    ("console", 'c', 0, 0, "0600"),
    ("constty", 'c', 0, 1, "0600"),
    ("drum", 'c', 4, 0, "0640"),
    ("kmem", 'c', 2, 1, "0640"),
    ("mem", 'c', 2, 0, "0640"),
    ("null", 'c', 2, 2, "0666"),
    ("full", 'c', 2, 11, "0666"),
    ("zero", 'c', 2, 12, "0666"),
    ("klog", 'c', 7, 0, "0600"),
    ("ksyms", 'c', 85, 0, "0444"),
    ("random", 'c', 46, 0, "0444"),
    ("urandom", 'c', 46, 1, "0644"),
    ("tty", 'c', 1, 0, "0666"),
    ("stdin", 'c', 22, 0, "0666"),
    ("stdout", 'c', 22, 1, "0666"),
    ("stderr", 'c', 22, 2, "0666"),
    ("ld0a", 'b', 19, 0, "0640"),
    ("rld0a", 'c', 69, 0, "0640"),
    ("ld1a", 'b', 19, 8, "0640"),
    ("ld1d", 'b', 19, 11, "0640"),
    ("rld1a", 'c', 69, 8, "0640"),
    ("rld1d", 'c', 69, 11, "0640"),
];

/// Asks debugfs.
pub(crate) fn debugfs(file: &str, request: &str) -> String {
    tool::run("e2fsprogs", "debugfs", &["-R", request, file])
}

/// A clean filesystem, by e2fsck.
pub(crate) fn clean(file: &str) {
    let said = tool::run("e2fsprogs", "e2fsck", &["-f", "-n", file]);
    assert!(said.contains("Pass 5"), "{said}");
}

/// The fields of a superblock, by dumpe2fs.
pub(crate) fn superblock(file: &str) -> BTreeMap<String, String> {
    let said = tool::run("e2fsprogs", "dumpe2fs", &["-h", file]);
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    said.lines().filter_map(pair).collect()
}

/// What debugfs says of a node: type, mode, owner, links.
fn stat(file: &str, path: &str, wanted: &[&str]) {
    let said = debugfs(file, &format!("stat \"{path}\""));
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in wanted {
        assert!(words.contains(wanted), "{path}: no {wanted:?} in {said}");
    }
}

/// The rescue root in an ext2 that debugfs opens as `file`.
fn rescue_root(file: &str, fstab: &str) {
    clean(file);
    let superblock = superblock(file);
    assert_eq!(superblock["Filesystem features"], "(none)");
    assert_eq!(superblock["Block size"], "1024");
    for (name, kind, major, minor, mode) in NODES {
        let kind = if *kind == 'c' { "character special" } else { "block special" };
        // debugfs shows the number as two bytes, hexadecimal.
        let device = format!("Device major/minor number: {major:02}:{minor:02} ");
        let (kind, mode) = (format!("Type: {kind}"), format!("Mode: {mode}"));
        stat(file, &format!("/dev/{name}"), &[&kind, &device, &mode, "User: 0 Group: 0"]);
    }
    let listed = debugfs(file, "ls -l /dev");
    assert_eq!(listed.lines().filter(|line| !line.trim().is_empty()).count(), NODES.len() + 2);

    stat(file, "/rescue/[", &["Type: regular", "Mode: 0555", "Links: 150", "Size: 6291456"]);
    let rescue = debugfs(file, "ls -l /rescue");
    let inodes: Vec<&str> =
        rescue.lines().filter_map(|line| line.split_whitespace().next()).skip(2).collect();
    assert_eq!(inodes.len(), 150, "{rescue}");
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{rescue}");

    stat(file, "/libexec/su", &["Mode: 04555", "User: 0 Group: 0", "Size: 4103"]);
    stat(file, "/tmp", &["Type: directory", "Mode: 01777"]);
    stat(file, "/var/spool/uucp/job", &["Mode: 0640", "User: 66 Group: 1"]);
    for (path, target) in [
        ("/stand", "/rescue"),
        ("/libexec/sh", "../rescue/sh"),
        ("/bin/sh", "/rescue/sh"),
        ("/sbin/init", "/rescue/init"),
        ("/sbin/mount_ext2fs", "/rescue/mount_ext2fs"),
    ] {
        stat(file, path, &["Type: symlink", &format!("Fast link dest: \"{target}\"")]);
    }
    assert_eq!(debugfs(file, "cat /etc/fstab"), fstab);
    assert_eq!(debugfs(file, "cat /etc/include/shutdown"), "shutdown -p now\n");
    assert!(debugfs(file, "cat /etc/include/basicrc").starts_with("export PATH="));
    stat(file, "/etc/rc", &["Mode: 0755", "User: 0 Group: 0"]);
    let etc = debugfs(file, "ls -p /etc");
    let names: Vec<&str> = etc.lines().filter_map(|line| line.split('/').nth(5)).collect();
    assert_eq!(names, [".", "..", "fstab", "include", "rc", "rc.local"], "{etc}");
}

#[test]
fn mksmolnb_has_an_ext2_that_netbsd_reads() {
    let file = desk().file("smolnb-ext2.raw");
    assert_eq!(fs_err::metadata(&file).unwrap().len(), 10 << 20);
    rescue_root(&file, "/dev/ld0a / ext2fs rw 1 1\n");
}

/// The set in the image is the set in the archive: content by content.
#[test]
fn the_program_of_the_set_is_the_archives() {
    let set = desk().path("home/volume/rescue.tgz");
    let script = "tar -xzOf \"$1\" './rescue/[' | sha256sum; debugfs -R 'cat /rescue/sh' \"$2\" | \
                  sha256sum; icat -f ufs \"$3\" \"$(ifind -f ufs -n /rescue/sh \"$3\")\" | sha256sum";
    let (ext2, ffs) = (desk().file("smolnb-ext2.raw"), desk().file("smolnb-ffs.raw"));
    let said =
        tool::run("sleuthkit", "sh", &["-c", script, "sh", set.to_str().unwrap(), &ext2, &ffs]);
    let sums: Vec<&str> = said.lines().collect();
    assert_eq!(sums.len(), 3, "{said}");
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{said}");
}

#[test]
fn mksmolnb_has_an_ffs_that_sleuthkit_reads() {
    let file = desk().file("smolnb-ffs.raw");
    let said = tool::run("sleuthkit", "fsstat", &["-f", "ufs", &file]);
    assert!(said.contains("File System Type: UFS 1"), "{said}");
    let said = tool::run("sleuthkit", "fls", &["-f", "ufs", "-rp", &file]);
    // `r/r 17:\trescue/sh`
    let found: BTreeMap<&str, (&str, &str)> = said
        .lines()
        .filter_map(|line| {
            let (left, path) = line.split_once(":\t")?;
            let (kind, inode) = left.split_once(' ')?;
            Some((path, (kind, inode)))
        })
        .collect();
    let rescue: Vec<_> = found.iter().filter(|(path, _)| path.starts_with("rescue/")).collect();
    assert_eq!(rescue.len(), 150, "{said}");
    assert!(rescue.iter().all(|(_, node)| **node == *rescue[0].1), "{said}");
    for (name, kind, ..) in NODES {
        let (seen, _) = found[format!("dev/{name}").as_str()];
        assert_eq!(seen, format!("{kind}/{kind}"), "{name}");
    }
    let istat = |path: &str| tool::run("sleuthkit", "istat", &["-f", "ufs", &file, found[path].1]);
    let program = istat("rescue/sh");
    assert!(program.contains("num of links: 150"), "{program}");
    assert!(program.contains("size: 6291456"), "{program}");
    let job = istat("var/spool/uucp/job");
    assert!(job.contains("uid / gid: 66 / 1"), "{job}");
    let su = istat("libexec/su");
    assert!(su.contains("mode: r-sr-xr-x") || su.contains("mode: rr-sr-xr-x"), "{su}");
    let fstab = tool::run("sleuthkit", "icat", &["-f", "ufs", &file, found["etc/fstab"].1]);
    assert_eq!(fstab, "/dev/ld0a / ffs rw 1 1\n");
    let include =
        tool::run("sleuthkit", "icat", &["-f", "ufs", &file, found["etc/include/shutdown"].1]);
    assert_eq!(include, "shutdown -p now\n");
}

#[test]
fn smolbsd_has_a_gpt_that_names_its_root() {
    let file = desk().file("smolbsd.raw");
    let said = tool::run("gdisk", "sgdisk", &["-v", &file]);
    assert!(said.contains("No problems found"), "{said}");
    let said = tool::run("gdisk", "sgdisk", &["-i", "1", &file]);
    for wanted in [
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
        "First sector: 2048 ",
        "Attribute flags: 0800000000000000",
        "Partition name: 'rescueroot'",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let inside = format!("{file}?offset={}", 1 << 20);
    rescue_root(&inside, "NAME=rescueroot / ext2fs rw 1 1\n");
}
