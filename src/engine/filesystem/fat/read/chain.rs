//! Chains of clusters.
//!
//! Invariants: a cluster is handed out once; memory is a bit for each cluster and twelve bytes for
//! each run, and the number of runs is limited.

use super::super::ondisk::{Entry, INFO_LEAD, MAX_ENTRIES};
use super::volume::Volume;
use crate::engine::base::{Error, Kind, SectorSource, within};

/// Runs of all files together.
const MAX_RUNS: usize = 1 << 23;
/// Bytes of a FAT that are read at once: a multiple of three and four.
const WINDOW: u64 = 3 << 14;

/// Follows chains.
pub(super) struct Chains<'a> {
    medium: &'a dyn SectorSource,
    volume: &'a Volume,
    window: Vec<u8>,
    window_at: u64,
    /// A bit for each cluster.
    seen: Vec<u64>,
    runs: usize,
}

impl<'a> Chains<'a> {
    pub(super) const fn new(medium: &'a dyn SectorSource, volume: &'a Volume) -> Self {
        Self { medium, volume, window: Vec::new(), window_at: 0, seen: Vec::new(), runs: 0 }
    }

    /// The bytes of the root directory.
    pub(super) fn root(&mut self) -> Result<Vec<u8>, Error> {
        if self.volume.bits == 32 {
            return self.directory(self.volume.root, "/");
        }
        let mut bytes = vec![0; usize::try_from(self.volume.root_len).unwrap_or_default()];
        self.medium.read_at(self.volume.root_at, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of another directory.
    pub(super) fn directory(&mut self, start: u32, path: &str) -> Result<Vec<u8>, Error> {
        let most = MAX_ENTRIES * size_of::<Entry>() as u64;
        let mut bytes = Vec::new();
        let mut next = Some(start);
        while let Some(cluster) = next {
            if bytes.len() as u64 >= most {
                let message = format!("the directory {path} has more than {most} bytes");
                return Err(Error::new(Kind::Damaged, message));
            }
            self.claim(cluster, path)?;
            let from = bytes.len();
            bytes.resize(from + usize::try_from(self.volume.cluster).unwrap_or_default(), 0);
            let part = bytes.get_mut(from..).unwrap_or_default();
            self.medium.read_at(self.volume.at(cluster), part)?;
            next = self.next(cluster, path)?;
        }
        Ok(bytes)
    }

    /// The runs of a file: where each begins in it and on the medium; what its chain has beyond its length is left alone.
    pub(super) fn file(
        &mut self,
        start: u32,
        len: u64,
        path: &str,
    ) -> Result<Vec<(u64, u64)>, Error> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let (mut cluster, mut from) = (start, 0);
        loop {
            self.claim(cluster, path)?;
            let at = self.volume.at(cluster);
            if runs.last().is_none_or(|(begin, place)| place + (from - begin) != at) {
                self.runs += 1;
                if self.runs > MAX_RUNS {
                    let message = format!("{path}: the files are in more than {MAX_RUNS} pieces");
                    return Err(Error::new(Kind::Damaged, message));
                }
                runs.push((from, at));
            }
            from += self.volume.cluster;
            if from >= len {
                return Ok(runs);
            }
            cluster = self.next(cluster, path)?.ok_or_else(|| {
                let message = format!("{path} has {len} bytes, its clusters end at {from}");
                Error::new(Kind::Damaged, message)
            })?;
        }
    }

    /// Free clusters in bytes: what FAT32 says, or counted.
    pub(super) fn free(&mut self) -> Result<Option<u64>, Error> {
        if self.volume.bits == 32 {
            return self.free_in_info();
        }
        let mut free = 0;
        for cluster in 2..self.volume.clusters + 2 {
            free += u64::from(self.entry(cluster)? == 0);
        }
        Ok(Some(free * self.volume.cluster))
    }

    fn free_in_info(&self) -> Result<Option<u64>, Error> {
        // "FSInfo Sector Structure": a sector behind the boot sector; 512 bytes where a sector is.
        let mut info = [0; 512];
        let sector = self.volume.sector;
        if within(self.medium.len(), sector, info.len(), Kind::Damaged).is_err() {
            return Ok(None);
        }
        self.medium.read_at(sector, &mut info)?;
        let word = |at: usize| {
            let bytes = info.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let free = word(488).filter(|_| word(0) == Some(INFO_LEAD));
        let free = free.filter(|free| *free <= self.volume.clusters);
        Ok(free.map(|free| u64::from(free) * self.volume.cluster))
    }

    /// Marks a cluster as used.
    fn claim(&mut self, cluster: u32, path: &str) -> Result<(), Error> {
        let refused = |why: &str| {
            Err(Error::new(Kind::Damaged, format!("{path} has the cluster {cluster}, {why}")))
        };
        if !self.volume.has(cluster) {
            return refused(&format!("2 to {} are there", self.volume.clusters + 1));
        }
        let (word, bit) = (cluster as usize / 64, 1u64 << (cluster % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        match self.seen.get_mut(word) {
            Some(word) if *word & bit == 0 => *word |= bit,
            _ => return refused("which something else has, too"),
        }
        Ok(())
    }

    /// What follows a cluster; none at the end of a chain.
    fn next(&mut self, cluster: u32, path: &str) -> Result<Option<u32>, Error> {
        let entry = self.entry(cluster)?;
        // "FAT Data Structure": from ..F8 on it is an end; ..F7 is a bad cluster.
        let end = (0x0FFF_FFFF >> (28 - self.volume.bits.min(28))) - 7;
        if entry >= end {
            return Ok(None);
        }
        if !self.volume.has(entry) {
            let message = format!("{path}: the cluster {cluster} is followed by {entry}");
            return Err(Error::new(Kind::Damaged, message));
        }
        Ok(Some(entry))
    }

    fn entry(&mut self, cluster: u32) -> Result<u32, Error> {
        let bits = u64::from(self.volume.bits);
        let at = u64::from(cluster) * bits / 8;
        let len = if bits == 32 { 4 } else { 2 };
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if !held.contains(&at) || at + len > held.end {
            self.window_at = at / WINDOW * WINDOW;
            // An entry of FAT12 may lie on the edge: one byte more.
            let from = self.volume.fat_at + self.window_at;
            let len = (WINDOW + 1).min(self.medium.len().saturating_sub(from));
            self.window.resize(usize::try_from(len).unwrap_or_default(), 0);
            self.medium.read_at(from, &mut self.window)?;
        }
        // OK to cast: inside of the window.
        let bytes = self.window.get((at - self.window_at) as usize..).unwrap_or_default();
        let pair = bytes.first_chunk::<2>().map_or(0, |pair| u32::from(u16::from_le_bytes(*pair)));
        Ok(match self.volume.bits {
            12 if cluster.is_multiple_of(2) => pair & 0xFFF,
            12 => pair >> 4,
            16 => pair,
            _ => bytes.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four) & 0x0FFF_FFFF),
        })
    }
}
