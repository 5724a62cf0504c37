//! What a machine consists of.
//!
//! Decides nothing and looks at no file. Invariant: every combination that can be written down here is
//! either a command of QEMU or refused by `command` with both parts that do not go together.

use std::ffi::OsString;
use std::path::PathBuf;

use super::firmware::Flash;

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 32-bit x86.
    I386,
    /// 64-bit Arm.
    Arm64,
}

impl Architecture {
    /// Its name, as documents have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::I386 => "i386",
            Self::Arm64 => "arm64",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Amd64, Self::I386, Self::Arm64].into_iter().find(|one| one.as_str() == name)
    }

    /// Debian's package with QEMU for it.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::Amd64 | Self::I386 => "qemu-system-x86",
            Self::Arm64 => "qemu-system-arm",
        }
    }

    /// Whether this program's own processor can run it with KVM.
    #[must_use]
    pub const fn is_native(self) -> bool {
        match self {
            Self::Amd64 | Self::I386 => cfg!(target_arch = "x86_64"),
            Self::Arm64 => cfg!(target_arch = "aarch64"),
        }
    }
}

/// The name of QEMU's program for an architecture.
#[must_use]
pub const fn program(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => "qemu-system-x86_64",
        Architecture::I386 => "qemu-system-i386",
        Architecture::Arm64 => "qemu-system-aarch64",
    }
}

/// What starts the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// SeaBIOS, which QEMU brings along.
    Bios,
    /// UEFI out of these files.
    Uefi(Flash),
}

/// What a disk is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// IDE.
    Ide,
    /// AHCI.
    Sata,
    /// LSI Logic SCSI.
    Scsi,
    /// virtio-scsi.
    VirtioScsi,
    /// NVMe.
    Nvme,
    /// virtio-blk.
    Virtio,
    /// A USB stick.
    Usb,
    /// A floppy drive.
    Floppy,
}

impl Bus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ide,
        Self::Sata,
        Self::Scsi,
        Self::VirtioScsi,
        Self::Nvme,
        Self::Virtio,
        Self::Usb,
        Self::Floppy,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::VirtioScsi => "virtio-scsi",
            Self::Nvme => "nvme",
            Self::Virtio => "virtio",
            Self::Usb => "usb",
            Self::Floppy => "floppy",
        }
    }
}

/// A disk or a CD. The machine starts from the first one that can be started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The file.
    pub path: PathBuf,
    /// QEMU's name of its format: `raw`, `qcow2`, `vmdk`, `vdi`, `vpc`, `vhdx`.
    pub driver: &'static str,
    /// What it is attached to.
    pub bus: Bus,
    /// Whether it is a CD.
    pub cd: bool,
    /// Bytes of a sector.
    pub sector_size: u64,
    /// Whether what the machine writes goes into the file; else it is forgotten.
    pub write: bool,
}

/// A kernel that QEMU starts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub command_line: String,
}

/// A network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// Intel 82545EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// VMware's paravirtual card.
    Vmxnet3,
    /// virtio-net.
    Virtio,
}

impl Card {
    /// QEMU's name of the device.
    #[must_use]
    pub const fn device(self) -> &'static str {
        match self {
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Vmxnet3 => "vmxnet3",
            Self::Virtio => "virtio-net-pci",
        }
    }
}

/// A port of this computer's own address (127.0.0.1) that leads into the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// UDP instead of TCP.
    pub udp: bool,
    /// The port here.
    pub host: u16,
    /// The port in the machine.
    pub guest: u16,
}

/// A card on QEMU's user network: the machine reaches what this program's user reaches, and nothing
/// reaches the machine but through `forwards`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The card.
    pub card: Card,
    /// What leads in.
    pub forwards: Vec<Forward>,
}

/// Where the first serial line leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// To the terminal, keys and all; QEMU's monitor is there, too (Ctrl-A C).
    Terminal,
    /// To standard output only, which somebody reads.
    Watched,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// QEMU's program.
    pub program: OsString,
    /// The architecture.
    pub architecture: Architecture,
    /// Whether KVM runs it.
    pub accelerated: bool,
    /// What starts it.
    pub start: Start,
    /// Memory, MiB.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its network card.
    pub network: Option<Network>,
    /// The kernel that is started, instead of what the disks hold.
    pub direct: Option<Direct>,
    /// QEMU's `-display`.
    pub display: String,
    /// Where the serial line leads.
    pub line: Line,
    /// A file that takes a copy of what the serial line carries; where somebody reads the line, it is
    /// theirs to keep.
    pub log: Option<PathBuf>,
    /// The socket of QEMU's machine protocol, where keys or pictures are wanted.
    pub monitor: Option<PathBuf>,
    /// More arguments, at the end.
    pub more: Vec<OsString>,
}
