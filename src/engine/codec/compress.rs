//! Compression of small independent blocks, by raw deflate with a small window or by Zstandard.
//!
//! Knows no format and no file. Invariant: the same block gives the same bytes on every machine
//! and thread (levels are fixed, the libraries choose nothing by processor); decompression of
//! hostile bytes neither panics nor takes more memory than `MAX_ZSTD_WINDOW` and its buffers.

use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::{CParameter, DParameter};

use crate::engine::base::{Error, Kind};

/// Base-2 logarithm of the deflate window: 4 KiB. QEMU deflates and inflates qcow2 clusters with
/// this window (`inflateInit2(&strm, -12)` in block/qcow2-threads.c). Longer distances are outside
/// of what it promises to read: zlib reports them as an error when it inflates in pieces. (QEMU
/// 7.2 with zlib 1.2.13 inflates a cluster in one piece, and was seen to read them.)
const DEFLATE_WINDOW_BITS: u8 = 12;

/// zlib's default level.
const DEFLATE_LEVEL: u32 = 6;

/// Zstandard's default level.
const ZSTD_LEVEL: i32 = 3;

/// Base-2 logarithm of the largest Zstandard window that is accepted: 2 MiB, the largest block.
const MAX_ZSTD_WINDOW: u32 = 21;

/// How a block is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Raw deflate (RFC 1951, no zlib header) with a window of 4 KiB.
    Deflate,
    /// One Zstandard frame (RFC 8878) without checksum.
    Zstd,
}

/// Compresses one block after the other.
pub struct Compressor {
    engine: Engine,
    scratch: Vec<u8>,
}

enum Engine {
    Deflate(Compress),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    /// A compressor of this method.
    pub fn new(method: Method) -> Result<Self, Error> {
        let engine = match method {
            Method::Deflate => Engine::Deflate(deflate()),
            Method::Zstd => Engine::Zstd(zstd_compressor().map_err(|e| {
                Error::io(format!("preparing zstd compression at level {ZSTD_LEVEL}"), e)
            })?),
        };
        Ok(Self { engine, scratch: Vec::new() })
    }

    /// The compressed form of `block` if it is shorter than the block.
    pub fn compress(&mut self, block: &[u8]) -> Result<Option<&[u8]>, Error> {
        let context = |e| Error::io(format!("compressing {} bytes", block.len()), e);
        self.scratch.clear();
        match &mut self.engine {
            Engine::Deflate(compress) => {
                compress.reset();
                // Room for the worst case: zlib-rs (0.6.8) does not forget over a reset how much
                // of its buffer it could not hand out, and panics when that adds up.
                self.scratch.reserve(block.len() + block.len() / 64 + 64);
                let status = compress.compress_vec(block, &mut self.scratch, FlushCompress::Finish);
                if status.map_err(|e| context(e.into()))? != Status::StreamEnd {
                    *compress = deflate();
                    return Ok(None);
                }
            }
            Engine::Zstd(zstd) => {
                self.scratch.reserve(zstd::zstd_safe::compress_bound(block.len()));
                zstd.compress_to_buffer(block, &mut self.scratch).map_err(context)?;
            }
        }
        Ok((self.scratch.len() < block.len()).then_some(&self.scratch))
    }
}

fn deflate() -> Compress {
    Compress::new_with_window_bits(Compression::new(DEFLATE_LEVEL), false, DEFLATE_WINDOW_BITS)
}

fn zstd_compressor() -> std::io::Result<zstd::bulk::Compressor<'static>> {
    let mut zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    zstd.set_parameter(CParameter::ChecksumFlag(false))?;
    Ok(zstd)
}

/// Decompresses one untrusted block after the other.
pub struct Decompressor(Undo);

enum Undo {
    Deflate(Inflate),
    Zstd(Decoder<'static>),
}

/// Two ways to inflate: libdeflate, which is three times as fast but wants a stream that fills the
/// block exactly and ends; and zlib, which stops when the block is full, as QEMU does. The second
/// has the word about what the first refuses.
struct Inflate {
    fast: libdeflater::Decompressor,
    exact: Decompress,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor")
    }
}

impl Decompressor {
    /// A decompressor of this method.
    pub fn new(method: Method) -> Result<Self, Error> {
        Ok(Self(match method {
            Method::Deflate => Undo::Deflate(Inflate {
                fast: libdeflater::Decompressor::new(),
                exact: Decompress::new(false),
            }),
            Method::Zstd => Undo::Zstd(
                zstd_decoder().map_err(|e| Error::io("preparing zstd decompression", e))?,
            ),
        }))
    }

    /// Fills all of `block` from `packed`, which may go on behind the compressed bytes.
    pub fn decompress(&mut self, packed: &[u8], block: &mut [u8]) -> Result<(), Error> {
        let wanted = block.len();
        let got = match &mut self.0 {
            Undo::Deflate(inflate) => {
                inflate.run(packed, block).map_err(|e| damaged(packed, wanted, &e.to_string()))?
            }
            Undo::Zstd(decoder) => unzstd(decoder, packed, block)
                .map_err(|e| damaged(packed, wanted, &e.to_string()))?,
        };
        if got == wanted {
            return Ok(());
        }
        Err(damaged(packed, wanted, &format!("they end after {got}")))
    }
}

impl Inflate {
    /// Number of bytes of `block` that one stream at the start of `packed` fills.
    fn run(&mut self, packed: &[u8], block: &mut [u8]) -> Result<usize, flate2::DecompressError> {
        if let Ok(got) = self.fast.deflate_decompress(packed, block) {
            return Ok(got);
        }
        self.exact.reset(false);
        self.exact.decompress(packed, block, FlushDecompress::Finish)?;
        Ok(usize::try_from(self.exact.total_out()).unwrap_or(usize::MAX))
    }
}

fn zstd_decoder() -> std::io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW))?;
    Ok(decoder)
}

/// Number of bytes of `block` that one frame at the start of `packed` fills.
fn unzstd(decoder: &mut Decoder<'_>, packed: &[u8], block: &mut [u8]) -> std::io::Result<usize> {
    decoder.reinit()?;
    let mut input = InBuffer::around(packed);
    let mut output = OutBuffer::around(block);
    loop {
        let before = (input.pos(), output.pos());
        let rest = decoder.run(&mut input, &mut output)?;
        if rest == 0 || before == (input.pos(), output.pos()) {
            return Ok(output.pos());
        }
    }
}

fn damaged(packed: &[u8], wanted: usize, why: &str) -> Error {
    let message =
        format!("{} compressed bytes do not unpack to {wanted} bytes: {why}", packed.len());
    Error::new(Kind::Damaged, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 64 << 10;

    /// Bytes without pattern (xorshift).
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn blocks_survive_and_what_does_not_shrink_is_told() {
        for method in [Method::Deflate, Method::Zstd] {
            let mut compressor = Compressor::new(method).unwrap();
            let mut decompressor = Decompressor::new(method).unwrap();
            assert!(compressor.compress(&noise(BLOCK)).unwrap().is_none());
            for block in [noise(1000).repeat(70)[..BLOCK].to_vec(), vec![7; BLOCK]] {
                let mut packed = compressor.compress(&block).unwrap().unwrap().to_vec();
                assert!(packed.len() < BLOCK / 2);
                packed.extend(noise(600)); // the rest of the last sector
                let mut back = vec![0; BLOCK];
                decompressor.decompress(&packed, &mut back).unwrap();
                assert!(back == block);
            }
        }
    }

    #[test]
    fn any_number_of_blocks_that_do_not_shrink_is_taken() {
        for method in [Method::Deflate, Method::Zstd] {
            let mut compressor = Compressor::new(method).unwrap();
            for len in [512, 4096, BLOCK] {
                for n in 0..300 {
                    let wanted = n % 7 == 6;
                    let block = if wanted { vec![7; len] } else { noise(len) };
                    assert_eq!(compressor.compress(&block).unwrap().is_some(), wanted, "{len}");
                }
            }
        }
    }

    #[test]
    fn damage_is_an_error() {
        for method in [Method::Deflate, Method::Zstd] {
            let mut decompressor = Decompressor::new(method).unwrap();
            let packed = Compressor::new(method).unwrap();
            let packed = { packed }.compress(&noise(900).repeat(70)).unwrap().unwrap().to_vec();
            let mut block = vec![0; BLOCK];
            for bad in [&[][..], &[0xff; 99], &packed[..500], &packed] {
                let error = decompressor.decompress(bad, &mut block).unwrap_err();
                assert_eq!(error.kind(), Kind::Damaged);
            }
            decompressor.decompress(&packed, &mut block[..900 * 70]).unwrap();
        }
    }

    #[test]
    fn foreign_deflate_is_read_as_qemu_reads_it() {
        // A window of 32 KiB, and a stream that is longer than the block or has no end.
        let block = [noise(20_000), noise(20_000), vec![5; 30_000]].concat();
        let mut foreign = Compress::new(Compression::new(9), false);
        let mut packed = Vec::with_capacity(BLOCK);
        foreign.compress_vec(&block, &mut packed, FlushCompress::Finish).unwrap();
        assert!(packed.len() < 25_000);
        let mut unended = Vec::with_capacity(BLOCK);
        foreign.reset();
        foreign.compress_vec(&block[..50_000], &mut unended, FlushCompress::Sync).unwrap();
        let mut decompressor = Decompressor::new(Method::Deflate).unwrap();
        for (packed, len) in [(&packed, 70_000), (&packed, 50_000), (&unended, 50_000)] {
            let mut back = vec![0; len];
            decompressor.decompress(packed, &mut back).unwrap();
            assert!(back == block[..len], "{len}");
        }
    }

    #[test]
    fn no_distance_is_longer_than_the_window() {
        // Bytes without pattern twice, and zeros to have something to compress: the second copy
        // costs nothing where the window reaches back to the first, and its length where not.
        for (far, found) in [(1_000, true), (3_500, true), (4_097, false), (20_000, false)] {
            let block = [noise(far), noise(far), vec![0; 20_000]].concat();
            let mut compressor = Compressor::new(Method::Deflate).unwrap();
            let packed = compressor.compress(&block).unwrap().unwrap();
            let copies = if found { 1 } else { 2 };
            let expected = far * copies..far * copies + 400;
            assert!(expected.contains(&packed.len()), "{far}: {}", packed.len());
        }
    }
}
