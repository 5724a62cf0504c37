//! For formats whose files grow by blocks: walks a medium and hands over what is not zero, block by
//! block; and finds holes inside of blocks when they are read.
//!
//! Writes nothing. Invariants: every byte is read once; pieces come in order; no piece crosses the border of a
//! block; a block that is all zero has no piece.

use std::ops::Range;

use super::units::{Ahead, Part, read_ahead};
use crate::engine::base::{Error, Extent, SectorSource, Work};

/// What is either written or left out within a block.
const UNIT: u64 = 64 << 10;

/// Bytes read, and written, at once.
const BATCH: u64 = 2 << 20;

/// Threads that read ahead; more gain nothing beside one that writes.
const READERS: usize = 2;

/// Bytes of one block that are not zero, or zeros among them.
pub(super) struct Piece<'a> {
    /// The block's number.
    pub(super) block: u64,
    /// Where in the block it begins.
    pub(super) within: u64,
    pub(super) bytes: &'a [u8],
    /// The bytes with `head` bytes of 0xff in front, if they begin the block and it costs nothing.
    pub(super) headed: Option<&'a [u8]>,
}

/// Hands the pieces of `source` to `each`. `block` is a multiple of `UNIT`. Reads ahead on other
/// threads, so that reading and writing overlap.
pub(super) fn walk(
    source: &dyn SectorSource,
    block: u64,
    head: usize,
    work: &Work<'_>,
    mut each: impl FnMut(Piece<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    debug_assert!(block.is_multiple_of(UNIT));
    let threads = work.threads().min(READERS);
    let ahead = Ahead { unit: UNIT, batch: BATCH, head, threads };
    read_ahead(source, ahead, work.progress, |part| {
        part.runs.iter().try_for_each(|run| pieces(part, run, block, head, &mut each))
    })
}

/// Hands the pieces of one run to `each`.
fn pieces(
    part: &Part,
    run: &Range<usize>,
    block: u64,
    head: usize,
    each: &mut impl FnMut(Piece<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut from = run.start;
    while from < run.end {
        let at = part.extent.start() + from as u64;
        let within = at % block;
        let to = run.end.min(from.saturating_add((block - within) as usize));
        let bytes = part.buffer.get(head + from..head + to).unwrap_or_default();
        let first = from == 0 && within == 0;
        let headed = first.then(|| part.buffer.get(..head + to)).flatten();
        each(Piece { block: at / block, within, bytes, headed })?;
        from = to;
    }
    Ok(())
}

/// What the file holds for the `len` bytes of a disk from `at` on, which lie at `host` in it: the
/// first run that is no hole of the file.
pub(super) fn held(file: &dyn SectorSource, at: u64, host: u64, len: u64) -> Option<Extent> {
    let end = host.saturating_add(len);
    if end > file.len() {
        // Reading it tells what is wrong.
        return Extent::new(at, at + len);
    }
    let found = file.next_extent(host)?.intersect(Extent::new(host, end)?)?;
    Extent::new(at + (found.start() - host), at + (found.end() - host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::{ByteSource, Silent};

    #[test]
    fn pieces_are_what_is_not_zero_and_stay_in_their_block() {
        let mut bytes = vec![0; (3 << 20) + 512];
        bytes[5] = 1;
        bytes[(1 << 20) - 1..(1 << 20) + 1].fill(2);
        *bytes.last_mut().unwrap() = 3;
        let mut pieces = Vec::new();
        let mut joined = vec![0; bytes.len()];
        let work = Work { threads: 3, progress: &Silent };
        walk(&ByteSource::new(bytes.clone()), 1 << 20, 3, &work, |piece| {
            let at = (piece.block << 20) + piece.within;
            joined[at as usize..][..piece.bytes.len()].copy_from_slice(piece.bytes);
            if let Some(headed) = piece.headed {
                assert_eq!(headed[..3], [0xff; 3]);
                assert_eq!(&headed[3..], piece.bytes);
            }
            pieces.push((piece.block, piece.within, piece.bytes.len(), piece.headed.is_some()));
            Ok(())
        })
        .unwrap();
        let unit = UNIT as usize;
        let last = (1 << 20) - UNIT;
        let wanted =
            [(0, 0, unit, true), (0, last, unit, false), (1, 0, unit, false), (3, 0, 512, false)];
        assert_eq!(pieces, wanted);
        assert!(joined == bytes);
    }
}
