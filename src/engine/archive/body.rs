//! Bodies of members: parts of an archive as media of their own, by reference.
//!
//! Copies nothing. Invariant: a body never yields a byte outside of its archive; between the pieces
//! of a sparse one there are zeros that nobody reads.

use std::path::Path;
use std::sync::Arc;

use crate::engine::base::{Content, Error, Extent, Kind, Pieced, SectorSource, within};

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

/// A sparse file of `len` bytes whose pieces lie in `stored` one after the other. None if the pieces
/// are out of order, go beyond the file's end, or do not fill `stored`.
#[must_use]
pub fn sparse(stored: &Part, len: u64, map: &[Piece]) -> Option<Pieced> {
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
    (from == stored.len).then(|| Pieced::new(Arc::clone(&stored.source), len, pieces))
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
        let file = sparse(&part(1, 4).unwrap(), 12, &map).unwrap();
        let whole = b"\0\x00123\0\0\x004\0\0\0";
        for start in 0..=12 {
            for end in start..=12 {
                let mut bytes = vec![0xff; end - start];
                file.read_at(start as u64, &mut bytes).unwrap();
                assert_eq!(bytes, &whole[start..end]);
            }
        }
        let covered: Vec<_> = file.extents().flat_map(Extent::range).collect();
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
            assert!(sparse(&part(0, 4).unwrap(), 12, &bad).is_none(), "{bad:?}");
        }
    }
}
