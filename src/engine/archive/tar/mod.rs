//! tar: members with a header of 512 bytes each, in whole blocks of 512 bytes.
//!
//! ```text
//! header │ body, filled to 512 │ header │ body … │ two blocks of zeros │ zeros to 10 KiB
//! ```
//!
//! `Writer` writes files only, `write_tree` everything, `head` what stands before a body. `Archive` lists packages of plain files; `Entries` goes through everything that a
//! tar can hold. Invariants: what is written depends on
//! names, sizes and bodies alone; what is read never yields a byte outside of its archive.

mod acl;
mod entries;
mod members;
mod name;
mod ondisk;
mod pax;
mod read;
mod sparse;
mod write;

pub use entries::Entries;
pub(super) use entries::is_header;
pub use members::{Written, head, own_name, write_tree};
pub use read::{Archive, Member};
pub use write::{Dialect, Writer, header, padding, trailer};

/// Headers and bodies begin at multiples of this (POSIX.1-1988 ustar).
pub const BLOCK: u64 = 512;
