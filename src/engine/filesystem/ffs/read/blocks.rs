//! The blocks of files.
//!
//! Source: NetBSD, sys/ufs/ufs/ufs_bmap.c. Invariants: a fragment is handed out once; the number of
//! pieces is limited, and so is memory.

use std::sync::Arc;

use super::super::ondisk::DIRECT;
use super::volume::{Inode, Volume};
use crate::engine::base::{Error, Extent, Kind, Pieced, SectorSource};

/// Pieces of all files together.
const MAX_PIECES: usize = 1 << 23;

/// Fragments that have an owner: a bit for each.
#[derive(Debug, Default)]
pub(super) struct Claims {
    seen: Vec<u64>,
    pieces: usize,
}

/// The file that is being followed.
struct Walk<'a> {
    medium: &'a dyn SectorSource,
    volume: &'a Volume,
    path: &'a str,
    size: u64,
    pieces: Vec<(Extent, u64)>,
}

impl Claims {
    /// Follows the blocks of an inode.
    pub(super) fn file(
        &mut self,
        medium: &Arc<dyn SectorSource>,
        volume: &Volume,
        inode: &Inode,
        path: &str,
    ) -> Result<Pieced, Error> {
        let (size, pieces) = (inode.size, Vec::new());
        let mut walk = Walk { medium: medium.as_ref(), volume, path, size, pieces };
        let mut from = 0;
        for (number, block) in (0..).zip(&inode.blocks) {
            let depth = if number < DIRECT { 0 } else { (number - DIRECT + 1) as u32 };
            self.follow(&mut walk, *block, depth, from)?;
            let span = volume.pointers().saturating_pow(depth).saturating_mul(volume.block);
            from = u64::saturating_add(from, span);
        }
        Ok(Pieced::new(Arc::clone(medium), size, walk.pieces))
    }

    /// Follows a block that leads to what lies from byte `from` on.
    fn follow(
        &mut self,
        walk: &mut Walk<'_>,
        number: u64,
        depth: u32,
        from: u64,
    ) -> Result<(), Error> {
        let volume = walk.volume;
        if number == 0 || from >= walk.size {
            return Ok(());
        }
        let at = number.saturating_mul(volume.fragment);
        if depth == 0 {
            let len = volume.block.min(walk.size - from);
            // Only the last block of a file without indirect ones is less than whole.
            let short = walk.size <= DIRECT * volume.block;
            self.claim(
                walk,
                number,
                if short { len.div_ceil(volume.fragment) } else { volume.frag },
            )?;
            let Some(extent) = Extent::new(from, from + len) else { return Ok(()) };
            match walk.pieces.last_mut() {
                Some((last, place)) if last.end() == from && *place + last.len() == at => {
                    *last = Extent::new(last.start(), extent.end()).unwrap_or(extent);
                }
                _ => {
                    walk.pieces.push((extent, at));
                    self.pieces += 1;
                }
            }
            return Ok(());
        }
        self.claim(walk, number, volume.frag)?;
        let mut bytes = vec![0; usize::try_from(volume.block).unwrap_or_default()];
        walk.medium.read_at(at, &mut bytes)?;
        let span = volume.pointers().saturating_pow(depth - 1).saturating_mul(volume.block);
        for index in 0..volume.pointers() {
            let from = from.saturating_add(span.saturating_mul(index));
            // OK to cast: at most 16384.
            self.follow(walk, volume.number(&bytes, index as usize), depth - 1, from)?;
        }
        Ok(())
    }

    fn claim(&mut self, walk: &Walk<'_>, number: u64, count: u64) -> Result<(), Error> {
        let refused = |why: String| {
            let path = walk.path;
            Err(Error::new(Kind::Damaged, format!("{path} has the fragment {number}, {why}")))
        };
        let total = walk.volume.total;
        if number.checked_add(count).is_none_or(|end| end > total) {
            return refused(format!("there are {total}"));
        }
        if self.pieces > MAX_PIECES {
            return refused(format!("the files are in more than {MAX_PIECES} pieces"));
        }
        for fragment in number..number + count {
            let Ok(word) = usize::try_from(fragment / 64) else { break };
            if self.seen.len() <= word {
                self.seen.resize(word + 1, 0);
            }
            let bit = 1u64 << (fragment % 64);
            match self.seen.get_mut(word) {
                Some(word) if *word & bit == 0 => *word |= bit,
                _ => return refused("which something else has, too".to_owned()),
            }
        }
        Ok(())
    }
}

impl Volume {
    /// Block numbers of an indirect block.
    const fn pointers(&self) -> u64 {
        self.block / if self.wide { 8 } else { 4 }
    }
}
