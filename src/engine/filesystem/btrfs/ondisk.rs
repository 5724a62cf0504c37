//! The structures of btrfs as they lie on disk.
//!
//! Decides nothing. Source: btrfs documentation, "On-disk Format" (dev/On-disk-format); the section
//! is named at each item, names are those of that document. Invariant: numbers are little-endian.

use std::mem::size_of;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Section "Superblock": where the first one lies.
pub(super) const SUPER_OFFSET: u64 = 0x1_0000;
/// Section "Superblock": where the copies lie; those that the medium reaches.
pub(super) const SUPER_MIRRORS: [u64; 2] = [0x400_0000, 0x40_0000_0000];
/// Bytes of a superblock.
pub(super) const SUPER_SIZE: u64 = 4096;
/// Bytes around a superblock that nothing else uses: a stripe.
pub(super) const STRIPE: u64 = 0x1_0000;
/// "_BHRfS_M".
pub(super) const MAGIC: [u8; 8] = *b"_BHRfS_M";

/// A key with its place in a tree: section "Key".
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub(super) struct DiskKey {
    pub(super) objectid: U64,
    pub(super) kind: u8,
    pub(super) offset: U64,
}

/// Section "Superblock": the device that the superblock lies on, and an item of the chunk tree.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DevItem {
    pub(super) devid: U64,
    pub(super) total_bytes: U64,
    /// Bytes of all device extents.
    pub(super) bytes_used: U64,
    pub(super) io_align: U32,
    pub(super) io_width: U32,
    pub(super) sector_size: U32,
    pub(super) kind: U64,
    pub(super) generation: U64,
    pub(super) start_offset: U64,
    pub(super) dev_group: U32,
    pub(super) seek_speed: u8,
    pub(super) bandwidth: u8,
    pub(super) uuid: [u8; 16],
    pub(super) fsid: [u8; 16],
}

/// Section "Superblock": roots of an older generation.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RootBackup {
    pub(super) tree_root: U64,
    pub(super) tree_root_gen: U64,
    pub(super) chunk_root: U64,
    pub(super) chunk_root_gen: U64,
    pub(super) extent_root: U64,
    pub(super) extent_root_gen: U64,
    pub(super) fs_root: U64,
    pub(super) fs_root_gen: U64,
    pub(super) dev_root: U64,
    pub(super) dev_root_gen: U64,
    pub(super) csum_root: U64,
    pub(super) csum_root_gen: U64,
    pub(super) total_bytes: U64,
    pub(super) bytes_used: U64,
    pub(super) num_devices: U64,
    pub(super) unused: [U64; 4],
    pub(super) tree_root_level: u8,
    pub(super) chunk_root_level: u8,
    pub(super) extent_root_level: u8,
    pub(super) fs_root_level: u8,
    pub(super) dev_root_level: u8,
    pub(super) csum_root_level: u8,
    pub(super) unused_8: [u8; 10],
}

/// Section "Superblock".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Superblock {
    /// CRC-32C of all that follows, in the first 4 bytes.
    pub(super) csum: [u8; 32],
    pub(super) fsid: [u8; 16],
    pub(super) bytenr: U64,
    pub(super) flags: U64,
    pub(super) magic: [u8; 8],
    pub(super) generation: U64,
    pub(super) root: U64,
    pub(super) chunk_root: U64,
    pub(super) log_root: U64,
    pub(super) log_root_transid: U64,
    pub(super) total_bytes: U64,
    pub(super) bytes_used: U64,
    pub(super) root_dir_objectid: U64,
    pub(super) num_devices: U64,
    pub(super) sectorsize: U32,
    pub(super) nodesize: U32,
    pub(super) leafsize: U32,
    pub(super) stripesize: U32,
    pub(super) sys_chunk_array_size: U32,
    pub(super) chunk_root_generation: U64,
    pub(super) compat_flags: U64,
    pub(super) compat_ro_flags: U64,
    pub(super) incompat_flags: U64,
    pub(super) csum_type: U16,
    pub(super) root_level: u8,
    pub(super) chunk_root_level: u8,
    pub(super) log_root_level: u8,
    pub(super) dev_item: DevItem,
    pub(super) label: [u8; 256],
    pub(super) cache_generation: U64,
    pub(super) uuid_tree_generation: U64,
    /// Stands in nodes instead of `fsid` where the incompatible bit METADATA_UUID is set.
    pub(super) metadata_uuid: [u8; 16],
    pub(super) reserved: [U64; 28],
    pub(super) sys_chunk_array: [u8; 2048],
    pub(super) super_roots: [RootBackup; 4],
    pub(super) unused: [u8; 565],
}

/// Section "Header": stands at the beginning of each node.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// As in the superblock.
    pub(super) csum: [u8; 32],
    pub(super) fsid: [u8; 16],
    pub(super) bytenr: U64,
    /// 56 bits of flags, and the revision of back references above them.
    pub(super) flags: U64,
    pub(super) chunk_tree_uuid: [u8; 16],
    pub(super) generation: U64,
    pub(super) owner: U64,
    pub(super) nritems: U32,
    /// 0: a leaf.
    pub(super) level: u8,
}

/// Section "Leaf node": one for each item; its data lie at the end of the leaf.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ItemHead {
    pub(super) key: DiskKey,
    /// From the end of the header.
    pub(super) offset: U32,
    pub(super) size: U32,
}

/// Section "Internal node".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct KeyPointer {
    pub(super) key: DiskKey,
    pub(super) blockptr: U64,
    pub(super) generation: U64,
}

/// Section "CHUNK_ITEM": stripes follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Chunk {
    pub(super) length: U64,
    pub(super) owner: U64,
    pub(super) stripe_len: U64,
    pub(super) kind: U64,
    pub(super) io_align: U32,
    pub(super) io_width: U32,
    pub(super) sector_size: U32,
    pub(super) num_stripes: U16,
    pub(super) sub_stripes: U16,
}

/// Section "CHUNK_ITEM".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Stripe {
    pub(super) devid: U64,
    pub(super) offset: U64,
    pub(super) dev_uuid: [u8; 16],
}

/// Section "DEV_EXTENT".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DevExtent {
    pub(super) chunk_tree: U64,
    pub(super) chunk_objectid: U64,
    pub(super) chunk_offset: U64,
    pub(super) length: U64,
    pub(super) chunk_tree_uuid: [u8; 16],
}

/// Section "BLOCK_GROUP_ITEM".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BlockGroup {
    pub(super) used: U64,
    pub(super) chunk_objectid: U64,
    pub(super) flags: U64,
}

/// Section "METADATA_ITEM": an extent item with one inline reference by a tree.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MetadataItem {
    pub(super) refs: U64,
    pub(super) generation: U64,
    pub(super) flags: U64,
    pub(super) ref_kind: u8,
    pub(super) root: U64,
}

/// Section "EXTENT_ITEM": an extent item with one inline reference by a file.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DataItem {
    pub(super) refs: U64,
    pub(super) generation: U64,
    pub(super) flags: U64,
    pub(super) ref_kind: u8,
    pub(super) root: U64,
    pub(super) objectid: U64,
    pub(super) offset: U64,
    pub(super) count: U32,
}

/// Section "INODE_ITEM": seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Timespec {
    pub(super) seconds: U64,
    pub(super) nanos: U32,
}

/// Section "INODE_ITEM".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeItem {
    pub(super) generation: U64,
    pub(super) transid: U64,
    pub(super) size: U64,
    pub(super) nbytes: U64,
    pub(super) block_group: U64,
    pub(super) nlink: U32,
    pub(super) uid: U32,
    pub(super) gid: U32,
    pub(super) mode: U32,
    /// Linux' own number: the major number above 20 bits of the minor one.
    pub(super) rdev: U64,
    pub(super) flags: U64,
    pub(super) sequence: U64,
    pub(super) reserved: [U64; 4],
    pub(super) atime: Timespec,
    pub(super) ctime: Timespec,
    pub(super) mtime: Timespec,
    pub(super) otime: Timespec,
}

/// Section "ROOT_ITEM".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RootItem {
    pub(super) inode: InodeItem,
    pub(super) generation: U64,
    pub(super) root_dirid: U64,
    pub(super) bytenr: U64,
    pub(super) byte_limit: U64,
    pub(super) bytes_used: U64,
    pub(super) last_snapshot: U64,
    pub(super) flags: U64,
    pub(super) refs: U32,
    pub(super) drop_progress: DiskKey,
    pub(super) drop_level: u8,
    pub(super) level: u8,
    pub(super) generation_v2: U64,
    pub(super) uuid: [u8; 16],
    pub(super) parent_uuid: [u8; 16],
    pub(super) received_uuid: [u8; 16],
    pub(super) ctransid: U64,
    pub(super) otransid: U64,
    pub(super) stransid: U64,
    pub(super) rtransid: U64,
    pub(super) ctime: Timespec,
    pub(super) otime: Timespec,
    pub(super) stime: Timespec,
    pub(super) rtime: Timespec,
    pub(super) reserved: [U64; 8],
}

/// Section "INODE_REF": the name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeRef {
    pub(super) index: U64,
    pub(super) name_len: U16,
}

/// Section "INODE_EXTREF": the name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeExtref {
    pub(super) parent: U64,
    pub(super) index: U64,
    pub(super) name_len: U16,
}

/// Section "DIR_ITEM", also of DIR_INDEX and XATTR_ITEM: the name follows, then the data.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DirItem {
    pub(super) location: DiskKey,
    pub(super) transid: U64,
    pub(super) data_len: U16,
    pub(super) name_len: U16,
    pub(super) kind: u8,
}

/// Section "EXTENT_DATA": what inline extents have, too; there the data follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileExtent {
    pub(super) generation: U64,
    pub(super) ram_bytes: U64,
    pub(super) compression: u8,
    pub(super) encryption: u8,
    pub(super) other_encoding: U16,
    pub(super) kind: u8,
}

/// Section "EXTENT_DATA": what regular extents have beyond that.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileExtentPlace {
    /// 0: a hole.
    pub(super) disk_bytenr: U64,
    pub(super) disk_num_bytes: U64,
    pub(super) offset: U64,
    pub(super) num_bytes: U64,
}

const _: () = assert!(size_of::<DiskKey>() == 17);
const _: () = assert!(size_of::<DevItem>() == 98);
const _: () = assert!(size_of::<RootBackup>() == 168);
const _: () = assert!(size_of::<Superblock>() == 4096);
const _: () = assert!(size_of::<Header>() == 101);
const _: () = assert!(size_of::<ItemHead>() == 25);
const _: () = assert!(size_of::<KeyPointer>() == 33);
const _: () = assert!(size_of::<Chunk>() + size_of::<Stripe>() == 80);
const _: () = assert!(size_of::<DevExtent>() == 48);
const _: () = assert!(size_of::<MetadataItem>() == 33);
const _: () = assert!(size_of::<DataItem>() == 53);
const _: () = assert!(size_of::<InodeItem>() == 160);
const _: () = assert!(size_of::<RootItem>() == 439);
const _: () = assert!(size_of::<DirItem>() == 30);
const _: () = assert!(size_of::<FileExtent>() + size_of::<FileExtentPlace>() == 53);
