//! VHDX, the format of Hyper-V.
//!
//! Being built.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Census, Findings, FormatName, Output, image};
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

/// Writes `source` as a file.
pub fn write(
    _source: &dyn SectorSource,
    _output: &Output<'_>,
    _params: &Params,
    _work: &Work<'_>,
) -> Result<(), Error> {
    Err(unfinished())
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
