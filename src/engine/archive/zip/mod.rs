//! zip: stored and deflated entries, zip64, owners and times of Unix.
//!
//! The directory at the end says what there is; what only local headers say is not used. Encrypted
//! and split archives are refused. Invariants: bodies lie inside of the archive and do not overlap,
//! so an archive of n bytes unpacks to at most 1032 n; a wrong sum is an error.

mod extra;
mod list;
mod ondisk;
mod packed;

pub use list::Entries;
pub use packed::Packed;

/// Whether a file of these first bytes is a zip archive, or an empty one.
pub(super) fn is_magic(first: &[u8]) -> bool {
    [ondisk::LOCAL, ondisk::END].iter().any(|magic| first.starts_with(&magic.to_le_bytes()))
}
