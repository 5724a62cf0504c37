//! From the options of a document to the parameters of each filesystem.
//!
//! Pure. Invariant: what the document leaves out is each filesystem's own default.

use super::base::{Error, Kind};
use super::filesystem::{Params, btrfs, erofs, ext, fat, ffs, squashfs, swap};
use crate::manifest::types::{
    ByteOrder, ErofsCompression, Ext, Ffs, Filesystem, FilesystemKind, Floppy, Squashfs,
    SquashfsCompression, Vfat,
};

/// The parameters of `filesystem`; `sized` says whether the document gives its size.
pub(super) fn of(filesystem: &Filesystem, sized: bool) -> Result<Params, Error> {
    let Filesystem { kind, ext, vfat, squashfs, btrfs, .. } = filesystem;
    Ok(match kind {
        FilesystemKind::Ext2 => Params::Ext(extended(ext::Variant::Ext2, ext.as_ref())?),
        FilesystemKind::Ext3 => Params::Ext(extended(ext::Variant::Ext3, ext.as_ref())?),
        FilesystemKind::Ext4 => Params::Ext(extended(ext::Variant::Ext4, ext.as_ref())?),
        FilesystemKind::Vfat => Params::Fat(vfat.as_ref().map_or(Ok(fat::Params::default()), fat)?),
        FilesystemKind::Btrfs => {
            let node_size = btrfs.as_ref().and_then(|btrfs| btrfs.node_size);
            let node_size =
                node_size.map(|size| narrow(size.0.get(), "btrfs.nodeSize")).transpose()?;
            Params::Btrfs(btrfs::Params { node_size, ..btrfs::Params::default() })
        }
        FilesystemKind::Ffs => Params::Ffs(fast(filesystem.ffs.as_ref(), sized)?),
        FilesystemKind::Squashfs => {
            Params::Squashfs(squashfs.as_ref().map_or(Ok(squashfs::Params::default()), squashed)?)
        }
        FilesystemKind::Erofs => {
            let given = filesystem.erofs.as_ref().map(|erofs| erofs.compression);
            let compression = match given.unwrap_or_default() {
                ErofsCompression::None => erofs::Compression::None,
                ErofsCompression::Lz4 => erofs::Compression::Lz4,
            };
            Params::Erofs(erofs::Params { compression, ..erofs::Params::default() })
        }
        FilesystemKind::Swap => {
            let size = filesystem.swap.as_ref().and_then(|swap| swap.page_size);
            let default = swap::Params::default();
            Params::Swap(swap::Params { page_size: size.map_or(default.page_size, |s| s.0.get()) })
        }
    })
}

/// A number that has to fit `T`.
fn narrow<T: TryFrom<u64>>(value: u64, field: &str) -> Result<T, Error> {
    T::try_from(value)
        .map_err(|_| Error::new(Kind::Document, format!("{field} {value} is out of range")))
}

fn extended(variant: ext::Variant, given: Option<&Ext>) -> Result<ext::Params, Error> {
    let mut params = ext::Params { variant, ..ext::Params::default() };
    let Some(given) = given else { return Ok(params) };
    for feature in given.features.iter().flat_map(|features| features.split(',')) {
        match feature.strip_prefix('^') {
            None if feature == "none" => params.features = ext::Base::None,
            None => params.toggles.push(format!("+{feature}")),
            Some(name) => params.toggles.push(format!("-{name}")),
        }
    }
    let ratio = given.bytes_per_inode.map(|ratio| ext::Inodes::Ratio(u64::from(ratio)));
    let count = given.inodes.map(|count| ext::Inodes::Count(u64::from(count)));
    params.inodes = count.or(ratio);
    let block_size = given.block_size.map(|size| narrow(size.0.get(), "ext.blockSize"));
    params.block_size = block_size.transpose()?;
    let inode_size = given.inode_size.map(|size| narrow(u64::from(size), "ext.inodeSize"));
    params.inode_size = inode_size.transpose()?;
    let reserved = given.reserved_percent;
    let reserved = reserved.map(|percent| narrow(u64::from(percent), "ext.reservedPercent"));
    params.reserved_percent = reserved.transpose()?;
    params.journal = given.journal_size.map(|size| size.0.get());
    Ok(params)
}

fn fast(given: Option<&Ffs>, sized: bool) -> Result<ffs::Params, Error> {
    let default = ffs::Params { minfree: if sized { 5 } else { 0 }, ..ffs::Params::default() };
    let Some(given) = given else { return Ok(default) };
    let block_size = given.block_size.map_or(default.block_size, |size| size.0.get());
    Ok(ffs::Params {
        version: narrow(u64::from(given.version.0), "ffs.version")?,
        block_size,
        fragment_size: given.fragment_size.map_or(block_size / 8, |size| size.0.get()),
        big_endian: given.byte_order == ByteOrder::Big,
        density: given.bytes_per_inode.map(u64::from),
        minfree: given.reserved_percent.unwrap_or(default.minfree),
    })
}

fn fat(given: &Vfat) -> Result<fat::Params, Error> {
    let bits = match given.bits {
        None => None,
        Some(12) => Some(fat::Bits::Twelve),
        Some(16) => Some(fat::Bits::Sixteen),
        Some(32) => Some(fat::Bits::ThirtyTwo),
        Some(other) => {
            let message = format!("vfat.bits is {other}; it must be 12, 16 or 32");
            return Err(Error::new(Kind::Document, message));
        }
    };
    let entries = given.root_entries;
    let entries = entries.map(|count| narrow(u64::from(count), "vfat.rootEntries"));
    Ok(fat::Params {
        bits,
        cluster_size: given.cluster_size.map(|size| size.0.get()),
        floppy: given.floppy.map(|floppy| match floppy {
            Floppy::F720 => fat::Floppy::Kib720,
            Floppy::F1200 => fat::Floppy::Kib1200,
            Floppy::F1440 => fat::Floppy::Kib1440,
            Floppy::F2880 => fat::Floppy::Kib2880,
        }),
        root_entries: entries.transpose()?,
        ..fat::Params::default()
    })
}

fn squashed(given: &Squashfs) -> Result<squashfs::Params, Error> {
    let default = squashfs::Params::default();
    let level = |usual: u32| given.level.unwrap_or(usual);
    let compression = match given.compression {
        SquashfsCompression::Gzip => {
            squashfs::Compression::Gzip(narrow(u64::from(level(6)), "level")?)
        }
        SquashfsCompression::Xz => squashfs::Compression::Xz,
        SquashfsCompression::Zstd => {
            squashfs::Compression::Zstd(narrow(u64::from(level(3)), "level")?)
        }
        SquashfsCompression::Lz4 => squashfs::Compression::Lz4,
        SquashfsCompression::None => squashfs::Compression::None,
    };
    let block_size = given.block_size.map(|size| narrow(size.0.get(), "squashfs.blockSize"));
    Ok(squashfs::Params {
        compression,
        block_size: block_size.transpose()?.unwrap_or(default.block_size),
        fragments: given.fragments,
        export: given.exports,
        ..default
    })
}
