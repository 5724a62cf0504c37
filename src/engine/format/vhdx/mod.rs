//! VHDX, the format of Hyper-V.
//!
//! ```text
//! what `write` makes; everything behind the header section is aligned to 1 MiB:
//!
//! 0     identifier, two headers, two region tables ──┐ of two copies one is enough
//! 1 MiB log, empty                                   │
//! 2 MiB metadata: block size, disk size, disk id ◄───┤
//! 3 MiB BAT: an entry for each block ◄───────────────┘
//!  …    blocks, in the order of the disk
//! ```
//!
//! The layers of the reader: `log` replays what a crash left into an overlay in memory, `parse`
//! reads what the headers say, `bat` finds blocks, `read` is the medium, `check` judges the rest.
//! No parent, neither written nor read; logical sectors of 512 bytes. Invariants: a block whose
//! bytes are all zero is not allocated in a dynamic file; the bytes depend on medium, parameters
//! and the label's id alone, not on threads, holes of the source, time or machine.

mod geometry;
mod header;
mod ondisk;
mod write;

pub use write::write;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Census, Findings, FormatName, image};
use crate::engine::base::{Error, Extent, Kind, SectorSource, Work};

/// How the data lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subformat {
    /// A file that grows.
    #[default]
    Dynamic,
    /// All blocks are allocated.
    Fixed,
}

/// What shapes a file beside its medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// How the data lies.
    pub subformat: Subformat,
    /// Bytes of a block, a power of two from 1 MiB to 256 MiB; 0 means by the size of the disk.
    pub block_size: u64,
}

fn unfinished() -> Error {
    Error::new(Kind::Unsupported, "vhdx is being built")
}

/// An open file: its virtual disk as a medium.
#[derive(Debug)]
pub enum Image {}

impl Image {
    /// Judges the headers of `source`.
    pub fn open(_source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        Err(unfinished())
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        match *self {}
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), Error> {
        match *self {}
    }

    fn next_extent(&self, _: u64) -> Option<Extent> {
        match *self {}
    }
}

impl image::Image for Image {
    fn format(&self) -> FormatName {
        FormatName::Vhdx
    }

    fn details(&self) -> Map<String, Value> {
        match *self {}
    }

    fn params(&self) -> super::Params {
        match *self {}
    }

    fn census(&self) -> Result<Census, Error> {
        match *self {}
    }

    fn check(&self, _: &Work<'_>) -> Result<Findings, Error> {
        match *self {}
    }
}
