//! qcow2, QEMU's copy-on-write format.
//!
//! ```text
//! what `write` makes, in units of clusters (64 KiB):
//!
//! header │ L1 │ L2 data data … │ L2 data … │ … │ refcount blocks │ refcount table
//!          └────┴────────────────┘                └─────────────────┘ found by the header
//! ```
//!
//! An L2 table stands before the first data it maps. Compressed clusters are packed byte to byte
//! into host clusters. No backing file, no snapshots, no encryption, neither written nor read.
//! Invariants: an all-zero cluster is not allocated; the header is written last; the bytes depend
//! on medium and compression alone, not on threads, holes of the source, time or machine.

mod alloc;
mod geometry;
mod header;
mod ondisk;
mod parse;
mod read;
mod tables;
mod write;

pub use parse::Details;
pub use read::Image;
pub use write::write;

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Stored as they are.
    #[default]
    None,
    /// Raw deflate with a window of 4 KiB: every reader.
    Zlib,
    /// Zstandard: QEMU 5.1 and newer.
    Zstd,
}

/// Who can read a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// Version 2: QEMU 0.10 and newer.
    V2,
    /// Version 3: QEMU 1.1 and newer.
    #[default]
    V3,
}

/// What is allocated before it is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preallocation {
    /// Nothing.
    #[default]
    Off,
    /// Every cluster has its place in the file, which is sparse.
    Metadata,
    /// As `Metadata`, and the filesystem keeps the room.
    Falloc,
    /// As `Metadata`, and zeros are written.
    Full,
}

/// What shapes a file beside its medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Who can read it.
    pub compat: Compat,
    /// Bytes of a cluster: a power of two from 512 to 2 MiB.
    pub cluster_size: u64,
    /// How clusters are compressed.
    pub compression: Compression,
    /// Marked so that reference counts may be written late.
    pub lazy_refcounts: bool,
    /// What is allocated before it is needed.
    pub preallocation: Preallocation,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            compat: Compat::default(),
            cluster_size: 64 << 10,
            compression: Compression::default(),
            lazy_refcounts: false,
            preallocation: Preallocation::default(),
        }
    }
}

impl Params {
    /// The defaults with this compression.
    #[must_use]
    pub fn compressed(compression: Compression) -> Self {
        Self { compression, ..Self::default() }
    }
}
