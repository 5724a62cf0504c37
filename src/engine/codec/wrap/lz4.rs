//! LZ4 frames until the file ends. (The decoder stops behind the first frame, and takes an end
//! between two blocks for the end of a frame.)
//!
//! Invariant: the end is told only where a frame has ended and nothing follows.

use std::io::{self, Read};

use lz4_flex::frame::FrameDecoder;

/// Decodes one frame after the other.
pub(super) struct Frames<R: Read> {
    decoder: FrameDecoder<Watched<R>>,
    /// How many packed bytes had passed when the last frame ended, unless another was begun.
    ended: Option<u64>,
}

/// Sees how much passes, and the end of the file.
struct Watched<R> {
    reader: R,
    passed: u64,
    dry: bool,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(reader: R) -> Self {
        let watched = Watched { reader, passed: 0, dry: false };
        Self { decoder: FrameDecoder::new(watched), ended: None }
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.decoder.read(buffer)?;
            if len > 0 || buffer.is_empty() {
                self.ended = None;
                return Ok(len);
            }
            let Watched { passed, dry, .. } = *self.decoder.get_ref();
            match self.ended {
                Some(at) if dry && passed == at => return Ok(0),
                _ if dry => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => self.ended = Some(passed),
            }
        }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(buffer)?;
        self.passed += len as u64;
        self.dry |= len == 0 && !buffer.is_empty();
        Ok(len)
    }
}
