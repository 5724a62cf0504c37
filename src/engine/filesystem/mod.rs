//! Filesystems: a tree of files becomes the sectors of a partition, and sectors become a tree again.
//!
//! Knows no document and no partition table. Invariants: a writer's length is known before a sector
//! is rendered; the same tree, parameters and identity give the same bytes; a reader of untrusted
//! sectors ends, whatever they hold.

pub mod btrfs;
mod code;
pub mod erofs;
pub mod ext;
pub mod fat;
pub mod ffs;
pub mod iso9660;
pub mod squashfs;
pub mod swap;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::engine::base::tree::{Limits, Time, Tree};
use crate::engine::base::{Error, Placement, Scratch, SectorSource, Work};

pub use code::BootCode;

/// How a filesystem is told apart from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The label; refused where it is too long for the filesystem or holds what it cannot.
    pub label: Option<String>,
    /// The UUID or serial number as users write it for this filesystem; omitted: made of `seed`.
    pub uuid: Option<String>,
    /// What every id that nobody gave is derived from.
    pub seed: Uuid,
}

/// How large a filesystem becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// This many bytes; refused if the tree does not fit.
    Exactly(u64),
    /// As small as the tree allows, and room on top for more files.
    Fit {
        /// Per cent of what the tree takes.
        percent: u32,
        /// Bytes on top of that.
        bytes: u64,
    },
}

/// What every writer is told beside its own parameters.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What lies in the filesystem.
    pub tree: Arc<Tree>,
    /// Label and ids.
    pub identity: Identity,
    /// Its size.
    pub room: Room,
    /// When it was made, for the filesystem's own times.
    pub time: Time,
    /// Bytes of a logical sector of the medium: 512 or 4096 (an ISO: 2048).
    pub sector: u64,
    /// Where products that cannot be computed twice are kept.
    pub scratch: &'a Scratch,
    /// How compressors are run.
    pub work: Work<'a>,
}

/// A filesystem whose length is known.
pub trait Planned: Send + Sync + fmt::Debug {
    /// Bytes it takes.
    fn len(&self) -> u64;

    /// Whether it takes none: never.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its UUID or serial number as `blkid` prints it; none where it has none.
    fn uuid(&self) -> Option<String>;

    /// The sectors, for a place on the medium: one extent of `len` bytes. Late contents of the tree
    /// are settled with their places on the whole medium.
    fn render(self: Box<Self>, place: &Placement) -> Result<Arc<dyn SectorSource>, Error>;
}

/// A filesystem's own parameters.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is named after its filesystem")]
pub enum Params {
    Ext(ext::Params),
    Fat(fat::Params),
    Iso9660(Box<iso9660::Params>),
    Btrfs(btrfs::Params),
    Ffs(ffs::Params),
    Squashfs(squashfs::Params),
    Erofs(erofs::Params),
    Swap(swap::Params),
}

/// Plans a filesystem.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    match params {
        Params::Ext(params) => ext::plan(params, request),
        Params::Fat(params) => fat::plan(params, request),
        Params::Iso9660(params) => iso9660::plan(params, request),
        Params::Btrfs(params) => btrfs::plan(params, request),
        Params::Ffs(params) => ffs::plan(params, request),
        Params::Squashfs(params) => squashfs::plan(params, request),
        Params::Erofs(params) => erofs::plan(params, request),
        Params::Swap(params) => swap::plan(params, request),
    }
}

/// What an image holds, as `inspect` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// `ext4`, `vfat`, `iso9660`, ... as `blkid` calls it.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The UUID or serial number as `blkid` prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Bytes of a block (FAT: cluster).
    pub block_size: u64,
    /// Bytes of the filesystem.
    pub size: u64,
    /// Bytes that are free, where the filesystem says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// Features and variants by their usual names: `extents`, `FAT16`, `Joliet`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// A filesystem's reader: what it sees, and the tree.
type Look = fn(&dyn SectorSource) -> Result<Option<Facts>, Error>;
type Read = fn(Arc<dyn SectorSource>, &Limits) -> Result<Tree, Error>;

/// In the order in which they are asked.
const READERS: &[(Look, Read)] = &[
    (squashfs::look, squashfs::read),
    (erofs::look, erofs::read),
    (ext::look, ext::read),
    (btrfs::look, btrfs::read),
    (ffs::look, ffs::read),
    (iso9660::look, iso9660::read),
    (swap::look, swap::read),
    (fat::look, fat::read),
];

/// What filesystem `medium` holds; none if it is none that we know. An error if it says to be one
/// and is damaged.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    for (look, _) in READERS {
        if let Some(facts) = look(medium)? {
            return Ok(Some(facts));
        }
    }
    Ok(None)
}

/// The tree in `medium`, whose files are read from it when they are needed; none if it holds no
/// filesystem that we know.
pub fn read(medium: &Arc<dyn SectorSource>, limits: &Limits) -> Result<Option<Tree>, Error> {
    for (look, read) in READERS {
        if look(medium.as_ref())?.is_some() {
            return read(Arc::clone(medium), limits).map(Some);
        }
    }
    Ok(None)
}
