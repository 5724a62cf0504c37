//! The verbs on image files: everything that needs no document.
//!
//! ```text
//! path + flags ──source──▶ Image ──verb──▶ answer, or ──target──▶ file, pipe, device
//! ```
//!
//! Knows no single format. Invariant: an image's format is what the user says, or what `--detect`
//! may guess; a file that an image names is opened below a directory that the user allows, or not
//! at all.

pub(super) mod args;
pub(super) mod check;
pub(super) mod compare;
pub(super) mod convert;
pub(super) mod digest;
pub(super) mod measure;
pub(super) mod resize;
pub(super) mod source;
mod spool;
mod target;
