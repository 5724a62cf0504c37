//! Which blocks of a file are allocated, and where they came to lie.
//!
//! Reads no content. Invariants: runs are in order and do not touch; a file without holes needs no
//! list.

use super::geometry::Geometry;
use super::ondisk::MAX_EXTENT;
use crate::engine::base::Content;

/// Blocks of a file, one after another, that are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first, counted from the file's beginning.
    pub(super) logical: u64,
    pub(super) len: u64,
    /// Allocated blocks of the file before it.
    pub(super) before: u64,
}

/// The same as what the medium knows: blocks in one piece on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) logical: u64,
    pub(super) physical: u64,
    pub(super) len: u64,
}

/// The runs of a content; none where no block is a hole.
pub(super) fn sparse(content: &Content, block_size: u64) -> Option<Box<[Run]>> {
    let Content::Sectors(source) = content else { return None };
    let len = source.len();
    let blocks = len.div_ceil(block_size);
    // Most files have one extent.
    if source.next_extent(0).is_some_and(|extent| extent.start() == 0 && extent.end() >= len) {
        return None;
    }
    let mut runs: Vec<Run> = Vec::new();
    for extent in source.extents() {
        let start = extent.start() / block_size;
        let end = extent.end().min(len).div_ceil(block_size);
        match runs.last_mut() {
            Some(last) if last.logical + last.len >= start => {
                last.len = last.len.max(end.saturating_sub(last.logical));
            }
            last => {
                let before = last.map_or(0, |last| last.before + last.len);
                let len = end.saturating_sub(start);
                if len > 0 {
                    runs.push(Run { logical: start, len, before });
                }
            }
        }
    }
    if let [run] = runs.as_slice()
        && run.logical == 0
        && run.len == blocks
    {
        return None;
    }
    Some(runs.into())
}

/// Calls `each` for every piece of a file whose allocated blocks are numbered from `first` on.
pub(super) fn pieces(geometry: &Geometry, first: u64, runs: &[Run], mut each: impl FnMut(Piece)) {
    let mut open: Option<Piece> = None;
    for run in runs {
        let mut done = 0;
        while done < run.len {
            let (physical, contiguous) = geometry.content_at(first + run.before + done);
            let len = contiguous.clamp(1, run.len - done);
            let piece = Piece { logical: run.logical + done, physical, len };
            done += len;
            match &mut open {
                Some(last)
                    if last.logical + last.len == piece.logical
                        && last.physical + last.len == piece.physical =>
                {
                    last.len += piece.len;
                }
                last => {
                    if let Some(last) = last.replace(piece) {
                        each(last);
                    }
                }
            }
        }
    }
    if let Some(last) = open {
        each(last);
    }
}

/// Calls `each` for every extent: pieces cut to what one extent can hold.
pub(super) fn extents(geometry: &Geometry, first: u64, runs: &[Run], mut each: impl FnMut(Piece)) {
    pieces(geometry, first, runs, |piece| {
        let mut done = 0;
        while done < piece.len {
            let len = (piece.len - done).min(MAX_EXTENT);
            each(Piece { logical: piece.logical + done, physical: piece.physical + done, len });
            done += len;
        }
    });
}
