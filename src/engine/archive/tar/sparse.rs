//! The maps of sparse files: what GNU tar writes in its own headers and in bodies.
//!
//! GNU tar manual, "Storing Sparse Files". Yields no body. Invariant: a map is no longer than the
//! archive has room for and than `MOST_PIECES`.

use std::sync::Arc;

use zerocopy::FromBytes as _;

use super::ondisk::{GnuRest, SparseBlock, SparsePiece, number};
use super::{BLOCK, pax};
use crate::engine::archive::{Part, Piece, sparse};
use crate::engine::base::{Content, Error, SectorSource};

/// Pieces of one file.
const MOST_PIECES: usize = 1 << 20;

/// Reads a map out of a header of GNU tar and the blocks behind it. Returns the file's length, the
/// map, and where the body begins; none if it is damaged.
pub(super) fn of_header(
    source: &dyn SectorSource,
    rest: &[u8],
    mut behind: u64,
) -> Result<Option<(u64, Vec<Piece>, u64)>, Error> {
    let Ok(rest) = GnuRest::read_from_bytes(rest) else { return Ok(None) };
    let mut map = Vec::new();
    let mut more = rest.more != 0;
    let mut valid = take(&mut map, &rest.pieces);
    while more && valid && map.len() <= MOST_PIECES {
        let mut block = [0; BLOCK as usize];
        source.read_at(behind, &mut block)?;
        behind += BLOCK;
        let Ok(block) = SparseBlock::read_from_bytes(&block) else { return Ok(None) };
        valid = take(&mut map, &block.pieces);
        more = block.more != 0;
    }
    let real = number(&rest.real_size).and_then(|n| u64::try_from(n).ok());
    let whole = valid && !more && map.len() <= MOST_PIECES;
    Ok(real.filter(|_| whole).map(|real| (real, map, behind)))
}

/// Takes the pieces up to the first that is not used. False if one is damaged.
fn take(map: &mut Vec<Piece>, pieces: &[SparsePiece]) -> bool {
    for piece in pieces {
        // An unused one has no length at all; an empty last piece says "0".
        if piece.len.iter().all(|byte| *byte == 0) {
            return true;
        }
        let unsigned = |field: &[u8]| number(field).and_then(|n| u64::try_from(n).ok());
        match (unsigned(&piece.at), unsigned(&piece.len)) {
            (Some(at), Some(len)) => map.push(Piece { at, len }),
            _ => return false,
        }
    }
    true
}

/// Reads the map that a body of format 1.0 begins with: decimal numbers with a line feed each, the
/// count first. Returns it with its length in whole blocks.
pub(super) fn of_body(
    source: &dyn SectorSource,
    body: u64,
    size: u64,
) -> Result<Option<(Vec<Piece>, u64)>, Error> {
    let mut lines = Lines { source, body, size, read: 0, block: Vec::new(), used: 0 };
    let Some(count) = lines.next()?.filter(|count| *count <= MOST_PIECES as u64) else {
        return Ok(None);
    };
    let mut map = Vec::new();
    for _ in 0..count {
        match (lines.next()?, lines.next()?) {
            (Some(at), Some(len)) => map.push(Piece { at, len }),
            _ => return Ok(None),
        }
    }
    Ok(Some((map, lines.read)))
}

/// Numbers out of a body.
struct Lines<'a> {
    source: &'a dyn SectorSource,
    body: u64,
    size: u64,
    read: u64,
    block: Vec<u8>,
    used: usize,
}

impl Lines<'_> {
    /// The next number; none if it is damaged.
    fn next(&mut self) -> Result<Option<u64>, Error> {
        let mut digits = Vec::new();
        loop {
            if self.used == self.block.len() {
                if self.read + BLOCK > self.size {
                    return Ok(None);
                }
                self.block.resize(BLOCK as usize, 0);
                self.source.read_at(self.body + self.read, &mut self.block)?;
                self.read += BLOCK;
                self.used = 0;
            }
            let byte = self.block.get(self.used).copied().unwrap_or(0);
            self.used += 1;
            match byte {
                b'\n' => return Ok(pax::number(&digits)),
                _ if digits.len() > 20 => return Ok(None),
                _ => digits.push(byte),
            }
        }
    }
}

/// A sparse file as content: `stored` bytes from `body` on, laid out by `map`.
pub(super) fn content(
    source: &Arc<dyn SectorSource>,
    (body, stored): (u64, u64),
    real: u64,
    map: &[Piece],
) -> Option<Content> {
    let stored = Part::new(Arc::clone(source), body, stored).ok()?;
    let pieces = sparse(&stored, real, map)?;
    Some(Content::Sectors(Arc::new(pieces)))
}
