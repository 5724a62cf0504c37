//! Where a finished image goes: the entries of `spec.publish`.
//!
//! Decides nothing. Invariant: every kind of target is one optional member beside the name, so that
//! another kind is one more member.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::super::size::Size;
use super::is_default;
use super::registry::{Defaults, Push};

/// One place where the finished image goes: exactly one member beside the name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::target()))]
pub struct Target {
    /// The entry's name, unique in the list.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,

    /// A PersistentVolumeClaim that holds the disk as KubeVirt boots it: as raw file `disk.img`, or
    /// as the bytes of a block device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvc: Option<Pvc>,

    /// The files of all formats, as `vmimage build` writes them, with the build manifest and
    /// SHA256SUMS, in a directory of a PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,

    /// A container image in a registry that holds the disk, as KubeVirt's containerDisk volumes take
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_disk: Option<Push>,

    /// A container image in a registry that holds `/boot/vmlinuz` and `/boot/initrd`, as KubeVirt's
    /// kernelBoot takes it. Needs boot.direct.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_boot: Option<Push>,
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
#[schemars(inline, extend("x-kubernetes-validations" = rules::pvc()))]
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

    /// A filesystem with the file `disk.img`, or a block device.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "Filesystem"))]
    pub volume_mode: VolumeMode,

    /// Labels of the claim, beside the operator's own. Keys of Kubernetes, KubeVirt and this operator
    /// are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, LabelValue>,

    /// Annotations of the claim, beside the operator's own. The same keys are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, AnnotationValue>,

    /// The instance type and preference that KubeVirt takes for machines of this disk.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub defaults: Defaults,

    /// How long volumes stay.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub retain: Retain,

    /// CDI's DataVolume of the claim's name. Needs `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_volume: Option<DataVolume>,

    /// CDI's DataSource that points at the newest claim of this target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_source: Option<DataSource>,
}

/// What a volume is to pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum VolumeMode {
    /// A directory.
    #[default]
    Filesystem,
    /// A block device.
    Block,
}

/// A label's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct LabelValue(
    /// The text.
    #[schemars(
        length(max = 63),
        regex(pattern = r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$")
    )]
    pub String,
);

/// An annotation's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct AnnotationValue(
    /// The text.
    #[schemars(length(max = 4096))]
    pub String,
);

/// How long volumes stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Retain {
    /// Complete volumes of earlier content that are kept. One that is used stays in any case.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 1))]
    pub previous: Previous,
    /// What becomes of the volumes when the VMImage is deleted.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "Delete"))]
    pub on_delete: OnDelete,
}

/// How many volumes of earlier content are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Previous(
    /// The number.
    #[schemars(range(min = 0, max = 20))]
    pub u32,
);

impl Default for Previous {
    fn default() -> Self {
        Self(1)
    }
}

/// What becomes of volumes when their VMImage is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum OnDelete {
    /// They go with it.
    #[default]
    Delete,
    /// They stay: nothing owns them.
    Retain,
}

/// CDI's DataVolume of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct DataVolume {
    /// Whether the operator makes it.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "Always"))]
    pub create: Create,
}

/// Whether the operator makes a DataVolume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Create {
    /// It does, and the DataVolume waits for the content.
    #[default]
    Always,
    /// Its user does: it is completed once the content is there.
    Never,
}

/// CDI's DataSource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct DataSource {
    /// Its name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
    )]
    pub name: String,
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
            volume_mode: VolumeMode::default(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            defaults: Defaults::default(),
            retain: Retain::default(),
            data_volume: None,
            data_source: None,
        }
    }
}

impl Target {
    /// The claim of this target, of whatever kind it is.
    #[must_use]
    pub fn claim(&self) -> Option<&Pvc> {
        self.pvc.as_ref().or_else(|| self.files.as_ref().map(|files| &files.pvc))
    }

    /// The container image of this target, of whatever kind it is.
    #[must_use]
    pub fn push(&self) -> Option<&Push> {
        self.container_disk.as_ref().or(self.kernel_boot.as_ref())
    }

    /// The kind of this target: the name of its member.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self { files: Some(_), .. } => "files",
            Self { container_disk: Some(_), .. } => "containerDisk",
            Self { kernel_boot: Some(_), .. } => "kernelBoot",
            _ => "pvc",
        }
    }
}

fn default_access_modes() -> Vec<AccessMode> {
    vec![AccessMode::ReadWriteOnce]
}

fn is_default_access_modes(modes: &[AccessMode]) -> bool {
    modes == default_access_modes()
}
