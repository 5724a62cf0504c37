//! Hashes what passes through on its way to a file or a device.
//!
//! Does not write by itself. Invariant: the digest is that of all bytes in order, and every byte is
//! touched once.

use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::engine::base::{Error as EngineError, Kind, PositionalSink, Progress};

/// A sink that hashes all bytes. The writes must come in order, as those of `raw::write` do; what is
/// skipped is zeros.
pub(super) struct Hashing<'a> {
    sink: &'a dyn PositionalSink,
    state: Mutex<(Sha256, u64)>,
    /// Asked while holes are hashed: they take time although nothing is written.
    progress: &'a dyn Progress,
}

impl<'a> Hashing<'a> {
    /// Hands everything on to `sink`.
    pub(super) fn new(sink: &'a dyn PositionalSink, progress: &'a dyn Progress) -> Self {
        Self { sink, state: Mutex::new((Sha256::new(), 0)), progress }
    }

    /// The digest of all `len` bytes.
    pub(super) fn finish(self, len: u64) -> Result<String, EngineError> {
        let (mut hash, at) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        zeros(&mut hash, at, len, self.progress)?;
        Ok(format!("sha256:{}", hex::encode(hash.finalize())))
    }
}

impl PositionalSink for Hashing<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), EngineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (hash, at) = &mut *state;
        zeros(hash, *at, offset, self.progress)?;
        hash.update(bytes);
        *at = offset + bytes.len() as u64;
        self.sink.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> Result<(), EngineError> {
        self.sink.set_len(len)
    }
}

/// Hashes zeros from `from` up to `to`; can be cancelled.
fn zeros(
    hash: &mut Sha256,
    from: u64,
    to: u64,
    progress: &dyn Progress,
) -> Result<(), EngineError> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut left = to.checked_sub(from).ok_or_else(|| {
        EngineError::new(Kind::Io, format!("a write at {to} came after one that ended at {from}"))
    })?;
    while left > 0 {
        let part = left.min(ZEROS.len() as u64);
        hash.update(ZEROS.get(..part as usize).unwrap_or_default());
        left -= part;
        progress.advance(0)?;
    }
    Ok(())
}
