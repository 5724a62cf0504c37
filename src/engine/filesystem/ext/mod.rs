//! ext2, ext3 and ext4: written from a tree, and read.
//!
//! Replays no journal and repairs nothing. Invariants: what is written was decided by names, sizes
//! and parameters before a content is read; inodes and blocks are given out in the order of names.

mod blockmap;
mod blocks;
mod boot;
mod bytes;
mod dir;
mod extents;
mod features;
mod geometry;
mod group;
mod hash;
mod inode;
mod ondisk;
mod plan;
mod read;
mod rows;
mod runs;
mod settle;
mod shape;
mod write;
mod xattr;

use std::sync::Arc;

use super::{BootCode, Facts, Planned, Request};
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, Placement, SectorSource};
use features::Features;
use plan::Plan;

/// Which of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// No journal, block maps.
    Ext2,
    /// A journal, block maps.
    Ext3,
    /// A journal, extents, checksums.
    #[default]
    Ext4,
}

/// The features that `params` ask for, by the names of mke2fs.
pub fn features(params: &Params) -> Result<Vec<String>, Error> {
    let features = Features::of(params, params.inode_size.unwrap_or(256))?;
    Ok(features.names())
}

/// Features that the toggles begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// Those that mke2fs gives the variant.
    #[default]
    Default,
    /// None at all, as `mke2fs -O none` does; inodes have 128 bytes then.
    None,
}

/// How many files there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inodes {
    /// One for so many bytes.
    Ratio(u64),
    /// At least so many.
    Count(u64),
}

/// Parameters. What is omitted is as mke2fs decides it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    /// Which of the three.
    pub variant: Variant,
    /// Where features begin.
    pub features: Base,
    /// Features to add (`+name`) or to leave out (`-name`), in order.
    pub toggles: Vec<String>,
    /// Bytes of a block: 1024, 2048 or 4096. Omitted: 1024 below 512 MiB if sectors and links allow
    /// it, else 4096.
    pub block_size: Option<u32>,
    /// Bytes of an inode: 128 or 256.
    pub inode_size: Option<u16>,
    /// How many inodes. Never less than the tree needs.
    pub inodes: Option<Inodes>,
    /// Per cent of the blocks that only root gets. Omitted: 5 of a size that was given, and 0 where
    /// the size is measured, so that all of the headroom is anybody's.
    pub reserved_percent: Option<u8>,
    /// Bytes of the journal. Omitted: by size, and none below 2048 blocks.
    pub journal: Option<u64>,
    /// What a BIOS runs: at most 1024 bytes before the superblock. Omitted: zeros.
    pub boot: Option<BootCode>,
}

/// Plans a filesystem: every place is decided here.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    Ok(Box::new(Plan::new(params, request)?))
}

impl Planned for Plan {
    fn len(&self) -> u64 {
        self.len
    }

    fn uuid(&self) -> Option<String> {
        Some(self.uuid.hyphenated().to_string())
    }

    fn render(self: Box<Self>, place: &Placement) -> Result<Arc<dyn SectorSource>, Error> {
        Ok(Arc::new(write::Image::new(self, place)?))
    }
}

/// What it is; none where the magic number is not there.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    read::look(medium)
}

/// The tree; its files are read from the medium when they are needed.
pub fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    read::read(medium, limits)
}
