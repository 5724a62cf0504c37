//! Floppy disks that the BIOS emulates from a disc.
//!
//! Invariant: the disk has the size of a floppy disk; its first sector is the one that the BIOS runs.

use std::sync::Arc;

use crate::engine::base::{Composed, Content, Error, Extent, Kind, Origin, Region, SectorSource};
use crate::engine::filesystem::iso9660::{BootEntry, BootImage, Emulation, Platform};

/// Bytes of a 1.44 MB disk.
const LEN: u64 = 1_474_560;

/// An otherwise empty disk with `sector` in front.
pub(in crate::engine) fn image(sector: Content, origin: &Origin) -> Arc<dyn SectorSource> {
    let mut regions = Vec::new();
    if let Some(extent) = Extent::new(0, sector.len()) {
        regions.push(Region { extent, content: sector, origin: origin.clone() });
    }
    Arc::new(Composed::new(LEN, regions))
}

/// The entry of the boot catalog for such a disk.
pub(in crate::engine) fn floppy(disk: Arc<dyn SectorSource>) -> Result<BootEntry, Error> {
    let emulation = match disk.len() {
        1_228_800 => Emulation::Floppy12,
        LEN => Emulation::Floppy144,
        2_949_120 => Emulation::Floppy288,
        other => {
            let message = format!(
                "the disk is the floppy disk that boots the ISO and has {other} bytes; a BIOS emulates those of 1228800, 1474560 and 2949120"
            );
            return Err(Error::new(Kind::Document, message).at(&Origin::new("spec.disk")));
        }
    };
    Ok(BootEntry {
        platform: Platform::Bios,
        emulation,
        image: BootImage::Content(Content::Sectors(disk)),
        load_segment: 0,
        load_sectors: None,
        info_table: false,
        grub2_info: false,
    })
}
