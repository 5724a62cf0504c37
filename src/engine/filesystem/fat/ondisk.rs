//! The structures of a FAT volume as they lie on disk.
//!
//! Decides nothing. Source: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03 of
//! December 6, 2000 ("FAT 1.03"); the section is named at each item. Invariant: all numbers are
//! little-endian.

use std::mem::size_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "Boot Sector and BPB": the part that all types share, from byte 0 on.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Bpb {
    /// A jump behind the structures.
    pub(super) jump: [u8; 3],
    pub(super) oem_name: [u8; 8],
    pub(super) sector: U16,
    /// Sectors of a cluster: a power of two.
    pub(super) cluster: u8,
    /// Sectors before the first FAT.
    pub(super) reserved: U16,
    pub(super) fats: u8,
    /// Entries of the root directory; 0 on FAT32.
    pub(super) root_entries: U16,
    /// 0 where `sectors32` counts.
    pub(super) sectors16: U16,
    pub(super) media: u8,
    /// Sectors of a FAT; 0 on FAT32.
    pub(super) fat16: U16,
    pub(super) track: U16,
    pub(super) heads: U16,
    /// Sectors before the volume.
    pub(super) hidden: U32,
    pub(super) sectors32: U32,
}

/// "Fat12 and Fat16 Structure Starting at Offset 36", and on FAT32 at offset 64.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Tail {
    pub(super) drive: u8,
    pub(super) reserved: u8,
    /// `TAIL_SIGNATURE`: the fields behind it are there.
    pub(super) signature: u8,
    pub(super) serial: U32,
    pub(super) label: [u8; 11],
    /// `FAT12   `, for people only.
    pub(super) name: [u8; 8],
}

/// "FAT32 Structure Starting at Offset 36", up to the tail.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Fat32 {
    /// Sectors of a FAT.
    pub(super) fat: U32,
    /// Bit 7: only the FAT of bits 0 to 3 is kept.
    pub(super) flags: U16,
    pub(super) version: U16,
    pub(super) root: U32,
    pub(super) info: U16,
    /// Sector with a copy of the boot sector.
    pub(super) backup: U16,
    pub(super) reserved: [u8; 12],
}

/// "FAT32 FSInfo Sector Structure and Backup Boot Sector", without the zeros.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Info {
    pub(super) lead: U32,
    pub(super) reserved: [u8; 480],
    pub(super) signature: U32,
    /// Free clusters; all ones: unknown.
    pub(super) free: U32,
    /// Where to look for the next free cluster.
    pub(super) next: U32,
    pub(super) reserved2: [u8; 12],
    pub(super) trail: U32,
}

/// "FAT Directory Structure".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) name: [u8; 11],
    pub(super) attributes: u8,
    /// Windows NT: `LOWER_BASE` and `LOWER_EXTENSION`.
    pub(super) case: u8,
    /// Hundredths of a second, 0 to 199.
    pub(super) created_fine: u8,
    pub(super) created_time: U16,
    pub(super) created_date: U16,
    pub(super) accessed: U16,
    /// Upper half of the first cluster; 0 but on FAT32.
    pub(super) high: U16,
    pub(super) time: U16,
    pub(super) date: U16,
    pub(super) low: U16,
    pub(super) len: U32,
}

/// "FAT Long Directory Entries".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Long {
    /// From 1 on; the last one, which lies first, has `LAST_LONG`.
    pub(super) order: u8,
    pub(super) name1: [U16; 5],
    pub(super) attributes: u8,
    pub(super) kind: u8,
    /// Of the short name that follows.
    pub(super) checksum: u8,
    pub(super) name2: [U16; 6],
    pub(super) cluster: U16,
    pub(super) name3: [U16; 2],
}

const _: () = assert!(size_of::<Bpb>() == 36);
const _: () = assert!(size_of::<Tail>() == 26);
const _: () = assert!(size_of::<Fat32>() == 28);
const _: () = assert!(size_of::<Info>() == 512);
const _: () = assert!(size_of::<Entry>() == ENTRY && size_of::<Long>() == ENTRY);

/// Bytes of a directory entry.
pub(super) const ENTRY: usize = 32;
/// "Boot Sector and BPB": the last bytes of the first 512.
pub(super) const BOOT_SIGNATURE: [u8; 2] = [0x55, 0xAA];
/// Where they lie.
pub(super) const BOOT_SIGNATURE_AT: usize = 510;
/// `Tail::signature`.
pub(super) const TAIL_SIGNATURE: u8 = 0x29;
/// `Tail::label` of a volume without one.
pub(super) const NO_LABEL: [u8; 11] = *b"NO NAME    ";
/// `Info::lead`, `Info::signature` and `Info::trail`.
pub(super) const INFO_LEAD: u32 = 0x4161_5252;
pub(super) const INFO_SIGNATURE: u32 = 0x6141_7272;
pub(super) const INFO_TRAIL: u32 = 0xAA55_0000;
/// `Fat32::info` and `Fat32::backup` as everybody has them.
pub(super) const INFO_AT: u16 = 1;
pub(super) const BACKUP_AT: u16 = 6;

// "FAT Directory Structure", `DIR_Attr`.
pub(super) const READ_ONLY: u8 = 0x01;
pub(super) const VOLUME: u8 = 0x08;
pub(super) const DIRECTORY: u8 = 0x10;
pub(super) const ARCHIVE: u8 = 0x20;
/// "FAT Long Directory Entries": read-only, hidden, system and volume together.
pub(super) const LONG: u8 = 0x0F;
/// The bits of an attribute that tell a long entry.
pub(super) const LONG_MASK: u8 = 0x3F;
/// `Long::order`.
pub(super) const LAST_LONG: u8 = 0x40;
/// Characters of a long entry.
pub(super) const LONG_UNITS: usize = 13;

// "FAT Directory Structure", first byte of `DIR_Name`.
pub(super) const FREE: u8 = 0xE5;
pub(super) const END: u8 = 0x00;
/// Stands for E5 as a letter.
pub(super) const KANJI: u8 = 0x05;

// `Entry::case`: not in FAT 1.03; as Windows NT and Linux have it.
pub(super) const LOWER_BASE: u8 = 0x08;
pub(super) const LOWER_EXTENSION: u8 = 0x10;

/// Entries of a directory: two megabytes of them, "FAT Directory Structure" and what Linux takes.
pub(super) const MAX_ENTRIES: u64 = 65536;

impl Long {
    /// The 13 characters.
    pub(super) fn units(&self) -> [u16; LONG_UNITS] {
        let mut units = [0; LONG_UNITS];
        let all = self.name1.iter().chain(&self.name2).chain(&self.name3);
        units.iter_mut().zip(all).for_each(|(to, from)| *to = from.get());
        units
    }
}

/// "FAT Long Directory Entries", `ChkSum`: rotated to the right by one bit, plus the next byte.
pub(super) fn checksum(name: &[u8; 11]) -> u8 {
    name.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}
