//! OVA.
//!
//! Being built.

use super::Machine;

/// What the manifest's digests are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256: what vCenter 8 and newer readers take.
    #[default]
    Sha256,
    /// SHA-1: what readers before about 2015 take.
    Sha1,
}

/// What shapes an OVA beside its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// The machine.
    pub machine: Machine,
    /// What the manifest's digests are.
    pub digest: Digest,
    /// VMware's hardware version (`vmx-13`: ESXi 6.5 and newer).
    pub hardware_version: u32,
}

impl Params {
    /// The defaults with this machine.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self { machine, digest: Digest::default(), hardware_version: 13 }
    }
}
