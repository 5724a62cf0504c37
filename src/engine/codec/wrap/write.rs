//! A sink that compresses on its way to another.
//!
//! Invariants: levels and block sizes are fixed and the threads get whole pieces, so the bytes
//! depend on the content alone; without `finish` the output is not complete and every reader says so.

use std::fmt;
use std::io::Write;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use lzma_rust2::{CheckType, XzOptions, XzWriterMt};
use zstd::stream::raw::{Encoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::CParameter;

use super::Wrap;
use super::gzip::Gzip;
use crate::engine::base::{Error, Kind, StreamSink};

/// Bytes that are given to a compressor at once, whatever the pieces they come in.
const PIECE: usize = 512 << 10;

/// xz: the level, the bytes that a match reaches back, and those of a block that is compressed apart.
/// A thread takes about 12 times the dictionary and 2 blocks.
const XZ_LEVEL: u32 = 4;
const XZ_DICTIONARY: u32 = 2 << 20;
const XZ_BLOCK: u64 = 4 << 20;

/// Zstandard: the level, and the bytes of a job that is compressed apart.
const ZSTD_LEVEL: i32 = 3;
const ZSTD_JOB: u32 = 2 << 20;

/// A sink that compresses into another.
pub struct Wrapper<'a> {
    wrap: Wrap,
    sink: &'a mut dyn StreamSink,
    engine: Engine,
    buffer: Vec<u8>,
}

enum Engine {
    Gzip(Box<Gzip>),
    Xz(Box<XzWriterMt<Outbox>>, Outbox),
    Zstd(Encoder<'static>),
}

/// Where the xz writer leaves its bytes: it owns what it writes to.
#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Vec<u8>>>);

impl Outbox {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Wrapper<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wrapper").field(&self.wrap).finish()
    }
}

impl<'a> Wrapper<'a> {
    /// Compresses into `sink` on this many threads. What is only read is refused.
    pub fn new(wrap: Wrap, sink: &'a mut dyn StreamSink, threads: usize) -> Result<Self, Error> {
        Self::checked(wrap, sink, threads, CheckType::Crc64)
    }

    /// The same for what Linux unpacks: its xz decoder knows no sums but CRC32 (Documentation/
    /// staging/xz.rst).
    pub fn for_kernels(
        wrap: Wrap,
        sink: &'a mut dyn StreamSink,
        threads: usize,
    ) -> Result<Self, Error> {
        Self::checked(wrap, sink, threads, CheckType::Crc32)
    }

    fn checked(
        wrap: Wrap,
        sink: &'a mut dyn StreamSink,
        threads: usize,
        xz_check: CheckType,
    ) -> Result<Self, Error> {
        let threads = threads.max(1);
        let context = |e| Error::io(format!("preparing {wrap} on {threads} threads"), e);
        let engine = match wrap {
            Wrap::Gzip => Engine::Gzip(Box::new(Gzip::new(threads))),
            Wrap::Xz => {
                let mut options = XzOptions::with_preset(XZ_LEVEL);
                options.lzma_options.dict_size = XZ_DICTIONARY;
                options.set_check_sum_type(xz_check);
                options.set_block_size(NonZero::new(XZ_BLOCK));
                let threads = u32::try_from(threads).unwrap_or(u32::MAX);
                let outbox = Outbox::default();
                let writer = XzWriterMt::new(outbox.clone(), options, threads);
                Engine::Xz(Box::new(writer.map_err(context)?), outbox)
            }
            Wrap::Zstd => Engine::Zstd(zstd_encoder(threads).map_err(context)?),
            Wrap::Bzip2 | Wrap::Lz4 => {
                let message = format!("{wrap} is only read; gzip, xz and zstd are written");
                return Err(Error::new(Kind::Document, message));
            }
        };
        Ok(Self { wrap, sink, engine, buffer: Vec::new() })
    }

    /// Ends the file. Without it there is none.
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        let context = |e| Error::io(format!("finishing {}", self.wrap), e);
        match self.engine {
            Engine::Gzip(gzip) => gzip.finish(self.sink),
            Engine::Xz(writer, outbox) => {
                writer.finish().map_err(context)?;
                self.sink.write(&outbox.take())
            }
            Engine::Zstd(mut encoder) => {
                let mut out = vec![0; PIECE];
                loop {
                    let mut into = OutBuffer::around(&mut out[..]);
                    let left = encoder.finish(&mut into, true).map_err(context)?;
                    self.sink.write(into.as_slice())?;
                    if left == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Compresses the buffer.
    fn flush(&mut self) -> Result<(), Error> {
        let wrap = self.wrap;
        let context = |e| Error::io(format!("compressing with {wrap}"), e);
        match &mut self.engine {
            Engine::Gzip(gzip) => gzip.write(&self.buffer, self.sink)?,
            Engine::Xz(writer, outbox) => {
                writer.write_all(&self.buffer).map_err(context)?;
                self.sink.write(&outbox.take())?;
            }
            Engine::Zstd(encoder) => {
                let mut out = vec![0; PIECE];
                let mut input = InBuffer::around(&self.buffer);
                while input.pos() < self.buffer.len() {
                    let mut into = OutBuffer::around(&mut out[..]);
                    encoder.run(&mut input, &mut into).map_err(context)?;
                    self.sink.write(into.as_slice())?;
                }
            }
        }
        self.buffer.clear();
        Ok(())
    }
}

/// The multithreaded encoder gives the same bytes on any number of threads but none.
fn zstd_encoder(threads: usize) -> std::io::Result<Encoder<'static>> {
    let mut encoder = Encoder::new(ZSTD_LEVEL)?;
    // 200 is the library's limit (ZSTDMT_NBWORKERS_MAX) on 64-bit machines, 64 on others.
    let workers = u32::try_from(threads.min(64)).unwrap_or(1);
    encoder.set_parameter(CParameter::NbWorkers(workers))?;
    encoder.set_parameter(CParameter::JobSize(ZSTD_JOB))?;
    encoder.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(encoder)
}

impl StreamSink for Wrapper<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        // gzip cuts its chunks itself.
        if let Engine::Gzip(gzip) = &mut self.engine {
            return gzip.write(bytes, self.sink);
        }
        while !bytes.is_empty() {
            let room = PIECE.saturating_sub(self.buffer.len());
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = rest;
            if self.buffer.len() == PIECE {
                self.flush()?;
            }
        }
        Ok(())
    }
}
