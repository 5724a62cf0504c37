//! erofs: read-only, plain or compressed by lz4.
//!
//! ```text
//! block 0 with the superblock · compressed files · inodes, each with its attributes, index and tail
//! · directories and plain files
//! ```
//!
//! Blocks have 4 KiB. Plain, it is laid out from what is known about the files, and their bytes are
//! taken from where they are; compressed, the packed blocks lie in the scratch directory. Invariants:
//! the bytes do not depend on the number of threads; a reader holds a few clusters.

mod attributes;
mod directory;
mod file;
mod image;
mod index;
mod layout;
mod lz4;
mod metadata;
mod ondisk;
mod packed;
mod read;
mod write;

use std::sync::Arc;

use super::{Facts, Planned, Request};
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, SectorSource};

/// How files are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// In clusters of 4 KiB that are filled by LZ4.
    Lz4,
}

/// Parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// How files are stored.
    pub compression: Compression,
    /// Whether extended attributes are stored.
    pub xattrs: bool,
    /// Whether files with holes are stored in chunks, of which those that are all zero take no
    /// room. Linux 5.15 and later reads them. Without, the image has holes where files have.
    pub chunks: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self { compression: Compression::None, xattrs: true, chunks: false }
    }
}

/// Lays the tree out; compressed, its files are compressed here.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    write::plan(params, request)
}

/// What the superblock says; none if there is none.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    image::look(medium)
}

/// The tree.
pub fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    read::read(medium, limits)
}
