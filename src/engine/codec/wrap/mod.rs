//! Compression around a whole file: gzip, xz, Zstandard, and what else is read.
//!
//! Knows no format. Invariants: the same bytes go out on any number of threads, in whatever pieces
//! they come in; hostile bytes are read in bounded memory (`read`) and end in an error, never in
//! fewer bytes than were packed.

mod gzip;
mod lz4;
mod pool;
mod read;
mod write;

use std::fmt;

pub use read::{Unwrapped, unpack, unwrap};
pub use write::Wrapper;

/// What is around a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// gzip (RFC 1952): one member when written.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878): one frame when written.
    Zstd,
    /// bzip2, read only.
    Bzip2,
    /// LZ4 frames, read only.
    Lz4,
}

impl Wrap {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Gzip, Self::Xz, Self::Zstd, Self::Bzip2, Self::Lz4];

    /// How many bytes `detect` wants to see.
    pub const MAGIC: usize = 6;

    /// The name, as documents and options spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wrap| wrap.as_str() == name)
    }

    /// What a file's name ends with, without the dot.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Xz => "xz",
            Self::Zstd => "zst",
            Self::Bzip2 => "bz2",
            Self::Lz4 => "lz4",
        }
    }

    /// Whether it is written, not only read.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Gzip | Self::Xz | Self::Zstd)
    }

    /// What a file begins with: RFC 1952 2.3.1 with the one method there is; xz file format 2.1.1.1;
    /// RFC 8878 3.1.1; "BZh" and a level; LZ4 frame format.
    const fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b, 8],
            Self::Xz => &[0xfd, b'7', b'z', b'X', b'Z', 0],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            Self::Bzip2 => b"BZh",
            Self::Lz4 => &[0x04, 0x22, 0x4d, 0x18],
        }
    }

    /// What the first bytes of a file say is around it. A raw disk may begin with any bytes: only
    /// whoever asks for a guess should believe it.
    #[must_use]
    pub fn detect(first: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|wrap| first.starts_with(wrap.magic()))
    }
}

impl fmt::Display for Wrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
