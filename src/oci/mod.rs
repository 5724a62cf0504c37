//! Container images: the image layout on disk, and registries.
//!
//! ```text
//! layout, archive or registry ──Blobs──▶ index ──platform──▶ manifest ──▶ Image: layers in order
//! blobs, manifest ──▶ registry
//! ```
//!
//! Knows no document and unpacks nothing. Invariant: bytes whose digest is not the one that names
//! them are never used.

mod digest;
mod docker;
mod image;
mod json;
mod layout;
mod platform;
mod reference;
#[cfg(feature = "cli")]
mod registry;

use std::fmt;
use std::sync::Arc;

use crate::engine::base::{Error, SectorSource};

pub use digest::Digest;
pub use image::{Image, Layer, resolve};
pub use json::Descriptor;
pub use layout::Layout;
pub use platform::Platform;
pub use reference::{Reference, is_tag};
#[cfg(feature = "cli")]
pub use registry::{Credentials, DockerConfig, Document, Registry};

/// An image and where its layers come from.
#[derive(Debug)]
pub struct Pulled<'a> {
    /// The image.
    pub image: Image,
    /// Its layers.
    pub blobs: Box<dyn Blobs + 'a>,
    /// The digest of the manifest or index that it was found by.
    pub digest: String,
}

/// Where blobs come from. They are judged by whoever asks: a wrong one does no harm.
pub trait Blobs: Send + Sync + fmt::Debug {
    /// The blob that this digest names, `size` bytes of it.
    fn blob(&self, digest: &Digest, size: u64) -> Result<Arc<dyn SectorSource>, Error>;

    /// The same for a manifest or an index, which registries keep elsewhere.
    fn manifest(&self, digest: &Digest, size: u64) -> Result<Arc<dyn SectorSource>, Error> {
        self.blob(digest, size)
    }
}
