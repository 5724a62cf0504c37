//! Counts the references to a window of host clusters.
//!
//! Reads nothing. Invariant: memory is two bytes per cluster of the window.

use std::ops::Range;

use super::geometry::Geometry;

/// References counted so far; 65535 means that many or more.
pub(super) struct Tally {
    geometry: Geometry,
    file: u64,
    window: Range<u64>,
    counts: Vec<u16>,
}

impl Tally {
    /// Counts references to the clusters of `window` in a file of this many bytes.
    pub(super) fn new(geometry: Geometry, file: u64, window: Range<u64>) -> Self {
        let counts = vec![0; (window.end - window.start) as usize];
        Self { geometry, file, window, counts }
    }

    /// Counts a reference to each cluster that these bytes touch. Bytes that go beyond the end of
    /// the file by a cluster or more are refused, as nothing is there.
    pub(super) fn refer(&mut self, offset: u64, len: u64) -> Result<(), String> {
        let cluster = self.geometry.cluster();
        if len == 0 {
            return Ok(());
        }
        let end = offset.checked_add(len).filter(|end| end.saturating_sub(self.file) < cluster);
        let Some(end) = end else {
            return Err(format!(
                "offset {offset} goes beyond the end of the file at {}",
                self.file
            ));
        };
        let first = (offset / cluster).max(self.window.start);
        let last = ((end - 1) / cluster + 1).min(self.window.end);
        if first < last {
            let from = (first - self.window.start) as usize;
            let to = (last - self.window.start) as usize;
            for count in self.counts.get_mut(from..to).unwrap_or_default() {
                *count = count.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Each cluster with its offset and its references.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let cluster = self.geometry.cluster();
        self.window
            .clone()
            .zip(&self.counts)
            .map(move |(n, count)| (n, n * cluster, (*count).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_count_in_their_window_and_in_the_file() {
        let geometry = Geometry::new(9, 1 << 20).unwrap();
        let mut tally = Tally::new(geometry, 10 * 512 - 100, 2..10);
        for (offset, len) in [(0, 1), (512, 1024), (1100, 500), (9 * 512, 512), (5000, 300)] {
            tally.refer(offset, len).unwrap();
        }
        let counts: Vec<_> = tally.iter().map(|(_, _, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 2]);
        assert_eq!(tally.iter().next(), Some((2, 1024, 2)));
        for (offset, len) in [(10 * 512, 512), (5000, 700), (u64::MAX, 2), (1 << 60, 512)] {
            assert!(tally.refer(offset, len).is_err(), "{offset}");
        }
        for _ in 0..70_000 {
            tally.refer(1024, 1).unwrap();
        }
        assert_eq!(tally.iter().next(), Some((2, 1024, 65_535)));
    }
}
