//! qcow2, QEMU's copy-on-write format.
//!
//! ```text
//! what `write` makes, in units of clusters:
//!
//! header │ L1 │ L2 data data … │ L2 data … │ … │ refcount block │ refcount table
//!          └────┴────────────────┘               └────────────────┘ found by the header
//! ```
//!
//! An L2 table stands before the first data it maps. Compressed clusters are packed byte to byte
//! into host clusters. A refcount block stands behind the clusters that it counts (one block for
//! each 2 GiB with clusters of 64 KiB); the last one and their table stand at the end. Written are
//! no backing file, no snapshots, no encryption; read are backing and external data files where
//! the gate lets them, and the active state of files with snapshots.
//! Invariants: an all-zero cluster is not allocated unless `Preallocation` says so; the header is
//! written last; the bytes depend on medium and parameters alone, not on threads, holes of the
//! source, time or machine.

mod alloc;
mod check;
mod details;
mod extensions;
mod geometry;
mod header;
mod map;
mod names;
mod ondisk;
mod params;
mod parse;
mod read;
mod recent;
mod refcounts;
mod squeeze;
mod tables;
mod tally;
mod unpack;
mod walk;
mod write;

pub use details::Details;
pub use params::{Compat, Compression, Params, Preallocation};
pub use read::Image;
pub use write::write;
