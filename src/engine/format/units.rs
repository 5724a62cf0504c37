//! Walks a medium in whole units and finds those that are not zero: what every writer does first.
//!
//! Writes nothing. Invariant: every unit that holds a non-zero byte is seen exactly once, in order.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::engine::base::{Error, Extent, Progress, SectorSource, is_zero};
use crate::engine::codec::ordered;

/// Batches of units that may hold something other than zeros. A batch begins at a multiple of the
/// unit and ends at one or at the end of the medium.
#[derive(Debug)]
pub(super) struct Batches<'a> {
    source: &'a dyn SectorSource,
    unit: u64,
    batch: u64,
    at: u64,
    ahead: Option<Extent>,
}

impl<'a> Batches<'a> {
    /// Batches of at most `batch` bytes, a multiple of `unit`.
    pub(super) fn new(source: &'a dyn SectorSource, unit: u64, batch: u64) -> Self {
        debug_assert!(batch.is_multiple_of(unit));
        Self { source, unit, batch, at: 0, ahead: None }
    }

    /// The next extent of the source: what is left of the last one, or a new one behind `after`.
    fn pull(&mut self, after: u64) -> Option<Extent> {
        let found = self.ahead.take().or_else(|| self.source.next_extent(after))?;
        Extent::new(found.start().max(after), found.end().min(self.source.len()))
    }
}

impl Iterator for Batches<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let (len, unit, batch) = (self.source.len(), self.unit, self.batch);
        let round_up = |at: u64| at.checked_next_multiple_of(unit).map_or(len, |e| e.min(len));
        let first = self.pull(self.at)?;
        let start = first.start() / unit * unit;
        let limit = start.saturating_add(batch).min(len);
        let mut covered = first;
        let mut end = round_up(covered.end()).min(limit);
        // Extents that lie in the next unit belong to the same batch.
        while end < limit && covered.end() <= end {
            let Some(next) = self.pull(end) else { break };
            if next.start() / unit * unit > end {
                self.ahead = Some(next);
                break;
            }
            covered = next;
            end = round_up(covered.end()).min(limit);
        }
        if covered.end() > end {
            self.ahead = Extent::new(end, covered.end());
        }
        self.at = end;
        Extent::new(start, end)
    }
}

/// The runs of consecutive units of `bytes` that are not all zero; the last unit may be short.
pub(super) fn data_runs(bytes: &[u8], unit: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let zero = |at: usize| bytes.get(at..bytes.len().min(at + unit)).is_none_or(is_zero);
        while at < bytes.len() && zero(at) {
            at += unit;
        }
        let start = at;
        while at < bytes.len() && !zero(at) {
            at += unit;
        }
        (start < bytes.len()).then(|| start..at.min(bytes.len()))
    })
}

/// How a medium is read ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// What is told apart as zero or not.
    pub(super) unit: u64,
    /// Bytes read at once, a multiple of the unit.
    pub(super) batch: u64,
    /// Bytes of 0xff in front of each part, for whoever writes them with it.
    pub(super) head: usize,
    /// Threads that read.
    pub(super) threads: usize,
}

/// A part of a medium.
pub(super) struct Part {
    pub(super) extent: Extent,
    /// The head, and the bytes.
    pub(super) buffer: Vec<u8>,
    /// The runs of units that are not zero, counted behind the head.
    pub(super) runs: Vec<Range<usize>>,
}

/// Reads what may hold data on other threads and hands it to `each` on this one, in order, so that
/// reading and writing overlap. All of the medium is counted as progress.
pub(super) fn read_ahead(
    source: &dyn SectorSource,
    ahead: Ahead,
    progress: &dyn Progress,
    mut each: impl FnMut(&Part) -> Result<(), Error>,
) -> Result<(), Error> {
    let Ahead { unit, batch, head, threads } = ahead;
    // Fresh memory costs as much as copying, so buffers are used again.
    let spare: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let spare = || spare.lock().unwrap_or_else(PoisonError::into_inner);
    let mut done = 0;
    ordered(
        threads,
        Batches::new(source, unit, batch),
        || Ok(()),
        |(), extent| {
            let recycled = spare().pop();
            let mut buffer = recycled.unwrap_or_else(|| vec![0xff; head]);
            buffer.resize(head + extent.len() as usize, 0);
            let data = buffer.get_mut(head..).unwrap_or_default();
            source.read_at(extent.start(), data)?;
            let runs = data_runs(data, unit as usize).collect();
            Ok(Part { extent, buffer, runs })
        },
        |part| {
            each(&part)?;
            progress.advance(part.extent.end() - done)?;
            done = part.extent.end();
            spare().push(part.buffer);
            Ok(())
        },
    )?;
    progress.advance(source.len() - done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::Error;

    #[derive(Debug)]
    struct Map {
        len: u64,
        extents: Vec<(u64, u64)>,
    }

    impl SectorSource for Map {
        fn len(&self) -> u64 {
            self.len
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), Error> {
            unreachable!("batches are found without reading")
        }

        fn next_extent(&self, offset: u64) -> Option<Extent> {
            let (start, end) = *self.extents.iter().find(|(_, end)| *end > offset)?;
            Extent::new(start.max(offset), end)
        }
    }

    fn batches(len: u64, extents: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let map = Map { len, extents: extents.to_vec() };
        Batches::new(&map, 10, 40).map(|e| (e.start(), e.end())).collect()
    }

    #[test]
    fn batches_are_whole_units_and_bounded() {
        assert_eq!(batches(100, &[]), []);
        assert_eq!(batches(5, &[(0, 5)]), [(0, 5)]);
        assert_eq!(batches(105, &[(0, 105)]), [(0, 40), (40, 80), (80, 105)]);
        assert_eq!(batches(100, &[(3, 4), (8, 9), (12, 13), (35, 36)]), [(0, 20), (30, 40)]);
        assert_eq!(batches(100, &[(9, 11), (19, 21), (99, 100)]), [(0, 30), (90, 100)]);
        assert_eq!(batches(100, &[(5, 95)]), [(0, 40), (40, 80), (80, 100)]);
        assert_eq!(batches(100, &[(38, 42), (42, 45), (50, 51)]), [(30, 60)]);
        assert_eq!(batches(100, &[(0, 38), (39, 62), (71, 72)]), [(0, 40), (40, 80)]);
    }

    #[test]
    fn a_source_that_claims_more_than_its_length_is_cut() {
        assert_eq!(batches(25, &[(20, 1000)]), [(20, 25)]);
        assert_eq!(batches(25, &[(30, 1000)]), []);
    }

    #[test]
    fn runs_are_maximal_and_skip_zero_units() {
        let runs = |bytes: &[u8]| -> Vec<(usize, usize)> {
            data_runs(bytes, 4).map(|run| (run.start, run.end)).collect()
        };
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[0; 9]), []);
        assert_eq!(runs(&[0, 0, 0, 1]), [(0, 4)]);
        assert_eq!(runs(&[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2]), [(4, 11)]);
        assert_eq!(runs(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 3]), [(0, 4), (8, 10)]);
    }
}
