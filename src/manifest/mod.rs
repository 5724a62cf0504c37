//! The VMImage document as plain data: one definition for CRD, CLI and build pod.
//!
//! ```text
//! text ──parse──▶ Document (values + places in the text) ──check──▶ accepted ──hash──▶ contentHash, targetHash
//! ```
//!
//! Does no I/O and knows neither the engine nor Kubernetes clients. Invariant: a document that
//! passed `check` can be planned; what can be refused is refused here, with the field's path.

pub mod check;
pub mod hash;
pub mod parse;
pub mod partition_types;
pub mod path;
pub mod presets;
mod quantity;
mod room;
mod rules;
mod schema;
mod size;
pub mod source;
pub mod types;
mod walk;

pub use check::{Problem, check, check_for_cluster, check_spec};
pub use parse::{Document, Override, ParseError, Place, Places, from_json, parse};
pub use path::FieldPath;
pub use quantity::{NoQuantity, Quantity};
pub use room::room;
pub use schema::{plain, schema};
pub use size::Size;
pub use types::{Metadata, Spec, VMImage};

use crate::units::{ByteSize, SECTOR};

/// The API group of every document.
pub const GROUP: &str = "vmimage.dev";
/// The version of every document.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every document.
pub const API_VERSION: &str = "vmimage.dev/v1alpha1";
/// The kind of every document.
pub const KIND: &str = "VMImage";

/// The virtual size of the disk, known without building it: `disk.size`, else the boot sector.
#[must_use]
pub fn disk_size(spec: &Spec) -> ByteSize {
    let given = spec.disk.as_ref().and_then(|disk| disk.size);
    given.map_or(ByteSize::bytes(SECTOR), |size| size.0)
}
