//! The blocks of files.
//!
//! Source: NetBSD, sys/ufs/ufs/ufs_bmap.c. Invariants: a fragment is handed out once; the number of
//! pieces is limited, and so is memory.

use std::path::Path;
use std::sync::Arc;

use super::super::ondisk::DIRECT;
use super::volume::{Inode, Volume};
use crate::engine::base::{Error, Extent, Kind, SectorSource, within};

/// Pieces of all files together.
const MAX_PIECES: usize = 1 << 23;

/// Fragments that have an owner: a bit for each.
#[derive(Debug, Default)]
pub(super) struct Claims {
    seen: Vec<u64>,
    pieces: usize,
}

/// A part of a file that is no hole.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: u64,
    at: u64,
    len: u64,
}

/// A file's bytes.
#[derive(Debug)]
pub(super) struct Stored {
    medium: Arc<dyn SectorSource>,
    pieces: Vec<Piece>,
    len: u64,
}

/// The file that is being followed.
struct Walk<'a> {
    medium: &'a dyn SectorSource,
    volume: &'a Volume,
    path: &'a str,
    size: u64,
    pieces: Vec<Piece>,
}

impl Claims {
    /// Follows the blocks of an inode.
    pub(super) fn file(
        &mut self,
        medium: &Arc<dyn SectorSource>,
        volume: &Volume,
        inode: &Inode,
        path: &str,
    ) -> Result<Stored, Error> {
        let (size, pieces) = (inode.size, Vec::new());
        let mut walk = Walk { medium: medium.as_ref(), volume, path, size, pieces };
        let mut from = 0;
        for (number, block) in (0..).zip(&inode.blocks) {
            let depth = if number < DIRECT { 0 } else { (number - DIRECT + 1) as u32 };
            self.follow(&mut walk, *block, depth, from)?;
            let span = volume.pointers().saturating_pow(depth).saturating_mul(volume.block);
            from = u64::saturating_add(from, span);
        }
        Ok(Stored { medium: Arc::clone(medium), pieces: walk.pieces, len: size })
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
            match walk.pieces.last_mut() {
                Some(last) if last.from + last.len == from && last.at + last.len == at => {
                    last.len += len;
                }
                _ => {
                    walk.pieces.push(Piece { from, at, len });
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

impl Stored {
    /// The first piece that ends after `offset`.
    fn after(&self, offset: u64) -> Option<&Piece> {
        self.pieces.get(self.pieces.partition_point(|piece| piece.from + piece.len <= offset))
    }
}

impl SectorSource for Stored {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        buffer.fill(0);
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let Some(piece) = self.after(at) else { break };
            let hole = piece.from.saturating_sub(at).min(rest.len() as u64);
            // OK to cast: both are at most the length of the buffer.
            let behind = rest.split_at_mut(hole as usize).1;
            at += hole;
            let inside = at.saturating_sub(piece.from);
            let count = (piece.len - inside).min(behind.len() as u64) as usize;
            let (now, behind) = behind.split_at_mut(count);
            if !now.is_empty() {
                self.medium.read_at(piece.at + inside, now)?;
            }
            at += count as u64;
            rest = behind;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let piece = self.after(offset)?;
        Extent::new(piece.from.max(offset), piece.from + piece.len)
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let piece = self.after(offset).filter(|piece| piece.from <= offset)?;
        let inside = offset - piece.from;
        let (path, at, len) = self.medium.file_range_at(piece.at + inside)?;
        Some((path, at, len.min(piece.len - inside)))
    }
}
