//! VHD, the format of Virtual PC.
//!
//! Being built.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Census, Findings, FormatName, Label, Output, image};
use crate::engine::base::{Error, Extent, Kind, SectorSource, StreamSink, Work};

/// How the data lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subformat {
    /// A file that grows.
    #[default]
    Dynamic,
    /// The raw disk with a footer.
    Fixed,
}

/// How the size of the disk is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizing {
    /// Rounded up to what cylinders, heads and sectors can tell, as Virtual PC needs it: qemu's
    /// default.
    #[default]
    Chs,
    /// Exactly, as Hyper-V and Azure need it: qemu's `force_size`.
    Exact,
}

/// What shapes a file beside its medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// How the data lies.
    pub subformat: Subformat,
    /// How the size is told.
    pub sizing: Sizing,
}

impl Params {
    /// Whether a pipe can take it.
    #[must_use]
    pub const fn streams(&self) -> bool {
        matches!(self.subformat, Subformat::Fixed)
    }
}

fn unfinished() -> Error {
    Error::new(Kind::Unsupported, "vhd is being built")
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

/// Writes `source` as a file to a pipe.
pub fn stream(
    _source: &dyn SectorSource,
    _label: &Label<'_>,
    _sink: &mut dyn StreamSink,
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
        FormatName::Vhd
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
