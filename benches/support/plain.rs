//! A sink that syncs nothing: what we are compared with does not sync either.
//!
//! Invariant: what was written is in the file, if nowhere on the disk.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use vmimage::engine::base::{Error, PositionalSink};

/// A file that is not synced.
pub(crate) struct Plain(pub(crate) File);

impl PositionalSink for Plain {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.0.write_all_at(bytes, offset).map_err(|e| Error::io("writing", e))
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.set_len(len).map_err(|e| Error::io("setting the length", e))
    }
}
