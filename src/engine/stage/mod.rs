//! A tree laid out as a directory, so that programs of the user can change it, and read back.
//!
//! ```text
//! Tree ──write──▶ directory (names, contents) + Journal (all else) ──programs──▶ read ──▶ Tree
//! ```
//!
//! Runs nothing. Needs no privilege: owners, devices, extended attributes, setuid bits and exact
//! modes are in the journal alone. Invariants: what nobody touched comes back as it was; what a
//! program made belongs to 0:0 and carries no privilege; nothing outside of the directory is read,
//! whatever lies in it.

mod content;
mod journal;
mod read;
mod write;

use super::base::Origin;
use super::base::tree::{Limits, Time};

pub use journal::Journal;
pub use read::read;
pub use write::write;

/// How a tree is written.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bytes that contents may have together, holes not counted.
    pub budget: u64,
    /// Who the files shall belong to on this machine, if not the caller: user and group.
    pub owner: Option<(u32, u32)>,
}

/// How a directory is read back.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The time of what was made or changed.
    pub time: Time,
    /// What the tree may have.
    pub limits: Limits,
    /// Bytes that the files may take on the disk together.
    pub budget: u64,
    /// The field that what is new came from.
    pub origin: Origin,
}
