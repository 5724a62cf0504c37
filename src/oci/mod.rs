//! Container images: the image layout on disk, and registries.
//!
//! Knows no document. Invariant: bytes whose digest is not the one that names them are never used.

mod reference;
mod registry;

pub use reference::Reference;
pub use registry::{Credentials, DockerConfig, Document, Registry};
