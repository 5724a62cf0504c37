//! gzip on many threads: chunks are deflated apart, each with the end of the one before as its
//! dictionary, and end on a byte (an empty stored block); one after the other they are one member.
//!
//! Does not read gzip. Invariants: the bytes depend on the content alone (RFC 1952 2.3.1: no name,
//! no time, system 255 "unknown"); a chunk is cut at multiples of `CHUNK` only.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::pool::Pool;
use crate::engine::base::{Error, StreamSink, is_zero};

/// Bytes that one thread deflates at once.
const CHUNK: usize = 512 << 10;

/// How far a distance reaches back (RFC 1951 2).
const WINDOW: usize = 32 << 10;

/// zlib's default level.
const LEVEL: u32 = 6;

/// RFC 1952 2.3: magic, deflate, no flags, no time, no extra flags, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A chunk to be deflated.
struct Chunk {
    /// The end of the chunk before.
    dictionary: Vec<u8>,
    bytes: Vec<u8>,
    last: bool,
}

/// A chunk that is deflated.
struct Packed {
    bytes: Vec<u8>,
    crc: crc32fast::Hasher,
    /// The chunk's buffer, to be used again.
    spent: Vec<u8>,
}

/// A gzip member being written.
pub(super) struct Gzip {
    pool: Pool<Chunk, Result<Packed, Error>>,
    buffer: Vec<u8>,
    dictionary: Vec<u8>,
    spare: Vec<Vec<u8>>,
    crc: crc32fast::Hasher,
    len: u64,
    begun: bool,
}

impl Gzip {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            pool: Pool::new(threads, Deflater::default, Deflater::pack),
            buffer: Vec::with_capacity(CHUNK),
            dictionary: Vec::new(),
            spare: Vec::new(),
            crc: crc32fast::Hasher::new(),
            len: 0,
            begun: false,
        }
    }

    pub(super) fn write(
        &mut self,
        mut bytes: &[u8],
        sink: &mut dyn StreamSink,
    ) -> Result<(), Error> {
        while !bytes.is_empty() {
            let room = CHUNK.saturating_sub(self.buffer.len());
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            self.len += now.len() as u64;
            bytes = rest;
            if self.buffer.len() == CHUNK {
                self.give(false, sink)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, sink: &mut dyn StreamSink) -> Result<(), Error> {
        self.give(true, sink)?;
        while let Some(packed) = self.pool.take() {
            self.place(packed?, sink)?;
        }
        // RFC 1952 2.3.1: the checksum, and the length modulo 2^32 (so it is cut on purpose).
        sink.write(&self.crc.finalize().to_le_bytes())?;
        sink.write(&(self.len as u32).to_le_bytes())
    }

    /// Gives the buffer to the threads.
    fn give(&mut self, last: bool, sink: &mut dyn StreamSink) -> Result<(), Error> {
        if self.pool.is_full()
            && let Some(packed) = self.pool.take()
        {
            self.place(packed?, sink)?;
        }
        let empty = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
        let bytes = std::mem::replace(&mut self.buffer, empty);
        let tail = bytes.get(bytes.len().saturating_sub(WINDOW)..).unwrap_or_default();
        let dictionary = std::mem::replace(&mut self.dictionary, tail.to_vec());
        self.pool.give(Chunk { dictionary, bytes, last });
        Ok(())
    }

    fn place(&mut self, packed: Packed, sink: &mut dyn StreamSink) -> Result<(), Error> {
        if !self.begun {
            self.begun = true;
            sink.write(&HEADER)?;
        }
        self.crc.combine(&packed.crc);
        let mut spent = packed.spent;
        spent.clear();
        self.spare.push(spent);
        sink.write(&packed.bytes)
    }
}

/// What a thread keeps.
#[derive(Default)]
struct Deflater {
    /// What a whole chunk of zeros behind zeros becomes: disks have many.
    zeros: Option<(Vec<u8>, crc32fast::Hasher)>,
}

impl Deflater {
    fn pack(&mut self, chunk: Chunk) -> Result<Packed, Error> {
        let zeros = !chunk.last
            && chunk.dictionary.len() == WINDOW
            && is_zero(&chunk.dictionary)
            && is_zero(&chunk.bytes);
        if zeros && let Some((bytes, crc)) = &self.zeros {
            return Ok(Packed { bytes: bytes.clone(), crc: crc.clone(), spent: chunk.bytes });
        }
        let bytes = deflate(&chunk)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&chunk.bytes);
        if zeros {
            self.zeros = Some((bytes.clone(), crc.clone()));
        }
        Ok(Packed { bytes, crc, spent: chunk.bytes })
    }
}

/// Deflates a chunk, with a new compressor: one that is reset hashes the end of a dictionary together
/// with what it had in its window before (zlib-rs 0.6), so the bytes would depend on which thread had
/// which chunks.
fn deflate(chunk: &Chunk) -> Result<Vec<u8>, Error> {
    let len = chunk.bytes.len();
    let context = |e: std::io::Error| Error::io(format!("deflating {len} bytes"), e);
    let mut deflate = Compress::new(Compression::new(LEVEL), false);
    if !chunk.dictionary.is_empty() {
        let set = deflate.set_dictionary(&chunk.dictionary);
        set.map_err(|e| context(e.into()))?;
    }
    let flush = if chunk.last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::with_capacity(len / 2 + 64);
    loop {
        let done = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = chunk.bytes.get(done..).unwrap_or_default();
        let status = deflate.compress_vec(rest, &mut out, flush);
        let ended = status.map_err(|e| context(e.into()))? == Status::StreamEnd;
        // Room that is left means that all is flushed.
        if ended || (!chunk.last && out.len() < out.capacity()) {
            return Ok(out);
        }
        out.reserve(len / 2 + 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records that begin alike, so that each has more candidates for a match than are tried. The
    /// dictionary ends inside of such a beginning: the byte that it is hashed with decides whether it
    /// is one candidate more.
    fn chunk(seed: u64) -> Chunk {
        let mut state = seed;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 61) as u8
        };
        let mut records = |count: usize| -> Vec<u8> {
            (0..count).flat_map(|_| [1, 2, 3, 0, next(), next(), next(), next()]).collect()
        };
        let mut dictionary = records(WINDOW / 8);
        dictionary[WINDOW - 3..].copy_from_slice(&[1, 2, 3]);
        let bytes = [vec![9; 8], records(2_000)].concat();
        Chunk { dictionary, bytes, last: false }
    }

    #[test]
    fn a_chunk_does_not_depend_on_those_before_it() {
        let mut used = Deflater::default();
        for seed in 1..40 {
            let fresh = Deflater::default().pack(chunk(seed)).unwrap().bytes;
            assert!(used.pack(chunk(seed)).unwrap().bytes == fresh, "seed {seed}");
        }
    }
}
