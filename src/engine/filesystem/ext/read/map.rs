//! Where a block of a file lies: extent trees and block maps.
//!
//! Keeps no list. Invariants: a tree gets one level lower with each step; an answer is about one
//! block at least.

use super::super::bytes::take;
use super::super::hash::crc;
use super::super::ondisk::{
    EXTENT_ENTRY, EXTENT_MAGIC, ExtentHeader, ExtentIndex, ExtentLeaf, MAX_EXTENT,
};
use super::volume::{Loaded, Volume, mismatch};
use crate::engine::base::{Error, Kind};

/// Levels of an extent tree at most: more than 2^32 blocks cannot need.
const MAX_DEPTH: u16 = 5;
/// Blocks of a file at most.
const END: u64 = 1 << 32;

/// How a file is mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    root: [u8; 60],
    extents: bool,
    /// What checksums of this inode go on from.
    seed: Option<u32>,
}

/// Blocks one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where they lie; none: they are a hole.
    pub(super) physical: Option<u64>,
    pub(super) len: u64,
}

fn damaged(message: String) -> Error {
    Error::new(Kind::Damaged, message)
}

impl Map {
    pub(super) fn new(volume: &Volume, inode: &Loaded) -> Self {
        let seed = volume.seed.map(|seed| inode.seed(seed));
        Self { root: inode.fields.block, extents: inode.has_extents(), seed }
    }

    /// What lies at the file's block `logical`, and from it on.
    pub(super) fn find(&self, volume: &Volume, logical: u64) -> Result<Span, Error> {
        if logical >= END {
            return Err(damaged(format!("block {logical} of a file, at most 2^32")));
        }
        let span = if self.extents {
            self.in_tree(volume, logical)?
        } else {
            self.in_map(volume, logical)?
        };
        match span.physical {
            Some(block) if !volume.holds(block, span.len) => {
                let (len, blocks) = (span.len, volume.blocks);
                Err(damaged(format!("{len} blocks from {block} on, there are {blocks}")))
            }
            _ => Ok(span),
        }
    }

    fn in_tree(&self, volume: &Volume, logical: u64) -> Result<Span, Error> {
        let mut end = END;
        let mut from = 0;
        let mut depth = None;
        let mut node: std::borrow::Cow<'_, [u8]> = self.root.as_slice().into();
        loop {
            let header: ExtentHeader =
                take(&node, 0).ok_or_else(|| damaged("no extent header".to_owned()))?;
            let room = node.len() / EXTENT_ENTRY - 1;
            let entries = usize::from(header.entries.get());
            let own = header.depth.get();
            if header.magic != EXTENT_MAGIC
                || usize::from(header.max.get()) > room
                || entries > header.max.get().into()
                || own > MAX_DEPTH
                || depth.is_some_and(|depth| own != depth)
            {
                return Err(damaged(format!("an extent header that cannot be: {header:?}")));
            }
            if own == 0 {
                return leaf(&node, entries, logical, (from, end));
            }
            let keys = |at: usize| take::<ExtentIndex>(&node, (at + 1) * EXTENT_ENTRY);
            let at = search(entries, logical, |at| keys(at).map(|index| index.block.get().into()));
            let Some(at) = at else {
                let next = keys(0).map_or(end, |index| u64::from(index.block.get())).min(end);
                return Ok(hole(logical, if entries == 0 { end } else { next }));
            };
            let index = keys(at).ok_or_else(|| damaged("no extent index".to_owned()))?;
            if at + 1 < entries
                && let Some(next) = keys(at + 1)
            {
                end = end.min(next.block.get().into());
            }
            let key = u64::from(index.block.get());
            if key < from || end <= logical {
                return Err(damaged("an extent tree that is not in order".to_owned()));
            }
            from = key;
            let place = u64::from(index.leaf_hi.get()) << 32 | u64::from(index.leaf_lo.get());
            let block = volume.block(place)?;
            self.compare(&block, place)?;
            node = block.to_vec().into();
            depth = Some(own - 1);
        }
    }

    fn compare(&self, block: &[u8], place: u64) -> Result<(), Error> {
        let Some(seed) = self.seed else { return Ok(()) };
        let max = take::<ExtentHeader>(block, 0).map_or(0, |header| header.max.get().into());
        let end = EXTENT_ENTRY * (usize::min(max, block.len() / EXTENT_ENTRY) + 1);
        let stored = take::<[u8; 4]>(block, end).map(u32::from_le_bytes);
        if stored == block.get(..end).map(|bytes| crc(seed, bytes)) && stored.is_some() {
            return Ok(());
        }
        Err(mismatch(&format!("the extents in block {place}")))
    }

    fn in_map(&self, volume: &Volume, logical: u64) -> Result<Span, Error> {
        let per_block = volume.block_size / 4;
        if logical < 12 {
            return pointers(&self.root, logical, 12 - logical, 1);
        }
        let mut rest = logical - 12;
        let mut covered = 1u64;
        for slot in 12..15 {
            covered = covered.saturating_mul(per_block);
            if rest >= covered {
                rest -= covered;
                continue;
            }
            let mut span = pointers(&self.root, slot, 1, covered)?;
            let mut below = covered;
            while let Some(block) = span.physical {
                let node = volume.block(block)?;
                below /= per_block;
                let at = rest / below;
                rest %= below;
                span = pointers(&node, at, per_block - at, below)?;
                if below == 1 {
                    return Ok(span);
                }
                if span.physical.is_some() {
                    span.len = 1;
                }
            }
            return Ok(Span { physical: None, len: (span.len.saturating_sub(rest)).max(1) });
        }
        Err(damaged(format!("block {logical} of a file goes beyond its map")))
    }
}

/// Pointers from the `at`th on, at most `most`, each to `covered` blocks of the file: as many as
/// follow each other, or are holes.
fn pointers(node: &[u8], at: u64, most: u64, covered: u64) -> Result<Span, Error> {
    let pointer = |at: u64| {
        let found = usize::try_from(at).ok().and_then(|at| take::<[u8; 4]>(node, at * 4));
        found.map(|bytes| u64::from(u32::from_le_bytes(bytes)))
    };
    let first = pointer(at).ok_or_else(|| damaged("a pointer behind its block".to_owned()))?;
    if first != 0 && covered > 1 {
        return Ok(Span { physical: Some(first), len: 1 });
    }
    let mut len = 1;
    while len < most {
        let wanted = if first == 0 { 0 } else { first + len };
        if pointer(at + len) != Some(wanted) {
            break;
        }
        len += 1;
    }
    Ok(Span { physical: (first != 0).then_some(first), len: len.saturating_mul(covered) })
}

/// The last of `count` entries whose key is not behind `wanted`.
fn search(count: usize, wanted: u64, key: impl Fn(usize) -> Option<u64>) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = usize::midpoint(low, high);
        if key(middle).is_some_and(|key| key <= wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low.checked_sub(1)
}

const fn hole(from: u64, end: u64) -> Span {
    let len = end.saturating_sub(from);
    Span { physical: None, len: if len == 0 { 1 } else { len } }
}

fn leaf(node: &[u8], entries: usize, logical: u64, (from, end): (u64, u64)) -> Result<Span, Error> {
    let extent = |at: usize| take::<ExtentLeaf>(node, (at + 1) * EXTENT_ENTRY);
    let key = |at: usize| extent(at).map(|extent| u64::from(extent.block.get()));
    let at = search(entries, logical, key);
    let next = at.map_or(0, |at| at + 1);
    let next = if next < entries { key(next).unwrap_or(end).min(end) } else { end };
    let Some(found) = at.and_then(extent) else { return Ok(hole(logical, next)) };
    let start = u64::from(found.block.get());
    let raw = u64::from(found.len.get());
    let (len, written) = if raw > MAX_EXTENT { (raw - MAX_EXTENT, false) } else { (raw, true) };
    if len == 0 || start < from || start + len > next {
        return Err(damaged(format!("an extent of {len} blocks from {start} on, not in order")));
    }
    if logical >= start + len {
        return Ok(hole(logical, next));
    }
    let physical = u64::from(found.start_hi.get()) << 32 | u64::from(found.start_lo.get());
    let skip = logical - start;
    Ok(Span { physical: written.then_some(physical + skip), len: len - skip })
}
