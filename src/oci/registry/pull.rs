//! An image out of a registry, layer by layer.
//!
//! Unpacks nothing. Invariant: a layer is fetched when it is opened, and its temporary file is gone
//! when nobody needs it any more.

use std::sync::Arc;

use super::{Document, Registry};
use crate::engine::base::{ByteSource, Error, Progress, Scratch, SectorSource};
use crate::oci::{Blobs, Descriptor, Digest, Platform, Pulled, resolve};

/// A repository as a place of blobs.
#[derive(Debug)]
struct Remote<'a> {
    registry: Registry,
    /// What was asked for first: it is not asked for again.
    root: Document,
    scratch: &'a Scratch,
    progress: &'a dyn Progress,
}

impl Registry {
    /// The image for `platform` with this tag or digest.
    pub fn pull<'a>(
        self,
        selector: &str,
        platform: &Platform,
        scratch: &'a Scratch,
        progress: &'a dyn Progress,
    ) -> Result<Pulled<'a>, Error> {
        let root = self.manifest(selector, progress)?;
        let descriptor = Descriptor {
            media_type: root.media_type.clone(),
            digest: Digest::new(&root.digest)?,
            size: root.bytes.len() as u64,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
        };
        let remote = Remote { registry: self, root, scratch, progress };
        let image = resolve(&remote, &descriptor, platform)?;
        Ok(Pulled { image, digest: remote.root.digest.clone(), blobs: Box::new(remote) })
    }
}

impl Blobs for Remote<'_> {
    fn blob(&self, digest: &Digest, size: u64) -> Result<Arc<dyn SectorSource>, Error> {
        self.registry.blob(digest.as_str(), size, self.scratch, self.progress)
    }

    fn manifest(&self, digest: &Digest, _: u64) -> Result<Arc<dyn SectorSource>, Error> {
        let bytes = if digest.as_str() == self.root.digest {
            self.root.bytes.clone()
        } else {
            self.registry.manifest(digest.as_str(), self.progress)?.bytes
        };
        Ok(Arc::new(ByteSource::new(bytes)))
    }
}
