//! Compares two media byte by byte, whatever formats they come from.
//!
//! Reads what at least one of them does not call a hole. Invariant: the answer depends on the bytes
//! alone, not on holes or the number of threads.

use std::sync::Arc;

use super::units::Batches;
use crate::engine::base::{Error, Extent, Padded, SectorSource, Work, is_zero};
use crate::engine::codec::ordered;

/// Bytes read at once from each.
const BATCH: u64 = 1 << 20;

/// Both media, for the walk over what either has.
#[derive(Debug)]
struct Both {
    one: Padded,
    other: Padded,
}

impl SectorSource for Both {
    fn len(&self) -> u64 {
        self.one.len()
    }

    /// Reads the first one: only the walk uses this.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.one.read_at(offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        match (self.one.next_extent(offset), self.other.next_extent(offset)) {
            (Some(one), Some(other)) => {
                let (first, second) =
                    if one.start() <= other.start() { (one, other) } else { (other, one) };
                let touch = second.start() <= first.end();
                let end = if touch { first.end().max(second.end()) } else { first.end() };
                Extent::new(first.start(), end)
            }
            (one, other) => one.or(other),
        }
    }
}

/// The offset of the first byte that is not the same in both. The shorter one counts as zero behind
/// its end.
pub fn first_difference(
    one: Arc<dyn SectorSource>,
    other: Arc<dyn SectorSource>,
    work: &Work<'_>,
) -> Result<Option<u64>, Error> {
    let len = one.len().max(other.len());
    let both = Both { one: Padded::new(one, len)?, other: Padded::new(other, len)? };
    work.progress.begin("comparing", len);
    let (mut found, mut done) = (None, 0);
    let batches = Batches::new(&both, 4096, BATCH);
    let buffers = || Ok((Vec::new(), Vec::new()));
    let result = ordered(
        work.threads(),
        batches,
        buffers,
        |(left, right), batch| {
            left.resize(batch.len() as usize, 0);
            right.resize(batch.len() as usize, 0);
            both.one.read_at(batch.start(), left)?;
            both.other.read_at(batch.start(), right)?;
            Ok((batch, difference(left, right).map(|at| batch.start() + at as u64)))
        },
        |(batch, difference)| {
            work.progress.advance(batch.end() - done)?;
            done = batch.end();
            found = difference;
            match found {
                // The first error ends the walk.
                Some(_) => Err(Error::new(crate::engine::base::Kind::Cancelled, "found")),
                None => Ok(()),
            }
        },
    );
    match found {
        Some(at) => Ok(Some(at)),
        None => result.and_then(|()| work.progress.advance(len - done)).map(|()| None),
    }
}

/// The index of the first byte that differs; both have the same length.
fn difference(left: &[u8], right: &[u8]) -> Option<usize> {
    if left == right {
        return None;
    }
    left.iter().zip(right).position(|(left, right)| left != right)
}

/// The offset of the last byte from `from` on that is not zero.
pub fn last_data(
    source: &dyn SectorSource,
    from: u64,
    work: &Work<'_>,
) -> Result<Option<u64>, Error> {
    work.progress.begin("looking for data", source.len().saturating_sub(from));
    let (mut last, mut at) = (None, from);
    let mut buffer = Vec::new();
    while let Some(extent) = source.next_extent(at).filter(|e| e.start() < source.len()) {
        let end = extent.end().min(source.len());
        let before = at;
        at = extent.start();
        while at < end {
            buffer.resize((end - at).min(BATCH) as usize, 0);
            source.read_at(at, &mut buffer)?;
            if !is_zero(&buffer) {
                let index = buffer.iter().rposition(|byte| *byte != 0).unwrap_or_default();
                last = Some(at + index as u64);
            }
            at += buffer.len() as u64;
        }
        work.progress.advance(at - before)?;
    }
    work.progress.advance(source.len().saturating_sub(at))?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::{ByteSource, Silent};

    fn medium(len: usize, set: &[usize]) -> Arc<dyn SectorSource> {
        let mut bytes = vec![0; len];
        set.iter().for_each(|at| bytes[*at] = 7);
        Arc::new(ByteSource::new(bytes))
    }

    fn compared(one: &Arc<dyn SectorSource>, other: &Arc<dyn SectorSource>) -> Option<u64> {
        let answers = [1, 3].map(|threads| {
            let work = Work { threads, progress: &Silent };
            let there = first_difference(Arc::clone(one), Arc::clone(other), &work).unwrap();
            let back = first_difference(Arc::clone(other), Arc::clone(one), &work).unwrap();
            assert_eq!(there, back);
            there
        });
        assert_eq!(answers[0], answers[1]);
        answers[0]
    }

    #[test]
    fn the_first_difference_is_found() {
        let one = medium(5 << 20, &[3, 1 << 20, 4_500_000]);
        assert_eq!(compared(&one, &one), None);
        assert_eq!(compared(&one, &medium(5 << 20, &[3, 1 << 20])), Some(4_500_000));
        assert_eq!(compared(&one, &medium(5 << 20, &[1 << 20, 4_500_000])), Some(3));
        assert_eq!(compared(&one, &medium(5 << 20, &[3, 4_500_000, 4_500_001])), Some(1 << 20));
    }

    #[test]
    fn a_zero_tail_is_no_difference() {
        let short = medium(1000, &[3]);
        assert_eq!(compared(&short, &medium(3 << 20, &[3])), None);
        assert_eq!(compared(&short, &medium(3 << 20, &[3, 1000])), Some(1000));
        assert_eq!(compared(&medium(0, &[]), &medium(5, &[4])), Some(4));
    }

    #[test]
    fn the_last_data_is_found_from_an_offset_on() {
        let work = Work { threads: 1, progress: &Silent };
        let medium = medium(3 << 20, &[9, 2_000_000]);
        assert_eq!(last_data(&*medium, 0, &work).unwrap(), Some(2_000_000));
        assert_eq!(last_data(&*medium, 2_000_000, &work).unwrap(), Some(2_000_000));
        assert_eq!(last_data(&*medium, 2_000_001, &work).unwrap(), None);
    }
}
