//! Container images that hold a disk or a kernel, and what KubeVirt takes for machines of them.
//!
//! Decides nothing. Invariant: credentials are named, never written here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::build::LocalReference;
use super::is_default;
use super::source::CaBundle;

/// A container image in a registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Push {
    /// The image without tag and digest: `registry.example/team/name`.
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[A-Za-z0-9.\-\[\]:]+(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$")
    )]
    pub image: String,

    /// The tags that name it.
    #[serde(default = "default_tags", skip_serializing_if = "is_default_tags")]
    #[schemars(
        length(min = 1, max = 20),
        extend("default" = ["latest"], "x-kubernetes-list-type" = "set")
    )]
    pub tags: Vec<Tag>,

    /// The file format of the disk. Omitted: qcow2 in a containerDisk, and no disk at all in a
    /// kernelBoot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<PushFormat>,

    /// How the image's layer is compressed.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "gzip"))]
    pub compression: LayerCompression,

    /// The tags name an image index with an entry for each architecture, of which ours is replaced.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub index: bool,

    /// The Secret of type kubernetes.io/dockerconfigjson to push with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_ref: Option<LocalReference>,

    /// Certificates in PEM form that are trusted instead of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,

    /// Speak plain http to the registry.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub insecure: bool,

    /// The instance type and preference that KubeVirt takes for machines of a containerDisk. Without
    /// kind: an image has no place for it.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub defaults: Defaults,
}

/// A tag of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Tag(
    /// The text.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub String,
);

/// The file format of a disk in a container image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum PushFormat {
    /// The disk as it is.
    Raw,
    /// A qcow2 file with the options that are usual.
    Qcow2,
}

/// How the layer of a container image is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum LayerCompression {
    /// gzip.
    #[default]
    Gzip,
    /// Not at all.
    None,
}

/// What KubeVirt takes for machines of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Defaults {
    /// The instance type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instancetype: Option<DefaultReference>,
    /// The preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<DefaultReference>,
}

/// An instance type or a preference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct DefaultReference {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
    /// Its kind. Omitted: the one of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z]+$"))]
    pub kind: Option<String>,
}

impl Push {
    /// The tags as texts.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|tag| tag.0.as_str())
    }
}

fn default_tags() -> Vec<Tag> {
    vec![Tag("latest".to_owned())]
}

fn is_default_tags(tags: &[Tag]) -> bool {
    tags == default_tags()
}
