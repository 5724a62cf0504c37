//! ls, cat, extract and diff on images that other tools made.
//!
//! Invariant: what is expected was in the directory that those tools were given.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use fs_err as fs;
use serde_json::Value;

use crate::support::{Desk, Ran, sha256sum, tool};

/// Bytes that do not compress away.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..len).map(step).collect()
}

/// A directory with all that every filesystem here holds (FAT: without links).
fn sample(desk: &Desk, links: bool) {
    let at = |name: &str| desk.path("src").join(name);
    fs::create_dir_all(at("etc/deep/er/still")).unwrap();
    fs::create_dir_all(at("empty")).unwrap();
    fs::write(at("etc/os-release"), "NAME=test\n").unwrap();
    fs::write(at("etc/deep/er/still/here.txt"), "down here\n").unwrap();
    fs::write(at("big.bin"), noise(700_001)).unwrap();
    fs::write(at("none.txt"), "").unwrap();
    fs::write(at("größe.txt"), "Umlaut\n").unwrap();
    if links {
        symlink("etc/os-release", at("link")).unwrap();
        symlink("/etc", at("dirlink")).unwrap();
        symlink("../../../../../../etc/os-release", at("upwards")).unwrap();
        fs::hard_link(at("etc/os-release"), at("again")).unwrap();
        fs::set_permissions(at("big.bin"), std::fs::Permissions::from_mode(0o640)).unwrap();
    }
}

/// Runs a foreign tool in the desk's directory.
#[track_caller]
fn make(desk: &Desk, package: &str, line: &str) {
    let line = format!("export LC_ALL=C.UTF-8; cd '{}' && {line}", desk.root().display());
    tool(package, "bash", &[OsStr::new("-euc"), OsStr::new(&line)]);
}

/// The line that makes `fs.img` of `src`, and the package that has the tool.
const MAKERS: [(&str, &str, &str); 6] = [
    ("ext4", "e2fsprogs", "mke2fs -q -F -t ext4 -d src fs.img 8M"),
    (
        "vfat",
        "mtools",
        "truncate -s 8M fs.img && mkfs.fat fs.img >/dev/null && mcopy -s -i fs.img src/* ::",
    ),
    ("iso9660", "xorriso", "xorriso -as mkisofs -quiet -R -J -o fs.img src 2>/dev/null"),
    ("squashfs", "squashfs-tools", "mksquashfs src fs.img -quiet -no-progress"),
    (
        "btrfs",
        "btrfs-progs",
        "truncate -s 128M fs.img && mkfs.btrfs -q --rootdir src fs.img >/dev/null",
    ),
    ("erofs", "erofs-utils", "mkfs.erofs -zlz4 fs.img src >/dev/null 2>&1"),
];

/// Path, kind, and digest or target of all below `root`, as the host sees them.
fn host(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_dir() {
                open.push(path.clone());
                "directory".to_owned()
            } else if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                sha256sum(&path)
            };
            found.insert(format!("/{}", path.strip_prefix(root).unwrap().display()), what);
        }
    }
    found
}

#[test]
fn what_every_tool_makes_is_listed_printed_and_extracted() {
    for (kind, package, line) in MAKERS {
        let desk = Desk::new();
        sample(&desk, kind != "vfat");
        make(&desk, package, line);
        let wanted = host(&desk.path("src"));
        let paths: Vec<_> = desk
            .run(&["ls", "-R", "fs.img"])
            .ok()
            .lines()
            .map(ToOwned::to_owned)
            .filter(|path| !path.ends_with("/lost+found"))
            .collect();
        let mut sorted: Vec<_> = wanted.keys().cloned().collect();
        sorted.sort_by(|a, b| a.split('/').cmp(b.split('/')));
        assert_eq!(paths, sorted, "{kind}");
        assert_eq!(desk.run(&["cat", "fs.img:/etc/os-release"]).ok(), "NAME=test\n", "{kind}");
        if kind != "vfat" {
            for link in ["link", "dirlink/os-release", "upwards", "again"] {
                let place = format!("fs.img:/{link}");
                assert_eq!(desk.run(&["cat", &place]).ok(), "NAME=test\n", "{kind} {link}");
            }
        }
        let ran = desk.run(&["extract", "fs.img", "-C", "out", "--exclude", "lost+found"]);
        assert!(ran.err.contains(" files with "), "{kind}: {ran:?}");
        ran.ok();
        assert_eq!(host(&desk.path("out")), wanted, "{kind}");
        let report: Value =
            serde_json::from_str(&desk.run(&["inspect", "fs.img", "--json"]).ok()).unwrap();
        assert_eq!(report["filesystems"][0]["filesystem"]["type"], *kind, "{report}");
        if kind == "vfat" {
            continue;
        }
        let (of, to) = (desk.path("src/big.bin"), desk.path("out/big.bin"));
        let metadata = |path: &Path| fs::metadata(path).unwrap();
        assert_eq!(metadata(&to).mode() & 0o777, 0o640, "{kind}");
        assert_eq!(metadata(&to).mtime(), metadata(&of).mtime(), "{kind}");
        assert_eq!(metadata(&desk.path("out/again")).nlink(), 2, "{kind}");
    }
}

/// A GPT disk with an ESP, two ext4 filesystems called root and data, and swap.
fn partitioned(desk: &Desk) {
    sample(desk, true);
    let script = "\
mke2fs -q -F -t ext4 -L label-a -d src root.fs 8M
mke2fs -q -F -t ext4 -L label-b -d src/etc data.fs 8M
truncate -s 4M esp.fs && mkfs.fat -n BOOT esp.fs >/dev/null && mcopy -i esp.fs src/big.bin ::kernel
truncate -s 4M swap.fs && mkswap -q swap.fs
truncate -s 32M disk.raw
printf 'label: gpt\\nstart=2048,size=8192,type=uefi,name=\"EFI system\"\\nstart=10240,size=16384,name=root\\n\
start=26624,size=16384,name=data\\nstart=43008,size=8192,type=swap\\n' | sfdisk -q disk.raw
put() { dd if=$1 of=disk.raw bs=512 seek=$2 conv=notrunc status=none; }
put esp.fs 2048; put root.fs 10240; put data.fs 26624; put swap.fs 43008
qemu-img convert -f raw -O qcow2 -c disk.raw disk.qcow2
qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.raw disk.vmdk
";
    make(desk, "fdisk qemu-utils dosfstools mtools e2fsprogs", script);
}

#[test]
fn partitions_are_named_by_number_name_or_label_in_every_format() {
    let desk = Desk::new();
    partitioned(&desk);
    for image in ["disk.raw", "disk.qcow2", "disk.vmdk"] {
        for place in ["2/etc", "root/etc", "label-a/etc/", "3", "data/"] {
            let out = desk.run(&["ls", &format!("{image}:{place}")]).ok();
            let out: Vec<_> = out.lines().filter(|name| *name != "lost+found").collect();
            assert_eq!(out, ["deep", "os-release"], "{image}:{place}");
        }
        assert_eq!(desk.run(&["ls", &format!("{image}:EFI system")]).ok(), "kernel\n");
        let err = desk.run(&["ls", image]).failed(66);
        for part in ["3 partitions with files", "1 \"EFI system\" (vfat \"BOOT\")", "2 \"root\""] {
            assert!(err.contains(part), "{part}: {err}");
        }
        let err = desk.run(&["ls", &format!("{image}:4/")]).failed(66);
        assert!(err.contains("partition 4 holds no files: a swap area holds no files"), "{err}");
        let err = desk.run(&["ls", &format!("{image}:9/")]).failed(66);
        assert!(err.contains("no partition has the number 9"), "{err}");
        let err = desk.run(&["cat", &format!("{image}:2/etc/none")]).failed(66);
        assert!(err.contains("there is no /etc/none in") && err.contains(":2"), "{err}");
        let err = desk.run(&["cat", &format!("{image}:2/etc")]).failed(66);
        assert!(err.contains("/etc: it is a directory; a file is wanted"), "{err}");
    }
    let report = desk.run(&["inspect", "disk.qcow2"]).ok();
    for part in ["filesystems       1: vfat, label \"BOOT\", ", "2: ext4, label \"label-a\", UUID "]
    {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(report.contains("4: swap, UUID "), "{report}");
    let err = desk.run(&["ls", "disk.raw:2/../x"]).failed(65);
    assert!(err.contains("leads upwards"), "{err}");
}

#[test]
fn long_listings_and_json_say_what_is_known() {
    let desk = Desk::new();
    sample(&desk, true);
    make(&desk, "e2fsprogs", "mke2fs -q -F -t ext4 -d src fs.img 8M");
    let commands = "\
mknod dev c 5 1
mknod blk b 8 300
mknod pipe p
set_inode_field big.bin uid 1000
set_inode_field big.bin gid 70000
set_inode_field big.bin mode 0104755
set_inode_field big.bin mtime 20231114221321
set_inode_field big.bin mtime_extra 0
ea_set big.bin user.note hello
";
    desk.write("commands", commands);
    make(&desk, "e2fsprogs", "TZ=UTC debugfs -w -f commands fs.img >/dev/null 2>&1");
    let out = desk.run(&["ls", "-l", "fs.img"]).ok();
    let squeezed: Vec<_> =
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in ["-rwsr-xr-x 1 1000 70000 700001 2023-11-14T22:13:21Z big.bin", "lrwxrwxrwx 1 "] {
        assert!(squeezed.iter().any(|l| l.starts_with(line)), "{line}: {squeezed:#?}");
    }
    assert!(squeezed.iter().any(|l| l.ends_with(" link -> etc/os-release")), "{squeezed:#?}");
    assert!(squeezed.iter().any(|l| l.starts_with('c') && l.contains(" 5:1 ")), "{squeezed:#?}");
    assert!(squeezed.iter().any(|l| l.starts_with('b') && l.contains(" 8:300 ")), "{squeezed:#?}");
    let all: Value = serde_json::from_str(&desk.run(&["ls", "fs.img", "--json"]).ok()).unwrap();
    let big = all.as_array().unwrap().iter().find(|e| e["path"] == "/big.bin").unwrap();
    let wanted = serde_json::json!({
        "path": "/big.bin", "type": "file", "mode": "4755", "uid": 1000, "gid": 70_000,
        "size": 700_001, "links": 1, "modified": "2023-11-14T22:13:21Z",
        "attributes": {"user.note": "aGVsbG8="},
    });
    assert_eq!(*big, wanted);
    // The tar has it all; GNU tar says so.
    desk.run(&["extract", "fs.img", "--as-tar", "all.tar"]).ok();
    let path = desk.path("all.tar");
    let arguments = ["--xattrs", "--numeric-owner", "--full-time", "-tvvf"];
    let mut arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
    arguments.push(path.as_os_str());
    let listed = tool("tar", "tar", &arguments);
    let squeezed: Vec<_> =
        listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let time = squeezed.iter().find(|l| l.contains("big.bin")).unwrap();
    assert!(time.starts_with("-rwsr-xr-x* 1000/70000 700001 2023-11-14 "), "{listed}");
    for line in ["c-", "b-", "p-"] {
        assert!(squeezed.iter().any(|l| l.starts_with(line)), "{line}: {listed}");
    }
    assert!(listed.contains("x: 5 user.note"), "{listed}");
    assert!(listed.contains("./etc/os-release link to ./again"), "{listed}");
    // A directory gets what a user may make, and the rest is told.
    let ran = desk.run(&["extract", "fs.img", "-C", "out"]);
    assert!(ran.err.contains("left out: 3 devices"), "{ran:?}");
    ran.ok();
    assert_eq!(fs::metadata(desk.path("out/big.bin")).unwrap().mode() & 0o7777, 0o755);
    let piped = desk.command(&["extract", "fs.img:/etc", "--as-tar", "-"]).output().unwrap();
    desk.write("etc.tar", piped.stdout);
    make(&desk, "tar", "mkdir t && tar -C t -xf etc.tar && diff -r t src/etc");
}

#[test]
fn nothing_is_written_through_a_link_or_over_what_is_there() {
    let desk = Desk::new();
    sample(&desk, true);
    make(&desk, "e2fsprogs", "mke2fs -q -F -t ext4 -d src fs.img 8M");
    fs::create_dir_all(desk.path("outside")).unwrap();
    let extract = |more: &[&str]| -> Ran {
        desk.run(&[&["extract", "fs.img", "-C", "out", "--exclude", "lost+found"], more].concat())
    };
    // A link in the place of a directory.
    fs::create_dir_all(desk.path("out")).unwrap();
    symlink("../outside", desk.path("out/etc")).unwrap();
    for more in [&[][..], &["--force"]] {
        let ran = extract(&[&["--include", "etc"], more].concat());
        let err = ran.failed(74);
        assert!(err.contains("/etc: something that is no directory is in its place"), "{err}");
    }
    assert_eq!(fs::read_dir(desk.path("outside")).unwrap().count(), 0);
    fs::remove_file(desk.path("out/etc")).unwrap();
    // A link in the place of a file.
    desk.write("outside/victim", "untouched");
    symlink("../outside/victim", desk.path("out/none.txt")).unwrap();
    let err = extract(&[]).failed(74);
    assert!(err.contains("/none.txt: it is there already; --force replaces it"), "{err}");
    extract(&["--force"]).ok();
    assert_eq!(desk.read("outside/victim"), b"untouched");
    assert!(fs::symlink_metadata(desk.path("out/none.txt")).unwrap().is_file());
    assert_eq!(host(&desk.path("out")), host(&desk.path("src")));
    // A directory in the place of a file stays.
    fs::remove_file(desk.path("out/none.txt")).unwrap();
    fs::create_dir_all(desk.path("out/none.txt/kept")).unwrap();
    let err = extract(&["--force"]).failed(74);
    assert!(err.contains("/none.txt: a directory is in its place"), "{err}");
    assert!(desk.path("out/none.txt/kept").exists());
    let err = desk.run(&["extract", "fs.img:/big.bin", "-C", "one", "--limit", "1000"]).failed(66);
    assert!(err.contains("more than the 1000 bytes of --limit"), "{err}");
    assert_eq!(fs::read_dir(desk.path("one")).unwrap().count(), 0);
}

#[test]
fn two_images_are_the_same_or_differ_by_file() {
    let desk = Desk::new();
    sample(&desk, true);
    make(&desk, "e2fsprogs", "mke2fs -q -F -t ext4 -d src a.img 8M");
    make(&desk, "squashfs-tools", "mksquashfs src b.img -quiet -no-progress");
    let ignored = ["--ignore", "mode,owner"];
    // mke2fs makes lost+found.
    let ran = desk.run(&[&["diff", "a.img", "b.img"], &ignored[..]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "- /lost+found\n"), "{ran:?}");
    let out = desk.run(&["diff", "--times", "a.img:/etc", "b.img:/etc"]).ok();
    assert_eq!(out, "a.img and b.img hold the same files\n");
    fs::write(desk.path("src/etc/os-release"), "NAME=text\n").unwrap();
    fs::write(desk.path("src/new"), "new").unwrap();
    fs::remove_file(desk.path("src/none.txt")).unwrap();
    make(&desk, "squashfs-tools", "mksquashfs src c.img -quiet -no-progress -noappend");
    let ran = desk.run(&["diff", "b.img", "c.img"]);
    let new = sha256sum(&desk.path("src/etc/os-release"));
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(ran.code, Some(3));
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].starts_with("~ /again: content sha256:") && lines[0].ends_with(&new));
    assert!(lines[1].starts_with("~ /etc/os-release: content sha256:") && lines[1].ends_with(&new));
    assert_eq!(lines[2..], ["+ /new", "- /none.txt"]);
    let value: Value =
        serde_json::from_str(&desk.run(&["diff", "b.img", "c.img", "--json"]).out).unwrap();
    assert_eq!(value["same"], false);
    assert_eq!(
        value["differences"][3],
        serde_json::json!({"path": "/none.txt", "change": "onlyA"})
    );
    assert_eq!(value["differences"][0]["fields"]["content"]["b"], new);
    let ran = desk.run(&["diff", "b.img:/new", "c.img:/new"]);
    assert!(ran.failed(66).contains("there is no /new in b.img"));
}

#[test]
fn contents_decide_the_format_only_when_asked() {
    let desk = Desk::new();
    sample(&desk, true);
    make(&desk, "e2fsprogs", "mke2fs -q -F -t ext4 -d src fs.img 8M; cp fs.img a:b");
    make(&desk, "qemu-utils", "qemu-img convert -f raw -O qcow2 fs.img mystery");
    let err = desk.run(&["ls", "mystery"]).failed(66);
    assert!(err.contains("--from") && err.contains("--detect"), "{err}");
    for flags in [&["--detect"][..], &["--from", "qcow2"]] {
        let out = desk.run(&[&["ls", "mystery:/etc"], flags].concat()).ok();
        assert_eq!(out, "deep\nos-release\n");
    }
    assert_eq!(desk.run(&["ls", "--from", "raw", "a\\:b:/etc"]).ok(), "deep\nos-release\n");
    let err = desk.run(&["ls", "--from", "raw", "mystery"]).failed(66);
    assert!(err.contains("no filesystem"), "{err}");
    desk.run(&["cat", "fs.img:/none.txt", "--json"]).failed(65);
}
