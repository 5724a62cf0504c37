//! The structures of syslinux 6 as they lie in its files, and those of ELF that its modules have.
//!
//! Decides nothing. Sources: what syslinux 6.04's own installers wrote, compared byte by byte (there
//! is no specification; tests/syslinux compares again), and System V ABI, fourth edition with its
//! Intel386 supplement ("gABI"). Invariant: all numbers are little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a sector: syslinux knows no others.
pub(super) const SECTOR: usize = 512;

/// What `ldlinux.sys` begins with, before its version.
pub(super) const BANNER: &[u8] = b"\r\nSYSLINUX ";

/// What a boot sector begins with behind its jump.
pub(super) const OEM_NAME: [u8; 8] = *b"SYSLINUX";

/// `PatchArea::magic`, and what all words of an installed file add up to.
pub(super) const MAGIC: u32 = 0x3eb2_02fe;

/// The end of a boot sector: the magic, a number of its own and the signature.
pub(super) const BOOT_END: [u8; 8] = [0xfe, 0x02, 0xb2, 0x3e, 0x18, 0x37, 0x55, 0xaa];

/// Sectors of the auxiliary data vector behind the code: it is kept twice.
pub(super) const ADV_SECTORS: u16 = 2;
/// Its first word, its sum with nothing in it, and its last word.
pub(super) const ADV_HEAD: u32 = 0x5a2d_2fa5;
pub(super) const ADV_SUM: u32 = 0xa304_1767;
pub(super) const ADV_TAIL: u32 = 0xdd28_bf64;

/// In the first sector of `ldlinux.sys`, at a multiple of four. A program that has not installed
/// it yet has zeros from `data_sectors` to `checksum`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PatchArea {
    pub(super) magic: U32,
    pub(super) instance: U32,
    pub(super) data_sectors: U16,
    pub(super) adv_sectors: U16,
    /// Words of the code, all of which are summed up.
    pub(super) dwords: U32,
    pub(super) checksum: U32,
    /// Sectors that are read at once.
    pub(super) max_transfer: U16,
    /// Where `ExtPatchArea` lies.
    pub(super) ext_at: U16,
}

/// Where more lies that an installer writes, as offsets into `ldlinux.sys` or the boot sector.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExtPatchArea {
    /// Two 64-bit sector numbers of the auxiliary data vector.
    pub(super) adv_at: U16,
    /// Its directory as a zero-terminated string, and the room for it.
    pub(super) directory_at: U16,
    pub(super) directory_len: U16,
    pub(super) subvolume_at: U16,
    pub(super) subvolume_len: U16,
    /// The table of `SectorRun`s, and how many there is room for.
    pub(super) runs_at: U16,
    pub(super) runs: U16,
    /// In the boot sector: the lower and the upper half of the first sector's number.
    pub(super) first_low_at: U16,
    pub(super) first_high_at: U16,
    pub(super) raid_at: U16,
}

/// Sectors that follow each other on the volume.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SectorRun {
    /// From the volume's first sector on: the boot sector adds where the volume begins, which it has
    /// from the master boot record or from the parameters beside it.
    pub(super) first: U64,
    pub(super) count: U16,
}

/// gABI figure 4-3, for 32 bits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Elf32 {
    pub(super) ident: [u8; 16],
    pub(super) kind: U16,
    pub(super) machine: U16,
    pub(super) version: U32,
    pub(super) entry: U32,
    pub(super) segments_at: U32,
    pub(super) sections_at: U32,
    pub(super) flags: U32,
    pub(super) header_len: U16,
    pub(super) segment_len: U16,
    pub(super) segments: U16,
    pub(super) section_len: U16,
    pub(super) sections: U16,
    pub(super) names: U16,
}

/// The same for 64 bits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Elf64 {
    pub(super) ident: [u8; 16],
    pub(super) kind: U16,
    pub(super) machine: U16,
    pub(super) version: U32,
    pub(super) entry: U64,
    pub(super) segments_at: U64,
    pub(super) sections_at: U64,
    pub(super) flags: U32,
    pub(super) header_len: U16,
    pub(super) segment_len: U16,
    pub(super) segments: U16,
}

/// gABI figure 5-1, for 32 bits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Segment32 {
    pub(super) kind: U32,
    pub(super) offset: U32,
    pub(super) address: U32,
    pub(super) physical: U32,
    pub(super) file_len: U32,
}

/// The same for 64 bits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Segment64 {
    pub(super) kind: U32,
    pub(super) flags: U32,
    pub(super) offset: U64,
    pub(super) address: U64,
    pub(super) physical: U64,
    pub(super) file_len: U64,
}

/// gABI figure 5-9, for 32 bits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Dynamic32 {
    pub(super) tag: U32,
    pub(super) value: U32,
}

/// `ident` of ELF, its class and its order of bytes.
pub(super) const ELF32: [u8; 6] = *b"\x7fELF\x01\x01";
pub(super) const ELF64: [u8; 6] = *b"\x7fELF\x02\x01";
/// `kind`: a shared object; `machine`: Intel 80386.
pub(super) const SHARED_OBJECT: u16 = 3;
pub(super) const INTEL386: u16 = 3;
/// `Segment::kind`.
pub(super) const LOAD: u32 = 1;
pub(super) const DYNAMIC: u32 = 2;
/// `Dynamic32::tag`: gABI figure 5-10.
pub(super) const END: u32 = 0;
pub(super) const NEEDED: u32 = 1;
pub(super) const STRINGS: u32 = 5;

const _: () = assert!(size_of::<PatchArea>() == 24 && size_of::<ExtPatchArea>() == 20);
const _: () = assert!(size_of::<SectorRun>() == 10);
const _: () = assert!(size_of::<Elf32>() == 52 && size_of::<Dynamic32>() == 8);
