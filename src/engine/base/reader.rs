//! A medium read from front to back, for decoders that want `Read`.
//!
//! Keeps no buffer. Invariant: yields every byte of the medium once, then nothing.

use std::io::{self, Read};
use std::sync::Arc;

use super::SectorSource;

/// Reads a medium from front to back.
#[derive(Clone, Debug)]
pub struct SourceReader {
    source: Arc<dyn SectorSource>,
    at: u64,
}

impl SourceReader {
    /// A reader at the first byte of `source`.
    #[must_use]
    pub fn new(source: Arc<dyn SectorSource>) -> Self {
        Self { source, at: 0 }
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(now) = buffer.get_mut(..len) else { return Ok(0) };
        if !now.is_empty() {
            self.source.read_at(self.at, now).map_err(io::Error::other)?;
        }
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ByteSource;
    use super::*;

    #[test]
    fn every_byte_comes_once() {
        let mut reader = SourceReader::new(Arc::new(ByteSource::new(&b"0123456789"[..])));
        let mut buffer = [0; 4];
        let mut seen: Vec<u8> = Vec::new();
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => break,
                n => seen.extend(&buffer[..n]),
            }
        }
        assert_eq!(seen.as_slice(), b"0123456789");
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    }
}
