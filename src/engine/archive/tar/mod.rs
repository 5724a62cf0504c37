//! tar: members with a header of 512 bytes each, in whole blocks of 512 bytes.
//!
//! ```text
//! header │ body, filled to 512 │ header │ body … │ two blocks of zeros │ zeros to 10 KiB
//! ```
//!
//! Writes files only; reads what archivers of packages write. Invariants: what is written depends on
//! names, sizes and bodies alone; what is read never yields a byte outside of its archive.

mod name;
mod read;
mod write;

pub use read::{Archive, Member};
pub use write::{Dialect, Writer, header, padding, trailer};

/// Headers and bodies begin at multiples of this (POSIX.1-1988 ustar).
pub const BLOCK: u64 = 512;
