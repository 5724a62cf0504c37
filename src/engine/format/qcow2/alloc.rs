//! Gives host clusters away and counts their references.
//!
//! Writes nothing. Invariants: every cluster below the end has a reference; offsets only grow,
//! except that packed bytes fill up the cluster they began. Memory: two bytes per host cluster
//! (32 KiB per GiB of output).

use super::geometry::{ENTRY, Geometry};
use super::ondisk::MAX_REFCOUNT_TABLE_BYTES;
use crate::engine::base::{Error, Kind};

/// Bytes of a reference count: `refcount_order` 4.
const COUNT: u64 = 2;

/// The host clusters given away so far.
#[derive(Debug)]
pub(super) struct Alloc {
    geometry: Geometry,
    counts: Vec<u16>,
    /// Where the next packed bytes may go.
    packed: u64,
}

/// Where the reference counts lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RefcountPlaces {
    /// Offset of the first block; the others follow it.
    pub(super) blocks: u64,
    /// Number of blocks.
    pub(super) block_count: u64,
    /// Offset of the table, which is behind the blocks.
    pub(super) table: u64,
    /// Clusters of the table.
    pub(super) table_clusters: u64,
}

impl Alloc {
    pub(super) fn new(geometry: Geometry) -> Self {
        Self { geometry, counts: Vec::new(), packed: 0 }
    }

    /// Where the next whole cluster will lie: the length of the file so far.
    pub(super) fn end(&self) -> u64 {
        self.counts.len() as u64 * self.geometry.cluster()
    }

    /// `count` whole clusters in a row, each with one reference.
    pub(super) fn clusters(&mut self, count: u64) -> u64 {
        let at = self.end();
        self.counts.resize(self.counts.len() + count as usize, 1);
        at
    }

    /// `len` bytes, at most a cluster, each touched host cluster with one reference more. They
    /// follow the packed bytes before them if these end in the file's last cluster, or if there
    /// is room in their cluster; a cluster that is not the file's last cannot grow into the next.
    pub(super) fn bytes(&mut self, len: u64) -> u64 {
        let cluster = self.geometry.cluster();
        debug_assert!(len > 0 && len <= cluster);
        let boundary = self.packed.next_multiple_of(cluster);
        let fits = self.packed + len <= boundary || (self.packed > 0 && boundary == self.end());
        let at = if fits { self.packed } else { self.end() };
        self.packed = at + len;
        let first = (at / cluster) as usize;
        let end = self.geometry.clusters_of(self.packed) as usize;
        self.counts.resize(self.counts.len().max(end), 0);
        for count in self.counts.get_mut(first..end).unwrap_or_default() {
            // A compressed cluster has more than one byte, so fewer than 2^16 share a cluster
            // of 64 KiB.
            *count += 1;
        }
        at
    }

    /// Gives away the clusters of the reference counts themselves; nothing may follow.
    ///
    /// `b` blocks count `b × per_block` clusters, `t` clusters of table point to
    /// `t × per_table` blocks, and both count themselves:
    /// `b ≥ (used + b + t) / per_block`, `t ≥ b / per_table`. Both grow from zero to the
    /// smallest solution.
    pub(super) fn refcounts(&mut self) -> Result<RefcountPlaces, Error> {
        let cluster = self.geometry.cluster();
        let (per_block, per_table) = (cluster / COUNT, cluster / ENTRY);
        let used = self.counts.len() as u64;
        let (mut block_count, mut table_clusters) = (0, 0);
        loop {
            let blocks = (used + block_count + table_clusters).div_ceil(per_block);
            let tables = blocks.div_ceil(per_table);
            if (blocks, tables) == (block_count, table_clusters) {
                break;
            }
            (block_count, table_clusters) = (blocks, tables);
        }
        if table_clusters * cluster > MAX_REFCOUNT_TABLE_BYTES.max(cluster) {
            let message = format!(
                "a file of {} bytes needs a refcount table of {} bytes, qcow2 readers accept \
                 {MAX_REFCOUNT_TABLE_BYTES}",
                self.end(),
                table_clusters * cluster
            );
            return Err(Error::new(Kind::Document, message));
        }
        let blocks = self.clusters(block_count);
        let table = self.clusters(table_clusters);
        Ok(RefcountPlaces { blocks, block_count, table, table_clusters })
    }

    /// The reference counts of the host clusters in order, cut into those of each block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &[u16]> {
        self.counts.chunks((self.geometry.cluster() / COUNT) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alloc() -> Alloc {
        Alloc::new(Geometry::new(16, 1 << 30).unwrap())
    }

    #[test]
    fn packed_bytes_count_every_cluster_they_touch() {
        let mut alloc = alloc();
        assert_eq!(alloc.clusters(1), 0);
        assert_eq!(alloc.bytes(40_000), 65_536);
        assert_eq!(alloc.bytes(40_000), 65_536 + 40_000); // into the next cluster
        assert_eq!(alloc.counts, [1, 2, 1]);
        assert_eq!(alloc.clusters(1), 3 * 65_536);
        assert_eq!(alloc.bytes(100), 65_536 + 80_000); // still room there
        assert_eq!(alloc.counts, [1, 2, 2, 1]);
        assert_eq!(alloc.bytes(60_000), 4 * 65_536); // no room, and the next one is taken
        assert_eq!(alloc.bytes(5_536), 4 * 65_536 + 60_000); // up to the boundary exactly
        assert_eq!(alloc.bytes(1_000), 5 * 65_536);
        assert_eq!(alloc.counts, [1, 2, 2, 1, 2, 1]);
    }

    #[test]
    fn refcounts_count_themselves() {
        // 64 KiB clusters: a block counts 32768 clusters.
        for (used, blocks) in [(1, 1), (32_766, 1), (32_767, 2), (65_533, 2), (65_534, 3)] {
            let mut alloc = alloc();
            alloc.clusters(used);
            let places = alloc.refcounts().unwrap();
            assert_eq!((places.block_count, places.table_clusters), (blocks, 1), "{used}");
            assert_eq!(places.blocks, used << 16);
            assert_eq!(places.table, (used + blocks) << 16);
            assert_eq!(alloc.counts.len() as u64, used + blocks + 1);
            assert_eq!(alloc.blocks().count() as u64, blocks);
        }
    }
}
