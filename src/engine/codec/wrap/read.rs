//! Reads what is compressed around a file.
//!
//! Guesses nothing. Invariants: memory is bounded whatever the file says: 128 MiB for a Zstandard
//! window, 66 MiB for an xz dictionary, 8 MiB for an LZ4 block, 4 MiB for bzip2; a file that is cut
//! or changed ends in an error.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Wrap;
use super::lz4::Frames;
use crate::engine::base::{Error, Kind, PositionalSink, Progress, is_zero};

/// Packed bytes read at once.
const READ: usize = 256 << 10;

/// Unpacked bytes written at once, and what is left out where it is all zero.
const BATCH: usize = 1 << 20;
const UNIT: usize = 64 << 10;

/// Base-2 logarithm of the largest Zstandard window: what the zstd tool takes unless told more.
const ZSTD_WINDOW: u32 = 27;

/// Most KiB that xz may take: a dictionary of 64 MiB, that of its highest level.
const XZ_KIB: u32 = 66 << 10;

/// What was inside.
pub struct Unwrapped {
    wrap: Wrap,
    decoder: Box<dyn Read + Send>,
    packed: Arc<Packed>,
    made: u64,
}

/// What is known about the packed side.
#[derive(Default)]
struct Packed {
    taken: AtomicU64,
    failed: AtomicBool,
}

/// Counts what the decoder takes.
struct Counted {
    inner: Box<dyn Read + Send>,
    packed: Arc<Packed>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        match &read {
            Ok(len) => {
                self.packed.taken.fetch_add(*len as u64, Ordering::Relaxed);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.packed.failed.store(true, Ordering::Relaxed),
        }
        read
    }
}

impl fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unwrapped").field("wrap", &self.wrap).field("made", &self.made).finish()
    }
}

/// What is inside of `packed`, an untrusted file. One that begins otherwise is refused.
pub fn unwrap(wrap: Wrap, packed: Box<dyn Read + Send>) -> Result<Unwrapped, Error> {
    let counts = Arc::new(Packed::default());
    let counted = Counted { inner: packed, packed: Arc::clone(&counts) };
    let mut reader = BufReader::with_capacity(READ, counted);
    let context = |e| Error::io(format!("reading {wrap}"), e);
    let first = reader.fill_buf().map_err(context)?;
    // A pipe may give less at first than asked for; what is there must fit all the same.
    let magic = wrap.magic();
    let seen = first.get(..magic.len().min(first.len())).unwrap_or_default();
    if seen.is_empty() || !magic.starts_with(seen) {
        let (begins, magic) = (hex::encode(seen), hex::encode(magic));
        let message = format!("no {wrap} file: it begins with \"{begins}\" instead of \"{magic}\"");
        return Err(Error::new(Kind::Input, message));
    }
    let decoder: Box<dyn Read + Send> = match wrap {
        Wrap::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Wrap::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_KIB)),
        Wrap::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader).map_err(context)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(context)?;
            Box::new(decoder)
        }
        Wrap::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Wrap::Lz4 => Box::new(Frames::new(reader)),
    };
    Ok(Unwrapped { wrap, decoder, packed: counts, made: 0 })
}

impl Unwrapped {
    /// Fills as much of `buffer` as there is: less than all of it means the end.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.decoder.read(rest) {
                Ok(0) => break,
                Ok(len) => {
                    filled += len;
                    self.made += len as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
        Ok(filled)
    }

    /// How many packed bytes were taken so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.packed.taken.load(Ordering::Relaxed)
    }

    fn failed(&self, e: io::Error) -> Error {
        let (wrap, taken, made) = (self.wrap, self.taken(), self.made);
        if self.packed.failed.load(Ordering::Relaxed) {
            return Error::io(format!("reading {wrap} at offset {taken}"), e);
        }
        let why = match e.kind() {
            io::ErrorKind::UnexpectedEof => "the file ends too early".to_owned(),
            _ => e.to_string(),
        };
        let message = format!(
            "{wrap} cannot be unpacked behind {made} bytes ({taken} packed bytes were read): {why}"
        );
        Error::new(Kind::Damaged, message)
    }
}

impl Read for Unwrapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill(buffer).map_err(io::Error::other)
    }
}

/// Writes what is inside to a sink that reads as zeros where nothing is written, and returns its
/// length. More than `limit` bytes are refused. `progress` hears of packed bytes.
pub fn unpack(
    unwrapped: &mut Unwrapped,
    sink: &dyn PositionalSink,
    limit: u64,
    progress: &dyn Progress,
) -> Result<u64, Error> {
    let mut buffer = vec![0; BATCH];
    let (mut at, mut told) = (0, 0);
    loop {
        let len = unwrapped.fill(&mut buffer)?;
        if at + len as u64 > limit {
            let wrap = unwrapped.wrap;
            let message = format!("{wrap} unpacks to more than the {limit} bytes that are allowed");
            return Err(Error::new(Kind::Input, message));
        }
        for (unit, bytes) in (0..).zip(buffer.get(..len).unwrap_or_default().chunks(UNIT)) {
            if !is_zero(bytes) {
                sink.write_at(at + unit * UNIT as u64, bytes)?;
            }
        }
        at += len as u64;
        progress.advance(unwrapped.taken() - told)?;
        told = unwrapped.taken();
        if len < BATCH {
            sink.set_len(at)?;
            return Ok(at);
        }
    }
}
