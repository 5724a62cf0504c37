//! The few tables that were used last.
//!
//! Reads nothing. Invariant: holds at most `MOST` values, so at most that many clusters.

use std::collections::VecDeque;
use std::sync::Arc;

use zerocopy::big_endian::U64;

/// Tables kept.
const MOST: usize = 4;

/// A table of 8-byte numbers.
pub(super) type Table = Arc<[U64]>;

/// Tables by their offset in the file, the one used last in front.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(u64, Table)>);

impl Recent {
    pub(super) fn get(&mut self, offset: u64) -> Option<Table> {
        let at = self.0.iter().position(|(known, _)| *known == offset)?;
        let found = self.0.remove(at)?;
        let table = Arc::clone(&found.1);
        self.0.push_front(found);
        Some(table)
    }

    /// Makes room for a table that is about to be read.
    pub(super) fn make_room(&mut self) {
        self.0.truncate(MOST - 1);
    }

    pub(super) fn put(&mut self, offset: u64, table: Table) {
        self.make_room();
        self.0.push_front((offset, table));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let mut recent = Recent::default();
        let table = |n: u64| -> Table { Arc::from([U64::new(n)]) };
        for n in 0..4 {
            recent.put(n, table(n));
        }
        assert_eq!(recent.get(0).unwrap()[0].get(), 0);
        recent.put(9, table(9));
        assert!(recent.get(1).is_none());
        for n in [0, 2, 3, 9] {
            assert_eq!(recent.get(n).unwrap()[0].get(), n);
        }
    }
}
