//! The part of a medium that is the body of a request.
//!
//! Knows no server. Invariant: every reader of one part gives the same bytes, and what stopped one is
//! told in its own words.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::engine::base::{Error, Progress, SectorSource, Silent};

/// Bytes of a medium that are sent.
#[derive(Debug)]
pub struct Part<'a> {
    source: Option<&'a dyn SectorSource>,
    range: Range<u64>,
    progress: &'a dyn Progress,
    failed: Mutex<Option<Error>>,
}

/// A part that is being sent.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    part: &'a Part<'a>,
    at: u64,
}

impl<'a> Part<'a> {
    /// The bytes of `source` in `range`, which lies inside of it.
    #[must_use]
    pub const fn new(
        source: &'a dyn SectorSource,
        range: Range<u64>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self { source: Some(source), range, progress, failed: Mutex::new(None) }
    }

    /// No bytes: what says that nothing follows, where something might.
    #[must_use]
    pub const fn nothing() -> Part<'static> {
        Part { source: None, range: 0..0, progress: &Silent, failed: Mutex::new(None) }
    }

    /// How many they are.
    pub(super) const fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// Reads them from the first on.
    pub(super) const fn reader(&self) -> Reader<'_> {
        Reader { part: self, at: self.range.start }
    }

    /// What stopped a reader.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Part { source, range, progress, failed } = self.part;
        let count = range.end.saturating_sub(self.at).min(buffer.len() as u64);
        let some = buffer.get_mut(..count as usize).filter(|some| !some.is_empty());
        let Some((source, buffer)) = source.zip(some) else { return Ok(0) };
        let read = source.read_at(self.at, buffer).and_then(|()| progress.advance(count));
        if let Err(error) = read {
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            return Err(io::Error::other("the body cannot be read on"));
        }
        self.at += count;
        Ok(count as usize)
    }
}
