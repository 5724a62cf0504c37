//! The verbs that read the files inside of images: ls, cat, extract, diff.
//!
//! ```text
//! IMAGE:PARTITION/path ──place──▶ disk ──engine::view──▶ Tree ──verb──▶ listing, bytes, files, tar
//! ```
//!
//! Changes no image and mounts nothing. Invariants: an image's format is what its name or the user
//! says, or what `--detect` may guess; no name that comes out of an image leads out of the directory
//! that the user gives.

pub(super) mod args;
pub(super) mod cat;
mod compare;
pub(super) mod diff;
mod entry;
pub(super) mod extract;
mod host;
pub(super) mod ls;
mod place;
mod tar;
