//! The machine that a package describes beside its disk.
//!
//! Writes nothing. Invariant: nothing here changes a byte of the disk.

/// The machine that an image expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Memory in bytes, whole MiB.
    pub memory: u64,
    /// Number of processors.
    pub cpus: u32,
    /// What starts it.
    pub firmware: Firmware,
    /// What the disk is attached to.
    pub disk_bus: DiskBus,
    /// The network card.
    pub nic: Nic,
    /// The operating system that the platform is told.
    pub os_type: OsType,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            name: "machine".to_owned(),
            memory: 512 << 20,
            cpus: 1,
            firmware: Firmware::default(),
            disk_bus: DiskBus::default(),
            nic: Nic::default(),
            os_type: OsType::default(),
        }
    }
}

/// What starts a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// A BIOS.
    #[default]
    Bios,
    /// UEFI.
    Efi,
}

/// What a disk is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskBus {
    /// IDE (PIIX4).
    Ide,
    /// AHCI.
    #[default]
    Sata,
    /// LSI Logic SCSI.
    Scsi,
    /// NVMe.
    Nvme,
    /// virtio-blk, or virtio-scsi where there is no other. VMware has neither.
    Virtio,
}

/// A network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// virtio-net. VMware does not have it.
    Virtio,
}

/// The operating system that a platform is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    FreeBsd,
    /// NetBSD.
    NetBsd,
    /// OpenBSD.
    OpenBsd,
    /// Windows.
    Windows,
}
