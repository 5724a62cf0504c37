//! The structures of a VHD file as they lie on disk.
//!
//! Decides nothing. Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0
//! of October 11, 2006; the section is named at each item. Invariant: all numbers are big-endian.

use std::mem::size_of;

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `Footer::cookie`.
pub(super) const FOOTER_COOKIE: [u8; 8] = *b"conectix";
/// `DynamicHeader::cookie`.
pub(super) const HEADER_COOKIE: [u8; 8] = *b"cxsparse";

/// Section "Hard Disk Footer Format".
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct Footer {
    pub(super) cookie: [u8; 8],
    /// Bit 0 temporary, bit 1 always set.
    pub(super) features: U32,
    /// Major version in the upper half: 1.0.
    pub(super) version: U32,
    /// Where the next structure lies: `DynamicHeader`; `NO_OFFSET` for fixed disks.
    pub(super) data_offset: U64,
    /// Seconds since 2000-01-01 00:00 UTC.
    pub(super) time_stamp: U32,
    pub(super) creator_application: [u8; 4],
    pub(super) creator_version: U32,
    /// "Wi2k" or "Mac ".
    pub(super) creator_host_os: [u8; 4],
    pub(super) original_size: U64,
    pub(super) current_size: U64,
    pub(super) cylinders: U16,
    pub(super) heads: u8,
    pub(super) sectors_per_track: u8,
    pub(super) disk_type: U32,
    /// See `checksum`.
    pub(super) checksum: U32,
    pub(super) unique_id: [u8; 16],
    pub(super) saved_state: u8,
    pub(super) reserved: [u8; 427],
}

/// Section "Dynamic Disk Header Format".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DynamicHeader {
    pub(super) cookie: [u8; 8],
    /// Unused: `NO_OFFSET`.
    pub(super) data_offset: U64,
    /// Where the block allocation table lies.
    pub(super) table_offset: U64,
    /// Major version in the upper half: 1.0.
    pub(super) header_version: U32,
    pub(super) max_table_entries: U32,
    /// Bytes of a block without its bitmap: usually 2 MiB.
    pub(super) block_size: U32,
    /// See `checksum`.
    pub(super) checksum: U32,
    pub(super) parent_unique_id: [u8; 16],
    pub(super) parent_time_stamp: U32,
    pub(super) reserved: U32,
    /// UTF-16, big-endian.
    pub(super) parent_unicode_name: [u8; 512],
    pub(super) parent_locators: [ParentLocator; 8],
    pub(super) reserved2: [u8; 256],
}

/// Section "Dynamic Disk Header Format", "Parent Locator Entry".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocator {
    /// "W2ru" relative and "W2ku" absolute path in UTF-16, little-endian; zeros: unused.
    pub(super) platform_code: [u8; 4],
    pub(super) platform_data_space: U32,
    pub(super) platform_data_length: U32,
    pub(super) reserved: U32,
    pub(super) platform_data_offset: U64,
}

const _: () = assert!(size_of::<Footer>() == 512);
const _: () = assert!(size_of::<ParentLocator>() == 24);
const _: () = assert!(size_of::<DynamicHeader>() == 1024);

/// "Hard Disk Footer Format", "Features": reserved, always set.
pub(super) const FEATURE_RESERVED: u32 = 2;
/// The version of both structures.
pub(super) const VERSION: u32 = 0x0001_0000;
/// An offset that is none.
pub(super) const NO_OFFSET: u64 = u64::MAX;
/// "Hard Disk Footer Format": files of Virtual PC before 2004 have a footer without its last byte.
pub(super) const SHORT_FOOTER: u64 = 511;

// "Hard Disk Footer Format", "Disk Type". The others are reserved or deprecated.
pub(super) const TYPE_FIXED: u32 = 2;
pub(super) const TYPE_DYNAMIC: u32 = 3;
pub(super) const TYPE_DIFFERENCING: u32 = 4;

/// "Block Allocation Table and Data Blocks": an entry without a block. Others count sectors.
pub(super) const UNUSED: u32 = u32::MAX;

/// "Hard Disk Footer Format", "Checksum": the one's complement of the sum of all bytes but those
/// of the checksum itself, which begin at `at`.
pub(super) fn checksum(bytes: &[u8], at: usize) -> u32 {
    let others = bytes.iter().enumerate().filter(|(n, _)| !(at..at + 4).contains(n));
    !others.map(|(_, byte)| u32::from(*byte)).sum::<u32>()
}

impl Footer {
    /// What `checksum` must be.
    pub(super) fn sum(&self) -> u32 {
        checksum(self.as_bytes(), std::mem::offset_of!(Self, checksum))
    }
}

impl DynamicHeader {
    /// What `checksum` must be.
    pub(super) fn sum(&self) -> u32 {
        checksum(self.as_bytes(), std::mem::offset_of!(Self, checksum))
    }
}
