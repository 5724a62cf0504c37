//! The sets of files that boot loaders are made of: what belongs to each, where it lies, and which
//! package brings it.
//!
//! Reads nothing. Invariant: a set's name is that of its directory below one of the user's, or is
//! told apart by the machine.

/// Where systemd's stubs lie.
const EFI_STUBS: &str = "/usr/lib/systemd/boot/efi";
/// Where files of our own lie.
pub(super) const OWN: &str = "/usr/lib/vmimage";

/// Files that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// GRUB's images and modules for BIOS.
    GrubPc,
    /// GRUB's images and modules for UEFI on x86-64.
    GrubEfiX64,
    /// GRUB's images and modules for UEFI on arm64.
    GrubEfiArm64,
    /// GRUB signed for Secure Boot on x86-64.
    GrubSignedX64,
    /// GRUB's fonts.
    GrubFonts,
    /// shim, which firmware with Microsoft's keys trusts.
    Shim,
    /// The programs `syslinux` and `extlinux`, which hold their boot code.
    SyslinuxPrograms,
    /// syslinux' modules and boot records.
    Syslinux,
    /// isolinux.
    Isolinux,
    /// Stubs of unified kernel images on x86-64.
    EfiStub,
    /// Stubs of unified kernel images on arm64.
    EfiStubArm64,
    /// Our own init for guests on x86-64: no loader's, but a file beside our programs like them.
    Init,
    /// Our own init for guests on arm64.
    InitArm64,
}

/// Where a set lies, and what brings it.
pub(super) struct Facts {
    /// Its own.
    pub(super) name: &'static str,
    /// Below a directory of the user.
    pub(super) below: &'static str,
    /// As the packages have it.
    pub(super) place: &'static str,
    /// Debian's packages.
    pub(super) packages: &'static str,
}

impl Set {
    /// All sets.
    pub const ALL: [Self; 13] = [
        Self::GrubPc,
        Self::GrubEfiX64,
        Self::GrubEfiArm64,
        Self::GrubSignedX64,
        Self::GrubFonts,
        Self::Shim,
        Self::SyslinuxPrograms,
        Self::Syslinux,
        Self::Isolinux,
        Self::EfiStub,
        Self::EfiStubArm64,
        Self::Init,
        Self::InitArm64,
    ];

    pub(super) const fn facts(self) -> Facts {
        let (name, place, packages) = match self {
            Self::GrubPc => ("grub/i386-pc", "/usr/lib/grub/i386-pc", "grub-pc-bin"),
            Self::GrubEfiX64 => {
                ("grub/x86_64-efi", "/usr/lib/grub/x86_64-efi", "grub-efi-amd64-bin")
            }
            Self::GrubEfiArm64 => {
                ("grub/arm64-efi", "/usr/lib/grub/arm64-efi", "grub-efi-arm64-bin")
            }
            Self::GrubSignedX64 => (
                "grub/x86_64-efi-signed",
                "/usr/lib/grub/x86_64-efi-signed",
                "grub-efi-amd64-signed",
            ),
            Self::GrubFonts => ("grub/fonts", "/usr/share/grub", "grub-common"),
            Self::Shim => ("shim", "/usr/lib/shim", "shim-signed"),
            Self::SyslinuxPrograms => ("syslinux/bin", "/usr/bin", "syslinux or extlinux"),
            Self::Syslinux => ("syslinux", "/usr/lib/syslinux", "syslinux-common"),
            Self::Isolinux => ("isolinux", "/usr/lib/ISOLINUX", "isolinux"),
            Self::EfiStub => ("efi-stub", EFI_STUBS, "systemd-boot-efi"),
            Self::EfiStubArm64 => ("efi-stub-arm64", EFI_STUBS, "systemd-boot-efi:arm64"),
            Self::Init => ("init", OWN, "vmimage-operator"),
            Self::InitArm64 => ("init-arm64", OWN, "vmimage-operator"),
        };
        let below = match self {
            Self::EfiStubArm64 => "efi-stub",
            Self::InitArm64 => "init",
            _ => name,
        };
        Facts { name, below, place, packages }
    }

    /// Where its files lie below it.
    pub(super) const fn directories(self) -> &'static [&'static str] {
        match self {
            Self::Syslinux => &["", "modules/bios", "mbr"],
            Self::GrubEfiX64 | Self::GrubEfiArm64 => &["", "monolithic"],
            _ => &[""],
        }
    }

    /// Whether a file of its directories belongs to it: what media are made of. Packages put more
    /// there, such as programs, and others that are installed may add some.
    pub(super) fn has(self, name: &str) -> bool {
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
        match self {
            Self::GrubPc => ends(&[".img", ".lst", ".mod"]),
            Self::GrubEfiX64 | Self::GrubEfiArm64 => {
                ends(&[".img", ".lst", ".mod"])
                    || matches!(name.strip_prefix("monolithic/"), Some(image) if disk_or_cd(image))
            }
            Self::GrubSignedX64 => name.strip_suffix(".signed").is_some_and(disk_or_cd),
            Self::GrubFonts => ends(&[".pf2"]),
            Self::Shim => matches!(name, "shimx64.efi.signed" | "mmx64.efi.signed"),
            Self::SyslinuxPrograms => matches!(name, "syslinux" | "extlinux"),
            Self::Syslinux => ends(&[".c32", "mbr.bin", "ldlinux.sys", "ldlinux.bss"]),
            Self::Isolinux => matches!(name, "isolinux.bin" | "isohdpfx.bin"),
            Self::EfiStub => name == "linuxx64.efi.stub",
            Self::EfiStubArm64 => name == "linuxaa64.efi.stub",
            Self::Init => name == "vmimage-init.amd64",
            Self::InitArm64 => name == "vmimage-init.arm64",
        }
    }

    /// The set of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The Debian packages that have it.
    #[must_use]
    pub const fn packages(self) -> &'static str {
        self.facts().packages
    }
}

/// GRUB as one program for a disk or for a CD.
fn disk_or_cd(name: &str) -> bool {
    matches!(name, "grubx64.efi" | "gcdx64.efi" | "grubaa64.efi" | "gcdaa64.efi")
}
