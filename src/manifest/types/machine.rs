//! The machine that an image expects.
//!
//! Decides nothing. Invariant: nothing here changes a byte of the disk; it is written into OVA files
//! and boxes only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::super::size::Size;
use super::is_default;
use crate::units::ByteSize;

/// The machine that the image expects. Written into OVA files and Vagrant boxes; changes no byte of
/// the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::machine()))]
pub struct Machine {
    /// Memory, in whole MiB: at least 4Mi, at most 6Ti.
    #[serde(default = "default_memory", skip_serializing_if = "is_default_memory")]
    #[schemars(extend("default" = "512Mi"))]
    pub memory: Size,

    /// Number of processors, 1 to 128.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 1))]
    pub cpus: Cpus,

    /// What starts the machine. Omitted: bios; efi for arm64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,

    /// What the disk is attached to.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "sata"))]
    pub disk_bus: DiskBus,

    /// The network card.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "e1000"))]
    pub nic: Nic,

    /// The operating system that the platform is told.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "other"))]
    pub os_type: OsType,
}

/// A number of processors, 1 to 128; 1 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("minimum" = 1, "maximum" = 128, "format" = "int32"))]
#[serde(transparent)]
pub struct Cpus(pub u32);

impl Default for Cpus {
    fn default() -> Self {
        Self(1)
    }
}

/// What starts a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Firmware {
    /// A BIOS.
    #[default]
    Bios,
    /// UEFI.
    Efi,
}

/// What a disk is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum DiskBus {
    /// IDE.
    Ide,
    /// AHCI.
    #[default]
    Sata,
    /// LSI Logic SCSI.
    Scsi,
    /// NVMe.
    Nvme,
    /// virtio-blk, or virtio-scsi where there is no other.
    Virtio,
}

/// A network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Nic {
    /// None.
    None,
    /// Intel 82545EM.
    #[default]
    E1000,
    /// Intel 82574L.
    E1000e,
    /// VMware's paravirtual card.
    Vmxnet3,
    /// virtio-net.
    Virtio,
}

/// The operating system that a platform is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OsType {
    /// None of the others.
    #[default]
    Other,
    /// Linux.
    Linux,
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
    /// Red Hat Enterprise Linux.
    Rhel,
    /// FreeBSD.
    Freebsd,
    /// NetBSD.
    Netbsd,
    /// OpenBSD.
    Openbsd,
    /// Windows.
    Windows,
}

const MEMORY: Size = Size(ByteSize::bytes(512 << 20));

const fn default_memory() -> Size {
    MEMORY
}

fn is_default_memory(size: &Size) -> bool {
    *size == MEMORY
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            memory: MEMORY,
            cpus: Cpus::default(),
            firmware: None,
            disk_bus: DiskBus::default(),
            nic: Nic::default(),
            os_type: OsType::default(),
        }
    }
}
