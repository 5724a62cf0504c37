//! The structures of a VMDK sparse extent as they lie on disk.
//!
//! Decides nothing. Source: VMware, "Virtual Disk Format 5.0" (technical note); the section is
//! named at each item. Invariant: all numbers are little-endian, names are those of that document,
//! places and lengths are counted in sectors of 512 bytes unless said otherwise.

use std::mem::size_of;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "KDMV" (section "Hosted Sparse Extents", `SPARSE_MAGICNUMBER`).
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"KDMV");

/// "COWD" (section "ESXi Host Sparse Extents"): another format, which is not read.
pub(super) const ESX_MAGIC: [u8; 4] = *b"COWD";

/// Section "Hosted Sparse Extents", `SparseExtentHeader`: sector 0 of an extent, and the footer.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct SparseExtentHeader {
    pub(super) magic_number: U32,
    /// 1; 2 with zeroed grains; 3 for stream-optimized extents.
    pub(super) version: U32,
    pub(super) flags: U32,
    /// Length of the virtual disk.
    pub(super) capacity: U64,
    /// A power of two, more than 4 KiB.
    pub(super) grain_size: U64,
    /// Where the embedded descriptor lies; 0 without one.
    pub(super) descriptor_offset: U64,
    pub(super) descriptor_size: U64,
    /// 512.
    pub(super) num_gtes_per_gt: U32,
    /// The redundant grain directory.
    pub(super) rgd_offset: U64,
    /// The grain directory, or `GD_AT_END`.
    pub(super) gd_offset: U64,
    /// Sectors before the first grain.
    pub(super) over_head: U64,
    /// 1 while the extent is open for writing.
    pub(super) unclean_shutdown: u8,
    pub(super) single_end_line_char: u8,
    pub(super) non_end_line_char: u8,
    pub(super) double_end_line_char1: u8,
    pub(super) double_end_line_char2: u8,
    /// 0 none, 1 deflate.
    pub(super) compress_algorithm: U16,
    pub(super) pad: [u8; 433],
}

const _: () = assert!(size_of::<SparseExtentHeader>() == 512);

/// Section "Stream-Optimized Compressed Sparse Extents", `GrainMarker`: stands before each
/// compressed grain. What follows is a zlib stream (RFC 1950), then zeros to the next sector.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GrainMarker {
    /// The first sector of the virtual disk that the grain holds.
    pub(super) lba: U64,
    /// Bytes of the compressed data; not 0.
    pub(super) size: U32,
}

const _: () = assert!(size_of::<GrainMarker>() == GRAIN_MARKER);

/// Length of a `GrainMarker`.
pub(super) const GRAIN_MARKER: usize = 12;

/// The same section, `MetaDataMarker`: a sector of its own before each table.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct MetaDataMarker {
    pub(super) num_sectors: U64,
    /// 0: this is what tells it from a `GrainMarker`.
    pub(super) size: U32,
    pub(super) kind: U32,
    pub(super) pad: [u8; 496],
}

const _: () = assert!(size_of::<MetaDataMarker>() == 512);

// Values of `MetaDataMarker::kind`.
pub(super) const MARKER_EOS: u32 = 0;
pub(super) const MARKER_GT: u32 = 1;
pub(super) const MARKER_GD: u32 = 2;
pub(super) const MARKER_FOOTER: u32 = 3;

// Bits of `SparseExtentHeader::flags`.
/// The characters for the new line detection test are valid.
pub(super) const FLAG_NEW_LINES: u32 = 1 << 0;
/// There is a redundant grain directory.
pub(super) const FLAG_REDUNDANT: u32 = 1 << 1;
/// Entries of grain tables may be `GTE_ZERO`.
pub(super) const FLAG_ZEROED: u32 = 1 << 2;
/// Grains are compressed.
pub(super) const FLAG_COMPRESSED: u32 = 1 << 16;
/// There are markers.
pub(super) const FLAG_MARKERS: u32 = 1 << 17;

/// `compress_algorithm`: deflate.
pub(super) const COMPRESSION_DEFLATE: u16 = 1;

/// The new line detection test: singleEndLineChar to doubleEndLineChar2.
pub(super) const NEW_LINES: [u8; 4] = *b"\n \r\n";

/// `gd_offset`: the directory is found by the footer.
pub(super) const GD_AT_END: u64 = u64::MAX;

/// An entry of a grain table: the grain is all zero.
pub(super) const GTE_ZERO: u32 = 1;

/// `num_gtes_per_gt` of all known writers.
pub(super) const GTES: u32 = 512;

/// Sectors of a grain in what VMware's and QEMU's programs write.
pub(super) const GRAIN: u64 = 128;

/// Section "Hosted Sparse Extents", figure of the layout: the descriptor follows the header and
/// has room for 20 sectors in what all known programs write.
pub(super) const DESCRIPTOR_SECTORS: u64 = 20;

/// The first sectors of the footer, of its marker before it and of the end behind it, counted
/// from the end of the file.
pub(super) const FOOTER_FROM_END: u64 = 2;

/// Entries of a grain directory that are accepted: 16 MiB of them.
pub(super) const MAX_DIRECTORY: u64 = 4 << 20;

/// Sectors of a grain that are accepted.
pub(super) const GRAIN_SIZES: std::ops::RangeInclusive<u64> = 8..=2048;
