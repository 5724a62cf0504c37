//! Volume descriptors and the boot catalog.
//!
//! Follows no directory. Invariant: at most `MOST` descriptors are read.

use zerocopy::FromBytes as _;

use super::super::ondisk::{
    BOOTABLE, BootRecord, BootSlot, EL_TORITO, FIRST_DESCRIPTOR, JOLIET, SECTION_LAST,
    SECTION_MORE, SECTOR, STANDARD_ID, Section, TYPE_BOOT, TYPE_PRIMARY, TYPE_SUPPLEMENTARY,
    TYPE_TERMINATOR, Validation, Volume,
};
use crate::engine::base::{Error, Kind, SectorSource};

/// Descriptors that are looked at.
const MOST: u64 = 64;

/// What the descriptors say.
#[derive(Debug)]
pub(super) struct Descriptors {
    pub(super) primary: Volume,
    pub(super) joliet: Option<Volume>,
    /// The sector of the boot catalog.
    pub(super) catalog: Option<u32>,
}

impl Descriptors {
    /// The descriptors; none where the first one is none.
    pub(super) fn find(medium: &dyn SectorSource) -> Result<Option<Self>, Error> {
        let (mut primary, mut joliet, mut catalog) = (None, None, None);
        for sector in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + MOST {
            let mut bytes = [0; SECTOR as usize];
            let there = (sector + 1) * SECTOR <= medium.len();
            if there {
                medium.read_at(sector * SECTOR, &mut bytes)?;
            }
            if !there || bytes.get(1..6) != Some(&STANDARD_ID[..]) {
                if sector == FIRST_DESCRIPTOR {
                    return Ok(None);
                }
                break;
            }
            match bytes.first().copied().unwrap_or(TYPE_TERMINATOR) {
                TYPE_TERMINATOR => break,
                TYPE_PRIMARY if primary.is_none() => primary = Volume::read_from_bytes(&bytes).ok(),
                TYPE_SUPPLEMENTARY if joliet.is_none() => {
                    let volume = Volume::read_from_bytes(&bytes).ok();
                    joliet = volume.filter(|volume| {
                        JOLIET.iter().any(|escape| volume.escapes.starts_with(escape))
                    });
                }
                TYPE_BOOT => {
                    let record = BootRecord::read_from_prefix(&bytes).ok();
                    let torito = record.filter(|(boot, _)| boot.system.starts_with(EL_TORITO));
                    catalog = catalog.or(torito.map(|(boot, _)| boot.catalog.get()));
                }
                _ => {}
            }
        }
        let damaged = || Error::new(Kind::Damaged, "ISO 9660 without a primary volume descriptor");
        let primary = primary.ok_or_else(damaged)?;
        for volume in [Some(&primary), joliet.as_ref()].into_iter().flatten() {
            let size = volume.block_size.little.get();
            if u64::from(size) != SECTOR {
                let message = format!("ISO 9660 with blocks of {size} bytes, 2048 are supported");
                return Err(Error::new(Kind::Unsupported, message));
            }
        }
        Ok(Some(Self { primary, joliet, catalog }))
    }

    /// The label without the spaces at its end.
    pub(super) fn label(&self) -> String {
        let text = String::from_utf8_lossy(&self.primary.volume_id);
        text.trim_end_matches([' ', '\0']).to_owned()
    }
}

/// What firmware can boot, in words.
pub(super) fn boot_features(
    medium: &dyn SectorSource,
    catalog: Option<u32>,
) -> Result<Vec<String>, Error> {
    let Some(sector) = catalog else { return Ok(Vec::new()) };
    let mut bytes = [0; SECTOR as usize];
    medium.read_at(u64::from(sector) * SECTOR, &mut bytes)?;
    let mut slots = bytes.chunks_exact(size_of::<BootSlot>());
    let mut features = vec!["El Torito".to_owned()];
    let first = slots.next().and_then(|slot| Validation::read_from_bytes(slot).ok());
    let Some(first) = first.filter(|first| first.header == 1 && first.key == [0x55, 0xaa]) else {
        return Err(Error::new(Kind::Damaged, format!("no boot catalog in sector {sector}")));
    };
    features.extend(slots.next().and_then(|slot| entry(first.platform, slot)));
    while let Some(slot) = slots.next() {
        let Ok(section) = Section::read_from_bytes(slot) else { break };
        if ![SECTION_MORE, SECTION_LAST].contains(&section.header) {
            break;
        }
        for _ in 0..section.entries.get() {
            let Some(slot) = slots.next() else { break };
            features.extend(entry(section.platform, slot));
        }
        if section.header == SECTION_LAST {
            break;
        }
    }
    Ok(features)
}

fn entry(platform: u8, slot: &[u8]) -> Option<String> {
    let slot = BootSlot::read_from_bytes(slot).ok()?;
    if slot.indicator != BOOTABLE {
        return None;
    }
    let platform = match platform {
        0 => "BIOS".to_owned(),
        0xef => "EFI".to_owned(),
        other => format!("platform {other:#04x}"),
    };
    let media = match slot.media & 0x0f {
        0 => "",
        1 => " from a 1.2 MB floppy disk",
        2 => " from a 1.44 MB floppy disk",
        3 => " from a 2.88 MB floppy disk",
        4 => " from a hard disk",
        _ => " from an unknown medium",
    };
    Some(format!("boots {platform}{media}"))
}
