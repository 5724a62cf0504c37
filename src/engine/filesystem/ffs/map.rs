//! The blocks of one file: which are holes, where the others lie, and the indirect blocks on the way.
//!
//! Source: NetBSD, sys/ufs/ufs/ufs_bmap.c. Blocks are counted from the file's own first one.
//! Invariant: an indirect block lies right before the first data block that it leads to, so one
//! that leads to holes alone does not exist; a file's last block is no hole.

use super::geometry::Geometry;
use super::ondisk::{DIRECT, INDIRECT};
use crate::engine::base::Content;

/// A run of a file's own blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first one, counted from the file's first.
    pub(super) from: u64,
    pub(super) count: u64,
    pub(super) holds: Holds,
}

/// What a run holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Data from this block of the file on.
    Data(u64),
    /// One indirect block: its depth, and the block of the file that it begins with.
    Indirect(u32, u64),
}

/// The blocks of a file in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    pub(super) runs: Vec<Run>,
    pub(super) count: u64,
    /// Fragments of its last block, which lies elsewhere, if it is not a whole one.
    pub(super) tail: u64,
}

impl Map {
    /// The map of `content`, of which `len` bytes are stored.
    pub(super) fn new(geometry: &Geometry, len: u64, content: Option<&Content>) -> Self {
        let blocks = len.div_ceil(geometry.block);
        let over = len % geometry.block;
        // Fragments are for files without indirect blocks.
        let tail = if over > 0 && blocks <= DIRECT { over.div_ceil(geometry.fragment) } else { 0 };
        let tail = if tail == geometry.frag { 0 } else { tail };
        let whole = blocks - u64::from(tail > 0);
        let mut map = Self { tail, ..Self::default() };
        let mut last = [None; 3];
        let mut add = |from: u64, end: u64| {
            let mut at = from;
            while at < end {
                at = map.add(geometry, at, end, &mut last);
            }
        };
        match content {
            Some(Content::Sectors(source)) => {
                let mut done = 0;
                while done < whole {
                    let Some(extent) = source.next_extent(done * geometry.block) else { break };
                    let from = (extent.start() / geometry.block).max(done);
                    let end = extent.end().div_ceil(geometry.block).min(whole);
                    if from >= whole {
                        break;
                    }
                    add(from, end);
                    done = end.max(done + 1);
                }
                // ufs_inode.c, ffs_truncate: the last block is always there, so that a check of the
                // volume (FreeBSD's fsck_ffs) does not cut a file that ends with a hole.
                if tail == 0 && done < whole {
                    add(whole - 1, whole);
                }
            }
            _ => add(0, whole),
        }
        map
    }

    /// Adds data blocks up to the end of an indirect block, with the indirect blocks they need.
    fn add(&mut self, geometry: &Geometry, at: u64, end: u64, last: &mut [Option<u64>; 3]) -> u64 {
        let mut stop = end;
        if let Some((depth, base)) = root(geometry, at) {
            for level in (1..=depth).rev() {
                let span = geometry.pointers().saturating_pow(level);
                let begin = base + (at - base) / span * span;
                stop = stop.min(begin.saturating_add(span));
                let own = last.get_mut(level as usize - 1);
                if let Some(own) = own.filter(|own| **own != Some(begin)) {
                    *own = Some(begin);
                    self.push(1, Holds::Indirect(level, begin));
                }
            }
        } else {
            stop = stop.min(DIRECT);
        }
        self.push(stop - at, Holds::Data(at));
        stop
    }

    fn push(&mut self, count: u64, holds: Holds) {
        if let (Some(run), Holds::Data(at)) = (self.runs.last_mut(), holds)
            && matches!(run.holds, Holds::Data(from) if from + run.count == at)
        {
            run.count += count;
        } else {
            self.runs.push(Run { from: self.count, count, holds });
        }
        self.count += count;
    }

    /// The file's own block that holds a block of data.
    pub(super) fn data(&self, block: u64) -> Option<u64> {
        self.runs.iter().find_map(|run| match run.holds {
            Holds::Data(from) if (from..from + run.count).contains(&block) => {
                Some(run.from + block - from)
            }
            _ => None,
        })
    }

    /// The file's own block that is this indirect block.
    pub(super) fn indirect(&self, depth: u32, begin: u64) -> Option<u64> {
        let wanted = Holds::Indirect(depth, begin);
        self.runs.iter().find(|run| run.holds == wanted).map(|run| run.from)
    }

    /// What an indirect block leads to: the file's own blocks, 0 numbers being holes.
    pub(super) fn pointers(&self, geometry: &Geometry, depth: u32, begin: u64) -> Vec<Option<u64>> {
        // OK to cast: at most 16384.
        let mut found = vec![None; geometry.pointers() as usize];
        let span = geometry.pointers().saturating_pow(depth - 1);
        let end = begin.saturating_add(span.saturating_mul(geometry.pointers()));
        for run in &self.runs {
            match run.holds {
                Holds::Data(from) if depth == 1 => {
                    for block in from.max(begin)..(from + run.count).min(end) {
                        if let Some(place) = found.get_mut((block - begin) as usize) {
                            *place = Some(run.from + block - from);
                        }
                    }
                }
                Holds::Indirect(below, from)
                    if below + 1 == depth && (begin..end).contains(&from) =>
                {
                    if let Some(place) = found.get_mut(((from - begin) / span) as usize) {
                        *place = Some(run.from);
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// The depth of the indirect block of the inode that leads to `block`, and where it begins; none
/// for a direct block.
fn root(geometry: &Geometry, block: u64) -> Option<(u32, u64)> {
    let mut base = DIRECT;
    block.checked_sub(base)?;
    for depth in 1..=INDIRECT {
        let span = geometry.pointers().saturating_pow(depth);
        if block - base < span || depth == INDIRECT {
            return Some((depth, base));
        }
        base += span;
    }
    None
}

/// Where the three indirect blocks of an inode begin.
pub(super) fn roots(geometry: &Geometry) -> [(u32, u64); 3] {
    let one = geometry.pointers();
    [(1, DIRECT), (2, DIRECT + one), (3, DIRECT + one + one * one)]
}
