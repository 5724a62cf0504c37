//! VMDK, the format of VMware.
//!
//! Being built.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Census, Findings, FormatName, Label, Output, image};
use crate::engine::base::{Error, Extent, Gate, Kind, SectorSource, StreamSink, Work};

/// How the data lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subformat {
    /// One file that grows: qemu's default.
    #[default]
    MonolithicSparse,
    /// A descriptor, and a second file that is the raw disk.
    MonolithicFlat,
    /// One compressed file to send: what an OVA holds.
    StreamOptimized,
}

/// The controller that the descriptor names (`ddb.adapterType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adapter {
    /// IDE: qemu's default.
    #[default]
    Ide,
    /// BusLogic SCSI.
    BusLogic,
    /// LSI Logic SCSI: what vSphere imports expect.
    LsiLogic,
}

/// What shapes a file beside its medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// How the data lies.
    pub subformat: Subformat,
    /// The controller.
    pub adapter: Adapter,
    /// `ddb.virtualHWVersion`.
    pub hardware_version: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { subformat: Subformat::default(), adapter: Adapter::default(), hardware_version: 4 }
    }
}

impl Params {
    /// The name of the file with the data, where it is a second one.
    #[must_use]
    pub fn companion(&self, name: &str) -> Option<String> {
        let stem = name.strip_suffix(".vmdk").unwrap_or(name);
        (self.subformat == Subformat::MonolithicFlat).then(|| format!("{stem}-flat.vmdk"))
    }

    /// Whether a pipe can take it.
    #[must_use]
    pub const fn streams(&self) -> bool {
        matches!(self.subformat, Subformat::StreamOptimized)
    }
}

fn unfinished() -> Error {
    Error::new(Kind::Unsupported, "vmdk is being built")
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
    pub fn open(_source: Arc<dyn SectorSource>, _gate: &dyn Gate) -> Result<Self, Error> {
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
        FormatName::Vmdk
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
