//! Compression of an archive in the forms that Linux' decoders take.
//!
//! Knows no archive. Invariants: one gzip member, xz stream with CRC32 sums, Zstandard frame or LZ4
//! legacy frame for all of the source: Linux stops behind the first ("junk at the end of compressed
//! archive"); the same bytes on any number of threads.

use std::fmt;

use super::lz4;
use crate::engine::base::{Error, SectorSource, StreamSink, Work};
use crate::engine::codec::wrap::{Wrap, Wrapper};

/// Bytes that are read at once.
const READ: u64 = 1 << 20;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip: every kernel takes it.
    Gzip,
    /// xz: the smallest and the slowest.
    Xz,
    /// Zstandard with a window of 2 MiB (Linux takes up to 128 MiB): Linux 5.9 and later.
    #[default]
    Zstd,
    /// LZ4's legacy frame: unpacked fastest.
    Lz4,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Xz, Self::Zstd, Self::Lz4];

    /// The name, as documents spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.as_str() == name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Compresses all of `source` into `sink`.
pub fn pack(
    source: &dyn SectorSource,
    compression: Compression,
    sink: &mut dyn StreamSink,
    work: &Work<'_>,
) -> Result<(), Error> {
    work.progress.begin("initramfs", source.len());
    let wrap = match compression {
        Compression::None => return copy(source, sink, work),
        Compression::Lz4 => return lz4::pack(source, sink, work),
        Compression::Gzip => Wrap::Gzip,
        Compression::Xz => Wrap::Xz,
        Compression::Zstd => Wrap::Zstd,
    };
    let mut wrapper = Wrapper::for_kernels(wrap, sink, work.threads())?;
    copy(source, &mut wrapper, work)?;
    wrapper.finish()
}

fn copy(
    source: &dyn SectorSource,
    sink: &mut dyn StreamSink,
    work: &Work<'_>,
) -> Result<(), Error> {
    let mut buffer = vec![0; READ.min(source.len()) as usize];
    let mut at = 0;
    while at < source.len() {
        // OK to cast: at most `READ`.
        let len = READ.min(source.len() - at) as usize;
        let now = buffer.get_mut(..len).unwrap_or_default();
        source.read_at(at, now)?;
        sink.write(now)?;
        work.progress.advance(len as u64)?;
        at += len as u64;
    }
    Ok(())
}
