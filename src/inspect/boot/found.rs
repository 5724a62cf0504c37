//! What was found that boots, as data.
//!
//! Finds nothing itself. Invariant: the JSON names are a contract with scripts.

use serde::Serialize;

/// How a disk boots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Boot {
    /// What firmware starts when the medium is a disk.
    pub disk: Ways,
    /// The same when it is a CD; none without a boot catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cd: Option<Ways>,
    /// Code in first sectors: of the disk, then of partitions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Record>,
    /// The boot catalog of an ISO image (El Torito).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalog: Vec<CatalogEntry>,
    /// EFI programs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<Program>,
    /// Menus of boot loaders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub menus: Vec<Menu>,
    /// Kernels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<Kernel>,
    /// Archives of initial files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub initrds: Vec<Initrd>,
    /// What could not be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What firmware finds to start. Whether that comes up is not known from the outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ways {
    /// Whether a BIOS finds a loader.
    pub bios: Answer,
    /// For which machines UEFI finds a program at the place for media without a boot entry.
    pub uefi: Vec<&'static str>,
}

/// Yes, no, or code that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// A known loader, complete as far as it is looked at.
    Yes,
    /// Nothing, or a loader that lacks a part.
    #[default]
    No,
    /// Code of an unknown kind.
    Unknown,
}

/// Code in a first sector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// `disk`, `partition 1`.
    pub place: String,
    /// What it is.
    pub code: Code,
    /// What our own program prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The version of syslinux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What GRUB's record loads; none where it is not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grub: Option<Grub>,
}

/// Kinds of boot code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Code {
    /// The sector that `boot.sector.message` makes.
    Vmimage,
    /// GRUB, for disks.
    Grub,
    /// GRUB, for ISO images on disks.
    GrubHybrid,
    /// syslinux: starts the active partition.
    SyslinuxMbr,
    /// syslinux: starts the GPT partition with the legacy boot attribute.
    SyslinuxGptMbr,
    /// syslinux: starts a partition with a fixed number.
    SyslinuxAltMbr,
    /// isolinux, for ISO images on disks.
    Isohybrid,
    /// syslinux in a partition.
    Syslinux,
    /// extlinux in a partition.
    Extlinux,
    /// A record as DOS and Windows write it: starts the active partition.
    Dos,
    /// A filesystem's sector that says that the disk cannot be booted.
    NotBootable,
    /// Code of another kind.
    Unknown,
}

impl Code {
    /// As people call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vmimage => "vmimage's message",
            Self::Grub => "GRUB",
            Self::GrubHybrid => "GRUB for ISO images",
            Self::SyslinuxMbr => "syslinux for the active partition",
            Self::SyslinuxGptMbr => "syslinux for the partition with legacyBoot",
            Self::SyslinuxAltMbr => "syslinux for a fixed partition",
            Self::Isohybrid => "isolinux for ISO images",
            Self::Syslinux => "syslinux",
            Self::Extlinux => "extlinux",
            Self::Dos => "as of DOS: for the active partition",
            Self::NotBootable => "a message that the disk cannot be booted",
            Self::Unknown => "unknown code",
        }
    }
}

/// GRUB's core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grub {
    /// Its first sector of 512 bytes, where it lies in sectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector: Option<u64>,
    /// Where it looks for its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The commands in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Modules in it.
    pub modules: usize,
    /// Its version, where it has the module that knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// An entry of a boot catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogEntry {
    /// `BIOS`, `UEFI`, `PowerPC`, `Mac`, or a number.
    pub platform: String,
    /// Whether firmware may start it.
    pub bootable: bool,
    /// `none`, `1.2M floppy`, ...
    pub emulation: &'static str,
    /// First byte of the image.
    pub start: u64,
    /// Sectors of 512 bytes to load; for UEFI 0 and 1 mean all.
    pub sectors: u16,
    /// What the image is, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<&'static str>,
    /// The version of isolinux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// GRUB's core in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grub: Option<Grub>,
}

/// An EFI program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// `partition 1`, `El Torito 2`.
    pub place: String,
    /// Its path there.
    pub path: String,
    /// `x64`, `ia32`, `aa64`, ..., as in the names of default programs.
    pub machine: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether there is a signature; by whom is not looked at.
    pub signed: bool,
    /// A unified kernel image's command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
    /// The version of the kernel in a unified kernel image, as the image says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uname: Option<String>,
    /// The system a unified kernel image is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// GRUB's modules and prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grub: Option<Grub>,
}

/// A menu.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Menu {
    /// Where the file is.
    pub place: String,
    /// Its path there.
    pub path: String,
    /// Whose menu: `GRUB`, `syslinux`, `systemd-boot`, `EFI shell`.
    pub loader: &'static str,
    /// The titles, in order.
    pub entries: Vec<String>,
    /// Which is started without a choice, as the file says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Until when one can choose, as the file says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// A kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// Where the file is.
    pub place: String,
    /// Its path there.
    pub path: String,
    /// `Linux`, `Multiboot`, `Multiboot2`.
    pub kind: &'static str,
    /// What a Linux kernel says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether UEFI can start it.
    pub efi_stub: bool,
    /// Whether gzip is around it.
    pub gzip: bool,
}

/// An archive of initial files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Initrd {
    /// Where the file is.
    pub place: String,
    /// Its path there.
    pub path: String,
    /// Its parts in order: `cpio`, `gzip`, `zstd`, ...
    pub parts: Vec<&'static str>,
}
