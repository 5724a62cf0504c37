//! One image file: its format, wrap and preset.
//!
//! Decides nothing (what presets demand: `manifest::presets`). Invariant: the options of each type
//! stand in a member that is named after the type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::is_default;
use super::options::{Ova, Qcow2, Vagrant, Vdi, Vhd, Vhdx, Vmdk};

/// One image file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::format()))]
pub struct Format {
    /// Names the file: `<image>.<name>`. Omitted: the type, `tar.gz` with preset gce, and behind it
    /// `.gz`, `.xz` or `.zst` of the wrap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: Option<String>,

    /// The file format.
    #[serde(rename = "type")]
    pub kind: FormatKind,

    /// The medium that the file holds. Omitted: the only one; type iso holds the ISO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Medium>,

    /// Compresses the whole file.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "none"))]
    pub wrap: Wrap,

    /// Follows the rules of a platform: sets options of the type and pads the disk as the platform's
    /// import demands. An option that contradicts it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,

    /// Options of qcow2 files; only with `type: qcow2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qcow2: Option<Qcow2>,

    /// Options of VMDK files; only with `type: vmdk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmdk: Option<Vmdk>,

    /// Options of VHD files; only with `type: vhd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vhd: Option<Vhd>,

    /// Options of VHDX files; only with `type: vhdx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vhdx: Option<Vhdx>,

    /// Options of VDI files; only with `type: vdi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vdi: Option<Vdi>,

    /// Options of OVA files; only with `type: ova`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ova: Option<Ova>,

    /// Options of Vagrant boxes; only with `type: box`.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub vagrant: Option<Vagrant>,
}

/// What an image file holds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Medium {
    /// spec.disk, or the boot sector.
    Disk,
    /// spec.iso.
    Iso,
}

/// An image file format.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum FormatKind {
    /// The bytes of the disk, with holes where it is zero.
    #[default]
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
    /// VMware's format.
    Vmdk,
    /// Virtual PC's format, which Azure takes; QEMU calls it vpc.
    Vhd,
    /// Hyper-V's format.
    Vhdx,
    /// VirtualBox' format.
    Vdi,
    /// The bytes of spec.iso.
    Iso,
    /// A virtual machine in one file: an OVF descriptor made of spec.machine, a streamOptimized
    /// VMDK and a manifest of digests.
    Ova,
    /// A Vagrant box.
    Box,
}

/// What a whole file is compressed with.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Wrap {
    /// Nothing.
    #[default]
    None,
    /// gzip, one member.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
}

/// A platform that has rules for the images it imports.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Preset {
    /// A fixed VHD of whole MiB, its size told exactly.
    Azure,
    /// What VM Import takes: raw, streamOptimized VMDK, VHD (fixed unless said otherwise), VHDX or
    /// OVA, of whole MiB.
    Aws,
    /// A tar.gz that holds disk.raw, of whole GiB; type raw.
    Gce,
    /// A streamOptimized VMDK for LSI Logic, or an OVA, of whole MiB.
    Vsphere,
    /// VDI, VMDK, VHD or OVA, of whole MiB.
    Virtualbox,
    /// VHDX or VHD, its size told exactly, of whole MiB and at least 3 MiB.
    Hyperv,
    /// raw or qcow2, of whole MiB; may be wrapped, since CDI unwraps.
    Kubevirt,
}

impl Format {
    /// The name of this format: as given, else made of type, preset and wrap.
    #[must_use]
    pub fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let base = match self.preset {
            Some(Preset::Gce) => "tar.gz",
            _ => self.kind.as_str(),
        };
        format!("{base}{}", self.wrap.suffix())
    }
}

impl FormatKind {
    /// All types.
    pub const ALL: [Self; 9] = [
        Self::Raw,
        Self::Qcow2,
        Self::Vmdk,
        Self::Vhd,
        Self::Vhdx,
        Self::Vdi,
        Self::Iso,
        Self::Ova,
        Self::Box,
    ];

    /// The type's name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Iso => "iso",
            Self::Ova => "ova",
            Self::Box => "box",
        }
    }
}

impl Wrap {
    /// What a file's name ends with.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// The wrap's name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 7] = [
        Self::Azure,
        Self::Aws,
        Self::Gce,
        Self::Vsphere,
        Self::Virtualbox,
        Self::Hyperv,
        Self::Kubevirt,
    ];

    /// The preset's name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Aws => "aws",
            Self::Gce => "gce",
            Self::Vsphere => "vsphere",
            Self::Virtualbox => "virtualbox",
            Self::Hyperv => "hyperv",
            Self::Kubevirt => "kubevirt",
        }
    }
}
