//! VMDK, the format of VMware.
//!
//! ```text
//! monolithicSparse: header, descriptor │ RGD GTs │ GD GTs │ grains …
//! streamOptimized:  header, descriptor │ grains … GT │ … │ GD │ footer │ end
//! monolithicFlat:   descriptor, and a second file that is the raw disk
//! ```
//!
//! A directory (GD) finds the tables (GT), a table finds the grains of 64 KiB. No delta disks and
//! none of ESXi's own types, neither written nor read. Invariants: an all-zero grain is not
//! allocated; the bytes depend on medium, parameters and label alone, not on threads, holes of
//! the source, time or machine.

mod census;
mod check;
mod descriptor;
mod header;
mod inflate;
mod layout;
mod ondisk;
mod parse;
mod read;
mod sparse;
mod stream;
mod text;
mod used;
mod write;

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Label, Output};
use crate::engine::base::{Error, Kind, PositionalSink, SectorSource, StreamSink, Work};
use crate::units::SECTOR;
pub use read::Image;

/// Values of `Params::hardware_version`: VMware's products have used these.
const HARDWARE_VERSIONS: std::ops::RangeInclusive<u32> = 3..=22;

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

    /// Refuses values that no reader knows.
    pub fn validate(&self) -> Result<(), Error> {
        let version = self.hardware_version;
        if HARDWARE_VERSIONS.contains(&version) {
            return Ok(());
        }
        let (least, most) = HARDWARE_VERSIONS.into_inner();
        let message = format!("vmdk hardware version {version}; allowed are {least} to {most}");
        Err(Error::new(Kind::Document, message))
    }
}

/// The sectors of a disk of `len` bytes, which must be whole sectors and not none.
fn check_len(len: u64) -> Result<u64, Error> {
    let why = match len {
        // QEMU takes the capacity 0 for "the descriptor is elsewhere".
        0 => "vmdk cannot hold a disk of 0 bytes".to_owned(),
        len if len.is_multiple_of(SECTOR) => return Ok(len / SECTOR),
        len => format!("{len} bytes are not whole sectors of {SECTOR} bytes"),
    };
    Err(Error::new(Kind::Document, why))
}

/// Writes `source` as a file. A medium or parameters that the format cannot hold are refused
/// before anything is written.
pub fn write(
    source: &dyn SectorSource,
    output: &Output<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    params.validate()?;
    match params.subformat {
        Subformat::MonolithicSparse => write::sparse(source, output, params, work),
        Subformat::MonolithicFlat => write::flat(source, output, params, work),
        Subformat::StreamOptimized => {
            let mut front = Front { sink: output.sink, at: 0 };
            stream::write(source, &output.label, &mut front, params, work)?;
            output.sink.set_len(front.at)
        }
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
    params.validate()?;
    if !params.streams() {
        let message = "a vmdk on a pipe must have subformat streamOptimized";
        return Err(Error::new(Kind::Document, message));
    }
    stream::write(source, label, sink, params, work)
}

/// A file that is written from its first byte on.
struct Front<'a> {
    sink: &'a dyn PositionalSink,
    at: u64,
}

impl StreamSink for Front<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
