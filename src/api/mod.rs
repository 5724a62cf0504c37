//! The VMImage API as Kubernetes sees it: the object, its status, its labels and annotations.
//!
//! Does not reconcile. Invariant: names that other programs rely on stand here once.

pub mod cdi;
pub mod conditions;
pub mod crd;
mod image;
pub mod labels;
pub mod names;
pub mod status;

pub use image::Image;
pub use status::Status;
