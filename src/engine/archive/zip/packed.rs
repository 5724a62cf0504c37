//! A compressed file in a zip archive.
//!
//! Keeps nothing: whoever wants it at any offset unpacks it into a spool. Invariant: what is
//! unpacked is as long as the directory says and has its sum.

use std::io::Read as _;
use std::sync::Arc;

use crate::engine::archive::Part;
use crate::engine::base::{Error, Kind, PositionalSink, SectorSource as _, SourceReader, is_zero};

/// Bytes unpacked at once.
const BATCH: usize = 256 << 10;

/// A deflated file.
#[derive(Clone, Debug)]
pub struct Packed {
    pub(super) part: Part,
    pub(super) size: u64,
    pub(super) crc: u32,
}

impl Packed {
    /// Bytes of the file.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.size
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Unpacks it into `sink` from `offset` on; zeros are left out.
    pub fn unpack(&self, sink: &dyn PositionalSink, offset: u64) -> Result<(), Error> {
        let reader = SourceReader::new(Arc::new(self.part.clone()));
        // A buffer no larger than the body: most are small.
        let ahead = usize::try_from(self.part.len()).unwrap_or(BATCH).clamp(1, 64 << 10);
        let reader = std::io::BufReader::with_capacity(ahead, reader);
        let mut decoder = flate2::bufread::DeflateDecoder::new(reader);
        let batch = usize::try_from(self.size).unwrap_or(BATCH).clamp(1, BATCH);
        let mut buffer = vec![0; batch];
        let (mut at, mut crc) = (0, crc32fast::Hasher::new());
        loop {
            let len = decoder.read(&mut buffer).map_err(|e| damaged(&e.to_string()))?;
            let now = buffer.get(..len).unwrap_or_default();
            if now.is_empty() {
                break;
            }
            if at + len as u64 > self.size {
                return Err(damaged(&format!("it unpacks to more than {} bytes", self.size)));
            }
            crc.update(now);
            if !is_zero(now) {
                sink.write_at(offset + at, now)?;
            }
            at += len as u64;
        }
        judge(at, self.size, crc.finalize(), self.crc)
    }
}

/// Whether length and sum are those of the directory.
pub(super) fn judge(len: u64, wanted: u64, crc: u32, wanted_crc: u32) -> Result<(), Error> {
    if len != wanted {
        return Err(damaged(&format!("it unpacks to {len} bytes instead of {wanted}")));
    }
    if crc != wanted_crc {
        return Err(damaged(&format!("its sum is {crc:08x} instead of {wanted_crc:08x}")));
    }
    Ok(())
}

fn damaged(what: &str) -> Error {
    Error::new(Kind::Damaged, format!("zip: {what}"))
}
