//! The index that a tag of several architectures names: read, one entry exchanged, written again.
//!
//! Sends nothing, and reads what anybody may have pushed. Invariants: entries of other platforms stay,
//! with what the OCI Image Format Specification 1.1 says about them and nothing else; the result is
//! sorted, so that the order of pushes decides no byte of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::CONTENT_HASH;
use super::image::{CONFIG, MANIFEST, json};
use crate::engine::base::{Error, Kind};
use crate::oci::Digest;

/// Media types.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Entries of an index.
const MOST: usize = 1000;
/// What registries take (distribution specification v1.1, "Pushing manifests").
const LONGEST: usize = 4 << 20;
/// A configuration that is looked at may be so long.
const LONGEST_CONFIG: u64 = 1 << 20;

/// An image of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// For what machines it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Anything else that is said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A platform, with all that an index may say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// `v7`, `v8`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of Windows.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What it must be able to do.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    manifests: Vec<Entry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// What a tag names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Present {
    /// An index.
    Index(Index),
    /// A manifest of ours, and its configuration.
    Ours(Entry, Config),
}

/// A configuration, which says for what machines its image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its digest.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    media_type: Option<String>,
    config: Entry,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Reads what a tag names. A manifest of other making is an error: it is not ours to take in.
pub fn read(media_type: &str, digest: &str, bytes: &[u8]) -> Result<Present, Error> {
    match media_type {
        INDEX | DOCKER_INDEX => index(media_type, bytes).map(Present::Index),
        MANIFEST | DOCKER_MANIFEST => manifest(media_type, digest, bytes),
        other => {
            let other: String = other.chars().take(100).collect();
            Err(refused(format!("is of type \"{}\", which is no image", other.escape_debug())))
        }
    }
}

fn index(media_type: &str, bytes: &[u8]) -> Result<Index, Error> {
    let mut index: Index = parse(bytes)?;
    same_kind(&index.media_type, media_type)?;
    if index.manifests.len() > MOST {
        let found = index.manifests.len();
        return Err(refused(format!("is an index of {found} entries; {MOST} are allowed")));
    }
    for entry in &index.manifests {
        Digest::new(&entry.digest).map_err(|e| refused(format!("is an index: {e}")))?;
    }
    // Whatever it was, it is written as this.
    INDEX.clone_into(&mut index.media_type);
    index.schema_version = 2;
    Ok(index)
}

fn manifest(media_type: &str, digest: &str, bytes: &[u8]) -> Result<Present, Error> {
    let found: Manifest = parse(bytes)?;
    same_kind(found.media_type.as_deref().unwrap_or_default(), media_type)?;
    if !found.annotations.contains_key(CONTENT_HASH) || found.config.media_type != CONFIG {
        let message = format!(
            "is an image of other making, without the annotation {CONTENT_HASH}: it is not taken into \
             an index; use another tag, or delete it"
        );
        return Err(refused(message));
    }
    let Entry { digest: config, size, .. } = found.config;
    Digest::new(&config).map_err(|e| refused(format!("is an image: {e}")))?;
    if size > LONGEST_CONFIG {
        let message = format!("has a configuration of {size} bytes; {LONGEST_CONFIG} are allowed");
        return Err(refused(message));
    }
    let entry = Entry {
        media_type: MANIFEST.to_owned(),
        digest: digest.to_owned(),
        size: bytes.len() as u64,
        platform: None,
        annotations: BTreeMap::new(),
    };
    Ok(Present::Ours(entry, Config { digest: config, size }))
}

/// The platform that a configuration says.
pub fn platform(config: &[u8]) -> Result<Platform, Error> {
    parse(config)
}

impl Index {
    /// An index with this entry alone.
    #[must_use]
    pub fn of(entry: Entry) -> Self {
        Self {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: vec![entry],
            annotations: BTreeMap::new(),
        }
    }

    /// The index with `entry` in the place of what its platform had; None where it is so already.
    pub fn with(mut self, entry: &Entry) -> Result<Option<Self>, Error> {
        let same = |other: &&Entry| match (&other.platform, &entry.platform) {
            (Some(other), Some(ours)) => other.is(ours),
            _ => false,
        };
        let mut found = self.manifests.iter().filter(same);
        if found.next() == Some(entry) && found.next().is_none() {
            return Ok(None);
        }
        self.manifests.retain(|other| !same(&other));
        self.manifests.push(entry.clone());
        if self.manifests.len() > MOST {
            return Err(refused(format!("is an index of {MOST} entries, one more is not allowed")));
        }
        let key = |entry: &Entry| {
            let platform = entry.platform.clone();
            (platform.is_none(), platform.unwrap_or_default(), entry.digest.clone())
        };
        self.manifests.sort_by_cached_key(key);
        Ok(Some(self))
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = json(self)?;
        if bytes.len() > LONGEST {
            let message =
                format!("would be an index of {} bytes; {LONGEST} are allowed", bytes.len());
            return Err(refused(message));
        }
        Ok(bytes)
    }
}

impl Platform {
    /// Linux on this architecture.
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        let (architecture, os) = (architecture.to_owned(), "linux".to_owned());
        Self { architecture, os, ..Self::default() }
    }

    /// Whether both are one. The first variant of arm64 is v8: it is left out as often as not.
    fn is(&self, other: &Self) -> bool {
        let variant = |of: &Self| match (of.architecture.as_str(), of.variant.as_deref()) {
            ("arm64", Some("v8")) | (_, Some("")) => None,
            (_, variant) => variant.map(ToOwned::to_owned),
        };
        (&self.architecture, &self.os, variant(self), &self.os_version)
            == (&other.architecture, &other.os, variant(other), &other.os_version)
    }
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    if bytes.len() > LONGEST {
        return Err(refused(format!("has {} bytes; {LONGEST} are allowed", bytes.len())));
    }
    // The library's message may repeat anything; the place in the text suffices.
    serde_json::from_slice(bytes).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        refused(format!("is not as it should be at line {line}, column {column}"))
    })
}

/// One digest must not stand for two images.
fn same_kind(said: &str, named: &str) -> Result<(), Error> {
    if said.is_empty() || said == named {
        return Ok(());
    }
    let said: String = said.chars().take(100).collect();
    Err(refused(format!("is named as \"{named}\" and says that it is \"{}\"", said.escape_debug())))
}

/// A sentence about what the tag names, without its beginning.
fn refused(what: String) -> Error {
    Error::new(Kind::Rejected, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(media_type: &str, text: &str) -> String {
        let error = read(media_type, "sha256:00", text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected);
        error.to_string()
    }

    #[test]
    fn what_is_no_index_of_ours_is_refused() {
        let entry = format!(r#"{{"mediaType":"m","digest":"sha256:{}","size":1}}"#, "1".repeat(64));
        let index = |entries: &str| format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
        let ours = |size: u64, digest: &str| {
            format!(
                r#"{{"config":{{"mediaType":"{CONFIG}","digest":"{digest}","size":{size}}},
                    "annotations":{{"{CONTENT_HASH}":"1"}}}}"#
            )
        };
        let digest = format!("sha256:{}", "1".repeat(64));
        assert!(read(MANIFEST, &digest, ours(1 << 20, &digest).as_bytes()).is_ok());
        assert!(
            read(INDEX, &digest, index(&vec![entry.clone(); 1000].join(",")).as_bytes()).is_ok()
        );
        for (kind, text, wanted) in [
            ("text/html", "<html>".to_owned(), "is of type \"text/html\", which is no image"),
            (INDEX, "<html>".to_owned(), "is not as it should be at line 1, column 1"),
            (INDEX, index("7"), "is not as it should be"),
            (INDEX, index(&entry.replace('1', "x")), "is not as it should be"),
            (INDEX, index(&entry.replace("11", "../")), "is no digest"),
            (INDEX, index(&vec![entry; 1001].join(",")), "is an index of 1001 entries; 1000 are"),
            (
                DOCKER_INDEX,
                format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#),
                "and says that it is",
            ),
            (MANIFEST, ours((1 << 20) + 1, &digest), "has a configuration of 1048577 bytes"),
            (MANIFEST, ours(1, "sha256:1"), "is no digest"),
            (
                MANIFEST,
                ours(1, &digest).replace("image.config", "other"),
                "is an image of other making",
            ),
            (
                DOCKER_MANIFEST,
                ours(1, &digest).replace("vmimage", "x"),
                "is an image of other making",
            ),
            (MANIFEST, " ".repeat(LONGEST + 1), "has 4194305 bytes; 4194304 are allowed"),
        ] {
            let told = told(kind, &text);
            assert!(told.contains(wanted), "{kind}: {told}");
        }
    }

    #[test]
    fn an_index_does_not_grow_without_end() {
        let entry = |architecture: usize| Entry {
            media_type: MANIFEST.to_owned(),
            digest: String::new(),
            size: 1,
            platform: Some(Platform::linux(&architecture.to_string())),
            annotations: BTreeMap::new(),
        };
        let mut index = Index::of(entry(0));
        for number in 1..MOST {
            index = index.with(&entry(number)).unwrap().unwrap();
        }
        assert!(index.clone().with(&entry(7)).unwrap().is_none());
        assert!(index.with(&entry(MOST)).is_err());
    }
}
