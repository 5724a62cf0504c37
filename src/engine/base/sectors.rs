//! The pull side of every writer: a medium whose bytes can be read at any offset, by many threads.
//!
//! Does not write. Invariant: bytes outside `extents` are zero; `read_at` inside the length either
//! fills the whole buffer or fails.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::{Error, Extent, Kind};

/// A medium to read from.
pub trait SectorSource: Send + Sync + fmt::Debug {
    /// Number of bytes.
    fn len(&self) -> u64;

    /// Whether the medium has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` from `offset`. Reading beyond the end is an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// The first extent that ends after `offset`, cut to begin not before it. Outside of extents
    /// all bytes are zero; inside they may be.
    fn next_extent(&self, offset: u64) -> Option<Extent>;

    /// All extents in order, not touching each other.
    fn extents(&self) -> Box<dyn Iterator<Item = Extent> + '_> {
        let mut at = 0;
        Box::new(std::iter::from_fn(move || {
            let extent = self.next_extent(at)?;
            at = extent.end();
            Some(extent)
        }))
    }

    /// The file and offset at which the bytes from `offset` on lie, and for how many bytes: lets a
    /// writer copy in the kernel. None where the bytes are not in a file.
    fn file_range_at(&self, _offset: u64) -> Option<(&Path, u64, u64)> {
        None
    }

    /// The open file whose bytes are exactly those of the medium: lets a writer share its blocks.
    fn whole_file(&self) -> Option<&File> {
        None
    }
}

/// Bytes in memory as a medium.
#[derive(Clone)]
pub struct ByteSource(Arc<[u8]>);

impl ByteSource {
    /// A medium that holds `bytes`.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for ByteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteSource({} bytes)", self.0.len())
    }
}

impl SectorSource for ByteSource {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        read_exact_at(&self.0, offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        Extent::new(offset, self.len())
    }
}

/// The end of `wanted` bytes from `offset` on, if a medium of `len` bytes has them; `kind` is what
/// sort of failure it is if not.
pub fn within(len: u64, offset: u64, wanted: usize, kind: Kind) -> Result<u64, Error> {
    let end = offset.checked_add(wanted as u64).filter(|end| *end <= len);
    end.ok_or_else(|| {
        let message =
            format!("reading {wanted} bytes at offset {offset} goes beyond the end at {len}");
        Error::new(kind, message)
    })
}

/// Copies `bytes[offset..]` into all of `buffer`; fails where that goes beyond the end.
pub fn read_exact_at(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
    let end = within(bytes.len() as u64, offset, buffer.len(), Kind::Damaged)?;
    // Both fit: they are not behind the end of what lies in memory.
    buffer.copy_from_slice(bytes.get(offset as usize..end as usize).unwrap_or_default());
    Ok(())
}

/// Copies what `bytes` has from `offset` on to the front of `buffer`; the rest of it stays.
pub fn copy_held(bytes: &[u8], offset: u64, buffer: &mut [u8]) {
    let held = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
    let held = held.unwrap_or_default();
    let len = held.len().min(buffer.len());
    let (into, _) = buffer.split_at_mut(len);
    into.copy_from_slice(held.get(..len).unwrap_or_default());
}

/// Whether all bytes are zero. Checks 16 bytes at a time.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().all(|chunk| u128::from_ne_bytes(*chunk) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_source_reads_exactly_or_fails() {
        let source = ByteSource::new(&b"0123456789"[..]);
        let mut buffer = [0; 4];
        source.read_at(6, &mut buffer).unwrap();
        assert_eq!(&buffer, b"6789");
        for offset in [7, 10, u64::MAX - 1, u64::MAX] {
            assert!(source.read_at(offset, &mut buffer).is_err(), "{offset}");
        }
        assert_eq!(source.extents().collect::<Vec<_>>(), [Extent::new(0, 10).unwrap()]);
    }

    #[test]
    fn what_is_held_is_copied_and_the_rest_stays() {
        for (offset, wanted) in
            [(0, *b"0123"), (2, *b"23__"), (3, *b"3___"), (4, *b"____"), (u64::MAX, *b"____")]
        {
            let mut buffer = *b"____";
            copy_held(&b"0123"[..], offset, &mut buffer);
            assert_eq!(buffer, wanted, "{offset}");
        }
        let mut buffer = *b"__";
        copy_held(b"0123", 1, &mut buffer);
        assert_eq!(&buffer, b"12");
    }

    #[test]
    fn one_set_bit_anywhere_is_not_zero() {
        for len in [0, 1, 15, 16, 17, 512, 4097] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }
}
