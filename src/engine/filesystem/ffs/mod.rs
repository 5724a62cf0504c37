//! FFS of NetBSD and FreeBSD, versions 1 (UFS1) and 2 (UFS2), in either byte order.
//!
//! Extended attributes are refused. Devices have their numbers as NetBSD packs them. Version 1 has
//! 32 bits for a time: earlier and later ones become the first and the last. Invariants: data lies in
//! the order of the tree, each directory before its files; blocks of a file that are holes take no
//! room, but for the last one.

mod encode;
mod geometry;
mod header;
mod map;
mod ondisk;
mod plan;
mod read;
mod write;

use std::sync::Arc;

use super::{Facts, Planned, Request};
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, SectorSource};

/// How an FFS is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// 1 (UFS1) or 2 (UFS2).
    pub version: u8,
    /// Bytes of a block.
    pub block_size: u64,
    /// Bytes of a fragment: a block has 1, 2, 4 or 8.
    pub fragment_size: u64,
    /// Numbers are big-endian.
    pub big_endian: bool,
    /// Bytes for which there is an inode; omitted: as many inodes as the tree needs, and one for
    /// each block that is free on purpose.
    pub density: Option<u64>,
    /// Per cent that only the superuser fills.
    pub minfree: u32,
}

impl Default for Params {
    fn default() -> Self {
        // makefs(8): blocks of 8192, fragments of 1024, 5 per cent.
        Self {
            version: 1,
            block_size: 8192,
            fragment_size: 1024,
            big_endian: false,
            density: None,
            minfree: 5,
        }
    }
}

/// Plans a volume.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    Ok(Box::new(plan::Plan::new(params, request)?))
}

/// What volume `medium` holds; none if it is no FFS.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    read::look(medium)
}

/// The tree in `medium`.
pub fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    read::read(medium, limits)
}
