//! A file with the sectors of its log in their places: what replaying the log would make of it.
//!
//! Writes nothing to the file. Invariants: patches never overlap each other, a later one wins; the
//! sectors stay in the buffer of the log, so memory is that buffer and less than 100 bytes for each
//! patch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::ondisk::LOG_SECTOR;
use crate::engine::base::{Error, Extent, Kind, SectorSource, within};

/// What lies over a range of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch {
    /// Zeros.
    Zero,
    /// A sector of the log, with the first and last bytes that were taken out of it.
    Sector { at: usize, leading: [u8; 8], trailing: [u8; 4] },
}

/// A file under the patches of its log.
pub(super) struct Overlay {
    inner: Arc<dyn SectorSource>,
    len: u64,
    log: Vec<u8>,
    /// Start, to end and patch.
    patches: BTreeMap<u64, (u64, Patch)>,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("patches", &self.patches.len()).finish_non_exhaustive()
    }
}

impl Overlay {
    /// `inner` made at least `len` bytes long, without patches yet.
    pub(super) fn new(inner: Arc<dyn SectorSource>, len: u64, log: Vec<u8>) -> Self {
        let len = len.max(inner.len());
        Self { inner, len, log, patches: BTreeMap::new() }
    }

    /// Lays `patch` over `start..end`, and over all patches that are there already. A sector is
    /// never cut: all ranges are whole sectors.
    pub(super) fn lay(&mut self, extent: Extent, patch: Patch) {
        let (start, end) = (extent.start(), extent.end());
        // Only zeros are longer than a sector, so only they stick out at either side.
        if let Some((_, (before, _))) = self.patches.range_mut(..start).next_back()
            && *before > start
        {
            let behind = std::mem::replace(before, start);
            if behind > end {
                self.patches.insert(end, (behind, Patch::Zero));
            }
        }
        while let Some((&from, &(to, _))) = self.patches.range(start..end).next() {
            self.patches.remove(&from);
            if to > end {
                self.patches.insert(end, (to, Patch::Zero));
            }
        }
        self.patches.insert(start, (end, patch));
        self.len = self.len.max(end);
    }

    /// The first patch that ends after `offset`.
    fn patch_from(&self, offset: u64) -> Option<(Extent, Patch)> {
        let before = self.patches.range(..=offset).next_back().filter(|(_, (to, _))| *to > offset);
        let (&from, &(to, patch)) = before.or_else(|| self.patches.range(offset..).next())?;
        Some((Extent::new(from, to)?, patch))
    }

    /// Fills `part` from the file as it is; zeros behind its end.
    fn read_inner(&self, offset: u64, part: &mut [u8]) -> Result<(), Error> {
        let there = self.inner.len().saturating_sub(offset).min(part.len() as u64);
        // OK to cast: at most the length of the buffer.
        let (read, behind) = part.split_at_mut(there as usize);
        behind.fill(0);
        if read.is_empty() { Ok(()) } else { self.inner.read_at(offset, read) }
    }

    /// Fills `part` from byte `from` of a patch on.
    fn read_patch(&self, patch: Patch, from: usize, part: &mut [u8]) {
        match patch {
            Patch::Zero => part.fill(0),
            Patch::Sector { at, leading, trailing } => {
                let mut sector = [0; LOG_SECTOR];
                if let Some(stored) = self.log.get(at..at + LOG_SECTOR) {
                    sector.copy_from_slice(stored);
                }
                let (first, rest) = sector.split_at_mut(leading.len());
                first.copy_from_slice(&leading);
                if let Some(last) = rest.last_chunk_mut::<4>() {
                    *last = trailing;
                }
                if let Some(wanted) = sector.get(from..from + part.len()) {
                    part.copy_from_slice(wanted);
                }
            }
        }
    }
}

impl SectorSource for Overlay {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let end = at + rest.len() as u64;
            let patch = self.patch_from(at).filter(|(over, _)| over.start() < end);
            let stop = patch.map_or(end, |(over, _)| {
                if over.start() > at { over.start() } else { over.end().min(end) }
            });
            // OK to cast: at most the length of the buffer.
            let (part, behind) = rest.split_at_mut((stop - at) as usize);
            match patch {
                Some((over, patch)) if over.start() <= at => {
                    // OK to cast: only zeros are longer than a sector, and they do not ask.
                    self.read_patch(patch, (at - over.start()) as usize, part);
                }
                _ => self.read_inner(at, part)?,
            }
            at = stop;
            rest = behind;
        }
        Ok(())
    }

    /// What is patched to zero counts as data if the file has data there.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let inner = self.inner.next_extent(offset);
        let mut at = offset;
        let sector = loop {
            match self.patch_from(at) {
                None => break None,
                Some((over, Patch::Zero)) => at = over.end(),
                Some((over, _)) => break Extent::new(over.start().max(offset), over.end()),
            }
        };
        match (inner, sector) {
            (Some(inner), Some(sector)) => Some(inner.min(sector)),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    const S: u64 = LOG_SECTOR as u64;

    fn over(start: u64, end: u64) -> Extent {
        Extent::new(start * S, end * S).unwrap()
    }

    fn sector(index: usize) -> Patch {
        Patch::Sector { at: index * LOG_SECTOR, leading: *b"leading.", trailing: *b"trai" }
    }

    /// A file of four sectors of ones; a log of two sectors, of twos and threes.
    fn overlay() -> Overlay {
        let log = [vec![2; LOG_SECTOR], vec![3; LOG_SECTOR]].concat();
        Overlay::new(Arc::new(ByteSource::new(vec![1; 4 * LOG_SECTOR])), 0, log)
    }

    /// A byte out of the middle of each sector.
    fn seen(overlay: &Overlay) -> Vec<u8> {
        let mut bytes = vec![0xee; usize::try_from(overlay.len()).unwrap()];
        overlay.read_at(0, &mut bytes).unwrap();
        bytes.chunks(LOG_SECTOR).map(|sector| sector[100]).collect()
    }

    #[test]
    fn later_patches_win() {
        let mut overlay = overlay();
        overlay.lay(over(1, 4), Patch::Zero);
        assert_eq!(seen(&overlay), [1, 0, 0, 0]);
        overlay.lay(over(2, 3), sector(0));
        assert_eq!(seen(&overlay), [1, 0, 2, 0]);
        assert_eq!(overlay.patches.len(), 3);
        overlay.lay(over(2, 3), sector(1));
        overlay.lay(over(5, 6), sector(0));
        assert_eq!(seen(&overlay), [1, 0, 3, 0, 0, 2]);
        overlay.lay(over(2, 6), Patch::Zero);
        assert_eq!(seen(&overlay), [1, 0, 0, 0, 0, 0]);
        overlay.lay(over(0, 1), sector(1));
        overlay.lay(over(0, 5), Patch::Zero);
        assert_eq!(seen(&overlay), [0, 0, 0, 0, 0, 0]);
        assert_eq!(overlay.patches.len(), 2);
    }

    #[test]
    fn sectors_are_whole_again_and_read_in_any_part() {
        let mut overlay = overlay();
        overlay.lay(over(1, 2), sector(0));
        let mut whole = vec![0; 4 * LOG_SECTOR];
        overlay.read_at(0, &mut whole).unwrap();
        assert_eq!(whole[LOG_SECTOR..LOG_SECTOR + 9], *b"leading.\x02");
        assert_eq!(whole[2 * LOG_SECTOR - 5..=2 * LOG_SECTOR], *b"\x02trai\x01");
        for (from, len) in [(0, 1), (4090, 20), (4096, 4096), (8180, 100), (16_383, 1)] {
            let mut part = vec![0; len];
            overlay.read_at(from as u64, &mut part).unwrap();
            assert_eq!(part, whole[from..from + len], "{from}");
        }
        assert!(overlay.read_at(4 * S - 1, &mut [0; 2]).is_err());
    }

    #[test]
    fn sectors_are_extents() {
        let mut overlay = overlay();
        overlay.lay(over(9, 12), Patch::Zero);
        overlay.lay(over(10, 11), sector(0));
        let extents: Vec<_> = overlay.extents().collect();
        assert_eq!(extents, [over(0, 4), over(10, 11)]);
        assert_eq!(overlay.next_extent(10 * S + 7), Extent::new(10 * S + 7, 11 * S));
        assert_eq!(overlay.len(), 12 * S);
    }
}
