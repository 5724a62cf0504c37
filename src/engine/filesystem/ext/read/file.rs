//! A file's bytes where they lie on the medium.
//!
//! Copies nothing. Invariant: what no block holds reads as zeros.

use std::path::Path;
use std::sync::Arc;

use super::map::{Map, Span};
use super::volume::{Loaded, Volume};
use crate::engine::base::{Error, Extent, Kind, SectorSource, within};

/// A file.
#[derive(Debug)]
pub(super) struct File {
    volume: Arc<Volume>,
    map: Map,
    ino: u32,
    len: u64,
}

impl File {
    /// The file of an inode; refused where it is larger than any map.
    pub(super) fn new(volume: Arc<Volume>, inode: &Loaded) -> Result<Self, Error> {
        let len = inode.size();
        if len.div_ceil(volume.block_size) > 1 << 32 {
            let message = format!("inode {} has {len} bytes: more than 2^32 blocks", inode.ino);
            return Err(Error::new(Kind::Damaged, message));
        }
        let map = Map::new(&volume, inode);
        Ok(Self { volume, map, ino: inode.ino, len })
    }

    /// What lies at `offset`: its place on the medium if there is one, and for how many bytes.
    fn span(&self, offset: u64) -> Result<(Option<u64>, u64), Error> {
        let size = self.volume.block_size;
        let Span { physical, len } = self.map.find(&self.volume, offset / size).map_err(|e| {
            Error::new(e.kind(), format!("ext: inode {} at {offset}: {e}", self.ino))
        })?;
        let skip = offset % size;
        let bytes = len.saturating_mul(size) - skip;
        Ok((physical.map(|block| block * size + skip), bytes.min(self.len - offset)))
    }
}

impl SectorSource for File {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        let mut done = 0;
        while done < buffer.len() {
            let (place, len) = self.span(offset + done as u64)?;
            let left = buffer.len() - done;
            let now = usize::try_from(len).unwrap_or(left).clamp(1, left);
            let part = buffer.get_mut(done..done + now).unwrap_or_default();
            match place {
                Some(place) => self.volume.medium().read_at(place, part)?,
                None => part.fill(0),
            }
            done += now;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let mut at = offset;
        while at < self.len {
            match self.span(at) {
                Ok((None, len)) => at += len.max(1),
                Ok((Some(_), len)) => return Extent::new(at, at + len),
                // Whoever reads it hears why it cannot be read.
                Err(_) => return Extent::new(at, self.len),
            }
        }
        None
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        if offset >= self.len {
            return None;
        }
        let (place, len) = self.span(offset).ok()?;
        let (path, start, there) = self.volume.medium().file_range_at(place?)?;
        Some((path, start, there.min(len)))
    }
}
