//! squashfs 4.0: compressed, read-only.
//!
//! ```text
//! superblock · options of the compressor · data blocks and fragment blocks · inodes · directories
//! · fragments · export table · owners · extended attributes, each table in metadata blocks of 8 KiB
//! ```
//!
//! Has neither label nor UUID, so asking for one is refused. Files' bytes are compressed when the
//! length is asked for, into the scratch directory. Invariants: the bytes do not depend on the
//! number of threads; a reader holds a few blocks, whatever the image says.

mod attributes;
mod codec;
mod data;
mod feed;
mod file;
mod image;
mod inode;
mod inodes;
mod listing;
mod meta;
mod ondisk;
mod read;
mod write;

use std::sync::Arc;

use super::{Facts, Planned, Request};
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, SectorSource};

pub use codec::Compression;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// How blocks are compressed.
    pub compression: Compression,
    /// Bytes of a block: 4 KiB to 1 MiB, a power of two.
    pub block_size: u32,
    /// Whether files that are shorter than a block share blocks.
    pub fragments: bool,
    /// Whether files with the same bytes are stored once.
    pub duplicates: bool,
    /// Whether extended attributes are stored.
    pub xattrs: bool,
    /// Whether inodes are found by number, which NFS needs.
    pub export: bool,
    /// Whether the length is a multiple of 4 KiB.
    pub pad: bool,
}

impl Default for Params {
    /// As `mksquashfs` has it.
    fn default() -> Self {
        Self {
            compression: Compression::Gzip(6),
            block_size: 128 << 10,
            fragments: true,
            duplicates: true,
            xattrs: true,
            export: true,
            pad: true,
        }
    }
}

/// Compresses the tree and says how long it is.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    write::plan(params, request)
}

/// What the superblock says; none if there is none.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    read::look(medium)
}

/// The tree.
pub fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    read::read(medium, limits)
}
