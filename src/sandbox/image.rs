//! The tree of a script's image: from image layouts on the desk, else from its registry.
//!
//! Invariant: an image is the one whose digest the document names, wherever it comes from.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;
use serde::Deserialize;

use crate::engine::base::tree::{Kind as NodeKind, Meta, Name, Time, Tree};
use crate::engine::base::{
    Beneath, ByteSource, Error, FileSource, Kind, Origin, Scratch, SectorSource, Silent,
};
use crate::engine::payload::{self, Unpack};
use crate::fetch::Client;
use crate::oci::{
    Blobs, Credentials, Descriptor, Digest, Document, Layout, Platform, Reference, Registry,
    resolve,
};

/// What lies in the root of a script beside its image.
const PLACES: [&[u8]; 4] = [b"tree", b"tmp", b"proc", b"dev"];
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A manifest is at most so long.
const LARGEST: u64 = 4 << 20;

/// Where images are looked for.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// Image layouts: directories, or archives of them.
    pub layouts: &'a [PathBuf],
    /// Asks registries.
    pub client: &'a Client,
    /// What registries are told about us.
    pub credentials: &'a dyn Fn(&Reference) -> Result<Option<Credentials>, Error>,
    /// Takes what is fetched.
    pub scratch: &'a Scratch,
}

impl std::fmt::Debug for Images<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").field("layouts", &self.layouts).finish_non_exhaustive()
    }
}

/// A repository as blobs.
#[derive(Debug)]
struct Remote<'a> {
    registry: Registry,
    scratch: &'a Scratch,
    /// The type of the document that was read last: behind an index comes a manifest, which
    /// registries have under another address than blobs.
    last: Mutex<Document>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Type {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Option<serde_json::Value>,
}

/// The tree of the image with this name, with the places for a script in it.
pub fn image_tree(name: &str, images: &Images<'_>) -> Result<Tree, Error> {
    let wrong = |why: String| Error::new(Kind::Document, why);
    let reference: Reference = name.parse().map_err(wrong)?;
    let Some(digest) = &reference.digest else {
        return Err(wrong(format!("{name} names no digest")));
    };
    let digest = Digest::new(digest)?;
    let tree = match local(&digest, images)? {
        Some(tree) => tree,
        None => remote(&reference, &digest, images)?,
    };
    places(tree)
}

fn local(digest: &Digest, images: &Images<'_>) -> Result<Option<Tree>, Error> {
    for path in images.layouts {
        let layout = match fs::metadata(path).is_ok_and(|found| found.is_dir()) {
            true => Layout::directory(Beneath::new(path, &[])?),
            false => Layout::archive(Arc::new(FileSource::open(path)?))?,
        };
        let Ok(found) = layout.blob(digest, 0) else { continue };
        let root = descriptor(digest.clone(), &*found, None)?;
        return unpacked(&layout, &root, images).map(Some);
    }
    Ok(None)
}

fn remote(reference: &Reference, digest: &Digest, images: &Images<'_>) -> Result<Tree, Error> {
    let credentials = (images.credentials)(reference)?;
    let registry = Registry::new(reference, images.client, credentials, false);
    let first = registry.manifest(&digest.to_string(), &Silent)?;
    let source = ByteSource::new(first.bytes.clone());
    let root = descriptor(digest.clone(), &source, Some(&first.media_type))?;
    let remote = Remote { registry, scratch: images.scratch, last: Mutex::new(first) };
    unpacked(&remote, &root, images)
}

/// What names a manifest or an index that we have.
fn descriptor(
    digest: Digest,
    source: &dyn SectorSource,
    media_type: Option<&str>,
) -> Result<Descriptor, Error> {
    let size = source.len();
    if size > LARGEST {
        let message = format!("{digest} has {size} bytes; a manifest has at most {LARGEST}");
        return Err(Error::new(Kind::Input, message));
    }
    let mut bytes = vec![0; size as usize];
    source.read_at(0, &mut bytes)?;
    let found: Type = serde_json::from_slice(&bytes)
        .map_err(|e| Error::new(Kind::Input, format!("{digest} is no manifest: {e}")))?;
    let implied = if found.manifests.is_some() { INDEX } else { MANIFEST };
    let said = media_type.filter(|said| said.contains("manifest") || said.contains("index"));
    let media_type = match found.media_type.as_str() {
        "" => said.unwrap_or(implied),
        own => own,
    };
    let media_type = media_type.to_owned();
    let annotations = std::collections::BTreeMap::new();
    Ok(Descriptor { media_type, digest, size, platform: None, annotations })
}

fn unpacked(blobs: &dyn Blobs, root: &Descriptor, images: &Images<'_>) -> Result<Tree, Error> {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let image = resolve(blobs, root, &Platform::linux(machine))?;
    let origin = Origin::new("spec.disk.scripts");
    payload::image_tree(&image, blobs, &Unpack::default(), images.scratch, &origin)
}

/// The tree with empty directories where a script's mounts go.
fn places(mut tree: Tree) -> Result<Tree, Error> {
    let origin = Origin::new("spec.disk.scripts");
    for name in PLACES {
        let name = Name::new(name)?;
        tree.remove(Tree::ROOT, &name);
        let meta = Meta::directory(Time::default());
        tree.put(Tree::ROOT, name, NodeKind::directory(), meta, &origin)?;
    }
    Ok(tree)
}

impl Blobs for Remote<'_> {
    fn blob(&self, digest: &Digest, size: u64) -> Result<Arc<dyn SectorSource>, Error> {
        let name = digest.to_string();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.digest == name {
            return Ok(Arc::new(ByteSource::new(last.bytes.clone())));
        }
        let index = last.media_type.contains("index") || last.media_type.contains("list");
        if index && size <= LARGEST {
            *last = self.registry.manifest(&name, &Silent)?;
            return Ok(Arc::new(ByteSource::new(last.bytes.clone())));
        }
        drop(last);
        self.registry.blob(&name, size, self.scratch, &Silent)
    }
}
