//! A file's bytes on the medium: one run of sectors, or several for a file of several sections.
//!
//! Copies nothing. Invariant: all runs lie on the medium; that is checked when a span is made.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::engine::base::{Error, Extent, Kind, SectorSource, within};

/// Runs of a medium, one behind the other.
#[derive(Clone)]
pub(super) struct Span {
    medium: Arc<dyn SectorSource>,
    /// Where each begins in the file and on the medium.
    runs: Box<[(u64, u64)]>,
    len: u64,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({} bytes, {} runs)", self.len, self.runs.len())
    }
}

impl Span {
    /// The bytes of `parts`: offset and length of each on the medium.
    pub(super) fn new(medium: &Arc<dyn SectorSource>, parts: &[(u64, u64)]) -> Result<Self, Error> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut len = 0_u64;
        for (at, part) in parts {
            if at.checked_add(*part).is_none_or(|end| end > medium.len()) {
                let message = format!(
                    "{part} bytes at offset {at} go beyond the end of the image at {}",
                    medium.len()
                );
                return Err(Error::new(Kind::Damaged, message));
            }
            let follows = runs.last().is_some_and(|(from, start)| start + (len - from) == *at);
            if !follows && *part > 0 {
                runs.push((len, *at));
            }
            // The file has at most 2^32 sections of 4 GiB.
            len = len.saturating_add(*part);
        }
        Ok(Self { medium: Arc::clone(medium), runs: runs.into(), len })
    }

    /// The run that holds `offset`: where that is on the medium, and for how many bytes.
    fn run(&self, offset: u64) -> Option<(u64, u64)> {
        let behind = self.runs.partition_point(|(from, _)| *from <= offset);
        let (from, start) = self.runs.get(behind.checked_sub(1)?)?;
        let end = self.runs.get(behind).map_or(self.len, |(from, _)| *from);
        Some((start + (offset - from), end.checked_sub(offset).filter(|left| *left > 0)?))
    }
}

impl SectorSource for Span {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Damaged)?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some((at, left)) = self.run(offset + done as u64) else { break };
            let len = left.min(rest.len() as u64) as usize;
            self.medium.read_at(at, rest.get_mut(..len).unwrap_or_default())?;
            done += len;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let mut at = offset;
        while let Some((place, left)) = self.run(at) {
            let found = self.medium.next_extent(place);
            let run = Extent::new(place, place + left);
            if let Some(both) = found.zip(run).and_then(|(found, run)| found.intersect(run)) {
                return Extent::new(at + (both.start() - place), at + (both.end() - place));
            }
            at += left;
        }
        None
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let (at, left) = self.run(offset)?;
        let (path, from, len) = self.medium.file_range_at(at)?;
        Some((path, from, len.min(left)))
    }
}
