//! A medium that is longer than what it holds, zero behind it.
//!
//! Does not copy. Invariant: the first bytes are those of the inner medium, all others are zero.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::{Error, Extent, Kind, SectorSource, within};

/// A medium followed by zeros.
#[derive(Clone, Debug)]
pub struct Padded {
    inner: Arc<dyn SectorSource>,
    len: u64,
}

impl Padded {
    /// `inner`, made `len` bytes long. A length that would cut it off is refused.
    pub fn new(inner: Arc<dyn SectorSource>, len: u64) -> Result<Self, Error> {
        if len < inner.len() {
            let message = format!("a medium of {} bytes cannot be cut to {len}", inner.len());
            return Err(Error::new(Kind::Document, message));
        }
        Ok(Self { inner, len })
    }
}

impl SectorSource for Padded {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        let held = self.inner.len().saturating_sub(offset).min(buffer.len() as u64);
        // OK to cast: at most the length of the buffer.
        let (front, behind) = buffer.split_at_mut(held as usize);
        behind.fill(0);
        if front.is_empty() { Ok(()) } else { self.inner.read_at(offset, front) }
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        self.inner.next_extent(offset)
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        self.inner.file_range_at(offset)
    }

    fn whole_file(&self) -> Option<&File> {
        self.inner.whole_file().filter(|_| self.len == self.inner.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ByteSource;
    use super::*;

    fn padded(len: u64) -> Result<Padded, Error> {
        Padded::new(Arc::new(ByteSource::new(&b"0123456789"[..])), len)
    }

    #[test]
    fn zeros_follow_and_nothing_follows_them() {
        let source = padded(16).unwrap();
        for (offset, expected) in [
            (0, &b"0123456789\0\0\0\0\0\0"[..]),
            (8, b"89\0\0"),
            (9, b"9"),
            (10, b"\0\0\0\0\0\0"),
            (15, b"\0"),
            (16, b""),
        ] {
            let mut buffer = vec![0xFF; expected.len()];
            source.read_at(offset, &mut buffer).unwrap();
            assert_eq!(buffer, expected, "at {offset}");
        }
        for (offset, len) in [(15, 2), (17, 0), (16, 1), (u64::MAX, 2)] {
            assert!(source.read_at(offset, &mut vec![0; len]).is_err(), "{len} at {offset}");
        }
    }

    #[test]
    fn only_the_inner_medium_is_an_extent() {
        let source = padded(1 << 20).unwrap();
        assert_eq!(source.len(), 1 << 20);
        assert_eq!(source.extents().collect::<Vec<_>>(), [Extent::new(0, 10).unwrap()]);
    }

    #[test]
    fn nothing_is_cut_off() {
        assert!(padded(10).is_ok());
        let error = padded(9).unwrap_err();
        assert_eq!(error.to_string(), "a medium of 10 bytes cannot be cut to 9");
    }
}
