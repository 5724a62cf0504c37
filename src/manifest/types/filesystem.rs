//! A filesystem in a partition: type, label, room and the options of each type.
//!
//! Decides nothing. Invariant: the options of each type stand in a member that is named after the
//! type; ext2, ext3 and ext4 share one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::super::size::Size;
use super::is_default;
use super::readonly::{Erofs, Squashfs};

/// A filesystem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::filesystem()))]
pub struct Filesystem {
    /// The type.
    #[serde(rename = "type")]
    pub kind: FilesystemKind,

    /// The label. At most 16 bytes for ext, erofs and swap, 11 for vfat, 255 for btrfs, 31 for ffs;
    /// squashfs has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub label: Option<String>,

    /// The UUID; for vfat a serial number such as `1234-ABCD`, for ffs 16 hexadecimal digits.
    /// Omitted: derived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36), regex(pattern = r"^[0-9A-Fa-f-]+$"))]
    pub uuid: Option<String>,

    /// Room for more files where the partition has no size of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub headroom: Headroom,

    /// Options of ext2, ext3 and ext4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Ext>,

    /// Options of FAT; only with `type: vfat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vfat: Option<Vfat>,

    /// Options of btrfs; only with `type: btrfs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btrfs: Option<Btrfs>,

    /// Options of FFS; only with `type: ffs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ffs: Option<Ffs>,

    /// Options of squashfs; only with `type: squashfs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squashfs: Option<Squashfs>,

    /// Options of erofs; only with `type: erofs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erofs: Option<Erofs>,

    /// Options of swap; only with `type: swap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
}

/// A type of filesystem.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum FilesystemKind {
    /// Linux' second extended filesystem; with `ext.features: none` what NetBSD reads, too.
    Ext2,
    /// ext2 with a journal.
    Ext3,
    /// ext4.
    #[default]
    Ext4,
    /// FAT12, FAT16 or FAT32 with long names.
    Vfat,
    /// btrfs.
    Btrfs,
    /// The fast filesystem of the BSDs.
    Ffs,
    /// Compressed, read-only.
    Squashfs,
    /// Read-only.
    Erofs,
    /// Swap space of Linux.
    Swap,
}

/// Room on top of what is needed: both together, where both are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Headroom {
    /// In per cent of what is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000), extend("format" = "int32"))]
    pub percent: Option<u32>,

    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// Options of ext2, ext3 and ext4.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::ext()))]
pub struct Ext {
    /// Features as mke2fs -O takes them: names with commas between them, `^` before one to leave
    /// out, `none` first to begin without any. Omitted: those of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^\^?[a-z0-9_]+(,\^?[a-z0-9_]+)*$"))]
    pub features: Option<String>,

    /// Bytes of a block: 1Ki, 2Ki or 4Ki. Omitted: 1Ki below 512Mi, else 4Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<Size>,

    /// Bytes of an inode: 128 or 256. Omitted: 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 128, max = 256), extend("format" = "int32"))]
    pub inode_size: Option<u32>,

    /// One inode for each so many bytes. Omitted: as mke2fs chooses by size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 67_108_864), extend("format" = "int32"))]
    pub bytes_per_inode: Option<u32>,

    /// The number of inodes, instead of bytesPerInode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 4_294_967_295u32), extend("format" = "int64"))]
    pub inodes: Option<u32>,

    /// Per cent of the blocks that only root may use. Omitted: 5 where a size is given, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50), extend("format" = "int32"))]
    pub reserved_percent: Option<u32>,

    /// Bytes of the journal. Omitted: as mke2fs chooses by size. Not for ext2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_size: Option<Size>,
}

/// Options of FAT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::vfat()))]
pub struct Vfat {
    /// 12, 16 or 32. Omitted: by size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 12, max = 32), extend("format" = "int32"))]
    pub bits: Option<u32>,

    /// Bytes of a cluster: a power of two from 512 to 64Ki. Omitted: by size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_size: Option<Size>,

    /// Entries of the root directory of FAT12 and FAT16, a multiple of 16. Omitted: 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 65_520), extend("format" = "int32"))]
    pub root_entries: Option<u32>,

    /// The geometry of a floppy disk, which is the size of the filesystem, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floppy: Option<Floppy>,
}

/// A floppy disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Floppy {
    /// 737,280 bytes.
    #[serde(rename = "720K")]
    F720,
    /// 1,228,800 bytes.
    #[serde(rename = "1.2M")]
    F1200,
    /// 1,474,560 bytes.
    #[serde(rename = "1.44M")]
    F1440,
    /// 2,949,120 bytes.
    #[serde(rename = "2.88M")]
    F2880,
}

/// Options of btrfs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::btrfs()))]
pub struct Btrfs {
    /// Bytes of a tree's node: a power of two from 4Ki to 64Ki. Omitted: 16Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_size: Option<Size>,
}

/// Options of FFS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::ffs()))]
pub struct Ffs {
    /// 1 (UFS1) or 2 (UFS2).
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 1))]
    pub version: FfsVersion,

    /// Bytes of a block: a power of two from 4Ki to 64Ki. Omitted: 8Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<Size>,

    /// Bytes of a fragment: the block's, a half, a quarter or an eighth. Omitted: an eighth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment_size: Option<Size>,

    /// The byte order of the machine.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "little"))]
    pub byte_order: ByteOrder,

    /// One inode for each so many bytes. Omitted: by size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 512, max = 67_108_864), extend("format" = "int32"))]
    pub bytes_per_inode: Option<u32>,

    /// Per cent of the blocks that only root may use. Omitted: 5 where a size is given, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50), extend("format" = "int32"))]
    pub reserved_percent: Option<u32>,
}

/// A version of FFS, 1 or 2; 1 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("minimum" = 1, "maximum" = 2, "format" = "int32"))]
#[serde(transparent)]
pub struct FfsVersion(pub u32);

impl Default for FfsVersion {
    fn default() -> Self {
        Self(1)
    }
}

/// A byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ByteOrder {
    /// x86 and Arm.
    #[default]
    Little,
    /// SPARC and others.
    Big,
}

/// Options of swap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::swap()))]
pub struct Swap {
    /// Bytes of a page of the machine: 4Ki, 16Ki or 64Ki. Omitted: 4Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<Size>,
}

impl FilesystemKind {
    /// All types.
    pub const ALL: [Self; 9] = [
        Self::Ext2,
        Self::Ext3,
        Self::Ext4,
        Self::Vfat,
        Self::Btrfs,
        Self::Ffs,
        Self::Squashfs,
        Self::Erofs,
        Self::Swap,
    ];

    /// The type's name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Vfat => "vfat",
            Self::Btrfs => "btrfs",
            Self::Ffs => "ffs",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::Swap => "swap",
        }
    }

    /// The member that holds this type's options.
    #[must_use]
    pub const fn options(self) -> &'static str {
        match self {
            Self::Ext2 | Self::Ext3 | Self::Ext4 => "ext",
            other => other.as_str(),
        }
    }

    /// Bytes that a label of this type may have.
    #[must_use]
    pub const fn label(self) -> usize {
        match self {
            Self::Ext2 | Self::Ext3 | Self::Ext4 | Self::Erofs | Self::Swap => 16,
            Self::Vfat => 11,
            Self::Btrfs => 255,
            Self::Ffs => 31,
            Self::Squashfs => 0,
        }
    }
}
