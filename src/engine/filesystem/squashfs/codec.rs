//! One block packed and unpacked, by each compressor of squashfs.
//!
//! Knows no structure. Invariants: the same block gives the same bytes on every machine; unpacking
//! never yields more than the room it was given.

use std::fmt;
use std::io::{Read as _, Write as _};

use crate::engine::base::{Error, Kind};

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zlib streams (RFC 1950) of this level: 1 to 12.
    Gzip(u8),
    /// One xz stream for each block, its dictionary as large as a block.
    Xz,
    /// Zstandard frames of this level: 1 to 22.
    Zstd(i32),
    /// LZ4 blocks.
    Lz4,
    /// Not at all.
    None,
}

/// Compressors by their number in the superblock, `lzma` and `lzo` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip = 1,
    Xz = 4,
    Lz4 = 5,
    Zstd = 6,
}

/// The level of lzma that is set for xz: what `xz` takes unless told.
const XZ_LEVEL: u32 = 6;

/// What xz may take to unpack a block of 1 MiB, in KiB.
const XZ_KIB: u32 = 8 << 10;

impl Compression {
    pub(super) const fn codec(self) -> Codec {
        match self {
            Self::Gzip(_) | Self::None => Codec::Gzip,
            Self::Xz => Codec::Xz,
            Self::Zstd(_) => Codec::Zstd,
            Self::Lz4 => Codec::Lz4,
        }
    }
}

impl Codec {
    pub(super) fn of(number: u16) -> Result<Self, Error> {
        let name = match number {
            1 => return Ok(Self::Gzip),
            4 => return Ok(Self::Xz),
            5 => return Ok(Self::Lz4),
            6 => return Ok(Self::Zstd),
            2 => "lzma".to_owned(),
            3 => "lzo".to_owned(),
            other => format!("number {other}"),
        };
        let message = format!("squashfs compressed by {name}: gzip, xz, lz4 and zstd are read");
        Err(Error::new(Kind::Unsupported, message))
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Packs one block after the other.
pub(super) struct Packer {
    engine: Engine,
    packed: Vec<u8>,
}

enum Engine {
    Gzip(libdeflater::Compressor),
    /// Bytes of the dictionary: a block, and 8 KiB at least.
    Xz(u32),
    Zstd(zstd::bulk::Compressor<'static>),
    Lz4,
    None,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(super) fn new(compression: Compression, block_size: u32) -> Result<Self, Error> {
        let refused = |what: &str, level: i32, most: i32| {
            let message = format!("squashfs with {what} level {level}: 1 to {most} are allowed");
            Error::new(Kind::Document, message)
        };
        let engine = match compression {
            Compression::Gzip(level) => {
                let known = libdeflater::CompressionLvl::new(i32::from(level));
                let known = known.ok().filter(|_| level > 0);
                let known = known.ok_or_else(|| refused("gzip", i32::from(level), 12))?;
                Engine::Gzip(libdeflater::Compressor::new(known))
            }
            Compression::Zstd(level) => {
                if !(1..=22).contains(&level) {
                    return Err(refused("zstd", level, 22));
                }
                let made = zstd::bulk::Compressor::new(level);
                Engine::Zstd(made.map_err(|e| Error::io("preparing zstd", e))?)
            }
            Compression::Xz => Engine::Xz(block_size.max(8192)),
            Compression::Lz4 => Engine::Lz4,
            Compression::None => Engine::None,
        };
        Ok(Self { engine, packed: Vec::new() })
    }

    /// The packed form of `block`, if it is shorter.
    pub(super) fn pack(&mut self, block: &[u8]) -> Result<Option<&[u8]>, Error> {
        let context = |e| Error::io(format!("compressing {} bytes", block.len()), e);
        let other = |e: &dyn fmt::Display| context(std::io::Error::other(e.to_string()));
        let packed = &mut self.packed;
        match &mut self.engine {
            Engine::Gzip(gzip) => {
                packed.resize(gzip.zlib_compress_bound(block.len()), 0);
                let len = gzip.zlib_compress(block, packed).map_err(|e| other(&e))?;
                packed.truncate(len);
            }
            Engine::Xz(dictionary) => {
                let mut options = lzma_rust2::XzOptions::with_preset(XZ_LEVEL);
                options.lzma_options.dict_size = *dictionary;
                // Linux' decoder knows this check; not every build knows the longer ones.
                options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
                packed.clear();
                let mut writer =
                    lzma_rust2::XzWriter::new(&mut *packed, options).map_err(context)?;
                writer.write_all(block).map_err(context)?;
                writer.finish().map_err(context)?;
            }
            Engine::Zstd(zstd) => {
                packed.clear();
                packed.reserve(zstd::zstd_safe::compress_bound(block.len()));
                zstd.compress_to_buffer(block, packed).map_err(context)?;
            }
            Engine::Lz4 => {
                packed.resize(lz4_flex::block::get_maximum_output_size(block.len()), 0);
                let len = lz4_flex::block::compress_into(block, packed).map_err(|e| other(&e))?;
                packed.truncate(len);
            }
            Engine::None => return Ok(None),
        }
        Ok((self.packed.len() < block.len()).then_some(&self.packed))
    }
}

/// Unpacks `packed`, untrusted, to at most `most` bytes.
pub(super) fn unpack(codec: Codec, packed: &[u8], most: usize) -> Result<Vec<u8>, Error> {
    let damaged = |e: &dyn fmt::Display| {
        let message = format!(
            "{} bytes do not unpack to at most {most} bytes by {}: {e}",
            packed.len(),
            codec.as_str()
        );
        Error::new(Kind::Damaged, message)
    };
    let mut block = vec![0; most];
    let len = match codec {
        Codec::Gzip => libdeflater::Decompressor::new()
            .zlib_decompress(packed, &mut block)
            .map_err(|e| damaged(&e))?,
        Codec::Lz4 => {
            lz4_flex::block::decompress_into(packed, &mut block).map_err(|e| damaged(&e))?
        }
        Codec::Zstd => zstd::bulk::decompress_to_buffer(packed, block.as_mut_slice())
            .map_err(|e| damaged(&e))?,
        Codec::Xz => {
            let mut reader = lzma_rust2::XzReader::new_mem_limit(packed, false, XZ_KIB);
            let mut filled = 0;
            while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match reader.read(rest).map_err(|e| damaged(&e))? {
                    0 => break,
                    len => filled += len,
                }
            }
            if filled == most && reader.read(&mut [0]).map_err(|e| damaged(&e))? > 0 {
                return Err(damaged(&"there is more"));
            }
            filled
        }
    };
    block.truncate(len);
    Ok(block)
}
