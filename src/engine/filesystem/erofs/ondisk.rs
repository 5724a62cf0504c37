//! The structures of erofs as they lie on disk.
//!
//! Decides nothing. Source: Linux, Documentation/filesystems/erofs.rst (the sections named below)
//! and fs/erofs/erofs_fs.h for the order of the fields. Invariant: all numbers are little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The block size that is written and read: what every Linux with 4 KiB pages mounts.
pub(super) const BLOCK: u64 = 4096;
pub(super) const BLOCK_LEN: usize = 4096;

/// Section "On-disk details": the superblock lies behind what a boot sector takes.
pub(super) const SUPERBLOCK_AT: u64 = 1024;
pub(super) const MAGIC: u32 = 0xE0F5_E1E2;

/// Inodes are found by their distance from the metadata's begin in these.
pub(super) const SLOT: u64 = 32;

/// Compatible features.
pub(super) const CHECKSUM: u32 = 0x1;
pub(super) const MTIME: u32 = 0x2;

/// Incompatible features, by the names that `dump.erofs` has for them.
pub(super) const LZ4_PADDING: u32 = 0x1;
pub(super) const BIG_CLUSTERS: u32 = 0x2;
pub(super) const CHUNKED: u32 = 0x4;
pub(super) const INCOMPATIBLE: [(u32, &str); 8] = [
    (LZ4_PADDING, "0padding"),
    (BIG_CLUSTERS, "big_pcluster"),
    (CHUNKED, "chunked_file"),
    (0x8, "device_table"),
    (0x10, "ztailpacking"),
    (0x20, "fragments"),
    (0x40, "xattr_prefixes"),
    (0x80, "48bit"),
];

/// At offset 1024.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Superblock {
    pub(super) magic: U32,
    /// CRC-32C without its last inversion, from here to the end of the block.
    pub(super) checksum: U32,
    pub(super) compatible: U32,
    /// Base-2 logarithm of the block size.
    pub(super) block_bits: u8,
    pub(super) slots: u8,
    pub(super) root: U16,
    pub(super) inodes: U64,
    pub(super) made: U64,
    pub(super) made_nanos: U32,
    pub(super) blocks: U32,
    /// Where slot 0 lies, in blocks.
    pub(super) metadata: U32,
    /// Where shared attributes lie, in blocks.
    pub(super) attributes: U32,
    pub(super) uuid: [u8; 16],
    pub(super) label: [u8; 16],
    pub(super) incompatible: U32,
    /// How far a match of lz4 may reach back; a list of compressors with `BIG_CLUSTERS`.
    pub(super) lz4_distance: U16,
    pub(super) devices: U16,
    pub(super) devices_at: U16,
    pub(super) reserved: [u8; 38],
}

/// Section "On-disk details", "inode": 32 bytes, the times are the superblock's.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Compact {
    /// Bit 0: 64 bytes; bits 1 to 3: the layout.
    pub(super) format: U16,
    /// 0 without attributes; n: 12 bytes and n - 1 times 4.
    pub(super) attributes: U16,
    pub(super) mode: U16,
    pub(super) links: U16,
    pub(super) size: U32,
    pub(super) reserved: U32,
    /// First block, number of compressed blocks, device, or form of the chunks.
    pub(super) place: U32,
    pub(super) number: U32,
    pub(super) uid: U16,
    pub(super) gid: U16,
    pub(super) reserved2: U32,
}

/// 64 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Extended {
    pub(super) format: U16,
    pub(super) attributes: U16,
    pub(super) mode: U16,
    pub(super) reserved: U16,
    pub(super) size: U64,
    pub(super) place: U32,
    pub(super) number: U32,
    pub(super) uid: U32,
    pub(super) gid: U32,
    pub(super) modified: U64,
    pub(super) modified_nanos: U32,
    pub(super) links: U32,
    pub(super) reserved2: [u8; 16],
}

/// Layouts.
pub(super) const FLAT: u16 = 0;
pub(super) const PACKED_FULL: u16 = 1;
pub(super) const INLINE: u16 = 2;
pub(super) const PACKED_COMPACT: u16 = 3;
pub(super) const CHUNKS: u16 = 4;

/// Form of chunks: bits 0 to 4 are how much longer than a block a chunk is, as a logarithm; bit 5
/// is set where entries have 8 bytes.
pub(super) const CHUNK_BITS: u32 = 0x1f;
pub(super) const CHUNK_INDEXES: u32 = 0x20;

/// A chunk that is all zero.
pub(super) const HOLE: u32 = u32::MAX;

/// Types of files in a mode, `S_IFMT` and so on, and in a directory.
pub(super) const MODES: [(u16, u8); 7] = [
    (0o100_000, FILE),
    (0o040_000, DIRECTORY),
    (0o020_000, CHAR_DEVICE),
    (0o060_000, BLOCK_DEVICE),
    (0o010_000, FIFO),
    (0o140_000, SOCKET),
    (0o120_000, SYMLINK),
];
pub(super) const FILE: u8 = 1;
pub(super) const DIRECTORY: u8 = 2;
pub(super) const CHAR_DEVICE: u8 = 3;
pub(super) const BLOCK_DEVICE: u8 = 4;
pub(super) const FIFO: u8 = 5;
pub(super) const SOCKET: u8 = 6;
pub(super) const SYMLINK: u8 = 7;

/// Section "Directories": all of a block's entries, then all of their names.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) slot: U64,
    pub(super) name: U16,
    pub(super) kind: u8,
    pub(super) reserved: u8,
}

/// Section "Xattrs": behind the inode, followed by the numbers of shared attributes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributesHead {
    pub(super) filter: U32,
    pub(super) shared: u8,
    pub(super) reserved: [u8; 7],
}

/// Followed by the name without its prefix and the value, padded to 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Attribute {
    pub(super) name: u8,
    pub(super) prefix: u8,
    pub(super) value: U16,
}

/// What names begin with, by their numbers. The lists' names are nothing but that.
pub(super) const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// Section "Compression": behind inode and attributes, at a multiple of 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MapHead {
    pub(super) reserved: U32,
    pub(super) advise: U16,
    /// Of the first kind of cluster in the lower half, 0: lz4.
    pub(super) algorithms: u8,
    /// Bits 0 to 2: how much longer than a block a logical cluster is, as a logarithm.
    pub(super) cluster_bits: u8,
}

/// The full index begins this far behind its head.
pub(super) const INDEX_GAP: u64 = 8;

/// Parts of the compact index have 2 bytes for each cluster.
pub(super) const ADVISE_SHORT: u16 = 0x1;
/// Compressed clusters may have more than a block.
pub(super) const ADVISE_BIG: u16 = 0x2;

/// An entry of the full index: for every 4 KiB of the file.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Cluster {
    pub(super) kind: U16,
    /// Where in it a compressed cluster begins.
    pub(super) offset: U16,
    /// The block; for `INSIDE` how many entries back the begin is, and how many on the next.
    pub(super) place: U32,
}

/// Kinds of clusters: stored begins here, packed begins here, none begins here.
pub(super) const STORED: u16 = 0;
pub(super) const HEAD: u16 = 1;
pub(super) const INSIDE: u16 = 2;

/// Set in the distance of the first `INSIDE`: it is the number of compressed blocks.
pub(super) const BLOCKS: u16 = 1 << 11;
