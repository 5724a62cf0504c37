//! The guest writes to our filesystems and grows one while it is mounted; afterwards the host's
//! checkers find nothing.

use std::path::Path;

use fs_err as fs;
use vmimage::engine::filesystem::{Params, Room, btrfs, ext, fat, swap};

use super::guest::{self, Disk};
use super::listing::{self, ALL, Keeps};
use super::trees::{self, Grower};
use super::{build, device, tool};

/// Room for what the guest writes.
const ROOMY: Room = Room::Fit { percent: 10, bytes: 24 << 20 };

/// What the guest does to a mounted filesystem: adds, appends, renames, deletes.
const CHANGES: &str = r#"
cd /mnt
mkdir -p new/deep/er
for n in $(seq 1 300); do echo "$n" >"new/deep/file $n with a long name"; done
dd if=/dev/zero of=new/zeros bs=65536 count=80 2>/dev/null
cat /mnt/large.bin >>new/copy
echo more >>hello.txt
mv many/entry-0007 new/moved
rm -r many/entry-01*
rm exactly-4096
cd /
sync
"#;

struct Case {
    name: &'static str,
    mount: &'static str,
    params: Params,
    tree: fn() -> Grower,
    keeps: Keeps,
    check: fn(&Path),
}

fn e2fsck(file: &Path) {
    tool::run("e2fsprogs", "e2fsck", &["-fn", file.to_str().unwrap()]);
}

fn fsck_fat(file: &Path) {
    tool::run("dosfstools", "fsck.fat", &["-n", file.to_str().unwrap()]);
}

fn btrfs_check(file: &Path) {
    let file = file.to_str().unwrap();
    tool::run("btrfs-progs", "btrfs", &["check", "--check-data-csum", file]);
}

#[test]
fn what_a_guest_writes_checks_clean() {
    let ext = |variant| Params::Ext(ext::Params { variant, ..ext::Params::default() });
    let fat = |bits| Params::Fat(fat::Params { bits: Some(bits), ..fat::Params::default() });
    let dos = Keeps { owners: false, grain: 2_000_000_000, links: false, attributes: false };
    let unix = |name, mount, params, check| Case {
        name,
        mount,
        params,
        tree: trees::attributed,
        keeps: ALL,
        check,
    };
    let plain = |name, params| Case {
        name,
        mount: "vfat",
        params,
        tree: trees::simple,
        keeps: dos,
        check: fsck_fat,
    };
    let cases = [
        unix("ext4", "ext4", ext(ext::Variant::Ext4), e2fsck),
        unix("ext3", "ext3", ext(ext::Variant::Ext3), e2fsck),
        unix("ext2", "ext2", ext(ext::Variant::Ext2), e2fsck),
        unix("btrfs", "btrfs", Params::Btrfs(btrfs::Params::default()), btrfs_check),
        plain("fat16", fat(fat::Bits::Sixteen)),
        plain("fat32", fat(fat::Bits::ThirtyTwo)),
    ];
    let directory = tempfile::tempdir().unwrap();
    let (mut job, mut disks) = (String::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let file = directory.path().join(case.name);
        build(&case.params, (case.tree)(), ROOMY, &file);
        disks.push(Disk { file, sector: 512 });
        let (name, kind, device) = (case.name, case.mount, device(number));
        job += &format!(
            "echo {name}\nmount -t {kind} {device} /mnt\n{CHANGES}umount /mnt\n\
             mount -t {kind} -o ro {device} /mnt\nlist /mnt {name}\numount /mnt\n"
        );
    }
    let files = guest::run(&job, &disks);
    for (case, disk) in cases.iter().zip(&disks) {
        (case.check)(&disk.file);
        let mut seen = guest::listing(&files, case.name);
        assert_eq!(seen.keys().filter(|name| name.starts_with(b"new/deep/file")).count(), 300);
        assert_eq!(seen[&b"hello.txt"[..]].size, 13 + 5);
        let mut wanted = listing::of(&(case.tree)().tree);
        let digest = wanted[&b"large.bin"[..]].digest.clone();
        assert_eq!(seen[&b"new/copy"[..]].digest, digest);
        // What was not touched is as it was; times of directories that were, and of the root, not.
        for touched in [&b""[..], b"hello.txt", b"exactly-4096", b"many", b"lost+found"] {
            seen.remove(touched);
            wanted.remove(touched);
        }
        seen.retain(|name, _| !name.starts_with(b"new"));
        wanted.retain(|name, _| !name.starts_with(b"many/entry-01") && name != b"many/entry-0007");
        listing::same(case.name, &seen, &wanted, case.keeps);
    }
}

#[test]
fn a_guest_grows_a_mounted_filesystem_64_times_and_more() {
    let ext = |variant| Params::Ext(ext::Params { variant, ..ext::Params::default() });
    let cases = [
        ("ext4", "ext4", ext(ext::Variant::Ext4), "/judge/resize2fs"),
        ("ext3", "ext3", ext(ext::Variant::Ext3), "/judge/resize2fs"),
        ("btrfs", "btrfs", Params::Btrfs(btrfs::Params::default()), "btrfs"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let (mut job, mut disks, mut lens) = (String::new(), Vec::new(), Vec::new());
    for (number, (name, mount, params, tool)) in cases.iter().enumerate() {
        let file = directory.path().join(name);
        let room = Room::Fit { percent: 0, bytes: 4 << 20 };
        let len = build(params, trees::simple(), room, &file);
        let grown = (len * 65).next_multiple_of(1 << 20);
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(grown).unwrap();
        lens.push(grown);
        let device = device(number);
        let grow = match *tool {
            "btrfs" => "/judge/btrfs filesystem resize max /mnt".to_owned(),
            tool => format!("{tool} {device}"),
        };
        job += &format!(
            "echo {name}\nmount -t {mount} {device} /mnt\n{grow}\n\
             dd if=/dev/zero of=/mnt/filled bs=1048576 count=64\nsync\n\
             /judge/stat -f -c '%b %S' /mnt >/out/{name}.size\numount /mnt\n"
        );
        disks.push(Disk { file, sector: 512 });
    }
    let files = guest::run(&job, &disks);
    for (((name, _, _, tool), disk), len) in cases.iter().zip(&disks).zip(lens) {
        let text = String::from_utf8(files[&format!("{name}.size")].clone()).unwrap();
        let (blocks, size) = text.trim().split_once(' ').unwrap();
        let seen = blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap();
        assert!(seen > len / 10 * 9, "{name}: {seen} of {len}");
        match *tool {
            "btrfs" => btrfs_check(&disk.file),
            _ => e2fsck(&disk.file),
        }
    }
}

#[test]
fn a_guest_swaps_on_our_swap() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("swap");
    let room = Room::Fit { percent: 0, bytes: 7 << 20 };
    let len = build(&Params::Swap(swap::Params::default()), Grower::new(), room, &file);
    let job = "/judge/swapon /dev/vdc\ncat /proc/swaps >/out/swaps\n";
    let files = guest::run(job, &[Disk { file, sector: 512 }]);
    let swaps = String::from_utf8(files["swaps"].clone()).unwrap();
    let size = swaps.lines().nth(1).unwrap().split_whitespace().nth(2).unwrap();
    // One page is the header.
    assert_eq!(size.parse::<u64>().unwrap() * 1024, len - 4096, "{swaps}");
}
