//! Where a finished image goes: the entries of `spec.publish`.
//!
//! Decides nothing. Invariant: every kind of target is one optional member beside the name, so that
//! another kind is one more member.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::super::size::Size;
use super::is_default;

/// One place where the finished image goes: exactly one member beside the name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["pvc", "files"], rules::message::TARGET)))]
pub struct Target {
    /// The entry's name, unique in the list.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,

    /// A PersistentVolumeClaim that holds the disk as raw file `disk.img`, as KubeVirt boots it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvc: Option<Pvc>,

    /// The files of all formats, as `vmimage build` writes them, with the build manifest and
    /// SHA256SUMS, in a directory of a PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
}

/// The files of all formats in a directory of a PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::files()))]
pub struct Files {
    /// The PersistentVolumeClaim. Its request, where omitted, has room for every file with a disk
    /// that is full; compressed files of a disk that is not full need less.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub pvc: Pvc,

    /// The directory inside the volume: names of letters, digits, `.`, `_` and `-` that begin with a
    /// letter, a digit or `_`, separated by `/`. Omitted: the volume's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")
    )]
    pub path: Option<String>,
}

/// A PersistentVolumeClaim that holds the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Pvc {
    /// A stable name. Such a claim holds one content for life: other content needs another name.
    /// Omitted: a name by content hash, found in status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
    )]
    pub name: Option<String>,

    /// The size to request. Omitted: the size of what it is to hold with the operator's filesystem
    /// overhead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Size>,

    /// The StorageClass. Omitted: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,

    /// How the volume may be mounted.
    #[serde(default = "default_access_modes", skip_serializing_if = "is_default_access_modes")]
    #[schemars(
        length(min = 1, max = 4),
        extend("default" = ["ReadWriteOnce"], "x-kubernetes-list-type" = "set",
               "x-kubernetes-validations" = rules::access_modes())
    )]
    pub access_modes: Vec<AccessMode>,
}

/// How a volume may be mounted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[schemars(inline)]
pub enum AccessMode {
    /// By one node, to read and write.
    ReadWriteOnce,
    /// By one pod, to read and write.
    ReadWriteOncePod,
    /// By many nodes, to read and write.
    ReadWriteMany,
}

impl Default for Pvc {
    fn default() -> Self {
        Self {
            name: None,
            request: None,
            storage_class_name: None,
            access_modes: default_access_modes(),
        }
    }
}

impl Target {
    /// The claim of this target, of whatever kind it is.
    #[must_use]
    pub fn claim(&self) -> Option<&Pvc> {
        self.pvc.as_ref().or_else(|| self.files.as_ref().map(|files| &files.pvc))
    }

    /// The kind of this target: the name of its member.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        if self.files.is_some() { "files" } else { "pvc" }
    }
}

fn default_access_modes() -> Vec<AccessMode> {
    vec![AccessMode::ReadWriteOnce]
}

fn is_default_access_modes(modes: &[AccessMode]) -> bool {
    modes == default_access_modes()
}
