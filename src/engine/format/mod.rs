//! Image file formats: a medium becomes a file, and a file a medium.
//!
//! Knows no document. Invariant: an all-zero unit is never allocated, whatever the holes of the
//! source; the same medium and parameters give the same bytes on any number of threads.

mod detect;
pub mod qcow2;
pub mod raw;
mod units;

use std::fmt;

use serde::Serialize;

pub use detect::detect;

/// An image file format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// The bytes of the disk.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
}

impl FormatName {
    /// All formats.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Qcow2];

    /// The name, as documents and options spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
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
