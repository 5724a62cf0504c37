//! Vagrant boxes.
//!
//! Being built.

use super::Machine;

/// Whose machine a box describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// VirtualBox: an OVF descriptor and a streamOptimized VMDK.
    #[default]
    VirtualBox,
    /// libvirt and QEMU: a compressed qcow2 file.
    Libvirt,
}

impl Provider {
    /// Both.
    pub const ALL: [Self; 2] = [Self::VirtualBox, Self::Libvirt];

    /// The name, as Vagrant spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VirtualBox => "virtualbox",
            Self::Libvirt => "libvirt",
        }
    }
}

/// What shapes a box beside its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Whose machine it describes.
    pub provider: Provider,
    /// The machine.
    pub machine: Machine,
}
