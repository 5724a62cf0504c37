//! What the guest sees when it mounts a filesystem read-only is the tree.

use vmimage::engine::filesystem::{Params, btrfs, erofs, ext, fat, iso9660, squashfs};

use super::guest::{self, Disk};
use super::listing::{self, ALL, Keeps};
use super::trees::{self, Grower};
use super::{TIGHT, build, device};

/// One filesystem that the guest is shown.
struct Case {
    name: &'static str,
    /// As `mount -t` calls it, with options.
    mount: &'static str,
    params: Params,
    tree: fn() -> Grower,
    keeps: Keeps,
}

/// Whole seconds.
const SECONDS: Keeps = Keeps { grain: 1_000_000_000, ..ALL };

/// The tree and, beside it, a file of 5 GiB that is nearly all a hole.
fn sparse() -> Grower {
    let mut grower = trees::unix();
    let kind = trees::sparse(5 << 30, &[0, 4 << 20, (5 << 30) - 10_000]);
    grower.put(b"sparse", kind, trees::meta(0o644));
    grower
}

/// Enough for directories of many blocks; a guest without KVM takes a minute for thrice as many.
fn crowd() -> Grower {
    trees::crowd(20_000)
}

fn empty() -> Grower {
    Grower::new()
}

fn show(cases: &[Case]) {
    let directory = tempfile::tempdir().unwrap();
    let (mut job, mut disks) = (String::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let file = directory.path().join(case.name);
        build(&case.params, (case.tree)(), TIGHT, &file);
        disks.push(Disk { file, sector: 512 });
        job += &format!(
            "echo {name}\nmount -t {kind} -o ro {device} /mnt\nlist /mnt {name}\numount /mnt\n",
            name = case.name,
            kind = case.mount,
            device = device(number)
        );
    }
    let files = guest::run(&job, &disks);
    for case in cases {
        let seen = guest::listing(&files, case.name);
        let mut wanted = listing::of(&(case.tree)().tree);
        // ext always has this one; only its name is ours.
        if let Some(extra) = seen.get(&b"lost+found"[..]) {
            wanted.insert(b"lost+found".to_vec(), extra.clone());
        }
        listing::same(case.name, &seen, &wanted, case.keeps);
    }
}

fn case(
    name: &'static str,
    mount: &'static str,
    params: Params,
    tree: fn() -> Grower,
    keeps: Keeps,
) -> Case {
    Case { name, mount, params, tree, keeps }
}

#[test]
fn ext() {
    let of = |variant| Params::Ext(ext::Params { variant, ..ext::Params::default() });
    let bare = ext::Params {
        variant: ext::Variant::Ext2,
        features: ext::Base::None,
        ..ext::Params::default()
    };
    show(&[
        case("ext4", "ext4", of(ext::Variant::Ext4), trees::attributed, ALL),
        case("ext3", "ext3", of(ext::Variant::Ext3), trees::attributed, ALL),
        case("ext2", "ext2", of(ext::Variant::Ext2), trees::attributed, ALL),
        case("ext2-bare", "ext2", Params::Ext(bare), trees::unix, SECONDS),
        case("ext4-sparse", "ext4", of(ext::Variant::Ext4), sparse, ALL),
        case("ext4-crowd", "ext4", of(ext::Variant::Ext4), || trees::crowd(65_000), ALL),
        case("ext4-empty", "ext4", of(ext::Variant::Ext4), empty, ALL),
    ]);
}

#[test]
fn btrfs() {
    let of = || Params::Btrfs(btrfs::Params::default());
    let mixed = btrfs::Params { mixed: true, node_size: Some(4096), ..btrfs::Params::default() };
    show(&[
        case("btrfs", "btrfs", of(), trees::attributed, ALL),
        case("btrfs-mixed", "btrfs", Params::Btrfs(mixed), trees::attributed, ALL),
        case("btrfs-sparse", "btrfs", of(), sparse, ALL),
        case("btrfs-crowd", "btrfs", of(), crowd, ALL),
        case("btrfs-empty", "btrfs", of(), empty, ALL),
    ]);
}

#[test]
fn fat() {
    let keeps = Keeps { owners: false, grain: 2_000_000_000, links: false, attributes: false };
    let of = |bits| Params::Fat(fat::Params { bits, ..fat::Params::default() });
    show(&[
        case("fat", "vfat", of(None), trees::simple, keeps),
        case("fat16", "vfat", of(Some(fat::Bits::Sixteen)), trees::simple, keeps),
        case("fat32", "vfat", of(Some(fat::Bits::ThirtyTwo)), trees::simple, keeps),
        case("fat-empty", "vfat", of(None), empty, keeps),
    ]);
}

#[test]
fn iso() {
    // Linux takes each record of a directory for a file of its own.
    let keeps = Keeps { attributes: false, links: false, ..SECONDS };
    let of = || Params::Iso9660(Box::default());
    // Where the primary root is empty, Linux turns to Joliet, which has no modes.
    let plain =
        || Params::Iso9660(Box::new(iso9660::Params { joliet: false, ..Default::default() }));
    show(&[
        case("iso", "iso9660", of(), trees::unix, keeps),
        case("iso-sparse", "iso9660", of(), sparse, keeps),
        // Linux goes through a directory for each name it looks up: 65,000 would take it minutes.
        case("iso-crowd", "iso9660", of(), || trees::crowd(5000), keeps),
        case("iso-empty", "iso9660", plain(), empty, keeps),
    ]);
}

#[test]
fn squashfs() {
    let of = |compression| {
        Params::Squashfs(squashfs::Params { compression, ..squashfs::Params::default() })
    };
    use squashfs::Compression::{Gzip, Lz4, Xz, Zstd};
    show(&[
        case("squash-gzip", "squashfs", of(Gzip(6)), trees::named, SECONDS),
        case("squash-zstd", "squashfs", of(Zstd(3)), sparse, SECONDS),
        case("squash-xz", "squashfs", of(Xz), crowd, SECONDS),
        case("squash-lz4", "squashfs", of(Lz4), trees::named, SECONDS),
        case("squash-empty", "squashfs", of(squashfs::Compression::None), empty, SECONDS),
    ]);
}

#[test]
fn erofs() {
    let of = |compression, chunks| {
        Params::Erofs(erofs::Params { compression, chunks, ..erofs::Params::default() })
    };
    use erofs::Compression::{Lz4, None};
    show(&[
        case("erofs", "erofs", of(None, false), trees::attributed, ALL),
        case("erofs-lz4", "erofs", of(Lz4, false), trees::attributed, ALL),
        case("erofs-chunks", "erofs", of(None, true), sparse, ALL),
        case("erofs-crowd", "erofs", of(None, false), crowd, ALL),
        case("erofs-empty", "erofs", of(None, false), empty, ALL),
    ]);
}
