//! The status of a VMImage.
//!
//! Decides nothing. Invariant: a pure function of what is observed: no clock but the transition
//! time of a condition that changed, no random name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;

/// What was last seen of the image and its targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Hash of everything that decides the bytes of the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub content_hash: Option<String>,

    /// The built content, once it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,

    /// One entry for every target of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub targets: Vec<TargetStatus>,

    /// Digests that inputs without one had when they were looked at. They are looked at again when
    /// such an input is edited, or the annotation vmimage.dev/rebuild.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<ResolvedInputs>,

    /// The build that is running or failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildStatus>,

    /// The last ended builds, newest first, at most five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<HistoryEntry>,

    /// `Ready`, `Built`, `Published`; `Reconciling` and `Stalled` only while they are true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// Inputs without digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ResolvedInputs {
    /// Hash of these sources as they stand in the spec, and of the annotation vmimage.dev/rebuild.
    #[schemars(length(max = 64))]
    pub key: String,
    /// What they had, in the order of the spec.
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub digests: Vec<ResolvedInput>,
}

/// An input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ResolvedInput {
    /// The source's field.
    #[schemars(length(max = 256))]
    pub field: String,
    /// The digest that its bytes had.
    #[schemars(length(max = 71))]
    pub digest: String,
}

/// The built content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Content {
    /// SHA-256 of the raw content, the same as that of `vmimage build`'s raw file.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// The disk's size in bytes.
    pub virtual_size_bytes: i64,
}

/// One target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct TargetStatus {
    /// The target's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// `Published`, or what it waits for.
    #[schemars(length(max = 64))]
    pub state: String,
    /// Hash of the content and what shapes this target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub target_hash: Option<String>,
    /// What is published now. While a changed spec is being built, the previous content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Published>,
}

/// Published content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Published {
    /// The PersistentVolumeClaim or ContainerImage that holds it.
    #[serde(rename = "ref")]
    pub reference: Reference,
    /// SHA-256 of the bytes in the volume: `sha256sum disk.img` prints the same. Of files it is that
    /// of `SHA256SUMS`, which has theirs; of a container image that of its manifest.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// Number of the bytes in the volume: of the disk, or of all files; of a container image its
    /// layer's.
    pub size_bytes: i64,
    /// Hash of the content and what shapes this target.
    #[schemars(length(max = 64))]
    pub target_hash: String,
    /// The annotation vmimage.dev/rebuild when a container image was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub rebuild: Option<String>,
}

/// The kind of a reference to a container image, which is no object of the cluster.
pub const IMAGE: &str = "ContainerImage";

/// An object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Reference {
    /// The object's kind.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// The object's name.
    #[schemars(length(max = 255))]
    pub name: String,
}

/// A build that is running or failed last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct BuildStatus {
    /// The target it is for.
    #[schemars(length(max = 63))]
    pub target: String,
    /// Its Job.
    #[schemars(length(max = 253))]
    pub job: String,
    /// Which attempt it is, from 1.
    pub attempt: i32,
    /// What it does or why it failed.
    #[schemars(length(max = 64))]
    pub reason: String,
}

/// An ended build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct HistoryEntry {
    /// The target it was for.
    #[schemars(length(max = 63))]
    pub target: String,
    /// The targetHash it was for.
    #[schemars(length(max = 64))]
    pub target_hash: String,
    /// Which attempt it was, from 1.
    pub attempt: i32,
    /// `Succeeded` or `Failed`.
    #[schemars(length(max = 32))]
    pub result: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub reason: String,
}
