//! Gives host clusters away and counts their references.
//!
//! Invariants: every cluster below the end has a reference; offsets only grow, except that packed
//! bytes fill up the cluster they began. A refcount block is written as soon as all clusters that
//! it counts are given away, so memory is one block (at most 2 MiB) and the offsets of the blocks
//! (8 bytes for each `cluster²/2` bytes of file, at most 8 MiB).

use zerocopy::IntoBytes as _;
use zerocopy::big_endian::{U16, U64};

use super::geometry::{ENTRY, Geometry};
use super::ondisk::MAX_REFCOUNT_TABLE_BYTES;
use crate::engine::base::{Error, Kind, PositionalSink};

/// Bytes of a reference count: `refcount_order` 4.
const COUNT: u64 = 2;

/// The host clusters given away so far.
pub(super) struct Alloc<'a> {
    geometry: Geometry,
    sink: &'a dyn PositionalSink,
    /// Offsets of the blocks that are written.
    blocks: Vec<U64>,
    /// The counts of the clusters behind those that the blocks count.
    counts: Vec<U16>,
    /// Where the next packed bytes may go; 0 if they need a new cluster.
    packed: u64,
}

/// Where the reference counts lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RefcountPlaces {
    /// Offset of the table.
    pub(super) table: u64,
    /// Clusters of the table.
    pub(super) table_clusters: u64,
}

impl<'a> Alloc<'a> {
    pub(super) fn new(geometry: Geometry, sink: &'a dyn PositionalSink) -> Self {
        Self { geometry, sink, blocks: Vec::new(), counts: Vec::new(), packed: 0 }
    }

    /// The number of counts in a block.
    const fn per_block(&self) -> u64 {
        self.geometry.cluster() / COUNT
    }

    /// The first cluster that no written block counts.
    const fn base(&self) -> u64 {
        self.blocks.len() as u64 * self.per_block()
    }

    /// Where the next whole cluster will lie: the length of the file so far.
    pub(super) const fn end(&self) -> u64 {
        (self.base() + self.counts.len() as u64) * self.geometry.cluster()
    }

    /// `count` whole clusters in a row, each with one reference.
    pub(super) fn clusters(&mut self, count: u64) -> Result<u64, Error> {
        let at = self.grow(count);
        self.settle()?;
        Ok(at)
    }

    fn grow(&mut self, count: u64) -> u64 {
        let at = self.end();
        self.counts.resize(self.counts.len() + count as usize, U16::new(1));
        at
    }

    /// `len` bytes, at most a cluster, each touched host cluster with one reference more. They
    /// follow the packed bytes before them if these end in the file's last cluster, or if there
    /// is room in their cluster; a cluster that is not the file's last cannot grow into the next.
    pub(super) fn bytes(&mut self, len: u64) -> Result<u64, Error> {
        let cluster = self.geometry.cluster();
        debug_assert!(len > 0 && len <= cluster);
        let boundary = self.packed.next_multiple_of(cluster);
        let room = self.packed + len <= boundary || (self.packed > 0 && boundary == self.end());
        let at = if room && !self.is_full(self.packed) { self.packed } else { self.end() };
        self.packed = at + len;
        let first = (at / cluster - self.base()) as usize;
        let end = (self.geometry.clusters_of(self.packed) - self.base()) as usize;
        self.counts.resize(self.counts.len().max(end), U16::ZERO);
        for count in self.counts.get_mut(first..end).unwrap_or_default() {
            *count = U16::new(count.get().saturating_add(1));
        }
        self.settle()?;
        Ok(at)
    }

    /// Whether the cluster at `offset` can have no more references: large clusters of a few bytes
    /// that compress to almost nothing.
    fn is_full(&self, offset: u64) -> bool {
        let index = (offset / self.geometry.cluster()).checked_sub(self.base());
        let count = index.and_then(|index| self.counts.get(index as usize));
        count.is_some_and(|count| count.get() == u16::MAX)
    }

    /// Writes the blocks whose clusters are all given away. Packed bytes do not go on in them.
    fn settle(&mut self) -> Result<(), Error> {
        let per_block = self.per_block() as usize;
        while self.counts.len() > per_block {
            let offset = self.grow(1);
            self.blocks.push(offset.into());
            let full = self.counts.get(..per_block).unwrap_or_default();
            self.sink.write_at(offset, full.as_bytes())?;
            self.counts.drain(..per_block);
        }
        if self.packed / self.geometry.cluster() < self.base() {
            self.packed = 0;
        }
        Ok(())
    }

    /// Gives away the clusters of the last blocks and of the table, and writes them; nothing may
    /// follow.
    pub(super) fn finish(mut self) -> Result<(RefcountPlaces, u64), Error> {
        let used = self.base() + self.counts.len() as u64;
        let written = self.blocks.len() as u64;
        let (blocks, table_clusters) = refcounts(self.geometry, used, written)?;
        let first = self.grow(blocks);
        let table = self.grow(table_clusters);
        let offset = |n: u64| first + n * self.geometry.cluster();
        for (n, counts) in (0..).zip(self.counts.chunks(self.per_block() as usize)) {
            self.sink.write_at(offset(n), counts.as_bytes())?;
        }
        let end = self.end();
        self.blocks.extend((0..blocks).map(|n| U64::new(offset(n))));
        self.sink.write_at(table, self.blocks.as_bytes())?;
        Ok((RefcountPlaces { table, table_clusters }, end))
    }
}

/// The blocks that are missing and the clusters of the table, when `used` clusters are given away
/// and `written` of them are blocks.
///
/// `b` blocks count `b × per_block` clusters, `t` clusters of table point to `t × per_table`
/// blocks, and both count themselves: `written + b ≥ (used + b + t) / per_block`,
/// `t ≥ (written + b) / per_table`. Both grow from zero to the smallest solution.
fn refcounts(geometry: Geometry, used: u64, written: u64) -> Result<(u64, u64), Error> {
    let (per_block, per_table) = (geometry.cluster() / COUNT, geometry.cluster() / ENTRY);
    let (mut missing, mut table_clusters) = (0, 0);
    loop {
        let blocks = (used + missing + table_clusters).div_ceil(per_block);
        let tables = blocks.div_ceil(per_table);
        if (blocks - written, tables) == (missing, table_clusters) {
            break;
        }
        (missing, table_clusters) = (blocks - written, tables);
    }
    let bytes = table_clusters * geometry.cluster();
    if bytes > MAX_REFCOUNT_TABLE_BYTES.max(geometry.cluster()) {
        let message = format!(
            "a file of {} bytes needs a refcount table of {bytes} bytes, qcow2 readers accept \
             {MAX_REFCOUNT_TABLE_BYTES}: use larger clusters",
            used * geometry.cluster(),
        );
        return Err(Error::new(Kind::Document, message));
    }
    Ok((missing, table_clusters))
}

/// Bytes of a file of `used` clusters and their reference counts.
pub(super) fn whole(geometry: Geometry, used: u64) -> Result<u64, Error> {
    let (blocks, table_clusters) = refcounts(geometry, used, 0)?;
    Ok((used + blocks + table_clusters) * geometry.cluster())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::MemorySink;

    fn geometry(bits: u32) -> Geometry {
        Geometry::new(bits, 1 << 30).unwrap()
    }

    fn counts(alloc: &Alloc<'_>) -> Vec<u16> {
        alloc.counts.iter().map(|count| count.get()).collect()
    }

    #[test]
    fn packed_bytes_count_every_cluster_they_touch() {
        let sink = MemorySink::default();
        let mut alloc = Alloc::new(geometry(16), &sink);
        assert_eq!(alloc.clusters(1).unwrap(), 0);
        assert_eq!(alloc.bytes(40_000).unwrap(), 65_536);
        assert_eq!(alloc.bytes(40_000).unwrap(), 65_536 + 40_000); // into the next cluster
        assert_eq!(counts(&alloc), [1, 2, 1]);
        assert_eq!(alloc.clusters(1).unwrap(), 3 * 65_536);
        assert_eq!(alloc.bytes(100).unwrap(), 65_536 + 80_000); // still room there
        assert_eq!(counts(&alloc), [1, 2, 2, 1]);
        assert_eq!(alloc.bytes(60_000).unwrap(), 4 * 65_536); // no room, and the next is taken
        assert_eq!(alloc.bytes(5_536).unwrap(), 4 * 65_536 + 60_000); // to the boundary exactly
        assert_eq!(alloc.bytes(1_000).unwrap(), 5 * 65_536);
        assert_eq!(counts(&alloc), [1, 2, 2, 1, 2, 1]);
    }

    #[test]
    fn a_cluster_has_at_most_65535_references() {
        let sink = MemorySink::default();
        let mut alloc = Alloc::new(geometry(21), &sink);
        for n in 0..65_535 {
            assert_eq!(alloc.bytes(2).unwrap(), n * 2);
        }
        assert_eq!(alloc.bytes(2).unwrap(), 2 << 20);
        assert_eq!(counts(&alloc), [65_535, 1]);
    }

    #[test]
    fn refcounts_count_themselves() {
        // 64 KiB clusters: a block counts 32768 clusters.
        for (used, blocks) in [(1u64, 1u64), (32_766, 1), (32_767, 2), (65_533, 2), (65_534, 3)] {
            assert_eq!(refcounts(geometry(16), used, 0).unwrap(), (blocks, 1), "{used}");
            assert_eq!(whole(geometry(16), used).unwrap(), (used + blocks + 1) << 16);
        }
        // 512-byte clusters: 8 MiB of table point to 2^20 blocks of 256 counts.
        assert!(refcounts(geometry(9), 254 << 20, 0).is_ok());
        let error = refcounts(geometry(9), 256 << 20, 0).unwrap_err();
        assert!(error.to_string().contains("use larger clusters"), "{error}");
    }

    #[test]
    fn every_cluster_has_the_count_of_its_block() {
        // 512-byte clusters: a block counts 256 clusters, a cluster of table 64 blocks.
        for used in [1u64, 254, 255, 256, 257, 258, 511, 5_000, 16_300, 70_000] {
            let sink = MemorySink::default();
            let mut alloc = Alloc::new(geometry(9), &sink);
            let (mut given, mut run) = (0, 1);
            while given < used {
                let now = run.min(used - given);
                alloc.clusters(now).unwrap();
                given += now;
                run = run % 7 + 1;
            }
            let (places, end) = alloc.finish().unwrap();
            assert_eq!(end, whole(geometry(9), used).unwrap(), "{used}");
            let mut bytes = sink.into_bytes();
            bytes.resize(end as usize, 0);
            let number =
                |at: u64| u64::from_be_bytes(bytes[at as usize..][..8].try_into().unwrap());
            for cluster in 0..end / 512 {
                let block = number(places.table + cluster / 256 * 8);
                let count = &bytes[(block + cluster % 256 * 2) as usize..][..2];
                assert_eq!(count, [0, 1], "{cluster} of {used}");
            }
        }
    }
}
