//! The fields of a VMImage document. Their doc comments are `kubectl explain` and `vmimage explain`.
//!
//! Decides nothing. Invariant: every list, map and string has a bound, every default is visible in
//! the schema, and a field at its default is left out when serialized (so a new field with a
//! default changes no hash).

mod boot;
mod build;
mod contents;
mod disk;
mod filesystem;
mod format;
mod initrd;
mod iso;
mod loader;
mod machine;
mod options;
mod publish;
mod readonly;
mod registry;
mod scalar;
mod script;
mod source;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
pub use boot::{Boot, Direct, Kernel, Netbsd, Sector, Transform};
pub use build::{
    Build, LocalReference, MaxAttempts, Resources, Scratch, TaintEffect, TimeoutSeconds,
    Toleration, TolerationOperator,
};
pub use contents::{
    Archive, ArchiveFormat, Device, DeviceKind, DeviceSet, DeviceSetName, Directory, File,
    FromImage, Fstab, FstabEntry, Hardlink, HostEntry, Hostname, Hosts, Id, Image, ImageFormat,
    Owner, Remove, Service, Step, Symlink,
};
pub use disk::{Disk, Partition, PartitionTable, SectorSize};
pub use filesystem::{
    Btrfs, ByteOrder, Ext, Ffs, FfsVersion, Filesystem, FilesystemKind, Floppy, Headroom, Swap,
    Vfat,
};
pub use format::{Format, FormatKind, Medium, Preset, Wrap};
pub use initrd::{App, Init, Initrd, InitrdBuild, InitrdCompression, Modules, OnExit};
pub use iso::{Iso, IsoLevel};
pub use loader::{
    BootFirmware, Efi, EfiImage, EfiStyle, Grub, GrubEntry, LinuxEntry, Multiboot, MultibootModule,
    Serial, Syslinux, SyslinuxEntry,
};
pub use machine::{Cpus, DiskBus, Firmware, Machine, Nic, OsType};
pub use options::{
    AdapterType, Compat, Compression, Ova, OvaManifest, Preallocation, Provider, Qcow2, Vagrant,
    Vdi, VdiSubformat, Vhd, VhdSizing, VhdSubformat, Vhdx, Vmdk, VmdkSubformat,
};
pub use publish::{
    AccessMode, AnnotationValue, Create, DataSource, DataVolume, Files, LabelValue, OnDelete,
    Previous, Pvc, Retain, Target, VolumeMode,
};
pub use readonly::{Erofs, ErofsCompression, Squashfs, SquashfsCompression};
pub use registry::{DefaultReference, Defaults, LayerCompression, Push, PushFormat, Tag};
pub use scalar::{Mode, Moment, Path};
pub use script::{Script, ScriptSeconds};
pub use source::{
    CaBundle, ClaimFile, Decompress, Http, Inline, KeyReference, Oci, Selection, Source,
};

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_yes(value: &bool) -> bool {
    *value
}

/// A document as users write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VMImage {
    /// `vmimage.dev/v1alpha1`.
    pub api_version: String,
    /// `VMImage`.
    pub kind: String,
    /// Name, labels and annotations.
    pub metadata: Metadata,
    /// What to build and where to publish it.
    pub spec: Spec,
    /// Written by the controller; ignored in documents, so that `kubectl get -o yaml` can be built.
    #[serde(default, skip_serializing)]
    pub status: serde::de::IgnoredAny,
}

/// The object's metadata; only the name means something to a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The image's name.
    pub name: String,
    /// The namespace; ignored on the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What to build and where to publish it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules::spec()))]
pub struct Spec {
    /// The processor that the image is made for.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "amd64"))]
    pub architecture: Architecture,

    /// What runs when the machine starts. Without it the image is not bootable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Boot>,

    /// The disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,

    /// An ISO 9660 image, instead of the disk or beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso: Option<Iso>,

    /// The image files to make of it, each with its own name. `vmimage build` and `files` targets
    /// write each as `<image>.<name>`; `pvc` targets always hold raw content.
    #[serde(default = "default_formats", skip_serializing_if = "is_default_formats")]
    #[schemars(
        length(min = 1, max = 16),
        extend("default" = [{"type": "raw"}], "x-kubernetes-list-type" = "atomic",
               "x-kubernetes-validations" = rules::formats())
    )]
    pub formats: Vec<Format>,

    /// The machine that the image expects. Written into OVA files and Vagrant boxes; changes no byte
    /// of the disk.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub machine: Machine,

    /// Where the finished image goes. Every entry is independent. In a cluster at least one is
    /// needed; on a desk the list is ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"],
               "x-kubernetes-validations" = rules::publish())
    )]
    pub publish: Vec<Target>,

    /// How the build pod runs. Nothing here changes the image.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub build: Build,

    /// Start no new build. A running one is finished, what is published stays.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub suspend: bool,
}

/// A processor architecture, named as container images name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Architecture {
    /// 64-bit x86.
    #[default]
    Amd64,
    /// 32-bit x86.
    I386,
    /// 64-bit Arm.
    Arm64,
}

impl Spec {
    /// Whether there is a disk: one that is described, or that of a boot sector.
    #[must_use]
    pub fn has_disk(&self) -> bool {
        self.disk.is_some() || self.boot.as_ref().is_some_and(|boot| boot.sector.is_some())
    }

    /// Whether there is a disk that holds anything but a boot sector.
    #[must_use]
    pub fn has_volumes(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| !disk.partitions.is_empty())
    }
}

fn default_formats() -> Vec<Format> {
    vec![Format::default()]
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            architecture: Architecture::default(),
            boot: None,
            disk: None,
            iso: None,
            formats: default_formats(),
            machine: Machine::default(),
            publish: Vec::new(),
            build: Build::default(),
            suspend: false,
        }
    }
}

fn is_default_formats(formats: &[Format]) -> bool {
    formats == default_formats()
}

impl Architecture {
    /// The architecture's name in documents and container images (except that images say 386).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::I386 => "i386",
            Self::Arm64 => "arm64",
        }
    }
}
