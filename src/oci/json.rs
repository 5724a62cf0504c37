//! The JSON documents of images: index, manifest, configuration.
//!
//! OCI Image Format Specification 1.1; Docker Image Manifest V2, Schema 2. Decides nothing.
//! Invariant: a document larger than `MOST` is not read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Digest, Platform};
use crate::engine::base::{Error, Kind, SectorSource};

/// The largest document: what registries take.
const MOST: u64 = 4 << 20;

/// Names of the documents.
pub(super) const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
pub(super) const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// The annotation that holds a tag in a layout.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What names a blob.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// In an index: for what machines the image is.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Anything else that is said.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// An index.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    #[serde(default)]
    pub(super) media_type: Option<String>,
    pub(super) manifests: Vec<Descriptor>,
}

/// A manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) media_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// What is needed of a configuration.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub(super) platform: Option<Platform>,
    pub(super) rootfs: Rootfs,
}

/// The digests of the layers before they were compressed.
#[derive(Debug, Deserialize)]
pub(super) struct Rootfs {
    pub(super) diff_ids: Vec<Digest>,
}

/// Refuses a document that says to be something else than whoever named it: one digest must not
/// stand for two images.
pub(super) fn same_kind(said: Option<&str>, named: &str) -> Result<(), Error> {
    match said.filter(|said| *said != named) {
        None => Ok(()),
        Some(said) => {
            let message = format!(
                "what is named as \"{}\" says that it is \"{}\"",
                named.escape_debug(),
                said.escape_debug()
            );
            Err(Error::new(Kind::Damaged, message))
        }
    }
}

/// Reads a document; an error names `what` it is.
pub(super) fn parse<T: DeserializeOwned>(
    source: &dyn SectorSource,
    what: &str,
) -> Result<T, Error> {
    if source.len() > MOST {
        let message = format!("{what} has {} bytes; at most {MOST} are allowed", source.len());
        return Err(Error::new(Kind::Input, message));
    }
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap_or(0)];
    source.read_at(0, &mut bytes)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::new(Kind::Damaged, format!("{what} is not as it should be: {e}")))
}
