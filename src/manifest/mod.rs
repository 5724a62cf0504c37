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
pub mod reference;
mod room;
mod rules;
mod schema;
mod size;
pub mod source;
pub mod types;
mod walk;
pub mod xattr;

pub use check::{Problem, check, check_for_cluster, check_spec};
pub use parse::{Document, Override, ParseError, Place, Places, from_json, parse};
pub use path::FieldPath;
pub use quantity::{NoQuantity, Quantity};
pub use room::room;
pub use schema::{generated, plain, schema};
pub use size::Size;
use types::Medium;
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

/// The virtual size of what a volume holds, where it is known without building it: the disk's, else
/// the boot sector's, else the ISO's.
#[must_use]
pub fn disk_size(spec: &Spec) -> ByteSize {
    medium_size(spec, medium(spec, None))
}

/// The medium that a format holds: as it says, else the disk, a boot sector counted, else the ISO.
#[must_use]
pub fn medium(spec: &Spec, of: Option<Medium>) -> Medium {
    match of {
        Some(medium) => medium,
        None if spec.iso.is_some() && !spec.has_disk() => Medium::Iso,
        None => Medium::Disk,
    }
}

/// The size of a medium as far as the document tells it. What has contents and no size of its own
/// is as large as the build makes it: then this is one sector.
#[must_use]
pub fn medium_size(spec: &Spec, medium: Medium) -> ByteSize {
    let given = match medium {
        Medium::Disk => spec.disk.as_ref().and_then(|disk| disk.size),
        Medium::Iso => spec.iso.as_ref().and_then(|iso| iso.size),
    };
    given.map_or(ByteSize::bytes(SECTOR), |size| size.0)
}
