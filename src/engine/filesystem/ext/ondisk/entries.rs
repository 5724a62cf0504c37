//! Structures of directories, extended attributes and the journal as they lie on disk.
//!
//! Decides nothing. Names and places are those of the Linux kernel's documentation
//! (Documentation/filesystems/ext4; each structure names its page). Invariant: numbers are
//! little-endian, but for the journal's, which are big-endian.

use std::mem::{offset_of, size_of};

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A directory entry before its name (dynamic.rst, "Linear (Classic) Directories"). Without
/// `filetype` the type is the upper byte of the name's length: zero, as names have 255 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DirEntry {
    pub(crate) inode: U32,
    pub(crate) rec_len: U16,
    pub(crate) name_len: u8,
    pub(crate) file_type: u8,
}

/// Bytes of it.
pub(crate) const DIR_ENTRY: usize = 8;
const _: () = assert!(size_of::<DirEntry>() == DIR_ENTRY);

/// What a directory block ends with under `metadata_csum` (dynamic.rst).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DirTail {
    pub(crate) inode: U32,
    pub(crate) rec_len: U16,
    pub(crate) name_len: u8,
    pub(crate) file_type: u8,
    pub(crate) checksum: U32,
}

/// Bytes of it.
pub(crate) const DIR_TAIL: usize = 12;
const _: () = assert!(size_of::<DirTail>() == DIR_TAIL);
/// `DirTail::file_type`.
pub(crate) const DIR_TAIL_TYPE: u8 = 0xde;

/// What the root of a hashed directory says, behind `.` and `..` (dynamic.rst, "Hash Tree").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DxRootInfo {
    pub(crate) reserved: U32,
    pub(crate) hash_version: u8,
    pub(crate) info_length: u8,
    pub(crate) indirect_levels: u8,
    pub(crate) unused_flags: u8,
}

/// An entry of a hashed directory's node (dynamic.rst); the first has `limit` and `count` for a
/// hash.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DxEntry {
    pub(crate) hash: U32,
    pub(crate) block: U32,
}

/// Bytes of it, and of the tail under `metadata_csum`.
pub(crate) const DX_ENTRY: usize = 8;
const _: () = assert!(size_of::<DxEntry>() == DX_ENTRY);
const _: () = assert!(size_of::<DxRootInfo>() == 8);
/// Where entries begin in the root: behind `.`, `..` and `DxRootInfo`.
pub(crate) const DX_ROOT: usize = 32;
/// And in other nodes: behind one entry that covers the block.
pub(crate) const DX_NODE: usize = 8;

/// What a block of extended attributes begins with (attributes.rst).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct XattrHeader {
    pub(crate) magic: U32,
    pub(crate) refcount: U32,
    pub(crate) blocks: U32,
    pub(crate) hash: U32,
    pub(crate) checksum: U32,
    pub(crate) reserved: [U32; 3],
}

/// `XattrHeader::magic`, and what stands before attributes in an inode.
pub(crate) const XATTR_MAGIC: u32 = 0xea02_0000;
/// Bytes of `XattrHeader`.
pub(crate) const XATTR_HEADER: usize = 32;
const _: () = assert!(size_of::<XattrHeader>() == XATTR_HEADER);

/// An extended attribute before its name (attributes.rst).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct XattrEntry {
    pub(crate) name_len: u8,
    pub(crate) name_index: u8,
    pub(crate) value_offs: U16,
    pub(crate) value_inum: U32,
    pub(crate) value_size: U32,
    pub(crate) hash: U32,
}

/// Bytes of it.
pub(crate) const XATTR_ENTRY: usize = 16;
const _: () = assert!(size_of::<XattrEntry>() == XATTR_ENTRY);

/// What the journal begins with (journal.rst, "Super Block"), as far as an empty one says
/// something: the rest of its block is zero. Big-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct JournalSuper {
    pub(crate) magic: zerocopy::big_endian::U32,
    pub(crate) block_type: zerocopy::big_endian::U32,
    pub(crate) header_sequence: zerocopy::big_endian::U32,
    pub(crate) block_size: zerocopy::big_endian::U32,
    pub(crate) max_len: zerocopy::big_endian::U32,
    pub(crate) first: zerocopy::big_endian::U32,
    pub(crate) sequence: zerocopy::big_endian::U32,
    /// Where the log begins; 0: it is empty.
    pub(crate) start: zerocopy::big_endian::U32,
    pub(crate) errno: zerocopy::big_endian::U32,
    pub(crate) features: [zerocopy::big_endian::U32; 3],
    pub(crate) uuid: [u8; 16],
    pub(crate) users: zerocopy::big_endian::U32,
}

pub(crate) const JOURNAL_MAGIC: u32 = 0xc03b_3998;
/// `JournalSuper::block_type`: a superblock of version 2.
pub(crate) const JOURNAL_SUPER_V2: u32 = 4;
const _: () = assert!(offset_of!(JournalSuper, users) == 0x40);
