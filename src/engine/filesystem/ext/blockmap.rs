//! Block maps of ext2 and ext3: which blocks of pointers a file needs, and what stands in each.
//!
//! Places nothing. Invariant: blocks that point to data come first, then those that point to them,
//! then the one on top.

use super::bytes::put;
use super::extents::low;
use super::geometry::Geometry;
use super::runs::Run;

/// Pointers to data in the inode.
const DIRECT: u64 = 12;

/// Blocks of pointers that a file has, by their number at each level: 0 hangs on the inode, the
/// next ones on the first of the level above, and so on.
#[derive(Debug, Default)]
pub(super) struct BlockMap {
    /// Those that point to data.
    one: Vec<u64>,
    /// Those that point to them.
    two: Vec<u64>,
    three: u64,
    /// Pointers in a block.
    per_block: u64,
}

/// The largest number of blocks that a file can have.
pub(super) const fn most(block_size: u64) -> u64 {
    let n = block_size / 4;
    DIRECT + n + n * n + n * n * n
}

impl BlockMap {
    pub(super) fn new(runs: &[Run], block_size: u64) -> Self {
        let per_block = block_size / 4;
        let mut one: Vec<u64> = Vec::new();
        for run in runs {
            let end = run.logical + run.len;
            if end <= DIRECT {
                continue;
            }
            let from = run.logical.saturating_sub(DIRECT) / per_block;
            let from = one.last().map_or(from, |last| from.max(last + 1));
            one.extend(from..=(end - 1 - DIRECT) / per_block);
        }
        let two = above(&one, per_block);
        let three = above(&two, per_block).len() as u64;
        Self { one, two, three, per_block }
    }

    /// Blocks of pointers.
    pub(super) fn blocks(&self) -> u64 {
        self.one.len() as u64 + self.two.len() as u64 + self.three
    }

    /// What the inode holds.
    pub(super) fn root(
        &self,
        geometry: &Geometry,
        (first, maps): (u64, u64),
        runs: &[Run],
    ) -> [u8; 60] {
        let mut root = [0; 60];
        data(&mut root, 0, DIRECT, runs, geometry, first);
        let mut number = maps;
        let levels = [
            (self.one.first(), self.one.len() as u64),
            (self.two.first(), self.two.len() as u64),
            ((self.three > 0).then_some(&0), self.three),
        ];
        for (at, (top, len)) in (12..).zip(levels) {
            if top == Some(&0) {
                pointer(&mut root, at, geometry.content_at(number).0);
            }
            number += len;
        }
        root
    }

    /// The bytes of the pointers' block `n`.
    pub(super) fn block(
        &self,
        n: u64,
        geometry: &Geometry,
        (first, maps): (u64, u64),
        runs: &[Run],
    ) -> Vec<u8> {
        let mut block = vec![0; geometry.shape.bytes() as usize];
        let (ones, twos) = (self.one.len() as u64, self.two.len() as u64);
        if let Some(number) = self.one.get(n as usize) {
            let from = DIRECT + number * self.per_block;
            data(&mut block, from, self.per_block, runs, geometry, first);
        } else if let Some(number) = n.checked_sub(ones).and_then(|n| self.two.get(n as usize)) {
            self.children(&mut block, *number, (&self.one, maps), geometry);
        } else {
            self.children(&mut block, 0, (&self.two, maps + ones), geometry);
        }
        debug_assert!(n < ones + twos + self.three);
        block
    }

    /// Pointers of the block with this number to those of the level below, whose blocks are
    /// numbered from `maps` on.
    fn children(
        &self,
        block: &mut [u8],
        number: u64,
        (below, maps): (&[u64], u64),
        geometry: &Geometry,
    ) {
        let from = 1 + number * self.per_block;
        let rank = below.partition_point(|child| *child < from);
        for (rank, child) in below.iter().enumerate().skip(rank) {
            if *child >= from + self.per_block {
                break;
            }
            pointer(block, child - from, geometry.content_at(maps + rank as u64).0);
        }
    }
}

/// Numbers of the blocks that those numbered `below` hang on, but the inode.
fn above(below: &[u64], per_block: u64) -> Vec<u64> {
    let mut above: Vec<u64> =
        below.iter().filter_map(|number| number.checked_sub(1)).map(|n| n / per_block).collect();
    above.dedup();
    above
}

/// Pointers to the file's blocks from `from` on, `len` of them.
fn data(block: &mut [u8], from: u64, len: u64, runs: &[Run], geometry: &Geometry, first: u64) {
    let at = runs.partition_point(|run| run.logical + run.len <= from);
    for run in runs.iter().skip(at) {
        let start = run.logical.max(from);
        let end = (run.logical + run.len).min(from + len);
        let mut logical = start;
        while logical < end {
            let (physical, contiguous) =
                geometry.content_at(first + run.before + (logical - run.logical));
            let many = contiguous.clamp(1, end - logical);
            for n in 0..many {
                pointer(block, logical - from + n, physical + n);
            }
            logical += many;
        }
        if run.logical + run.len >= from + len {
            break;
        }
    }
}

fn pointer(block: &mut [u8], at: u64, to: u64) {
    // OK to cast: `at` lies in a block; block maps are used below 2^32 blocks only.
    put(block, at as usize * 4, &low(to).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(len: u64) -> [Run; 1] {
        [Run { logical: 0, len, before: 0 }]
    }

    /// 256 pointers in 1024 bytes: 12 direct, 256 single, 65536 double.
    #[test]
    fn levels_are_added_when_they_are_needed() {
        for (len, expected) in [
            (12, 0),
            (13, 1),
            (12 + 256, 1),
            (12 + 256 + 1, 1 + 1 + 1),
            (12 + 256 + 65536, 1 + 256 + 1),
            (12 + 256 + 65536 + 1, 1 + 256 + 1 + 1 + 1 + 1),
        ] {
            assert_eq!(BlockMap::new(&dense(len), 1024).blocks(), expected, "{len}");
        }
        // One block far behind, and one before that in the same block of pointers.
        let far = 12 + 256 + 65536 + 5;
        let runs =
            [Run { logical: far, len: 1, before: 0 }, Run { logical: far + 2, len: 1, before: 1 }];
        assert_eq!(BlockMap::new(&runs, 1024).blocks(), 3);
    }
}
