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
mod look;
mod read;
mod rules;
mod write;

pub use journal::Journal;
pub use read::read;
pub use rules::{Layout, Rules};
pub use write::write;
