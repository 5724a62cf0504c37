//! The disk: its size, its partition table and its partitions.
//!
//! Decides nothing. Invariant: a partition is told by its name, everywhere in the document.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::super::size::Size;
use super::contents::Step;
use super::filesystem::{Filesystem, FilesystemKind, Headroom};
use super::is_default;
use super::scalar::Path;
use super::script::Script;
use super::source::Source;
use crate::units::ByteSize;

/// The disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::disk()))]
pub struct Disk {
    /// The virtual size, in whole sectors of 512 bytes: `64Mi`. Omitted: as large as the content.
    /// A volume's disk is in any case padded to a multiple of 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,

    /// Room behind the content where size is omitted: for the partition that grows, else left free.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub headroom: Headroom,

    /// The partition table. Without one the only partition is the whole disk.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "None"))]
    pub partition_table: PartitionTable,

    /// The disk's GUID, or with MBR its signature such as `0x1234abcd`. Omitted: derived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(
            pattern = r"^(0x[0-9A-Fa-f]{8}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$"
        )
    )]
    pub disk_id: Option<String>,

    /// Bytes of a logical sector: 512 or 4096.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 512))]
    pub sector_size: SectorSize,

    /// Partitions begin at multiples of this, in whole sectors and at most 1Gi.
    #[serde(default = "default_alignment", skip_serializing_if = "is_default_alignment")]
    #[schemars(extend("default" = "1Mi"))]
    pub alignment: Size,

    /// Partitions of a GPT that stand in a master boot record, too, for machines that read no GPT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 3),
        extend("x-kubernetes-list-type" = "set", "items" = {"type": "string", "maxLength": 36})
    )]
    pub hybrid: Vec<String>,

    /// The partitions, in their order on the disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub partitions: Vec<Partition>,

    /// Scripts that change the trees of partitions, in this order, after all steps of all
    /// partitions and before filesystems are made. Off unless who runs the build allows them: such
    /// a build is not reproducible. A script cannot change owners, make devices, or use a package
    /// manager that does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub scripts: Vec<Script>,
}

/// A kind of partition table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PartitionTable {
    /// None.
    #[default]
    None,
    /// The table of IBM PCs: 4 primary partitions, or 3 and logical ones; 2 TiB.
    #[serde(rename = "MBR")]
    Mbr,
    /// The table of UEFI.
    #[serde(rename = "GPT")]
    Gpt,
}

/// Bytes of a logical sector; 512 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("minimum" = 512, "maximum" = 4096, "format" = "int32"))]
#[serde(transparent)]
pub struct SectorSize(pub u32);

impl Default for SectorSize {
    fn default() -> Self {
        Self(512)
    }
}

/// A partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::partition()))]
pub struct Partition {
    /// The name, unique on the disk. A GPT holds it.
    #[schemars(
        length(min = 1, max = 36),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub name: String,

    /// What it is for: a name such as linux, esp, biosBoot, swap, msdata or netbsd; a GUID with GPT;
    /// a byte such as `0x83` with MBR. Omitted: what the filesystem suggests, else linux.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 36),
        regex(
            pattern = r"^([A-Za-z][A-Za-z0-9]*|0x[0-9A-Fa-f]{2}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$"
        )
    )]
    pub kind: Option<String>,

    /// The size, in whole sectors. Omitted: as large as the content and its headroom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,

    /// Takes what is left of the disk; one partition at most.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub grow: bool,

    /// The partition's GUID, with GPT. Omitted: derived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(pattern = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
    )]
    pub id: Option<String>,

    /// With MBR: active, hidden. With GPT: required (bit 0), noBlockIo (1), legacyBoot (2), bootme
    /// and growFileSystem (59), readOnly (60), hidden (62), noAutomount (63), or a bit's number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "set",
               "items" = {"type": "string", "maxLength": 16, "pattern": "^([A-Za-z]+|[0-9]{1,2})$"})
    )]
    pub attributes: Vec<String>,

    /// A logical partition of an MBR.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub logical: bool,

    /// Where the partition is mounted: what the contents of another partition put below this path
    /// lands here. Omitted: a tree of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 255))]
    pub mount_path: Option<Path>,

    /// The filesystem. Without one the partition is empty, or holds the bytes of source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,

    /// What lies in the filesystem: steps that are applied in order. Their paths begin at the root
    /// of this filesystem.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub contents: Vec<Step>,

    /// The bytes of the partition, instead of a filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

const ALIGNMENT: Size = Size(ByteSize::mib(1));

const fn default_alignment() -> Size {
    ALIGNMENT
}

fn is_default_alignment(size: &Size) -> bool {
    *size == ALIGNMENT
}

impl Disk {
    /// The index of the partition whose tree `script` changes, if there is one.
    #[must_use]
    pub fn changed_by(&self, script: &Script) -> Option<usize> {
        let has_tree = |partition: &&Partition| {
            let filesystem = partition.filesystem.as_ref();
            filesystem.is_some_and(|filesystem| filesystem.kind != FilesystemKind::Swap)
        };
        let with_tree = || self.partitions.iter().filter(has_tree);
        let found = match &script.partition {
            Some(name) => with_tree().find(|partition| partition.name == *name),
            None => {
                let root = |partition: &&Partition| {
                    partition.mount_path.as_ref().is_some_and(Path::is_root)
                };
                let only = || with_tree().next().filter(|_| with_tree().count() == 1);
                with_tree().find(root).or_else(only)
            }
        }?;
        self.partitions.iter().position(|partition| partition.name == found.name)
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            size: None,
            headroom: Headroom::default(),
            partition_table: PartitionTable::None,
            disk_id: None,
            sector_size: SectorSize::default(),
            alignment: ALIGNMENT,
            hybrid: Vec::new(),
            partitions: Vec::new(),
            scripts: Vec::new(),
        }
    }
}
