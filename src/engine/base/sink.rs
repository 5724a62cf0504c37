//! The push side of every writer: a place for bytes at any offset, or a stream of them.
//!
//! Does not decide names or durability (see `file`). Invariant: a positional sink reads as zeros
//! wherever nothing was written.

use std::fmt;
use std::fs::File;
use std::sync::Mutex;

use super::Error;

/// A place that takes bytes at any offset, from many threads. What is not written reads as zeros.
pub trait PositionalSink: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Makes the whole `len` bytes long. Called once, before or after the writes.
    fn set_len(&self, len: u64) -> Result<(), Error>;

    /// Makes the whole a copy of `file` that shares its blocks. False, and nothing is changed, where
    /// that is not possible.
    fn reflink(&self, _file: &File) -> bool {
        false
    }
    /// Keeps room for `len` bytes from `offset` on, where nothing is written yet: by zeros, where
    /// the place has no better way.
    fn reserve(&self, offset: u64, len: u64) -> Result<(), Error> {
        write_zeros(self, offset, len)
    }
}

/// Writes `len` zeros at `offset`.
pub fn write_zeros(
    sink: &(impl PositionalSink + ?Sized),
    offset: u64,
    len: u64,
) -> Result<(), Error> {
    let zeros = vec![0; len.min(1 << 20) as usize];
    let mut done = 0;
    while done < len {
        let now = (len - done).min(zeros.len() as u64);
        sink.write_at(offset + done, zeros.get(..now as usize).unwrap_or_default())?;
        done += now;
    }
    Ok(())
}

/// A place that takes bytes in order only, such as a pipe.
pub trait StreamSink {
    /// Writes all of `bytes`.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// A sink in memory, for products that are placed in others, and for tests.
#[derive(Default)]
pub struct MemorySink(Mutex<Vec<u8>>);

impl MemorySink {
    /// The bytes written so far.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemorySink")
    }
}

impl PositionalSink for MemorySink {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut held = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(|_| too_big(offset))?;
        let end = start.checked_add(bytes.len()).ok_or_else(|| too_big(offset))?;
        if held.len() < end {
            held.resize(end, 0);
        }
        if let Some(place) = held.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let len = usize::try_from(len).map_err(|_| too_big(len))?;
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).resize(len, 0);
        Ok(())
    }
}

fn too_big(offset: u64) -> Error {
    Error::new(super::Kind::Io, format!("offset {offset} does not fit this machine's memory"))
}

impl StreamSink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}
