//! One way to write, stream and measure every format.
//!
//! Decides nothing: the parameters do. Invariant: what cannot stream is refused by name before the
//! first byte.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::{FormatName, Image, qcow2, raw, vdi, vhd, vhdx, vmdk};
use crate::engine::base::{Error, Gate, Kind, PositionalSink, SectorSource, StreamSink, Work};

/// A format with all that shapes its file beside the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Params {
    /// The bytes of the disk.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2(qcow2::Params),
    /// VMware's format.
    Vmdk(vmdk::Params),
    /// Virtual PC's format.
    Vhd(vhd::Params),
    /// Hyper-V's format.
    Vhdx(vhdx::Params),
    /// VirtualBox' format.
    Vdi(vdi::Params),
}

/// What a file is called where a format wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// Its name without directory: `hello.vmdk`. A descriptor names its extent after it.
    pub name: &'a str,
    /// What ids in the file are derived from. The same id gives the same bytes.
    pub id: Uuid,
}

/// Where a file is written.
#[derive(Clone, Copy)]
pub struct Output<'a> {
    /// What it is called.
    pub label: Label<'a>,
    /// The file. Reads as zeros where nothing is written.
    pub sink: &'a dyn PositionalSink,
    /// The second file where `Params::companion` names one.
    pub companion: Option<&'a dyn PositionalSink>,
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("label", &self.label).finish_non_exhaustive()
    }
}

/// How long a file would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Bytes of the file and its companion.
    pub required: u64,
    /// Whether it is exactly that; else at most.
    pub exact: bool,
}

impl Params {
    /// The format.
    #[must_use]
    pub const fn format(&self) -> FormatName {
        match self {
            Self::Raw => FormatName::Raw,
            Self::Qcow2(_) => FormatName::Qcow2,
            Self::Vmdk(_) => FormatName::Vmdk,
            Self::Vhd(_) => FormatName::Vhd,
            Self::Vhdx(_) => FormatName::Vhdx,
            Self::Vdi(_) => FormatName::Vdi,
        }
    }

    /// The name of the second file, beside one that is called `name`.
    #[must_use]
    pub fn companion(&self, name: &str) -> Option<String> {
        match self {
            Self::Vmdk(params) => params.companion(name),
            _ => None,
        }
    }

    /// Refuses what a pipe cannot take, with the reason.
    pub fn streams(&self) -> Result<(), Error> {
        let why = match self {
            Self::Raw => return Ok(()),
            Self::Vhd(params) if params.streams() => return Ok(()),
            Self::Vmdk(params) if params.streams() => return Ok(()),
            Self::Qcow2(_) => "its tables are known last but stand first",
            Self::Vmdk(_) => "its tables stand before the data; streamOptimized can",
            Self::Vhd(_) => "its table stands before the data; subformat fixed can",
            Self::Vhdx(_) | Self::Vdi(_) => "its table stands before the data",
        };
        let message = format!("{} cannot be written to a pipe: {why}", self.format());
        Err(Error::new(Kind::Document, message))
    }
}

/// Writes `source` as a file.
pub fn write(
    source: &dyn SectorSource,
    output: &Output<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    match params {
        Params::Raw => raw::copy(source, output.sink, work),
        Params::Qcow2(params) => qcow2::write(source, output.sink, params, work),
        Params::Vmdk(params) => vmdk::write(source, output, params, work),
        Params::Vhd(params) => vhd::write(source, output, params, work),
        Params::Vhdx(params) => vhdx::write(source, output, params, work),
        Params::Vdi(params) => vdi::write(source, output, params, work),
    }
}

/// Writes `source` as a file to a pipe.
pub fn stream(
    source: &dyn SectorSource,
    label: &Label<'_>,
    sink: &mut dyn StreamSink,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    params.streams()?;
    match params {
        Params::Vmdk(params) => vmdk::stream(source, label, sink, params, work),
        Params::Vhd(params) => vhd::stream(source, label, sink, params, work),
        _ => raw::stream(source, sink, work.progress),
    }
}

/// Opens an untrusted file of this format. Files that it names go through `gate`.
pub fn open(
    source: Arc<dyn SectorSource>,
    format: FormatName,
    gate: &dyn Gate,
) -> Result<Arc<dyn Image>, Error> {
    Ok(match format {
        FormatName::Raw => Arc::new(raw::Image::new(source)),
        FormatName::Qcow2 => Arc::new(qcow2::Image::open_with(source, gate)?),
        FormatName::Vmdk => Arc::new(vmdk::Image::open(source, gate)?),
        FormatName::Vhd => Arc::new(vhd::Image::open(source)?),
        FormatName::Vhdx => Arc::new(vhdx::Image::open(source)?),
        FormatName::Vdi => Arc::new(vdi::Image::open(source)?),
    })
}
