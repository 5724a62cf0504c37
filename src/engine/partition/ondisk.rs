//! The structures of partition tables, as they lie on the disk.
//!
//! No behaviour. Invariant: every structure has the size its specification says.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An entry of a master boot record (UEFI Specification 2.10, 5.2.1, table 5.2).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct MbrEntry {
    /// 0x80: bootable.
    pub(super) status: u8,
    pub(super) first_chs: [u8; 3],
    pub(super) kind: u8,
    pub(super) last_chs: [u8; 3],
    pub(super) first: U32,
    pub(super) sectors: U32,
}

/// A master boot record (UEFI Specification 2.10, 5.2.1, table 5.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Mbr {
    pub(super) code: [u8; 440],
    pub(super) id: U32,
    pub(super) unknown: [u8; 2],
    pub(super) entries: [MbrEntry; 4],
    pub(super) signature: [u8; 2],
}

/// The header of a GPT (UEFI Specification 2.10, 5.3.2, table 5.5). The rest of its sector is zero.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct GptHeader {
    pub(super) signature: [u8; 8],
    pub(super) revision: U32,
    pub(super) header_size: U32,
    /// CRC-32 of `header_size` bytes, this field taken as zero.
    pub(super) crc: U32,
    pub(super) reserved: U32,
    pub(super) own: U64,
    pub(super) alternate: U64,
    pub(super) first_usable: U64,
    pub(super) last_usable: U64,
    pub(super) disk: [u8; 16],
    pub(super) entries: U64,
    pub(super) count: U32,
    pub(super) entry_size: U32,
    /// CRC-32 of all entries.
    pub(super) entries_crc: U32,
}

/// An entry of a GPT (UEFI Specification 2.10, 5.3.3, table 5.6).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct GptEntry {
    pub(super) kind: [u8; 16],
    pub(super) id: [u8; 16],
    pub(super) first: U64,
    pub(super) last: U64,
    /// Bit 2: a BIOS boots it.
    pub(super) attributes: U64,
    /// UTF-16LE.
    pub(super) name: [u8; 72],
}

pub(super) const GPT_SIGNATURE: &[u8; 8] = b"EFI PART";
pub(super) const MBR_SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// The type of the entry that protects a GPT (UEFI Specification 2.10, 5.2.3, table 5.3).
pub(super) const PROTECTIVE: u8 = 0xee;
/// A disk that fdisk, Windows and sgdisk make has 128 entries; more than these are not read.
pub(super) const MAX_ENTRIES_BYTES: u64 = 1 << 20;

const _: () = assert!(size_of::<Mbr>() == 512);
const _: () = assert!(size_of::<GptHeader>() == 92);
const _: () = assert!(size_of::<GptEntry>() == 128);
