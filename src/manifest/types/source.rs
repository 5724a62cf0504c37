//! Where the bytes of an input come from.
//!
//! Decides nothing. Invariant: every kind of source is one optional member; the others modify what
//! is taken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::build::LocalReference;
use super::is_default;

/// Where an input comes from: exactly one of inline, configMapKeyRef, secretKeyRef, pvc, http, oci
/// and file. http, oci and pvc need digest or allowMutable beside them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::source()))]
pub struct Source {
    /// The bytes themselves. All inline bytes of a document together are at most 128 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<Inline>,

    /// A key of a ConfigMap in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,

    /// A key of a Secret in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,

    /// A file on a PersistentVolumeClaim, which is mounted read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvc: Option<ClaimFile>,

    /// A file on a web server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,

    /// A container image in a registry, or a file in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<Oci>,

    /// A file beside the document, as a path relative to it. On the desk only: a cluster cannot
    /// reach it and refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub file: Option<String>,

    /// Takes the file with this path out of the archive (tar, .deb, cpio, zip) or ISO that the
    /// source is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub member: Option<String>,

    /// Unpacks the bytes; auto looks at their first ones and leaves alone what is not compressed.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "none"))]
    pub decompress: Decompress,

    /// The SHA-256 that the bytes must have, as `sha256:` and 64 hexadecimal digits: of a container
    /// image its manifest's, else of the file as it is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,

    /// Takes whatever is there when the build begins. The result is not reproducible.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub allow_mutable: bool,
}

/// Bytes in the document: exactly one member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["text", "base64"], rules::message::INLINE)))]
pub struct Inline {
    /// Text, taken as UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 131_072))]
    pub text: Option<String>,

    /// Bytes in base64 (RFC 4648, section 4, with padding). White space is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 180_224))]
    pub base64: Option<String>,
}

/// A key of a ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct KeyReference {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A file on a PersistentVolumeClaim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct ClaimFile {
    /// The claim's name.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// The path below the volume's root.
    #[schemars(length(min = 1, max = 4096))]
    pub path: String,
}

/// A file on a web server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Http {
    /// The address. A redirect may not leave https.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^ ]+$"))]
    pub url: String,
    /// A Secret whose keys and values are sent as headers, such as `Authorization`. They are not
    /// sent to another host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret_ref: Option<LocalReference>,
    /// Certificates in PEM form that are trusted instead of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
}

/// A container image, or a file in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Oci {
    /// The image: `registry.example/name:tag` or `registry.example/name@sha256:…`.
    #[schemars(length(max = 512), regex(pattern = r"^[^ ]+$"))]
    pub image: String,
    /// The file in the image's tree to take. Omitted: the image itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = r"^/"))]
    pub path: Option<String>,
    /// The Secret of type kubernetes.io/dockerconfigjson to pull with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret_ref: Option<LocalReference>,
    /// Certificates in PEM form that are trusted instead of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
    /// Speak plain http to the registry.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub insecure: bool,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct CaBundle {
    /// A key of a ConfigMap in this namespace.
    pub config_map_key_ref: KeyReference,
}

/// How bytes are unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Decompress {
    /// Not at all.
    #[default]
    None,
    /// As their first bytes say.
    Auto,
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// LZ4 frames.
    Lz4,
}

impl Source {
    /// The names of the kinds that are given: exactly one in an accepted document.
    #[must_use]
    pub fn kinds(&self) -> Vec<&'static str> {
        let given = [
            ("inline", self.inline.is_some()),
            ("configMapKeyRef", self.config_map_key_ref.is_some()),
            ("secretKeyRef", self.secret_key_ref.is_some()),
            ("pvc", self.pvc.is_some()),
            ("http", self.http.is_some()),
            ("oci", self.oci.is_some()),
            ("file", self.file.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    /// The digest that the document pins: `digest`, else the one in an image's name.
    #[must_use]
    pub fn pinned(&self) -> Option<&str> {
        let image = self.oci.as_ref().map(|oci| oci.image.as_str());
        let named = image.and_then(|image| image.split_once('@')).map(|(_, digest)| digest);
        self.digest.as_deref().or(named)
    }

    /// What is taken from the input: what still matters when its digest is known.
    #[must_use]
    pub fn selection(&self) -> Selection<'_> {
        Selection {
            member: self.member.as_deref(),
            decompress: self.decompress,
            path: self.oci.as_ref().and_then(|oci| oci.path.as_deref()),
        }
    }
}

/// What is taken from an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection<'a> {
    /// `member`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<&'a str>,
    /// `decompress`.
    #[serde(skip_serializing_if = "is_default")]
    pub decompress: Decompress,
    /// `oci.path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
}
