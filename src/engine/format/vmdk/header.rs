//! The header of the sparse extents that are written.
//!
//! Reads nothing (see `parse`). Invariant: the bytes depend on the layout alone.

use zerocopy::little_endian::{U16, U32, U64};

use super::layout::Layout;
use super::ondisk::{
    COMPRESSION_DEFLATE, DESCRIPTOR_SECTORS, FLAG_COMPRESSED, FLAG_MARKERS, FLAG_NEW_LINES,
    FLAG_REDUNDANT, GD_AT_END, GRAIN, GTES, MAGIC, NEW_LINES, SparseExtentHeader,
};

/// ESXi takes no other version of a stream-optimized extent.
const STREAM_VERSION: u32 = 3;

/// Sectors before the first grain of a stream: header and descriptor, up to a whole grain.
pub(super) const STREAM_OVER_HEAD: u64 = GRAIN;

/// The header of a monolithicSparse file.
pub(super) fn sparse(layout: Layout) -> SparseExtentHeader {
    SparseExtentHeader {
        flags: U32::new(FLAG_NEW_LINES | FLAG_REDUNDANT),
        rgd_offset: U64::new(layout.redundant()),
        gd_offset: U64::new(layout.main()),
        over_head: U64::new(layout.over_head()),
        ..common(layout)
    }
}

/// The header of a streamOptimized file, and its footer where the directory's place is known.
pub(super) fn stream(layout: Layout, directory: Option<u64>) -> SparseExtentHeader {
    SparseExtentHeader {
        version: U32::new(STREAM_VERSION),
        flags: U32::new(FLAG_NEW_LINES | FLAG_COMPRESSED | FLAG_MARKERS),
        gd_offset: U64::new(directory.unwrap_or(GD_AT_END)),
        over_head: U64::new(STREAM_OVER_HEAD),
        compress_algorithm: U16::new(COMPRESSION_DEFLATE),
        ..common(layout)
    }
}

const fn common(layout: Layout) -> SparseExtentHeader {
    let [single, non, double1, double2] = NEW_LINES;
    SparseExtentHeader {
        magic_number: U32::new(MAGIC),
        version: U32::new(1),
        flags: U32::ZERO,
        capacity: U64::new(layout.capacity),
        grain_size: U64::new(GRAIN),
        descriptor_offset: U64::new(1),
        descriptor_size: U64::new(DESCRIPTOR_SECTORS),
        num_gtes_per_gt: U32::new(GTES),
        rgd_offset: U64::ZERO,
        gd_offset: U64::ZERO,
        over_head: U64::ZERO,
        unclean_shutdown: 0,
        single_end_line_char: single,
        non_end_line_char: non,
        double_end_line_char1: double1,
        double_end_line_char2: double2,
        compress_algorithm: U16::ZERO,
        pad: [0; 433],
    }
}
