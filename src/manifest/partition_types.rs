//! The names of partition types and attributes that documents may use.
//!
//! Pure. Sources: the UEFI Specification 2.10, table 5.7; the Discoverable Partitions
//! Specification; FreeBSD's gpt(8); NetBSD's <sys/disklabel_gpt.h>; the list of MBR types that
//! Linux' fdisk prints. Invariant: a name means one byte and one GUID at most.

use super::types::{Architecture, FilesystemKind};

/// A named type of partitions.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name in documents.
    pub name: &'static str,
    /// Its byte in an MBR, where it has one.
    pub byte: Option<u8>,
    /// Its GUID in a GPT.
    pub guid: &'static str,
}

const fn known(name: &'static str, byte: u8, guid: &'static str) -> Known {
    Known { name, byte: Some(byte), guid }
}

const fn gpt(name: &'static str, guid: &'static str) -> Known {
    Known { name, byte: None, guid }
}

/// All named types.
pub const NAMES: [Known; 23] = [
    known("linux", 0x83, "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
    known("esp", 0xef, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
    gpt("biosBoot", "21686148-6449-6E6F-744E-656564454649"),
    known("swap", 0x82, "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"),
    known("lvm", 0x8e, "E6D6D379-F507-44C2-A23C-238F2A3DF928"),
    known("raid", 0xfd, "A19D880F-05FC-4D3B-A006-743F0F84911E"),
    known("msdata", 0x0c, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
    known("ntfs", 0x07, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
    gpt("msReserved", "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"),
    known("prep", 0x41, "9E1A2D38-C612-4316-AA26-8B49521E5A8B"),
    known("xbootldr", 0xea, "BC13C2FF-59E6-4262-A352-B275FD6F7172"),
    gpt("linuxRootAmd64", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"),
    gpt("linuxRootI386", "44479540-F297-41B2-9AF7-D131D5F0458A"),
    gpt("linuxRootArm64", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"),
    gpt("linuxHome", "933AC7E1-2EB4-4F13-B844-0E14E2AEF915"),
    gpt("linuxSrv", "3B8F8425-20E0-4F3B-907F-1A25A76F98E8"),
    gpt("linuxVar", "4D21B016-B534-45C2-A9FB-5C16E091FD2D"),
    known("netbsd", 0xa9, "49F48D5A-B10E-11DC-B99B-0019D1879648"),
    gpt("netbsdSwap", "49F48D32-B10E-11DC-B99B-0019D1879648"),
    known("freebsd", 0xa5, "516E7CB4-6ECF-11D6-8FF8-00022D09712B"),
    gpt("freebsdUfs", "516E7CB6-6ECF-11D6-8FF8-00022D09712B"),
    gpt("freebsdBoot", "83BD6B9D-7F41-11DC-BE0B-001560B84F0F"),
    known("openbsd", 0xa6, "824CC7A0-36A8-11E3-890A-952519AD3F61"),
];

/// `linuxRoot`: the root of Linux for the document's processor.
pub const LINUX_ROOT: &str = "linuxRoot";

/// Named types without a byte in an MBR.
pub(super) const NO_BYTE: [&str; 12] = [
    "biosBoot",
    "msReserved",
    "linuxRoot",
    "linuxRootAmd64",
    "linuxRootI386",
    "linuxRootArm64",
    "linuxHome",
    "linuxSrv",
    "linuxVar",
    "netbsdSwap",
    "freebsdUfs",
    "freebsdBoot",
];

/// Named attributes, and their bits in a GPT. `active` is the MBR's; `hidden` of an MBR adds 0x10 to
/// the type.
pub const ATTRIBUTES: [(&str, Option<u32>); 9] = [
    ("active", None),
    ("required", Some(0)),
    ("noBlockIo", Some(1)),
    ("legacyBoot", Some(2)),
    ("bootme", Some(59)),
    ("growFileSystem", Some(59)),
    ("readOnly", Some(60)),
    ("hidden", Some(62)),
    ("noAutomount", Some(63)),
];

/// The named type, `linuxRoot` by `architecture`.
#[must_use]
pub fn named(name: &str, architecture: Architecture) -> Option<Known> {
    let name = match (name, architecture) {
        (LINUX_ROOT, Architecture::Amd64) => "linuxRootAmd64",
        (LINUX_ROOT, Architecture::I386) => "linuxRootI386",
        (LINUX_ROOT, Architecture::Arm64) => "linuxRootArm64",
        (name, _) => name,
    };
    NAMES.into_iter().find(|known| known.name == name)
}

/// The name of the type that a filesystem suggests.
#[must_use]
pub const fn suggested(filesystem: Option<FilesystemKind>) -> &'static str {
    match filesystem {
        Some(FilesystemKind::Vfat) => "msdata",
        Some(FilesystemKind::Swap) => "swap",
        Some(FilesystemKind::Ffs) => "netbsd",
        _ => "linux",
    }
}

/// The bit in a GPT of an attribute, given by name or number.
#[must_use]
pub fn bit(attribute: &str) -> Option<u32> {
    match ATTRIBUTES.iter().find(|(name, _)| *name == attribute) {
        Some((_, bit)) => *bit,
        None => attribute.parse().ok().filter(|bit| *bit <= 63),
    }
}
