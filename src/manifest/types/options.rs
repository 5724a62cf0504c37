//! The options of each image format.
//!
//! Decides nothing. Invariant: an option that a preset can set has no default of its own, so that
//! "omitted" and "the default, written out" are told apart where they differ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::super::size::Size;
use super::is_default;
use crate::units::ByteSize;

/// Options of qcow2 files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::qcow2()))]
pub struct Qcow2 {
    /// The oldest QEMU that reads the file: "0.10" is version 2 of the format, "1.1" is version 3.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "1.1"))]
    pub compat: Compat,

    /// Bytes of a cluster: a power of two from 512 to 2Mi. Small clusters limit the size of the
    /// disk: 128 GiB with 512 bytes, 2 PiB with 64Ki.
    #[serde(default = "default_cluster_size", skip_serializing_if = "is_default_cluster_size")]
    #[schemars(extend("default" = "64Ki"))]
    pub cluster_size: Size,

    /// How clusters are compressed: not at all, with zlib (every reader), or with zstd (faster;
    /// needs QEMU 5.1 or newer and compat "1.1").
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "none"))]
    pub compression: Compression,

    /// Lets a machine write reference counts late; needs compat "1.1".
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub lazy_refcounts: bool,

    /// What is allocated before it is needed; not with compression.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "off"))]
    pub preallocation: Preallocation,
}

/// Who can read a qcow2 file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Compat {
    /// QEMU 0.10 and newer: version 2.
    #[serde(rename = "0.10")]
    V2,
    /// QEMU 1.1 and newer: version 3.
    #[default]
    #[serde(rename = "1.1")]
    V3,
}

/// A compression method of qcow2 clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Compression {
    /// Clusters are stored as they are.
    #[default]
    None,
    /// Raw deflate with a window of 4 KiB.
    Zlib,
    /// Zstandard.
    Zstd,
}

/// What a qcow2 file allocates before it is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Preallocation {
    /// Nothing.
    #[default]
    Off,
    /// Every cluster has its place in the file, which is sparse.
    Metadata,
    /// As metadata, and the filesystem keeps the room.
    Falloc,
    /// As metadata, and zeros are written.
    Full,
}

/// Options of VMDK files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Vmdk {
    /// How the data lies. Omitted: monolithicSparse; streamOptimized with presets vsphere and aws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subformat: Option<VmdkSubformat>,

    /// The disk controller that the descriptor names. Omitted: ide; lsilogic with preset vsphere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_type: Option<AdapterType>,

    /// The virtual hardware version that the descriptor names, 3 to 22. Omitted: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3, max = 22), extend("format" = "int32"))]
    pub hardware_version: Option<u32>,
}

/// How the data of a VMDK file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum VmdkSubformat {
    /// One file that grows.
    MonolithicSparse,
    /// A descriptor, and the raw disk as a second file `<image>-flat.vmdk`.
    MonolithicFlat,
    /// One compressed file to send: what an OVA holds.
    StreamOptimized,
}

/// The disk controller that a VMDK descriptor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum AdapterType {
    /// IDE.
    Ide,
    /// BusLogic SCSI.
    Buslogic,
    /// LSI Logic SCSI.
    Lsilogic,
}

/// Options of VHD files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Vhd {
    /// How the data lies. Omitted: dynamic; fixed with presets azure and aws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subformat: Option<VhdSubformat>,

    /// How the size of the disk is told. Omitted: chs; exact with every preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizing: Option<VhdSizing>,
}

/// How the data of a VHD or VHDX file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum VhdSubformat {
    /// A file that grows.
    Dynamic,
    /// Every block has its place.
    Fixed,
}

/// How a VHD file tells the size of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum VhdSizing {
    /// Rounded up to what cylinders, heads and sectors can tell, as Virtual PC needs it and QEMU
    /// does unless told otherwise.
    Chs,
    /// Exactly, as Hyper-V and Azure need it; QEMU calls it force_size.
    Exact,
}

/// Options of VHDX files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::vhdx()))]
pub struct Vhdx {
    /// How the data lies. Omitted: dynamic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subformat: Option<VhdSubformat>,

    /// Bytes of a block: a power of two from 1Mi to 256Mi. Omitted: by the size of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<Size>,
}

/// Options of VDI files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Vdi {
    /// How the data lies.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "dynamic"))]
    pub subformat: VdiSubformat,
}

/// How the data of a VDI file lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum VdiSubformat {
    /// A file that grows.
    #[default]
    Dynamic,
    /// Every block has its place.
    Static,
}

/// Options of OVA files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Ova {
    /// The digests in the manifest.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "sha256"))]
    pub manifest: OvaManifest,

    /// VMware's virtual hardware version, 7 to 22. Omitted: 13, which is ESXi 6.5 and newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 7, max = 22), extend("format" = "int32"))]
    pub hardware_version: Option<u32>,
}

/// The digests in an OVA's manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OvaManifest {
    /// SHA-256, which vCenter 8 wants.
    #[default]
    Sha256,
    /// SHA-1, for readers from before 2015.
    Sha1,
}

/// Options of Vagrant boxes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Vagrant {
    /// What runs the box.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "virtualbox"))]
    pub provider: Provider,
}

/// What runs a Vagrant box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Provider {
    /// VirtualBox: an OVF descriptor and a streamOptimized VMDK.
    #[default]
    Virtualbox,
    /// libvirt and QEMU: a compressed qcow2 file.
    Libvirt,
}

const CLUSTER_SIZE: Size = Size(ByteSize::bytes(64 << 10));

const fn default_cluster_size() -> Size {
    CLUSTER_SIZE
}

fn is_default_cluster_size(size: &Size) -> bool {
    *size == CLUSTER_SIZE
}

impl Default for Qcow2 {
    fn default() -> Self {
        Self {
            compat: Compat::default(),
            cluster_size: CLUSTER_SIZE,
            compression: Compression::default(),
            lazy_refcounts: false,
            preallocation: Preallocation::default(),
        }
    }
}
