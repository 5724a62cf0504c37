//! The structures of squashfs 4.0 as they lie on disk.
//!
//! Decides nothing. Source: Linux, Documentation/filesystems/squashfs.rst (the sections named below)
//! and fs/squashfs/squashfs_fs.h for the order of the fields. Invariant: all numbers are
//! little-endian; metadata is packed, nothing is aligned.

use zerocopy::little_endian::{I16, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "hsqs" as the bytes lie on disk.
pub(super) const MAGIC: u32 = 0x7371_7368;

/// Section 3.1 "Compressed data blocks": set in a data block's length that is stored as it is.
pub(super) const STORED: u32 = 1 << 24;

/// Section 3.2 "Inodes" and "metadata": the bytes of a metadata block before it is compressed.
pub(super) const META: usize = 8192;

/// The length in front of a metadata block: set where it is stored as it is.
pub(super) const META_STORED: u16 = 0x8000;

/// No fragment, no attributes, no export table: all bits set.
pub(super) const NONE32: u32 = u32::MAX;
pub(super) const NONE64: u64 = u64::MAX;

/// Superblock flags.
pub(super) const RAW_INODES: u16 = 0x1;
pub(super) const RAW_DATA: u16 = 0x2;
pub(super) const RAW_FRAGMENTS: u16 = 0x8;
pub(super) const NO_FRAGMENTS: u16 = 0x10;
pub(super) const DUPLICATES: u16 = 0x40;
pub(super) const EXPORTABLE: u16 = 0x80;
pub(super) const RAW_ATTRIBUTES: u16 = 0x100;
pub(super) const NO_ATTRIBUTES: u16 = 0x200;
pub(super) const OPTIONS: u16 = 0x400;
pub(super) const RAW_IDS: u16 = 0x800;

/// Section 3 "Squashfs filesystem design": at offset 0.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Superblock {
    pub(super) magic: U32,
    pub(super) inodes: U32,
    pub(super) made: U32,
    /// 4 KiB to 1 MiB, a power of two.
    pub(super) block_size: U32,
    pub(super) fragments: U32,
    /// 1 gzip, 2 lzma, 3 lzo, 4 xz, 5 lz4, 6 zstd.
    pub(super) compressor: U16,
    /// Base-2 logarithm of the block size.
    pub(super) block_log: U16,
    pub(super) flags: U16,
    pub(super) ids: U16,
    pub(super) major: U16,
    pub(super) minor: U16,
    /// Metadata block (from the inode table on) << 16 | offset in it.
    pub(super) root: U64,
    pub(super) bytes_used: U64,
    pub(super) id_table: U64,
    pub(super) attribute_table: U64,
    pub(super) inode_table: U64,
    pub(super) directory_table: U64,
    pub(super) fragment_table: U64,
    pub(super) export_table: U64,
}

/// Options of lz4, which must be there: version 1, flags 0 (1: the high-compression form).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Lz4Options {
    pub(super) version: U32,
    pub(super) flags: U32,
}

/// Section 3.2 "Inodes": what all have in common. Types 1 to 7, and 8 to 14 for the long forms.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeHead {
    pub(super) kind: U16,
    pub(super) mode: U16,
    pub(super) uid: U16,
    pub(super) gid: U16,
    pub(super) modified: U32,
    pub(super) number: U32,
}

/// Types of inodes and of directory entries; a long form is 7 more.
pub(super) const DIRECTORY: u16 = 1;
pub(super) const FILE: u16 = 2;
pub(super) const SYMLINK: u16 = 3;
pub(super) const BLOCK_DEVICE: u16 = 4;
pub(super) const CHAR_DEVICE: u16 = 5;
pub(super) const FIFO: u16 = 6;
pub(super) const SOCKET: u16 = 7;
pub(super) const LONG: u16 = 7;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Directory {
    pub(super) block: U32,
    pub(super) links: U32,
    /// Bytes of the listing, and 3.
    pub(super) size: U16,
    pub(super) offset: U16,
    pub(super) parent: U32,
}

/// Followed by `indexes` of `Index`, each with its name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LongDirectory {
    pub(super) links: U32,
    pub(super) size: U32,
    pub(super) block: U32,
    pub(super) parent: U32,
    pub(super) indexes: U16,
    pub(super) offset: U16,
    pub(super) attributes: U32,
}

/// Section 3.3 "Directories": where in the listing the headers of a metadata block begin.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Index {
    pub(super) position: U32,
    pub(super) block: U32,
    /// Bytes of the name that follows, less one.
    pub(super) name: U32,
}

/// Followed by a length for each block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct File {
    pub(super) start: U32,
    pub(super) fragment: U32,
    pub(super) offset: U32,
    pub(super) size: U32,
}

/// Followed by a length for each block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LongFile {
    pub(super) start: U64,
    pub(super) size: U64,
    /// Bytes in blocks that are not stored.
    pub(super) sparse: U64,
    pub(super) links: U32,
    pub(super) fragment: U32,
    pub(super) offset: U32,
    pub(super) attributes: U32,
}

/// Followed by the text, and the attributes' number in the long form.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Symlink {
    pub(super) links: U32,
    pub(super) size: U32,
}

/// Followed by the attributes' number in the long form.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Device {
    pub(super) links: U32,
    pub(super) device: U32,
}

/// Section 3.3 "Directories": stands before at most 256 entries whose inodes begin in one block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// Entries, less one.
    pub(super) count: U32,
    pub(super) block: U32,
    pub(super) number: U32,
}

/// Followed by the name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) offset: U16,
    /// What is added to the header's inode number.
    pub(super) delta: I16,
    pub(super) kind: U16,
    /// Bytes of the name, less one.
    pub(super) name: U16,
}

/// Section 3.5 "Fragment lookup table".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Fragment {
    pub(super) start: U64,
    pub(super) size: U32,
    pub(super) unused: U32,
}

/// Section 3.8 "Xattr table": in front of the pointers to the blocks of `AttributeSet`s.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributeTable {
    pub(super) start: U64,
    pub(super) sets: U32,
    pub(super) unused: U32,
}

/// The attributes of one or more inodes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributeSet {
    /// Metadata block (from the table's start on) << 16 | offset in it.
    pub(super) place: U64,
    pub(super) count: U32,
    /// Bytes of them as they are stored.
    pub(super) size: U32,
}

/// In front of an attribute's name, which lacks its prefix.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributeName {
    /// An index of `PREFIXES`, and `ELSEWHERE`.
    pub(super) kind: U16,
    pub(super) size: U16,
}

/// What the name of an attribute begins with.
pub(super) const PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// The value is the place of the value.
pub(super) const ELSEWHERE: u16 = 0x100;
