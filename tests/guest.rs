//! A Linux guest mounts every filesystem that we write and sees the tree, writes to those that can
//! be written, and reads our partition tables.
//!
//! Invariant: what the guest tells is computed by its kernel and by GNU tools, never by us.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/guest.rs"]
mod guest;
#[path = "support/listing.rs"]
mod listing;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "support/trees.rs"]
mod trees;

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use guest::Disk;
use listing::{ALL, Keeps};
use trees::Grower;
use uuid::Uuid;
use vmimage::engine::base::{Extent, Placement, Scratch, SectorSource, Silent, Work};
use vmimage::engine::filesystem::{
    self, Identity, Params, Request, Room, btrfs, erofs, ext, fat, iso9660, squashfs,
};

const WORK: Work<'_> = Work { threads: 2, progress: &Silent };

/// One filesystem that the guest is shown.
struct Case {
    name: &'static str,
    /// As `mount -t` calls it.
    mount: &'static str,
    params: Params,
    tree: fn() -> Grower,
    keeps: Keeps,
    room: Room,
}

const TIGHT: Room = Room::Fit { percent: 0, bytes: 0 };

/// Writes a filesystem to a file.
fn build(params: &Params, tree: Grower, room: Room, file: &Path) -> u64 {
    let scratch = Scratch::new(file.parent().unwrap(), 8 << 30);
    let request = Request {
        tree: Arc::new(tree.tree),
        identity: Identity { label: None, uuid: None, seed: Uuid::from_u128(7) },
        room,
        time: trees::MOMENT,
        sector: 512,
        scratch: &scratch,
        work: WORK,
    };
    let planned = filesystem::plan(params, &request).unwrap();
    let len = planned.len();
    let place = Placement { extents: vec![Extent::new(0, len).unwrap()], medium: len };
    let source = planned.render(&place).unwrap();
    assert_eq!(source.len(), len);
    store(source.as_ref(), file);
    len
}

/// Writes the extents of a medium to a sparse file.
fn store(source: &dyn SectorSource, file: &Path) {
    let out = fs::File::create(file).unwrap();
    out.set_len(source.len()).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for extent in source.extents() {
        let mut at = extent.start();
        while at < extent.end() {
            let now = (extent.end() - at).min(buffer.len() as u64) as usize;
            source.read_at(at, &mut buffer[..now]).unwrap();
            out.file().write_all_at(&buffer[..now], at).unwrap();
            at += now as u64;
        }
    }
}

/// The tree and, beside it, a file of 5 GiB that is nearly all a hole.
fn sparse() -> Grower {
    let mut grower = trees::unix();
    let kind = trees::sparse(5 << 30, &[0, 4 << 20, (5 << 30) - 10_000]);
    grower.put(b"sparse", kind, trees::meta(0o644));
    grower
}

fn disk(file: PathBuf) -> Disk {
    Disk { file, sector: 512 }
}

/// The guest's name of the disk with this number of ours.
fn device(number: usize) -> String {
    let letter = char::from(b'c' + number as u8);
    format!("/dev/vd{letter}")
}

fn show(cases: &[Case]) {
    let directory = tempfile::tempdir().unwrap();
    let (mut job, mut disks) = (String::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let file = directory.path().join(case.name);
        build(&case.params, (case.tree)(), case.room, &file);
        disks.push(disk(file));
        job += &format!(
            "echo {name}\nmount -t {kind} -o ro {device} /mnt\nlist /mnt {name}\numount /mnt\n",
            name = case.name,
            kind = case.mount,
            device = device(number)
        );
    }
    let files = guest::run(&job, &disks);
    for case in cases {
        println!("{}", case.name);
        let seen = guest::listing(&files, case.name);
        let mut wanted = listing::of(&(case.tree)().tree);
        if let Some(extra) = seen.get(&b"lost+found"[..]) {
            wanted.insert(b"lost+found".to_vec(), extra.clone());
        }
        listing::same(&seen, &wanted, case.keeps);
    }
}

fn case(
    name: &'static str,
    mount: &'static str,
    params: Params,
    tree: fn() -> Grower,
    keeps: Keeps,
) -> Case {
    Case { name, mount, params, tree, keeps, room: TIGHT }
}

/// Whole seconds.
const SECONDS: Keeps = Keeps { grain: 1_000_000_000, ..ALL };

#[test]
fn a_guest_sees_ext() {
    let of = |variant| Params::Ext(ext::Params { variant, ..ext::Params::default() });
    show(&[
        case("ext4", "ext4", of(ext::Variant::Ext4), trees::attributed, ALL),
        case("ext3", "ext3", of(ext::Variant::Ext3), trees::attributed, ALL),
        case("ext2", "ext2", of(ext::Variant::Ext2), trees::attributed, ALL),
        case("ext4-sparse", "ext4", of(ext::Variant::Ext4), sparse, ALL),
        case("ext4-crowd", "ext4", of(ext::Variant::Ext4), || trees::crowd(65_000), ALL),
    ]);
}

#[test]
fn a_guest_sees_btrfs() {
    let of = || Params::Btrfs(btrfs::Params::default());
    show(&[
        case("btrfs", "btrfs", of(), trees::attributed, ALL),
        case("btrfs-sparse", "btrfs", of(), sparse, ALL),
        case("btrfs-crowd", "btrfs", of(), || trees::crowd(65_000), ALL),
    ]);
}

#[test]
fn a_guest_sees_fat() {
    let fat = Keeps { owners: false, grain: 2_000_000_000, links: false, attributes: false };
    show(&[case("vfat", "vfat", Params::Fat(fat::Params::default()), trees::simple, fat)]);
}

#[test]
fn a_guest_sees_an_iso() {
    let keeps = Keeps { attributes: false, ..SECONDS };
    let of = || Params::Iso9660(Box::default());
    show(&[
        case("iso", "iso9660", of(), trees::unix, keeps),
        case("iso-sparse", "iso9660", of(), sparse, keeps),
    ]);
}

#[test]
fn a_guest_sees_squashfs() {
    let of = |compression| {
        Params::Squashfs(squashfs::Params { compression, ..squashfs::Params::default() })
    };
    show(&[
        case("gzip", "squashfs", of(squashfs::Compression::Gzip(6)), trees::attributed, SECONDS),
        case("sparse", "squashfs", of(squashfs::Compression::Zstd(3)), sparse, SECONDS),
        case("crowd", "squashfs", of(squashfs::Compression::Xz), || trees::crowd(65_000), SECONDS),
    ]);
}

#[test]
fn a_guest_sees_erofs() {
    let of = || Params::Erofs(erofs::Params::default());
    show(&[
        case("erofs", "erofs", of(), trees::attributed, ALL),
        case("crowd", "erofs", of(), || trees::crowd(65_000), ALL),
    ]);
}
