//! What runs when the machine starts.
//!
//! Decides nothing. Invariant: the kernel, its initrd and its command line stand beside the loader,
//! so that another loader is another member and nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::initrd::Initrd;
use super::is_default;
use super::loader::{Efi, Grub, Syslinux};
use super::scalar::Path;
use super::source::Source;

/// What runs when the machine starts: exactly one of sector, grub, syslinux, efi and direct, and the
/// kernel that the last four start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::boot()))]
pub struct Boot {
    /// A BIOS boot sector, 512 bytes that are the whole program. With one vfat partition and no table
    /// it is the code of that volume, such as a floppy disk. On an ISO it is that of a floppy disk
    /// which the BIOS emulates: the document's disk, if it is such a volume of 1.2, 1.44 or 2.88 MB,
    /// else an empty one of 1.44 MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector: Option<Sector>,

    /// GRUB 2, for BIOS and UEFI. Its files come from Debian's packages or a directory of yours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grub: Option<Grub>,

    /// syslinux on FAT, extlinux on ext2, ext3 and ext4, isolinux on an ISO; for BIOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syslinux: Option<Syslinux>,

    /// No loader but UEFI firmware: the kernel is started by its own EFI stub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub efi: Option<Efi>,

    /// No loader at all: kernel, initrd and command line are files beside the disk, for hypervisors
    /// that load them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<Direct>,

    /// The kernel. efi and direct need it; grub and syslinux start it from their only entry where
    /// they have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Kernel>,

    /// The files that the kernel begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<Initrd>,

    /// The kernel's command line. `$(uuid:NAME)` and `$(partuuid:NAME)` are replaced by the ids of
    /// the partition with that name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2047), extend("default" = ""))]
    pub command_line: String,
}

/// A BIOS boot sector: exactly one member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["message", "source"], rules::message::SECTOR)))]
pub struct Sector {
    /// Our own program with this message: prints it on the screen and on the first serial port
    /// (9600 baud, 8N1), waits for a key and powers the machine off. Printable ASCII and line
    /// breaks; what does not fit the sector is refused with the number of bytes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 510))]
    pub message: Option<String>,

    /// A sector of your own, taken byte for byte: at most 512 bytes that end with 55 AA. A shorter
    /// one is filled up with zeros to 512 bytes and gets a second 55 AA at bytes 510 and 511, where
    /// a BIOS looks for it; 511 bytes are refused, since there the two would overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// No loader.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("maxProperties" = 0))]
pub struct Direct {}

/// A kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["source", "from"], rules::message::KERNEL)))]
pub struct Kernel {
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,

    /// Its path in the disk's or the ISO's contents, instead of source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Path>,

    /// Where grub and syslinux put it.
    #[serde(default = "kernel_path", skip_serializing_if = "is_kernel_path")]
    #[schemars(extend("default" = "/boot/vmlinuz"))]
    pub path: Path,

    /// Changes it.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub transform: Transform,
}

/// Changes to a kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Transform {
    /// Disables drivers of a NetBSD kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netbsd: Option<Netbsd>,
}

/// Which drivers a NetBSD kernel keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Netbsd {
    /// The drivers that stay, such as `mainbus`, `com` and `ld`; every other is marked as disabled, as
    /// userconf(4) does. No code is removed.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub keep_drivers: Vec<String>,
}

const KERNEL: &str = "/boot/vmlinuz";

fn kernel_path() -> Path {
    Path::new(KERNEL)
}

fn is_kernel_path(path: &Path) -> bool {
    &**path == KERNEL
}
