//! What a tree is made of: steps that are applied in order.
//!
//! Decides nothing. Invariant: a step has exactly one member, named after what it does.

mod nodes;
mod sets;
mod tables;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
pub use nodes::{Device, DeviceKind, Directory, File, Hardlink, Id, Owner, Symlink};
pub use sets::{Archive, ArchiveFormat, FromImage, Image, ImageFormat, Remove, Service};
pub use tables::{DeviceSet, DeviceSetName, Fstab, FstabEntry, HostEntry, Hostname, Hosts};

/// One step: exactly one member. Later steps replace what earlier ones put at the same path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&STEPS, rules::message::STEP)))]
pub struct Step {
    /// The files of an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,

    /// The files of a container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,

    /// The files of a partition of a disk image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_image: Option<FromImage>,

    /// A file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,

    /// Directories. Those above them are made, too, with mode 0755 and owner 0:0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,

    /// Symbolic links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symlink: Option<Symlink>,

    /// Further names of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardlink: Option<Hardlink>,

    /// A device, FIFO or socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,

    /// The devices that a system needs to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_set: Option<DeviceSet>,

    /// `/etc/fstab`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fstab: Option<Fstab>,

    /// `/etc/hostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,

    /// `/etc/hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Hosts>,

    /// A smolBSD service: its `etc` in `/etc`, what all services share in `/etc/include`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,

    /// Takes away what earlier steps put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<Remove>,
}

/// The members of a step.
pub(in super::super) const STEPS: [&str; 14] = [
    "archive",
    "image",
    "fromImage",
    "file",
    "directory",
    "symlink",
    "hardlink",
    "device",
    "deviceSet",
    "fstab",
    "hostname",
    "hosts",
    "service",
    "remove",
];

impl Step {
    /// The members that are given: exactly one in an accepted document.
    #[must_use]
    pub fn members(&self) -> Vec<&'static str> {
        let given = [
            self.archive.is_some(),
            self.image.is_some(),
            self.from_image.is_some(),
            self.file.is_some(),
            self.directory.is_some(),
            self.symlink.is_some(),
            self.hardlink.is_some(),
            self.device.is_some(),
            self.device_set.is_some(),
            self.fstab.is_some(),
            self.hostname.is_some(),
            self.hosts.is_some(),
            self.service.is_some(),
            self.remove.is_some(),
        ];
        STEPS.into_iter().zip(given).filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
