//! Extent trees: how many blocks one takes, and its bytes.
//!
//! Places nothing. Invariants: all leaves are full but the last; leaves come first, then each level
//! above, as the numbers of its blocks do.

use zerocopy::IntoBytes as _;

use super::bytes::put;
use super::geometry::Geometry;
use super::hash::crc;
use super::ondisk::{EXTENT_ENTRY, EXTENT_MAGIC, ExtentHeader, ExtentIndex, ExtentLeaf};
use super::runs::{Run, extents};

/// Entries in an inode.
const IN_INODE: u64 = 4;

/// A file's tree.
#[derive(Debug)]
pub(super) struct ExtentTree {
    /// What the inode holds.
    pub(super) root: [u8; 60],
    /// All other nodes, in the order of their blocks.
    pub(super) blocks: Vec<u8>,
}

/// Entries in a block: what is left behind them holds the checksum.
const fn in_block(block_size: u64) -> u64 {
    (block_size - EXTENT_ENTRY as u64) / EXTENT_ENTRY as u64
}

/// Blocks of a tree with so many extents.
pub(super) fn blocks(extents: u64, block_size: u64) -> u64 {
    let (mut level, mut all) = (extents, 0);
    while level > IN_INODE {
        level = level.div_ceil(in_block(block_size));
        all += level;
    }
    all
}

/// The tree of a file whose blocks are numbered from `first` on and whose nodes from `maps` on.
/// `seed` is what checksums of this inode go on from.
pub(super) fn build(
    geometry: &Geometry,
    (first, maps): (u64, u64),
    runs: &[Run],
    seed: Option<u32>,
) -> ExtentTree {
    let mut entries: Vec<u8> = Vec::new();
    // The first block of the file that each entry is about.
    let mut keys: Vec<u64> = Vec::new();
    extents(geometry, first, runs, |piece| {
        let leaf = ExtentLeaf {
            block: low(piece.logical).into(),
            len: (piece.len as u16).into(),
            start_hi: high(piece.physical).into(),
            start_lo: low(piece.physical).into(),
        };
        entries.extend_from_slice(leaf.as_bytes());
        keys.push(piece.logical);
    });
    let size = geometry.shape.bytes();
    let per_block = in_block(size) as usize;
    let mut blocks = Vec::new();
    let mut depth = 0;
    let mut number = maps;
    while keys.len() as u64 > IN_INODE {
        let mut above = Vec::new();
        for (chunk, keys) in entries.chunks(per_block * EXTENT_ENTRY).zip(keys.chunks(per_block)) {
            blocks.extend(node(chunk, depth, size as usize, seed));
            let physical = geometry.content_at(number).0;
            number += 1;
            let index = ExtentIndex {
                block: low(keys.first().copied().unwrap_or_default()).into(),
                leaf_lo: low(physical).into(),
                leaf_hi: high(physical).into(),
                unused: 0.into(),
            };
            above.extend_from_slice(index.as_bytes());
        }
        entries = above;
        keys = keys.chunks(per_block).filter_map(|keys| keys.first().copied()).collect();
        depth += 1;
    }
    let mut root = [0; 60];
    let head = header(keys.len(), IN_INODE as usize, depth);
    put(&mut root, 0, head.as_bytes());
    put(&mut root, EXTENT_ENTRY, &entries);
    ExtentTree { root, blocks }
}

fn node(entries: &[u8], depth: u16, size: usize, seed: Option<u32>) -> Vec<u8> {
    let max = in_block(size as u64) as usize;
    let mut block = vec![0; size];
    put(&mut block, 0, header(entries.len() / EXTENT_ENTRY, max, depth).as_bytes());
    put(&mut block, EXTENT_ENTRY, entries);
    if let Some(seed) = seed {
        let end = EXTENT_ENTRY * (max + 1);
        let sum = crc(seed, block.get(..end).unwrap_or_default());
        put(&mut block, end, &sum.to_le_bytes());
    }
    block
}

fn header(entries: usize, max: usize, depth: u16) -> ExtentHeader {
    ExtentHeader {
        magic: EXTENT_MAGIC.into(),
        // OK to cast: a block has at most 340 entries.
        entries: (entries as u16).into(),
        max: (max as u16).into(),
        depth: depth.into(),
        generation: 0.into(),
    }
}

/// The lower 32 bits.
pub(super) const fn low(number: u64) -> u32 {
    number as u32
}

/// The 16 bits above them: blocks have 48.
pub(super) const fn high(number: u64) -> u16 {
    (number >> 32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_added_when_they_are_needed() {
        // 84 entries in 1024 bytes, 340 in 4096: (1024 - 12) / 12 and (4096 - 12) / 12.
        for (extents, size, expected) in [
            (0, 1024, 0),
            (4, 1024, 0),
            (5, 1024, 1),
            (84 * 4, 1024, 4),
            (84 * 4 + 1, 1024, 5 + 1),
            (84 * 84 * 4 + 1, 1024, (84 * 4 + 1) + 5 + 1),
            (340 * 4, 4096, 4),
        ] {
            assert_eq!(blocks(extents, size), expected, "{extents} in {size}");
        }
    }
}
