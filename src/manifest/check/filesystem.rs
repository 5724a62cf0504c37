//! The rows about filesystems and their options.
//!
//! Pure. Invariant: a function here says the same as the CEL rule with its message.

use super::super::types::{Filesystem, FilesystemKind, Spec, SquashfsCompression};
use super::super::{FieldPath, Size, source};
use super::table::Found;

/// The features that mke2fs 1.47 knows and this writer can make or leave out.
pub(super) const EXT_FEATURES: [&str; 17] = [
    "64bit",
    "dir_index",
    "dir_nlink",
    "ext_attr",
    "extent",
    "extents",
    "extra_isize",
    "filetype",
    "flex_bg",
    "has_journal",
    "huge_file",
    "large_file",
    "metadata_csum",
    "none",
    "resize_inode",
    "sparse_super",
    "uninit_bg",
];

/// The filesystems for which `wrong` finds a member, with the values at hand.
fn each(
    spec: &Spec,
    wrong: impl Fn(&Filesystem) -> Option<(&'static str, Option<String>)>,
) -> Vec<Found> {
    let found = source::partitions(spec).filter_map(|(path, partition)| {
        let (member, detail) = wrong(partition.filesystem.as_ref()?)?;
        let path = member
            .split('.')
            .fold(path.member("filesystem"), |path: FieldPath, name| path.member(name));
        Some(Found { path, detail })
    });
    found.collect()
}

/// `member`, if the size is not one of the powers of two between these.
fn power(size: Option<Size>, [from, to]: [u64; 2]) -> Option<String> {
    let bytes = size?.0.get();
    let fits = bytes.is_power_of_two() && (from..=to).contains(&bytes);
    (!fits).then(|| format!("it is {bytes} bytes"))
}

pub(super) fn options(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let given = [
            ("ext", filesystem.ext.is_some()),
            ("vfat", filesystem.vfat.is_some()),
            ("btrfs", filesystem.btrfs.is_some()),
            ("ffs", filesystem.ffs.is_some()),
            ("squashfs", filesystem.squashfs.is_some()),
            ("erofs", filesystem.erofs.is_some()),
            ("swap", filesystem.swap.is_some()),
        ];
        let own = filesystem.kind.options();
        let foreign = given.into_iter().find(|(name, given)| *given && *name != own);
        foreign.map(|(name, _)| (name, Some(format!("this is {}", filesystem.kind.as_str()))))
    })
}

pub(super) fn label(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let has = filesystem.label.as_ref()?.len();
        (has > filesystem.kind.label()).then(|| ("label", Some(format!("it has {has} bytes"))))
    })
}

/// Whether `text` is groups of so many hexadecimal digits with `-` between them.
fn is_hex(text: &str, groups: &[usize]) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let fits = |(part, digits): (&&str, &usize)| {
        part.len() == *digits && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    parts.len() == groups.len() && parts.iter().zip(groups).all(fits)
}

pub(super) fn uuid(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let uuid = filesystem.uuid.as_ref()?;
        let fits = match filesystem.kind {
            FilesystemKind::Squashfs => false,
            FilesystemKind::Vfat => is_hex(uuid, &[4, 4]),
            FilesystemKind::Ffs => is_hex(uuid, &[16]),
            _ => is_hex(uuid, &[8, 4, 4, 4, 12]),
        };
        (!fits).then_some(("uuid", None))
    })
}

pub(super) fn headroom(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let room = &filesystem.headroom;
        let given = room.size.is_some() || room.percent.is_some();
        let read_only = matches!(filesystem.kind, FilesystemKind::Squashfs | FilesystemKind::Erofs);
        (given && read_only).then_some(("headroom", None))
    })
}

pub(super) fn ext2_journal(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let journal = filesystem.ext.as_ref().is_some_and(|ext| ext.journal_size.is_some());
        (journal && filesystem.kind == FilesystemKind::Ext2).then_some(("ext.journalSize", None))
    })
}

pub(super) fn ext_block(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let size = filesystem.ext.as_ref()?.block_size;
        Some(("ext.blockSize", Some(power(size, [1 << 10, 4 << 10])?)))
    })
}

pub(super) fn ext_inode(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let size = filesystem.ext.as_ref()?.inode_size?;
        (!matches!(size, 128 | 256)).then_some(("ext.inodeSize", None))
    })
}

pub(super) fn ext_inodes(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let ext = filesystem.ext.as_ref()?;
        (ext.inodes.is_some() && ext.bytes_per_inode.is_some()).then_some(("ext", None))
    })
}

pub(super) fn ext_features(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let features = filesystem.ext.as_ref()?.features.as_ref()?;
        let plain = |name: &str| name.strip_prefix('^').unwrap_or(name).to_owned();
        let odd =
            features.split(',').map(plain).find(|name| !EXT_FEATURES.contains(&name.as_str()))?;
        Some(("ext.features", Some(odd)))
    })
}

pub(super) fn fat_bits(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let bits = filesystem.vfat.as_ref()?.bits?;
        (!matches!(bits, 12 | 16 | 32)).then_some(("vfat.bits", None))
    })
}

pub(super) fn fat_cluster(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let size = filesystem.vfat.as_ref()?.cluster_size;
        Some(("vfat.clusterSize", Some(power(size, [512, 64 << 10])?)))
    })
}

pub(super) fn fat_root(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let vfat = filesystem.vfat.as_ref()?;
        let entries = vfat.root_entries?;
        let fits = entries.is_multiple_of(16) && vfat.bits != Some(32);
        (!fits).then_some(("vfat.rootEntries", None))
    })
}

pub(super) fn fat_floppy(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let vfat = filesystem.vfat.as_ref()?;
        vfat.floppy?;
        let beside =
            vfat.bits.is_some() || vfat.cluster_size.is_some() || vfat.root_entries.is_some();
        beside.then_some(("vfat.floppy", None))
    })
}

pub(super) fn btrfs_node(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let size = filesystem.btrfs.as_ref()?.node_size;
        Some(("btrfs.nodeSize", Some(power(size, [4 << 10, 64 << 10])?)))
    })
}

pub(super) fn ffs_block(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let size = filesystem.ffs.as_ref()?.block_size;
        Some(("ffs.blockSize", Some(power(size, [4 << 10, 64 << 10])?)))
    })
}

pub(super) fn ffs_fragment(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let ffs = filesystem.ffs.as_ref()?;
        let fragment = ffs.fragment_size?.0.get();
        let block = ffs.block_size.map_or(8 << 10, |size| size.0.get());
        let odd = power(ffs.fragment_size, [512, 64 << 10]).is_some();
        let fits = !odd && fragment <= block && fragment.saturating_mul(8) >= block;
        let detail = Some(format!("it is {fragment} bytes, the block {block}"));
        (!fits).then_some(("ffs.fragmentSize", detail))
    })
}

pub(super) fn squashfs_block(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let size = filesystem.squashfs.as_ref()?.block_size;
        Some(("squashfs.blockSize", Some(power(size, [4 << 10, 1 << 20])?)))
    })
}

pub(super) fn squashfs_level(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let squashfs = filesystem.squashfs.as_ref()?;
        let level = squashfs.level?;
        let fits = match squashfs.compression {
            SquashfsCompression::Gzip => level <= 9,
            SquashfsCompression::Zstd => true,
            _ => false,
        };
        (!fits).then_some(("squashfs.level", None))
    })
}

pub(super) fn swap_page(spec: &Spec) -> Vec<Found> {
    each(spec, |filesystem| {
        let bytes = filesystem.swap.as_ref()?.page_size?.0.get();
        let fits = [4 << 10, 16 << 10, 64 << 10].contains(&bytes);
        (!fits).then(|| ("swap.pageSize", Some(format!("it is {bytes} bytes"))))
    })
}
