//! Reads the reference counts of an untrusted file.
//!
//! Judges only what it follows. Invariants: a block is read only if it lies in the file; memory is
//! the table (at most 8 MiB) and a few blocks.

use zerocopy::IntoBytes as _;
use zerocopy::big_endian::U64;

use super::geometry::{ENTRY, Geometry};
use super::map::read_table;
use super::ondisk::REFCOUNT_OFFSET;
use super::parse::Layout;
use super::recent::Recent;
use crate::engine::base::{Error, SectorSource};

/// The reference counts of a file.
pub(super) struct Refcounts<'a> {
    source: &'a dyn SectorSource,
    geometry: Geometry,
    order: u32,
    table: Vec<U64>,
    recent: Recent,
}

impl<'a> Refcounts<'a> {
    /// Reads the table; what lies behind the end of the file is zero.
    pub(super) fn open(
        source: &'a dyn SectorSource,
        geometry: Geometry,
        layout: &Layout,
    ) -> Result<Self, Error> {
        let bytes = u64::from(layout.refcount_clusters) * geometry.cluster();
        let there = bytes.min(source.len().saturating_sub(layout.refcount_table));
        let mut table = vec![U64::ZERO; (there / ENTRY) as usize];
        source.read_at(layout.refcount_table, table.as_mut_bytes())?;
        let order = layout.refcount_order;
        Ok(Self { source, geometry, order, table, recent: Recent::default() })
    }

    /// The entries of the table that are not zero, with their numbers.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let entries = self.table.iter().map(|entry| entry.get());
        (0..).zip(entries).filter(|(_, entry)| *entry != 0)
    }

    /// Whether the table can point to a block at this offset.
    pub(super) fn is_block(&self, entry: u64) -> bool {
        let cluster = self.geometry.cluster();
        entry & !REFCOUNT_OFFSET == 0
            && entry.is_multiple_of(cluster)
            && entry.checked_add(cluster).is_some_and(|end| end <= self.source.len())
    }

    /// The count of a cluster. Where the table or its block are not to be had, it is 0.
    pub(super) fn count(&mut self, cluster: u64) -> Result<u64, Error> {
        // 8 × cluster bytes ÷ 2^order bits.
        let per_block = (self.geometry.cluster() * 8) >> self.order;
        let index = usize::try_from(cluster / per_block).unwrap_or(usize::MAX);
        let offset = self.table.get(index).map_or(0, |entry| entry.get());
        if offset == 0 || !self.is_block(offset) {
            return Ok(0);
        }
        let block = match self.recent.get(offset) {
            Some(block) => block,
            None => {
                self.recent.make_room();
                let block = read_table(self.source, self.geometry, "refcount block", offset)?;
                self.recent.put(offset, block.clone());
                block
            }
        };
        Ok(count_in(block.as_bytes(), self.order, (cluster % per_block) as usize))
    }
}

/// The count number `index` of a block. Numbers below a byte count from its lowest bit.
fn count_in(block: &[u8], order: u32, index: usize) -> u64 {
    let byte = |at: usize| u64::from(block.get(at).copied().unwrap_or_default());
    if order < 3 {
        let per_byte = 8 >> order;
        let shift = (index % per_byte) << order;
        return byte(index / per_byte) >> shift & ((1 << (1u32 << order)) - 1);
    }
    let width = 1usize << (order - 3);
    (0..width).fold(0, |count, n| count << 8 | byte(index * width + n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_widths() {
        let block = [0b1011_0010, 0x43, 0, 0, 0, 0, 0, 7, 0xff];
        let counts = |order, n| (0..n).map(|i| count_in(&block, order, i)).collect::<Vec<_>>();
        assert_eq!(counts(0, 9), [0, 1, 0, 0, 1, 1, 0, 1, 1]);
        assert_eq!(counts(1, 5), [2, 0, 3, 2, 3]);
        assert_eq!(counts(2, 4), [2, 11, 3, 4]);
        assert_eq!(counts(3, 2), [0xb2, 0x43]);
        assert_eq!(counts(4, 4), [0xb243, 0, 0, 7]);
        assert_eq!(counts(5, 2), [0xb243_0000, 7]);
        assert_eq!(counts(6, 1), [0xb243_0000_0000_0007]);
    }
}
