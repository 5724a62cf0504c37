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

mod bat;
mod check;
mod geometry;
mod header;
mod log;
mod metadata;
mod ondisk;
mod overlay;
mod parse;
mod read;
mod write;

pub use read::Image;
pub use write::write;

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
