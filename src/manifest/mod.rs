//! The VMImage document as plain data: one definition for CRD, CLI and build pod.
//!
//! ```text
//! text ──parse──▶ Document (values + places in the text) ──check──▶ accepted ──hash──▶ contentHash, targetHash
//! ```
//!
//! Does no I/O and knows neither the engine nor Kubernetes clients. Invariant: a document that
//! passed `check` can be planned; what can be refused is refused here, with the field's path.

pub mod hash;
pub mod path;
mod rules;
mod size;
pub mod source;
pub mod types;

pub use path::FieldPath;
pub use size::Size;
pub use types::{Metadata, Spec, VMImage};

/// The API group of every document.
pub const GROUP: &str = "vmimage.dev";
/// The version of every document.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every document.
pub const API_VERSION: &str = "vmimage.dev/v1alpha1";
/// The kind of every document.
pub const KIND: &str = "VMImage";
