//! Configuration and manifest of an image with one layer (OCI Image Format Specification 1.1).
//!
//! Sends nothing. Invariant: the documents follow from the layer and the parameters alone; they hold
//! no time but 1970 and name no program.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Compression, File, Layer, Params};
use crate::engine::base::{Error, Kind, Scratch, Work};

/// Media types.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const PLAIN_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The time of all images.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// An image that is ready to be pushed.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its layer.
    pub layer: Layer,
    /// Its configuration.
    pub config: Vec<u8>,
    /// The SHA-256 of the configuration.
    pub config_digest: String,
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// The SHA-256 of the manifest: what pins the image.
    pub digest: String,
    /// For which machines it is.
    pub architecture: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    config: Runs<'a>,
    rootfs: Rootfs<'a>,
    history: [History<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Runs<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Rootfs<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    diff_ids: [&'a str; 1],
}

#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
}

impl Image {
    /// The image with these files.
    pub fn make(
        files: &[File],
        params: &Params<'_>,
        scratch: &Scratch,
        work: &Work<'_>,
    ) -> Result<Self, Error> {
        let layer = Layer::make(files, params.compression, scratch, work)?;
        Self::of(layer, params)
    }

    /// The image with this layer.
    pub fn of(layer: Layer, params: &Params<'_>) -> Result<Self, Error> {
        let labels: BTreeMap<_, _> =
            params.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = json(&Config {
            created: CREATED,
            architecture: params.architecture,
            os: "linux",
            config: Runs {
                env: params.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
                labels: labels.clone(),
            },
            rootfs: Rootfs { kind: "layers", diff_ids: [&layer.plain] },
            history: [History { created: CREATED }],
        })?;
        let config_digest = sha256(&config);
        let media_type = match layer.compression {
            Compression::Gzip => GZIP_LAYER,
            Compression::None => PLAIN_LAYER,
        };
        let size = config.len() as u64;
        let manifest = json(&Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            config: Descriptor { media_type: CONFIG, digest: &config_digest, size },
            layers: [Descriptor { media_type, digest: &layer.digest, size: layer.blob.len() }],
            annotations: labels,
        })?;
        let digest = sha256(&manifest);
        let architecture = params.architecture.to_owned();
        Ok(Self { layer, config, config_digest, manifest, digest, architecture })
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value)
        .map_err(|e| Error::new(Kind::Document, format!("the image's documents: {e}")))
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
