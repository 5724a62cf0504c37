//! The structures of a VHDX file as they lie on disk.
//!
//! Decides nothing. Source: [MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format", revision of
//! April 2024; the section is named at each item. Invariant: all numbers are little-endian, names
//! are those of that document.

use std::mem::size_of;

use uuid::Uuid;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What everything outside of the header section is aligned to (section 2.1).
pub(super) const MIB: u64 = 1 << 20;

// Section 2.2: where the parts of the header section lie.
pub(super) const HEADER_OFFSETS: [u64; 2] = [64 << 10, 128 << 10];
pub(super) const REGION_TABLE_OFFSETS: [u64; 2] = [192 << 10, 256 << 10];

/// Bytes of a header that the checksum covers (section 2.2.2).
pub(super) const HEADER_BYTES: usize = 4 << 10;
/// Bytes of a region table that the checksum covers (section 2.2.3.1).
pub(super) const REGION_TABLE_BYTES: usize = 64 << 10;
/// Where both of these, and a log entry, keep their checksum.
pub(super) const CHECKSUM_AT: usize = 4;

/// Section 2.2.1: "vhdxfile".
pub(super) const FILE_SIGNATURE: [u8; 8] = *b"vhdxfile";
/// Section 2.2.2: "head".
pub(super) const HEADER_SIGNATURE: [u8; 4] = *b"head";
/// Section 2.2.3.1: "regi".
pub(super) const REGION_SIGNATURE: [u8; 4] = *b"regi";
/// Section 2.6.1.1: "metadata".
pub(super) const METADATA_SIGNATURE: [u8; 8] = *b"metadata";
/// Section 2.3.1.1: "loge".
pub(super) const LOG_SIGNATURE: [u8; 4] = *b"loge";
/// Section 2.3.1.2: "zero".
pub(super) const ZERO_SIGNATURE: [u8; 4] = *b"zero";
/// Section 2.3.1.3: "desc".
pub(super) const DESCRIPTOR_SIGNATURE: [u8; 4] = *b"desc";
/// Section 2.3.1.4: "data".
pub(super) const DATA_SIGNATURE: [u8; 4] = *b"data";

/// Section 2.2.1: the file identifier, without the reserved bytes behind it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileIdentifier {
    pub(super) signature: [u8; 8],
    /// UTF-16, need not end with zero. Who made the file; means nothing.
    pub(super) creator: [U16; 256],
}

/// Section 2.2.2: a header, without the reserved bytes behind it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) signature: [u8; 4],
    /// CRC-32C of 4 KiB, with this field zero.
    pub(super) checksum: U32,
    /// The header with the greater one is current.
    pub(super) sequence_number: U64,

    pub(super) file_write_guid: [u8; 16],

    pub(super) data_write_guid: [u8; 16],

    /// Zero: nothing to replay.
    pub(super) log_guid: [u8; 16],

    /// 0.
    pub(super) log_version: U16,
    /// 1.
    pub(super) version: U16,
    /// A multiple of 1 MiB.
    pub(super) log_length: U32,
    /// A multiple of 1 MiB.
    pub(super) log_offset: U64,
}

/// Section 2.2.3.1.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionTableHeader {
    pub(super) signature: [u8; 4],
    /// CRC-32C of 64 KiB, with this field zero.
    pub(super) checksum: U32,
    /// At most 2047.
    pub(super) entry_count: U32,
    pub(super) reserved: U32,
}

/// Section 2.2.3.2.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionTableEntry {
    pub(super) guid: [u8; 16],

    /// A multiple of 1 MiB, at least 1 MiB.
    pub(super) file_offset: U64,
    /// A multiple of 1 MiB.
    pub(super) length: U32,
    /// 1: who does not know the region must not load the file.
    pub(super) required: U32,
}

/// Section 2.3.1.1.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LogEntryHeader {
    pub(super) signature: [u8; 4],
    /// CRC-32C of the whole entry, with this field zero.
    pub(super) checksum: U32,
    /// A multiple of 4 KiB.
    pub(super) entry_length: U32,
    /// The offset in the log of the first entry of the sequence that ends with this one.
    pub(super) tail: U32,

    /// At least 1.
    pub(super) sequence_number: U64,
    pub(super) descriptor_count: U32,
    pub(super) reserved: U32,

    pub(super) log_guid: [u8; 16],

    /// The file was at least so long on disk.
    pub(super) flushed_file_offset: U64,
    /// The file must be made at least so long.
    pub(super) last_file_offset: U64,
}

/// Sections 2.3.1.2 and 2.3.1.3: the zero and the data descriptor, told apart by the signature.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LogDescriptor {
    pub(super) signature: [u8; 4],
    /// Data: the last four bytes of the sector. Zero: reserved.
    pub(super) trailing_bytes: [u8; 4],
    /// Data: the first eight bytes of the sector. Zero: the length, a multiple of 4 KiB.
    pub(super) leading_bytes: [u8; 8],
    /// A multiple of 4 KiB.
    pub(super) file_offset: U64,
    pub(super) sequence_number: U64,
}

/// Section 2.3.1.4.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LogDataSector {
    pub(super) signature: [u8; 4],
    pub(super) sequence_high: U32,
    pub(super) data: [u8; 4084],
    pub(super) sequence_low: U32,
}

/// Section 2.6.1.1.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MetadataTableHeader {
    pub(super) signature: [u8; 8],
    pub(super) reserved: U16,
    /// At most 2047.
    pub(super) entry_count: U16,
    pub(super) reserved2: [u8; 20],
}

/// Section 2.6.1.2.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MetadataTableEntry {
    pub(super) item_id: [u8; 16],
    /// From the beginning of the region; at least 64 KiB.
    pub(super) offset: U32,
    /// At most 1 MiB.
    pub(super) length: U32,
    /// `IS_USER` and the bits below it.
    pub(super) flags: U32,
    pub(super) reserved2: U32,
}

/// Section 2.6.2.1.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileParameters {
    /// A power of two from 1 MiB to 256 MiB.
    pub(super) block_size: U32,
    /// `LEAVE_BLOCKS_ALLOCATED` and `HAS_PARENT`.
    pub(super) flags: U32,
}

/// Section 2.6.2.6.1.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorHeader {
    pub(super) locator_type: [u8; 16],
    pub(super) reserved: U16,
    pub(super) key_value_count: U16,
}

/// Section 2.6.2.6.2: offsets are from the beginning of the item, lengths in bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorEntry {
    pub(super) key_offset: U32,
    pub(super) value_offset: U32,
    pub(super) key_length: U16,
    pub(super) value_length: U16,
}

const _: () = assert!(size_of::<FileIdentifier>() == 520);
const _: () = assert!(size_of::<Header>() == 80);
const _: () = assert!(size_of::<RegionTableHeader>() == 16);
const _: () = assert!(size_of::<RegionTableEntry>() == 32);
const _: () = assert!(size_of::<LogEntryHeader>() == 64);
const _: () = assert!(size_of::<LogDescriptor>() == 32);
const _: () = assert!(size_of::<LogDataSector>() == LOG_SECTOR);
const _: () = assert!(size_of::<MetadataTableHeader>() == 32);
const _: () = assert!(size_of::<MetadataTableEntry>() == 32);
const _: () = assert!(size_of::<FileParameters>() == 8);
const _: () = assert!(size_of::<ParentLocatorHeader>() == 20);
const _: () = assert!(size_of::<ParentLocatorEntry>() == 12);

/// The unit of the log (section 2.3.1).
pub(super) const LOG_SECTOR: usize = 4 << 10;

/// The most entries of a region table and of a metadata table: what 64 KiB hold.
pub(super) const MAX_ENTRIES: u32 = 2047;

/// Bytes of the metadata table (section 2.6).
pub(super) const METADATA_TABLE_BYTES: usize = 64 << 10;

/// The most bytes of a metadata item (section 2.6.1.2).
pub(super) const MAX_ITEM: u32 = 1 << 20;

const fn guid(number: u128) -> [u8; 16] {
    Uuid::from_u128(number).to_bytes_le()
}

// Section 2.2.3.2, "Known Regions".
pub(super) const BAT_REGION: [u8; 16] = guid(0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08);
pub(super) const METADATA_REGION: [u8; 16] = guid(0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e);

// Section 2.6.2, "Known Items".
pub(super) const FILE_PARAMETERS: [u8; 16] = guid(0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b);
pub(super) const VIRTUAL_DISK_SIZE: [u8; 16] = guid(0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8);
pub(super) const VIRTUAL_DISK_ID: [u8; 16] = guid(0xbeca_12ab_b2e6_4523_93ef_c309_e000_c746);
pub(super) const LOGICAL_SECTOR_SIZE: [u8; 16] = guid(0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f);
pub(super) const PHYSICAL_SECTOR_SIZE: [u8; 16] = guid(0xcda3_48c7_445d_4471_9cc9_e988_5251_c556);
pub(super) const PARENT_LOCATOR: [u8; 16] = guid(0xa8d3_5f2d_b30b_454d_abf7_d3d8_4834_ab0c);

// Section 2.6.1.2: bits of `MetadataTableEntry::flags`.
pub(super) const IS_USER: u32 = 1 << 0;
pub(super) const IS_VIRTUAL_DISK: u32 = 1 << 1;
pub(super) const IS_REQUIRED: u32 = 1 << 2;

// Section 2.6.2.1: bits of `FileParameters::flags`.
pub(super) const LEAVE_BLOCKS_ALLOCATED: u32 = 1 << 0;
pub(super) const HAS_PARENT: u32 = 1 << 1;

// Section 2.5.1: fields of a BAT entry.
pub(super) const BAT_STATE: u64 = 7;
pub(super) const BAT_RESERVED: u64 = 0xf_fff8;
/// `FileOffsetMB` in place is the offset in bytes.
pub(super) const BAT_OFFSET: u64 = !0xf_ffff;

// Section 2.5.1.1: states of a payload block.
pub(super) const NOT_PRESENT: u64 = 0;
pub(super) const UNDEFINED: u64 = 1;
pub(super) const ZERO: u64 = 2;
pub(super) const UNMAPPED: u64 = 3;
pub(super) const FULLY_PRESENT: u64 = 6;
pub(super) const PARTIALLY_PRESENT: u64 = 7;
/// Section 2.5.1.2: a sector bitmap block that is there.
pub(super) const BITMAP_PRESENT: u64 = 6;

// Sections 2.6.2.1 and 2.6.2.2.
pub(super) const MIN_BLOCK: u64 = 1 << 20;
pub(super) const MAX_BLOCK: u64 = 256 << 20;
pub(super) const MAX_VIRTUAL_SIZE: u64 = 64 << 40;

/// Section 2.4: sectors that a sector bitmap block describes.
pub(super) const SECTORS_PER_BITMAP: u64 = 1 << 23;

/// The CRC-32C of a structure whose checksum field counts as zero.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let before = bytes.get(..CHECKSUM_AT).unwrap_or_default();
    let behind = bytes.get(CHECKSUM_AT + 4..).unwrap_or_default();
    let crc = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
    crc32c::crc32c_append(crc, behind)
}
