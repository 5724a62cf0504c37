//! VDI, the format of VirtualBox: dynamic and static disks of version 1.1.
//!
//! ```text
//! header │ block map │ … to a whole MiB │ block │ block │ …
//! ```
//!
//! Undo and differencing disks are neither written nor read. Invariants: an all-zero block is not
//! allocated, but in a static disk, where it is a hole; the header is written last; ids are derived.

mod check;
mod ondisk;
mod parse;
mod read;
mod write;

pub use read::Image;
pub use write::write;

use crate::engine::base::{Error, Kind};
use crate::units::SECTOR;

/// How the data lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subformat {
    /// A file that grows.
    #[default]
    Dynamic,
    /// All blocks are allocated.
    Static,
}

/// What shapes a file beside its medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// How the data lies.
    pub subformat: Subformat,
}

/// The longest block map that is held: 16 TiB in blocks of 1 MiB.
const MOST_MAP: u64 = 64 << 20;

/// Bytes of an entry of the block map.
const ENTRY: u64 = 4;

/// Bytes of a block: the only size that all readers know.
const BLOCK: u64 = 1 << 20;

impl Params {
    /// The bytes of the disk that a medium of `len` bytes becomes: as many. Refuses one that is
    /// too long, or not whole sectors.
    pub fn virtual_size(&self, len: u64) -> Result<u64, Error> {
        if !len.is_multiple_of(SECTOR) {
            let message = format!("{len} bytes are not whole sectors of {SECTOR} bytes");
            return Err(Error::new(Kind::Document, message));
        }
        let most = MOST_MAP / ENTRY * BLOCK;
        if len > most {
            let message = format!("{len} bytes are too many for vdi, at most {most} are written");
            return Err(Error::new(Kind::Document, message));
        }
        Ok(len)
    }
}
