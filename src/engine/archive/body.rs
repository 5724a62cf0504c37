//! Bodies of members: parts of an archive as media of their own, by reference.
//!
//! Copies nothing. Invariant: a body never yields a byte outside of its archive; between the pieces
//! of a sparse one there are zeros that nobody reads.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::engine::base::{Content, Error, Extent, Kind, SectorSource, within};

/// A part of an archive.
#[derive(Clone, Debug)]
pub struct Part {
    source: Arc<dyn SectorSource>,
    offset: u64,
    len: u64,
}

impl Part {
    /// `len` bytes of `source` from `offset` on, which must be inside of it.
    pub fn new(source: Arc<dyn SectorSource>, offset: u64, len: u64) -> Result<Self, Error> {
        let end = offset.checked_add(len).filter(|end| *end <= source.len());
        if end.is_none() {
            let all = source.len();
            let message =
                format!("{len} bytes at offset {offset} go beyond the archive's end at {all}");
            return Err(Error::new(Kind::Damaged, message));
        }
        Ok(Self { source, offset, len })
    }

    /// A part that was found to be inside before.
    pub(super) const fn listed(source: Arc<dyn SectorSource>, offset: u64, len: u64) -> Self {
        Self { source, offset, len }
    }

    /// The same as the content of a file; an empty one needs no archive.
    #[must_use]
    pub fn content(self) -> Content {
        match self.len {
            0 => Content::Bytes(Arc::default()),
            _ => Content::Sectors(Arc::new(self)),
        }
    }
}

impl SectorSource for Part {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        self.source.read_at(self.offset + offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let found = self.source.next_extent(self.offset.checked_add(offset)?)?;
        let end = found.end().min(self.offset + self.len);
        Extent::new(found.start().checked_sub(self.offset)?, end.checked_sub(self.offset)?)
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let left = self.len.checked_sub(offset)?;
        let (path, at, len) = self.source.file_range_at(self.offset.checked_add(offset)?)?;
        Some((path, at, len.min(left)))
    }
}

/// A piece of a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it lies in the file.
    pub at: u64,
    /// How many bytes.
    pub len: u64,
}

/// A sparse file: its pieces lie in the archive one after the other.
pub struct Pieces {
    source: Arc<dyn SectorSource>,
    len: u64,
    /// In order, not overlapping, none of them empty; with the place in the archive.
    pieces: Box<[(Extent, u64)]>,
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pieces({} bytes, {} pieces)", self.len, self.pieces.len())
    }
}

impl Pieces {
    /// A file of `len` bytes whose pieces lie in `stored`. None if the pieces are out of order, go
    /// beyond the file's end, or do not fill `stored`.
    #[must_use]
    pub fn new(stored: &Part, len: u64, map: &[Piece]) -> Option<Self> {
        let (mut before, mut from) = (0, 0u64);
        let mut pieces = Vec::with_capacity(map.len());
        for piece in map {
            let end = piece.at.checked_add(piece.len)?;
            if piece.at < before || end > len {
                return None;
            }
            before = end;
            if let Some(extent) = Extent::new(piece.at, end) {
                pieces.push((extent, stored.offset.checked_add(from)?));
            }
            from = from.checked_add(piece.len)?;
        }
        let source = Arc::clone(&stored.source);
        (from == stored.len).then(|| Self { source, len, pieces: pieces.into() })
    }

    /// The pieces that end behind `offset`.
    fn behind(&self, offset: u64) -> &[(Extent, u64)] {
        let first = self.pieces.partition_point(|(extent, _)| extent.end() <= offset);
        self.pieces.get(first..).unwrap_or_default()
    }
}

impl SectorSource for Pieces {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = within(self.len, offset, buffer.len(), Kind::Damaged)?;
        buffer.fill(0);
        let Some(wanted) = Extent::new(offset, end) else { return Ok(()) };
        for (extent, from) in self.behind(offset) {
            let Some(both) = extent.intersect(wanted) else { break };
            // OK to cast: both lie inside the buffer.
            let range = (both.start() - offset) as usize..(both.end() - offset) as usize;
            let part = buffer.get_mut(range).unwrap_or_default();
            self.source.read_at(from + (both.start() - extent.start()), part)?;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        for (extent, from) in self.behind(offset) {
            let start = extent.start().max(offset);
            let inner = self.source.next_extent(from + (start - extent.start()))?;
            // What the archive's own file leaves out is a hole, too.
            let begin = extent.start().checked_add(inner.start().checked_sub(*from)?)?;
            let end = extent.start().checked_add(inner.end().checked_sub(*from)?)?;
            let found = Extent::new(begin.max(start), end.min(extent.end()));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let (extent, from) = self.behind(offset).first()?;
        let inside = offset.checked_sub(extent.start())?;
        let (path, at, len) = self.source.file_range_at(from + inside)?;
        Some((path, at, len.min(extent.len() - inside)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    fn part(offset: u64, len: u64) -> Result<Part, Error> {
        Part::new(Arc::new(ByteSource::new(&b"0123456789"[..])), offset, len)
    }

    #[test]
    fn a_part_ends_where_it_should() {
        let body = part(3, 4).unwrap();
        let mut bytes = [0; 4];
        body.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"3456");
        assert!(body.read_at(1, &mut bytes).is_err());
        assert_eq!(body.extents().collect::<Vec<_>>(), [Extent::new(0, 4).unwrap()]);
        assert!(part(7, 4).is_err());
        assert!(part(u64::MAX, 2).is_err());
        assert!(part(10, 0).unwrap().content().is_empty());
    }

    #[test]
    fn pieces_are_put_where_they_belong() {
        let map = [Piece { at: 2, len: 3 }, Piece { at: 5, len: 0 }, Piece { at: 8, len: 1 }];
        let sparse = Pieces::new(&part(1, 4).unwrap(), 12, &map).unwrap();
        let whole = b"\0\x00123\0\0\x004\0\0\0";
        for start in 0..=12 {
            for end in start..=12 {
                let mut bytes = vec![0xff; end - start];
                sparse.read_at(start as u64, &mut bytes).unwrap();
                assert_eq!(bytes, &whole[start..end]);
            }
        }
        let covered: Vec<_> = sparse.extents().flat_map(Extent::range).collect();
        assert_eq!(covered, [2, 3, 4, 8]);
    }

    #[test]
    fn maps_that_lie_are_refused() {
        let piece = |at, len| Piece { at, len };
        for bad in [
            vec![piece(0, 3)],
            vec![piece(0, 5)],
            vec![piece(5, 2), piece(0, 2)],
            vec![piece(0, 2), piece(1, 2)],
            vec![piece(9, 4)],
            vec![piece(u64::MAX, 4)],
            vec![piece(0, u64::MAX), piece(0, 5)],
        ] {
            assert!(Pieces::new(&part(0, 4).unwrap(), 12, &bad).is_none(), "{bad:?}");
        }
    }
}
