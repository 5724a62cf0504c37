//! Archives: files in one file.
//!
//! Knows no image format. Invariant: nothing is unpacked into a directory; of an untrusted archive
//! no name is used as a path.

pub mod tar;
