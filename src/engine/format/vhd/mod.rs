//! VHD, the format of Virtual PC: fixed and dynamic disks.
//!
//! ```text
//! fixed:   data … │ footer
//! dynamic: footer │ header │ table │ bitmap, block │ bitmap, block │ … │ footer
//! ```
//!
//! Differencing disks are neither written nor read. Invariants: an all-zero block is not
//! allocated; the footer at the start is written last; times are 0 (2000-01-01), ids are derived.

mod check;
mod geometry;
mod ondisk;
mod parent;
mod parse;
mod read;
mod write;

pub use read::Image;
pub use write::{stream, write};

use crate::engine::base::{Error, Kind};
use crate::units::SECTOR;

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
    /// The program that the file says it was made by. Without one the two of qemu, which readers
    /// know: "qemu" for rounded sizes, "qem2" for exact ones.
    pub creator: Option<[u8; 4]>,
}

/// What a dynamic disk holds, and what qemu reads: 2040 GiB.
const MOST: u64 = 2040 << 30;

/// The most for a fixed disk whose size is exact: no table or geometry bounds it. Readers differ;
/// qemu stops at 2040 GiB.
const MOST_FIXED: u64 = 4095 << 30;

impl Params {
    /// As Azure takes it; the medium must be whole MiB.
    #[must_use]
    pub const fn azure() -> Self {
        Self { subformat: Subformat::Fixed, sizing: Sizing::Exact, creator: None }
    }

    /// Whether a pipe can take it.
    #[must_use]
    pub const fn streams(&self) -> bool {
        matches!(self.subformat, Subformat::Fixed)
    }

    /// Refuses what cannot be written, whatever the medium.
    pub fn validate(&self) -> Result<(), Error> {
        match self.creator {
            Some(creator) if !creator.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
                let message = format!(
                    "creator \"{}\", allowed are four printable ASCII characters",
                    creator.escape_ascii()
                );
                Err(Error::new(Kind::Document, message))
            }
            _ => Ok(()),
        }
    }

    /// The bytes of the disk that a medium of `len` bytes becomes. Refuses one that is too long,
    /// or not whole sectors.
    pub fn virtual_size(&self, len: u64) -> Result<u64, Error> {
        if !len.is_multiple_of(SECTOR) {
            let message = format!("{len} bytes are not whole sectors of {SECTOR} bytes");
            return Err(Error::new(Kind::Document, message));
        }
        let most = match (self.subformat, self.sizing) {
            (Subformat::Fixed, Sizing::Exact) => MOST_FIXED,
            _ => MOST,
        };
        if len > most {
            let message = format!("{len} bytes are too many for this VHD, at most {most} fit");
            return Err(Error::new(Kind::Document, message));
        }
        Ok(match self.sizing {
            Sizing::Chs => geometry::rounded(len / SECTOR).1 * SECTOR,
            Sizing::Exact => len,
        })
    }
}
