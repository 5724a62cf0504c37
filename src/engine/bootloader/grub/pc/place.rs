//! Where a core image goes: the gap behind a master boot record, a BIOS boot partition, a disc, a
//! disc that is also a disk.
//!
//! Writes nothing. Invariants: the code of a boot record has 440 bytes, so a disk's id and its
//! partition table stay; a core image lies in one piece.

use std::sync::Arc;

use zerocopy::IntoBytes as _;

use super::super::ondisk::{
    BLOCK_LIST_AT, BOOT_SECTOR_AT, BlockList, CODE, DRIVE_CHECK, DRIVE_CHECK_AT, HYBRID_SECTOR_AT,
    LOAD_SEGMENT, NO_JUMP, SECTOR,
};
use super::{Core, image, put, sectors_behind_first};
use crate::engine::base::{Content, Error, Extent, Kind, Late, Patch};
use crate::engine::bootloader::assets::Assets;

/// Bytes of `cdboot.img`: a sector of a disc.
const CD_BOOT: usize = 2048;

/// `boot.img`, checked to be one that is patched where we patch.
pub(super) fn boot(assets: &Assets) -> Result<Vec<u8>, Error> {
    let mut boot = image(assets, "boot.img", Some(SECTOR))?;
    let check = boot.get(DRIVE_CHECK_AT..DRIVE_CHECK_AT + 2).unwrap_or_default();
    if check != DRIVE_CHECK {
        let message = format!(
            "GRUB's boot.img has {check:02x?} at {DRIVE_CHECK_AT:#x} instead of {DRIVE_CHECK:02x?}: \
             of another version?"
        );
        return Err(Error::new(Kind::Input, message));
    }
    put(&mut boot, DRIVE_CHECK_AT, &NO_JUMP)?;
    boot.truncate(CODE);
    Ok(boot)
}

impl Core {
    /// Bytes it takes on a disk: whole sectors of 512 bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes.len().next_multiple_of(SECTOR) as u64
    }

    /// Whether it takes none: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The 440 bytes of boot code that load it from byte `start` of the disk on. They go to the
    /// beginning of the disk, whatever partition table it has.
    pub fn code(&self, start: u64) -> Result<Patch, Error> {
        let mut bytes = self.boot.clone();
        put(&mut bytes, BOOT_SECTOR_AT, &sector(start)?.to_le_bytes())?;
        Ok(Patch { offset: 0, bytes })
    }

    /// Its bytes for a place that begins at byte `start` of the disk.
    pub fn at(&self, start: u64) -> Result<Vec<u8>, Error> {
        let first = sector(start)?;
        let mut bytes = self.bytes.clone();
        let list = BlockList {
            start: (first + 1).into(),
            len: sectors_behind_first(bytes.len())?.into(),
            segment: LOAD_SEGMENT.into(),
        };
        put(&mut bytes, BLOCK_LIST_AT, list.as_bytes())?;
        bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        Ok(bytes)
    }

    /// Boot code and core image for `room`: the gap between the first record and the first
    /// partition, or a BIOS boot partition. Refused if it is too large for it; `what` names the room.
    pub fn install(&self, room: Extent, what: &str) -> Result<[Patch; 2], Error> {
        if let Some(over) = self.len().checked_sub(room.len()).filter(|over| *over > 0) {
            let message = format!(
                "GRUB's core image is {over} bytes too large for {what}: it takes {}, there is room \
                 for {}",
                self.len(),
                room.len()
            );
            return Err(Error::new(Kind::Document, message));
        }
        let core = Patch { offset: room.start(), bytes: self.at(room.start())? };
        Ok([self.code(room.start())?, core])
    }

    /// The same bytes as a content whose place is decided later, in one piece.
    #[must_use]
    pub fn content(&self) -> Content {
        let core = self.clone();
        let len = self.len();
        Content::Late(Arc::new(Late {
            len,
            align: SECTOR as u64,
            contiguous: true,
            finish: Box::new(move |placement| {
                let start = placement.extents.first().map_or(0, |extent| extent.start());
                // A place that is aligned, as was asked for, is never refused.
                core.at(start).unwrap_or_else(|_| core.bytes.clone())
            }),
        }))
    }

    /// The boot image of a disc, without emulation: the ISO writer adds the info table and GRUB's
    /// place (`info_table` and `grub2_info` of the boot entry). It must not be the last sectors of the
    /// disc: `cdboot.img` reads one sector more than the image has, and where that is behind the end
    /// GRUB stops with "incompatible license" (SeaBIOS 1.16.2); 150 sectors of padding are usual.
    pub fn disc(&self, assets: &Assets) -> Result<Vec<u8>, Error> {
        let mut bytes = image(assets, "cdboot.img", Some(CD_BOOT))?;
        bytes.extend(&self.bytes);
        Ok(bytes)
    }
}

/// Boot code of a disc that is also a disk: it loads the boot image of the disc.
#[derive(Clone, Debug)]
pub struct Hybrid {
    code: Vec<u8>,
}

impl Hybrid {
    /// Reads it.
    pub fn new(assets: &Assets) -> Result<Self, Error> {
        let mut code = image(assets, "boot_hybrid.img", Some(SECTOR))?;
        code.truncate(CODE);
        Ok(Self { code })
    }

    /// The 440 bytes for a boot image (`Core::disc`) that begins at byte `start` of the image.
    pub fn code(&self, start: u64) -> Result<Patch, Error> {
        let mut bytes = self.code.clone();
        // Behind cdboot.img, which is for discs alone.
        let place = sector(start)? + (CD_BOOT / SECTOR) as u64;
        put(&mut bytes, HYBRID_SECTOR_AT, &place.to_le_bytes())?;
        Ok(Patch { offset: 0, bytes })
    }
}

fn sector(start: u64) -> Result<u64, Error> {
    let size = SECTOR as u64;
    if start.is_multiple_of(size) {
        return Ok(start / size);
    }
    let message = format!("GRUB's core image cannot begin at byte {start}: no multiple of {size}");
    Err(Error::new(Kind::Document, message))
}
