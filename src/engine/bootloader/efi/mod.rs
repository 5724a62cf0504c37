//! What UEFI runs by itself: kernels with an EFI stub, unified kernel images, scripts of its shell,
//! and the signed chain for Secure Boot.
//!
//! Signs nothing, and writes no filesystem. Invariant: a file that firmware would not start is
//! refused with the reason.

mod esp;
mod kernel;
pub(in crate::engine::bootloader) mod ondisk;
mod pe;
mod startup;
mod uki;

pub use esp::{File, Grub, distribution, fallback, signed, tree};
pub use kernel::{Kernel, kernel};
pub use pe::{Pe, Section, read};
pub use startup::script;
pub use uki::{Parts, unified};

/// Whose firmware it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    X64,
    /// 64-bit Arm.
    Arm64,
}

impl Machine {
    /// All.
    pub const ALL: [Self; 2] = [Self::X64, Self::Arm64];

    /// As Microsoft's "PE Format", "Machine Types", has it.
    #[must_use]
    pub const fn coff(self) -> u16 {
        match self {
            Self::X64 => 0x8664,
            Self::Arm64 => 0xaa64,
        }
    }

    /// As a document has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As the names of files have it: UEFI 2.10, 3.5.1.1, "Removable Media Boot Behavior".
    const fn suffix(self) -> &'static str {
        match self {
            Self::X64 => "X64",
            Self::Arm64 => "AA64",
        }
    }

    /// What the file of systemd's stub is called in the set `EfiStub`.
    #[must_use]
    pub const fn stub(self) -> &'static str {
        match self {
            Self::X64 => "linuxx64.efi.stub",
            Self::Arm64 => "linuxaa64.efi.stub",
        }
    }
}
