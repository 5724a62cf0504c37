//! Bytes that lie in pieces: a file whose parts are spread over a medium, with holes between them.
//!
//! Copies nothing. Invariants: pieces are in order and do not overlap; a hole is zero and nobody reads
//! it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{Error, Extent, Kind, SectorSource, within};

/// Fills `buffer`, which begins at `offset`, from the pieces of a file: `read` is told the piece, from
/// which of its bytes on, and what to fill. `pieces` are in order, from the first one that ends
/// behind `offset` on; what lies in none of them becomes zero.
pub fn read_pieces<T>(
    pieces: impl Iterator<Item = (Extent, T)>,
    offset: u64,
    buffer: &mut [u8],
    mut read: impl FnMut(T, u64, &mut [u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    buffer.fill(0);
    let end = offset.saturating_add(buffer.len() as u64);
    let Some(wanted) = Extent::new(offset, end) else { return Ok(()) };
    for (extent, piece) in pieces {
        let Some(both) = extent.intersect(wanted) else { break };
        // OK to cast: both lie inside the buffer.
        let range = (both.start() - offset) as usize..(both.end() - offset) as usize;
        let part = buffer.get_mut(range).unwrap_or_default();
        read(piece, both.start() - extent.start(), part)?;
    }
    Ok(())
}

/// A file in pieces of one medium.
pub struct Pieced {
    medium: Arc<dyn SectorSource>,
    len: u64,
    /// Each with its place on the medium.
    pieces: Box<[(Extent, u64)]>,
}

impl fmt::Debug for Pieced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pieced({} bytes, {} pieces)", self.len, self.pieces.len())
    }
}

impl Pieced {
    /// A file of `len` bytes, each piece with its place on the medium.
    #[must_use]
    pub fn new(medium: Arc<dyn SectorSource>, len: u64, pieces: Vec<(Extent, u64)>) -> Self {
        debug_assert!(pieces.is_sorted_by(|(a, _), (b, _)| a.end() <= b.start()));
        Self { medium, len, pieces: pieces.into() }
    }

    /// A file without holes: of every run, where it begins in the file and on the medium.
    #[must_use]
    pub fn of_runs(medium: Arc<dyn SectorSource>, len: u64, runs: &[(u64, u64)]) -> Self {
        let ends = runs.iter().skip(1).map(|(from, _)| *from).chain([len]);
        let piece = |((from, at), end): (&(u64, u64), u64)| Some((Extent::new(*from, end)?, *at));
        Self::new(medium, len, runs.iter().zip(ends).filter_map(piece).collect())
    }

    /// The pieces that end behind `offset`.
    fn behind(&self, offset: u64) -> &[(Extent, u64)] {
        let first = self.pieces.partition_point(|(extent, _)| extent.end() <= offset);
        self.pieces.get(first..).unwrap_or_default()
    }
}

impl SectorSource for Pieced {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        let pieces = self.behind(offset).iter().copied();
        read_pieces(pieces, offset, buffer, |at, from, part| self.medium.read_at(at + from, part))
    }

    /// What the medium itself leaves out is a hole, too.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        self.behind(offset).iter().find_map(|(extent, at)| {
            let start = extent.start().max(offset);
            let place = at.checked_add(start - extent.start())?;
            let run = Extent::new(place, place.checked_add(extent.end() - start)?)?;
            let held = self.medium.next_extent(place)?.intersect(run)?;
            Extent::new(start + (held.start() - place), start + (held.end() - place))
        })
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let (extent, place) = self.behind(offset).first()?;
        let inside = offset.checked_sub(extent.start())?;
        let (path, at, len) = self.medium.file_range_at(place.checked_add(inside)?)?;
        Some((path, at, len.min(extent.len() - inside)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::{ByteSource, Composed, Content, Origin, Region};

    fn digits() -> Arc<dyn SectorSource> {
        Arc::new(ByteSource::new(&b"0123456789"[..]))
    }

    fn piece(start: u64, end: u64, at: u64) -> (Extent, u64) {
        (Extent::new(start, end).unwrap(), at)
    }

    fn check(file: &Pieced, whole: &[u8]) {
        for start in 0..=whole.len() {
            for end in start..=whole.len() {
                let mut bytes = vec![0xFF; end - start];
                file.read_at(start as u64, &mut bytes).unwrap();
                assert_eq!(bytes, whole[start..end]);
            }
        }
        assert!(file.read_at(1, &mut vec![0; whole.len()]).is_err());
    }

    #[test]
    fn pieces_lie_anywhere_and_holes_are_zero() {
        let pieces = vec![piece(2, 5, 7), piece(5, 7, 0), piece(9, 10, 4)];
        let file = Pieced::new(digits(), 12, pieces);
        check(&file, b"\0\x0078901\0\x004\0\0");
        let covered: Vec<_> = file.extents().flat_map(Extent::range).collect();
        assert_eq!(covered, [2, 3, 4, 5, 6, 9]);
    }

    #[test]
    fn runs_follow_each_other_and_an_empty_one_is_none() {
        let file = Pieced::of_runs(digits(), 6, &[(0, 8), (2, 3), (2, 5), (6, 0)]);
        check(&file, b"895678");
    }

    #[test]
    fn holes_of_the_medium_are_holes_of_the_file() {
        let region = Region {
            extent: Extent::new(10, 20).unwrap(),
            content: Content::Bytes([1; 10][..].into()),
            origin: Origin::new("test"),
        };
        let medium = Arc::new(Composed::new(40, vec![region]));
        // The first piece lies in a hole, the second one goes over both ends of the data.
        let file = Pieced::new(medium, 40, vec![piece(0, 5, 25), piece(8, 38, 0)]);
        assert_eq!(file.extents().collect::<Vec<_>>(), [Extent::new(18, 28).unwrap()]);
        assert_eq!(file.next_extent(20), Extent::new(20, 28));
        assert_eq!(file.next_extent(28), None);
    }
}
