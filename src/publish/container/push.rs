//! An image into a registry: its parts, then its manifest, then its tags.
//!
//! Packs nothing. Invariants: a manifest is stored after all that it names, and a tag is moved after
//! the manifest is; where the manifest is there already, nothing but tags is written.

use super::image::MANIFEST;
use super::index::{self, Entry, INDEX, Index, Platform, Present};
use super::{File, Image, Params};
use crate::engine::base::{ByteSource, Error, Kind, Progress, Scratch, Work};
use crate::oci::{Document, Registry};
use crate::publish::volume::Published;

/// How often an index is written anew that somebody else has changed meanwhile.
const ROUNDS: usize = 5;
/// How long a written index is left before it is looked at again: longer than another writer takes from
/// its look to its write. Looked at right after the write, the index is still ours alone, and that
/// writer replaces it unseen.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(1);

/// Packs the files and pushes the image.
pub fn publish(
    files: &[File],
    params: &Params<'_>,
    registry: &Registry,
    scratch: &Scratch,
    work: &Work<'_>,
) -> Result<Published, Error> {
    let image = Image::make(files, params, scratch, work)?;
    push(&image, params, registry, scratch, work.progress)
}

/// Pushes an image. `reused` says that the repository had it.
pub fn push(
    image: &Image,
    params: &Params<'_>,
    registry: &Registry,
    scratch: &Scratch,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    let reused = registry.has_manifest(&image.digest, progress)?;
    if !reused {
        registry.upload(&image.layer.digest, &*image.layer.blob, progress)?;
        let config = ByteSource::new(&*image.config);
        registry.upload(&image.config_digest, &config, progress)?;
        registry.put_manifest(None, MANIFEST, &image.manifest, progress)?;
    }
    for tag in params.tags {
        if params.index {
            let place = Place { registry, scratch, progress, tag };
            place.merge(image)?;
        } else if registry.tag_digest(tag, progress)?.as_deref() != Some(&image.digest) {
            registry.put_manifest(Some(tag), MANIFEST, &image.manifest, progress)?;
        }
    }
    let size = image.layer.blob.len();
    Ok(Published { digest: image.digest.clone(), size, reused })
}

/// A tag that names an index.
struct Place<'a> {
    registry: &'a Registry,
    scratch: &'a Scratch,
    progress: &'a dyn Progress,
    tag: &'a str,
}

impl Place<'_> {
    /// Makes the image the index' entry of its platform. Registries know no condition for a write: the
    /// index is looked at again, so that of two writers the last one sees that it lost.
    fn merge(&self, image: &Image) -> Result<(), Error> {
        let ours = Entry {
            media_type: MANIFEST.to_owned(),
            digest: image.digest.clone(),
            size: image.manifest.len() as u64,
            platform: Some(Platform::linux(&image.architecture)),
            annotations: std::collections::BTreeMap::new(),
        };
        for _ in 0..ROUNDS {
            let present = self.registry.tagged(self.tag, self.progress)?;
            let index = match present {
                None => Some(Index::of(ours.clone())),
                Some(document) => self.merged(&document, &ours)?,
            };
            let Some(index) = index else { return Ok(()) };
            let bytes = index.to_bytes().map_err(|e| self.about(&e))?;
            self.registry.put_manifest(Some(self.tag), INDEX, &bytes, self.progress)?;
            std::thread::sleep(SETTLED);
        }
        let message = format!("{}: somebody else changes it all the time", self.name());
        Err(Error::new(Kind::Io, message))
    }

    /// The index that the tag shall name beside what it names; None where it does already.
    fn merged(&self, document: &Document, ours: &Entry) -> Result<Option<Index>, Error> {
        let Document { media_type, digest, bytes } = document;
        let about = |e: Error| self.about(&e);
        match index::read(media_type, digest, bytes).map_err(about)? {
            Present::Index(index) => index.with(ours).map_err(about),
            Present::Ours(entry, config) => {
                let digest = &config.digest;
                let blob = self.registry.blob(digest, config.size, self.scratch, self.progress)?;
                let mut bytes = vec![0; usize::try_from(blob.len()).unwrap_or(0)];
                blob.read_at(0, &mut bytes)?;
                let platform = Some(index::platform(&bytes).map_err(about)?);
                let alone = Index::of(Entry { platform, ..entry });
                // A tag of a manifest becomes one of an index, even if it is the same manifest.
                Ok(alone.with(ours).map_err(about)?.or_else(|| Some(Index::of(ours.clone()))))
            }
        }
    }

    fn name(&self) -> String {
        format!("{}:{}", self.registry.image().name(), self.tag)
    }

    fn about(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("{} {error}", self.name()))
    }
}
