//! The boot catalog, and what is written into boot images.
//!
//! Loads nothing. Invariants: the first entry is the default one, all others are in sections, one for
//! each; the catalog is one sector.

use std::sync::Arc;

use zerocopy::{IntoBytes as _, little_endian as le};

use super::ondisk::{
    BOOTABLE, BootSlot, FIRST_DESCRIPTOR, SECTION_LAST, SECTION_MORE, SECTOR, Section, Validation,
};
use super::{BootEntry, Emulation, Platform};
use crate::engine::base::{ByteSource, Content, Error, Kind, Overlay, Patch, SectorSource};

/// Entries that one sector holds: validation and default entry, then a header and an entry for each.
const MOST: usize = 32;

/// Where the info table lies in an image, and where what it sums up begins.
const TABLE: u64 = 8;
const SUMMED: u64 = 64;

/// Where GRUB keeps the place of what it loads.
const GRUB2: u64 = 2548;

/// A boot image with its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) sector: u32,
    pub(super) content: Content,
}

/// Refuses what no catalog can say.
pub(super) fn check(entries: &[BootEntry], lens: &[u64]) -> Result<(), Error> {
    let refused = |message: String| Err(Error::new(Kind::Document, message));
    if entries.len() > MOST {
        return refused(format!("{} boot entries, at most {MOST} are allowed", entries.len()));
    }
    for (number, (entry, len)) in entries.iter().zip(lens).enumerate() {
        let wanted = entry.emulation.len();
        if wanted.is_some_and(|wanted| wanted != *len) {
            return refused(format!(
                "the image of boot entry {number} has {len} bytes, this floppy disk has {}",
                wanted.unwrap_or_default()
            ));
        }
        let least = if entry.grub2_info { GRUB2 + 8 } else { SUMMED };
        if (entry.grub2_info || entry.info_table) && *len < least {
            return refused(format!(
                "the image of boot entry {number} has {len} bytes, too few for the table in it: {least}"
            ));
        }
        if *len == 0 || (entry.emulation == Emulation::HardDisk && *len < 512) {
            return refused(format!("the image of boot entry {number} has {len} bytes: too few"));
        }
    }
    Ok(())
}

/// The image as a medium.
fn source(content: &Content) -> Result<Arc<dyn SectorSource>, Error> {
    match content {
        Content::Bytes(bytes) => Ok(Arc::new(ByteSource::new(Arc::clone(bytes)))),
        Content::Sectors(source) => Ok(Arc::clone(source)),
        Content::Late(_) => Err(Error::new(Kind::Document, "a boot image has no place yet")),
    }
}

/// The image with its tables.
pub(super) fn patched(entry: &BootEntry, image: &Placed) -> Result<Content, Error> {
    if !entry.info_table && !entry.grub2_info {
        return Ok(image.content.clone());
    }
    let mut whole = source(&image.content)?;
    if entry.grub2_info {
        let place = (u64::from(image.sector) * 4 + 5).to_le_bytes();
        let patch = Patch { offset: GRUB2, bytes: place.to_vec() };
        whole = Arc::new(Overlay::new(whole, vec![patch])?);
    }
    if entry.info_table {
        let mut table = Vec::with_capacity(56);
        let len = u32::try_from(whole.len())
            .map_err(|_| Error::new(Kind::Document, "a boot image of 4 GiB or more"))?;
        let first = FIRST_DESCRIPTOR as u32;
        for value in [first, image.sector, len, sum(whole.as_ref())?] {
            table.extend(value.to_le_bytes());
        }
        table.resize((SUMMED - TABLE) as usize, 0);
        let patch = Patch { offset: TABLE, bytes: table };
        whole = Arc::new(Overlay::new(whole, vec![patch])?);
    }
    Ok(Content::Sectors(whole))
}

/// The sum of all 32-bit words behind the table; bytes that are missing in the last one are zero.
fn sum(image: &dyn SectorSource) -> Result<u32, Error> {
    let mut sum = 0_u32;
    let mut at = SUMMED;
    let mut buffer = vec![0; 64 << 10];
    while at < image.len() {
        let len = (image.len() - at).min(buffer.len() as u64) as usize;
        let part = buffer.get_mut(..len).unwrap_or_default();
        image.read_at(at, part)?;
        for word in part.chunks(4) {
            let mut four = [0; 4];
            four.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
            sum = sum.wrapping_add(u32::from_le_bytes(four));
        }
        at += len as u64;
    }
    Ok(sum)
}

/// The catalog: a sector.
pub(super) fn catalog(entries: &[BootEntry], images: &[Placed]) -> Result<Vec<u8>, Error> {
    let Some(first) = entries.first() else { return Ok(Vec::new()) };
    let mut bytes = validation(first.platform);
    let last = entries.len() - 1;
    for (number, (entry, image)) in entries.iter().zip(images).enumerate() {
        if number > 0 {
            let section = Section {
                header: if number == last { SECTION_LAST } else { SECTION_MORE },
                platform: platform(entry.platform),
                entries: le::U16::new(1),
                id: [0; 28],
            };
            bytes.extend(section.as_bytes());
        }
        bytes.extend(slot(entry, image)?.as_bytes());
    }
    bytes.resize(SECTOR as usize, 0);
    Ok(bytes)
}

/// El Torito figure 2 and UEFI 2.10, 13.3.2.1.
const fn platform(platform: Platform) -> u8 {
    match platform {
        Platform::Bios => 0,
        Platform::Efi => 0xef,
    }
}

fn validation(first: Platform) -> Vec<u8> {
    let mut entry = Validation {
        header: 1,
        platform: platform(first),
        reserved: [0; 2],
        id: [0; 24],
        checksum: le::U16::new(0),
        key: [0x55, 0xaa],
    };
    let words = entry.as_bytes().chunks_exact(2);
    let sum = words.fold(0_u16, |sum, word| {
        let word = word.iter().rev().fold(0, |word, byte| word << 8 | u16::from(*byte));
        sum.wrapping_add(word)
    });
    entry.checksum = le::U16::new(sum.wrapping_neg());
    entry.as_bytes().to_vec()
}

fn slot(entry: &BootEntry, image: &Placed) -> Result<BootSlot, Error> {
    let whole = u16::try_from(image.content.len().div_ceil(512)).unwrap_or(0);
    let sectors = entry.load_sectors.unwrap_or(match (entry.platform, entry.emulation) {
        (Platform::Efi, _) => whole,
        (Platform::Bios, Emulation::None) => 4,
        (Platform::Bios, _) => 1,
    });
    let (media, system) = match entry.emulation {
        Emulation::None => (0, 0),
        Emulation::Floppy12 => (1, 0),
        Emulation::Floppy144 => (2, 0),
        Emulation::Floppy288 => (3, 0),
        Emulation::HardDisk => (4, partition_type(&image.content)?),
    };
    Ok(BootSlot {
        indicator: BOOTABLE,
        media,
        load_segment: le::U16::new(entry.load_segment),
        system,
        unused: 0,
        sectors: le::U16::new(sectors),
        start: le::U32::new(image.sector),
        rest: [0; 20],
    })
}

/// El Torito figure 3, offset 4: the type of the only partition in the image's table.
fn partition_type(image: &Content) -> Result<u8, Error> {
    let mut table = [0; 66];
    source(image)?.read_at(446, &mut table)?;
    let kinds = table.chunks(16).take(4).filter_map(|slot| slot.get(4).copied());
    let used: Vec<u8> = kinds.filter(|kind| *kind != 0).collect();
    match used.as_slice() {
        [kind] if table.ends_with(&[0x55, 0xaa]) => Ok(*kind),
        _ => {
            let message = format!(
                "a boot image that is a hard disk has a partition table with one partition, this one \
                 has {}",
                used.len()
            );
            Err(Error::new(Kind::Input, message))
        }
    }
}
