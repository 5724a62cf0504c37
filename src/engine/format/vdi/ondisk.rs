//! The structures of a VDI file as they lie on disk.
//!
//! Decides nothing. There is no specification: the layout was observed in files that qemu-img 7.2
//! makes and in what it and 7zz refuse, and compared with public lists of the fields (forensics
//! wiki, "Virtual disk image (vdi)"). Invariant: all numbers are little-endian.

use std::mem::{offset_of, size_of};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `Header::signature`.
pub(super) const SIGNATURE: u32 = 0xbeda_107f;

/// What the file begins with: the header of version 1.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// For people: "<<< … >>>\n".
    pub(super) text: [u8; 64],
    pub(super) signature: U32,
    /// Major version in the upper half: 1.0 and 1.1 look alike.
    pub(super) version: U32,
    /// Bytes from here on: `LEAST_HEADER` without and `size_of` with the last geometry.
    pub(super) header_size: U32,
    pub(super) image_type: U32,
    pub(super) flags: U32,
    /// For people.
    pub(super) description: [u8; 256],
    /// Where the block map lies.
    pub(super) map_offset: U32,
    /// Where block 0 lies.
    pub(super) data_offset: U32,
    /// Cylinders, heads and sectors of an older kind.
    pub(super) legacy_geometry: [U32; 3],
    /// 512.
    pub(super) sector_size: U32,
    pub(super) unused: U32,
    /// Bytes of the disk.
    pub(super) disk_size: U64,
    /// Bytes of a block: 1 MiB.
    pub(super) block_size: U32,
    /// Bytes before the data of each block: 0.
    pub(super) block_extra: U32,
    /// Entries of the block map.
    pub(super) blocks: U32,
    pub(super) blocks_allocated: U32,
    pub(super) uuid_image: [u8; 16],
    pub(super) uuid_last_snapshot: [u8; 16],
    /// The file below this one: zeros.
    pub(super) uuid_link: [u8; 16],
    pub(super) uuid_parent: [u8; 16],
}

/// Behind the header, if its size says so: cylinders, heads and sectors as a BIOS sees them, and
/// the bytes of a sector. Zeros are "unknown".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Geometry {
    pub(super) cylinders: U32,
    pub(super) heads: U32,
    pub(super) sectors: U32,
    pub(super) sector_size: U32,
}

const _: () = assert!(offset_of!(Header, header_size) == 72);
const _: () = assert!(offset_of!(Header, map_offset) == 0x154);
const _: () = assert!(offset_of!(Header, disk_size) == 0x170);
const _: () = assert!(offset_of!(Header, uuid_image) == 0x188);
const _: () = assert!(size_of::<Header>() == 0x1c8);
const _: () = assert!(size_of::<Geometry>() == 16);

/// Where `header_size` begins to count.
pub(super) const SIZE_FROM: u64 = offset_of!(Header, header_size) as u64;
/// `header_size` without `Geometry`.
pub(super) const LEAST_HEADER: u32 = (size_of::<Header>() - offset_of!(Header, header_size)) as u32;
/// `header_size` with it.
pub(super) const WHOLE_HEADER: u32 = LEAST_HEADER + size_of::<Geometry>() as u32;

/// The version that is written.
pub(super) const VERSION: u32 = 0x0001_0001;

// Values of `Header::image_type`.
pub(super) const TYPE_DYNAMIC: u32 = 1;
pub(super) const TYPE_STATIC: u32 = 2;
pub(super) const TYPE_UNDO: u32 = 3;
pub(super) const TYPE_DIFF: u32 = 4;

// Entries of the block map that name no block.
/// Never written.
pub(super) const UNALLOCATED: u32 = 0xffff_ffff;
/// Discarded: zero.
pub(super) const ZERO: u32 = 0xffff_fffe;
