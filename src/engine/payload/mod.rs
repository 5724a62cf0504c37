//! What goes into a tree: archives, container images, files, device tables.
//!
//! ```text
//! bytes ──open──▶ archive by reference, or in one spool ──unpack──▶ Tree
//! image ──oci──▶ layers with verified digests ──layer──▶ Tree ──copy──▶ Tree
//! ```
//!
//! Writes no filesystem and fetches nothing. Invariant: nothing that an archive says leads out of
//! the tree.

mod archive;
mod glob;
mod links;
mod options;
mod place;

pub use archive::{Archive, unpack};
pub use glob::{Glob, Selection};
pub use options::{Summary, Times, Unpack};
