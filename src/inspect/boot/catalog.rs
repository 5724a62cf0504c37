//! The boot catalog of an ISO image. Source: "El Torito" Bootable CD-ROM Format Specification 1.0,
//! sections 2.0 to 2.5; platform 0xEF: UEFI 2.10, 13.3.2.1.
//!
//! Invariant: one sector of the catalog is read.

use super::bytes::{Bytes, holds, u16_at, u32_at};
use super::found::CatalogEntry;
use super::{grub, record};

/// Sectors of an ISO image, and where the boot record volume descriptor is (2.0).
const SECTOR: u64 = 2048;
const DESCRIPTOR: u64 = 17 * SECTOR;
const SYSTEM: &[u8] = b"\0CD001\x01EL TORITO SPECIFICATION\0";
const CATALOG_AT: u64 = 0x47;

/// An entry, and the first byte of each kind (2.1 to 2.5).
const ENTRY: usize = 32;
const BOOTABLE: u8 = 0x88;
const NOT_BOOTABLE: u8 = 0;
const SECTION: u8 = 0x90;
const LAST_SECTION: u8 = 0x91;
const EXTENSION: u8 = 0x44;

/// Where the core lies in GRUB's image: behind `cdboot.img`.
const CDBOOT: u64 = 2048;

/// What is looked at of an image for a loader's banner.
const HEAD: usize = 64 << 10;

/// Platform 0xEF.
pub(super) const UEFI: &str = "UEFI";
pub(super) const BIOS: &str = "BIOS";

fn platform(number: u8) -> String {
    match number {
        0 => BIOS.to_owned(),
        1 => "PowerPC".to_owned(),
        2 => "Mac".to_owned(),
        0xef => UEFI.to_owned(),
        other => format!("{other:#04x}"),
    }
}

const fn emulation(media: u8) -> &'static str {
    match media & 15 {
        0 => "none",
        1 => "1.2M floppy",
        2 => "1.44M floppy",
        3 => "2.88M floppy",
        4 => "hard disk",
        _ => "unknown",
    }
}

/// The entries; none if there is no catalog.
pub(super) fn look(medium: Bytes<'_>, budget: &grub::Budget) -> Vec<CatalogEntry> {
    if medium.some(DESCRIPTOR, SYSTEM.len()) != SYSTEM {
        return Vec::new();
    }
    let at = medium.u32(DESCRIPTOR + CATALOG_AT).unwrap_or_default();
    let bytes = medium.some(u64::from(at) * SECTOR, SECTOR as usize);
    let mut rows = bytes.chunks_exact(ENTRY);
    // The validation entry: 1, the platform, and 55 AA at its end.
    let Some([1, number, .., 0x55, 0xaa]) = rows.next() else { return Vec::new() };
    let mut name = platform(*number);
    let mut left = 1_u16;
    let (mut found, mut last) = (Vec::new(), false);
    for row in rows {
        match (row.first().copied(), left) {
            (Some(BOOTABLE | NOT_BOOTABLE), 1..) => {
                found.extend(entry(medium, row, &name, budget));
                left -= 1;
            }
            (Some(EXTENSION), _) => {}
            (Some(kind @ (SECTION | LAST_SECTION)), 0) if !last => {
                name = platform(row.get(1).copied().unwrap_or_default());
                left = u16_at(row, 2).unwrap_or_default();
                last = kind == LAST_SECTION;
            }
            _ => break,
        }
    }
    found
}

fn entry(
    medium: Bytes<'_>,
    row: &[u8],
    platform: &str,
    budget: &grub::Budget,
) -> Option<CatalogEntry> {
    let start = u64::from(u32_at(row, 8)?) * SECTOR;
    let mut entry = CatalogEntry {
        platform: platform.to_owned(),
        bootable: row.first() == Some(&BOOTABLE),
        emulation: emulation(*row.get(1)?),
        start,
        sectors: u16_at(row, 6)?,
        loader: None,
        version: None,
        grub: None,
    };
    if platform == BIOS {
        identify(medium, &mut entry, budget);
    }
    Some(entry)
}

fn identify(medium: Bytes<'_>, entry: &mut CatalogEntry, budget: &grub::Budget) {
    let head = medium.some(entry.start, HEAD);
    let first = head.get(..CDBOOT as usize).unwrap_or_default();
    if entry.emulation != "none" {
        let record = record::look(medium, entry.start, "", budget);
        entry.loader = record.map(|record| record.code.as_str());
    } else if holds(first, b"cdrom read fails") {
        entry.loader = Some("GRUB");
        entry.grub = grub::core(medium, entry.start + CDBOOT, budget);
    } else if let Some(version) = record::banner(&head, b"ISOLINUX ") {
        entry.loader = Some("isolinux");
        entry.version = Some(version);
    }
}
