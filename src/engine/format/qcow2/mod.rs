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
pub use read::{Census, Image};
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

/// What shapes a file beside its medium.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params {
    /// How clusters are compressed.
    pub compression: Compression,
    /// Threads that compress; 0 means as many as the machine offers. Changes no byte.
    pub threads: usize,
}
