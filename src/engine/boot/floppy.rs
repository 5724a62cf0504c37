//! A boot sector as a floppy disk, which the BIOS emulates from a disc.
//!
//! Invariant: the sector is the disk's first; the rest is zero.

use std::sync::Arc;

use crate::engine::base::{Composed, Content, Error, Extent, Origin, Region, SectorSource};
use crate::engine::filesystem::iso9660::{BootEntry, BootImage, Emulation, Platform};

/// Bytes of a 1.44 MB disk.
const LEN: u64 = 1_474_560;

/// The disk with `sector` in front.
pub(in crate::engine) fn image(sector: Content, origin: &Origin) -> Result<Content, Error> {
    let mut regions = Vec::new();
    if let Some(extent) = Extent::new(0, sector.len()) {
        regions.push(Region { extent, content: sector, origin: origin.clone() });
    }
    let disk: Arc<dyn SectorSource> = Arc::new(Composed::new(LEN, regions));
    Ok(Content::Sectors(disk))
}

/// The entry of the boot catalog for such a disk.
pub(in crate::engine) fn floppy(image: Content) -> BootEntry {
    BootEntry {
        platform: Platform::Bios,
        emulation: Emulation::Floppy144,
        image: BootImage::Content(image),
        load_segment: 0,
        load_sectors: None,
        info_table: false,
        grub2_info: false,
    }
}
