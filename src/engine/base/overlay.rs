//! A medium with some bytes replaced, and a medium that ends early.
//!
//! Copies nothing but the replaced bytes. Invariant: what is not replaced reads as the inner
//! medium, and an extent never ends behind the medium.

use std::sync::Arc;

use super::{Error, Extent, Kind, SectorSource, read_exact_at, within};

/// A medium with some bytes replaced.
#[derive(Clone, Debug)]
pub struct Overlay {
    inner: Arc<dyn SectorSource>,
    /// In order, not overlapping.
    patches: Vec<Patch>,
}

/// Bytes that are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where they begin.
    pub offset: u64,
    /// What stands there now.
    pub bytes: Vec<u8>,
}

impl Patch {
    fn extent(&self) -> Option<Extent> {
        Extent::new(self.offset, self.offset.checked_add(self.bytes.len() as u64)?)
    }
}

impl Overlay {
    /// `inner` with `patches`, which must lie inside of it and apart from each other.
    pub fn new(inner: Arc<dyn SectorSource>, mut patches: Vec<Patch>) -> Result<Self, Error> {
        patches.retain(|patch| !patch.bytes.is_empty());
        patches.sort_by_key(|patch| patch.offset);
        let mut from = 0;
        for patch in &patches {
            let fits = |extent: &Extent| extent.start() >= from && extent.end() <= inner.len();
            let Some(extent) = patch.extent().filter(fits) else {
                let message = format!(
                    "{} bytes at {} cannot be replaced in a medium of {} bytes",
                    patch.bytes.len(),
                    patch.offset,
                    inner.len()
                );
                return Err(Error::new(Kind::Document, message));
            };
            from = extent.end();
        }
        Ok(Self { inner, patches })
    }

    /// The patches that end behind `offset`.
    fn behind(&self, offset: u64) -> &[Patch] {
        let before = |patch: &Patch| patch.extent().is_none_or(|extent| extent.end() <= offset);
        let first = self.patches.partition_point(before);
        self.patches.get(first..).unwrap_or_default()
    }
}

impl SectorSource for Overlay {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.inner.read_at(offset, buffer)?;
        let Some(wanted) = Extent::new(offset, offset.saturating_add(buffer.len() as u64)) else {
            return Ok(());
        };
        for patch in self.behind(offset) {
            let Some(both) = patch.extent().and_then(|extent| extent.intersect(wanted)) else {
                break;
            };
            // OK to cast: both lie inside the buffer.
            let range = (both.start() - offset) as usize..(both.end() - offset) as usize;
            let part = buffer.get_mut(range).unwrap_or_default();
            read_exact_at(&patch.bytes, both.start() - patch.offset, part)?;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let patch = self.behind(offset).first().and_then(Patch::extent);
        let patch = patch.and_then(|p| Extent::new(p.start().max(offset), p.end()));
        match (self.inner.next_extent(offset), patch) {
            (Some(inner), Some(patch)) if patch.start() <= inner.start() => Some(patch),
            (Some(inner), Some(patch)) => {
                Extent::new(inner.start(), inner.end().min(patch.start()))
            }
            (one, other) => one.or(other),
        }
    }
}

/// The beginning of a medium.
#[derive(Clone, Debug)]
pub struct Cut {
    inner: Arc<dyn SectorSource>,
    len: u64,
}

impl Cut {
    /// The first `len` bytes of `inner`, or all if there are less.
    #[must_use]
    pub fn new(inner: Arc<dyn SectorSource>, len: u64) -> Self {
        let len = len.min(inner.len());
        Self { inner, len }
    }
}

impl SectorSource for Cut {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        self.inner.read_at(offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let extent = self.inner.next_extent(offset)?;
        Extent::new(extent.start(), extent.end().min(self.len))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ByteSource, Padded};
    use super::*;

    fn patch(offset: u64, bytes: &[u8]) -> Patch {
        Patch { offset, bytes: bytes.to_vec() }
    }

    fn letters() -> Arc<dyn SectorSource> {
        let inner = Arc::new(ByteSource::new(&b"0123456789"[..]));
        Arc::new(Padded::new(inner, 20).unwrap())
    }

    fn read(source: &dyn SectorSource, offset: u64, len: usize) -> Vec<u8> {
        let mut buffer = vec![0xff; len];
        source.read_at(offset, &mut buffer).unwrap();
        buffer
    }

    #[test]
    fn patches_are_seen_from_every_side() {
        let patches = vec![patch(15, b"zz"), patch(2, b"ab"), patch(9, b"XY")];
        let medium = Overlay::new(letters(), patches).unwrap();
        let whole = b"01ab45678XY\0\0\0\0zz\0\0\0";
        for start in 0..=20 {
            for end in start..=20 {
                assert_eq!(read(&medium, start as u64, end - start), &whole[start..end]);
            }
        }
        let covered: Vec<_> = medium.extents().flat_map(Extent::range).collect();
        assert_eq!(covered, (0..11).chain(15..17).collect::<Vec<_>>());
    }

    #[test]
    fn patches_outside_and_overlapping_ones_are_refused() {
        for bad in [
            vec![patch(19, b"ab")],
            vec![patch(u64::MAX, b"ab")],
            vec![patch(3, b"abc"), patch(5, b"d")],
        ] {
            assert!(Overlay::new(letters(), bad).is_err());
        }
        assert!(
            Overlay::new(letters(), vec![patch(99, b""), patch(3, b"ab"), patch(5, b"c")]).is_ok()
        );
    }

    #[test]
    fn a_cut_medium_ends() {
        let medium = Cut::new(letters(), 4);
        assert_eq!(medium.len(), 4);
        assert_eq!(read(&medium, 1, 3), b"123");
        assert!(medium.read_at(1, &mut [0; 4]).is_err());
        assert_eq!(medium.extents().collect::<Vec<_>>(), [Extent::new(0, 4).unwrap()]);
        assert_eq!(Cut::new(letters(), 99).len(), 20);
    }
}
