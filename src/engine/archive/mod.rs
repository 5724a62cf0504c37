//! Archives: files in one file.
//!
//! Knows no image format. Invariant: nothing is unpacked into a directory; of an untrusted archive
//! no name is used as a path.

pub mod ar;
mod body;
pub mod cpio;
mod entry;
pub mod tar;
pub mod zip;

pub use body::{Part, Piece, sparse};
pub use entry::{Entries, Entry, Form, Format};
