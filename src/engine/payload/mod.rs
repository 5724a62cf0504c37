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
mod copy;
pub mod devices;
pub mod etc;
mod glob;
mod image;
mod links;
mod options;
mod place;
mod service;

pub use archive::{Archive, plain, unpack, unwrapped};
pub use copy::{Part, copy_tree, member};
pub use glob::{Glob, Selection};
pub use image::{apply_layer, image_tree};
pub use options::{Summary, Times, Unpack};
pub use service::{Service, overlay};
