//! Image file formats: a medium becomes a file, and a file a medium.
//!
//! Knows no document. Invariant: an all-zero unit is never allocated, whatever the holes of the
//! source; the same medium and parameters give the same bytes on any number of threads.

mod blocks;
mod compare;
mod detect;
mod image;
mod measure;
mod options;
pub mod package;
pub mod qcow2;
pub mod raw;
mod units;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;
mod write;

use std::fmt;

use serde::Serialize;

pub use compare::{first_difference, last_data};
pub use detect::detect;
pub use image::{Census, Finding, Findings, Image, Severity};
pub use measure::measure;
pub use options::{FormatOption, Values};
pub use write::{Label, Measure, Output, Params, open, stream, write};

/// An image file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// The bytes of the disk.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
    /// VMware's format.
    Vmdk,
    /// Virtual PC's format, which Azure takes: qemu's "vpc".
    Vhd,
    /// Hyper-V's format.
    Vhdx,
    /// VirtualBox' format.
    Vdi,
}

impl FormatName {
    /// All formats.
    pub const ALL: [Self; 6] =
        [Self::Raw, Self::Qcow2, Self::Vmdk, Self::Vhd, Self::Vhdx, Self::Vdi];

    /// The name, as documents and options spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

impl fmt::Display for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
