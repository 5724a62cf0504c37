//! Code for the first sector of a disk: it finds the partition to boot, or isolinux.
//!
//! Writes no table. Invariant: what is returned ends before the disk's id and its table, at 440.

use super::super::assets::{Assets, Set};
use crate::engine::base::{Error, Kind};

/// Bytes before the disk's id.
const ROOM: usize = 440;
/// Code that makes a disk of an ISO image, and where it keeps the image's sector.
const HYBRID: usize = 432;

/// How the code finds the partition to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The active partition of a master boot record.
    Mbr,
    /// The partition of a GPT with the attribute "legacy BIOS bootable", bit 2 (UEFI 2.10, table 5.8).
    Gpt,
}

/// Code for a disk with such a table: at most 440 bytes from the first one on.
pub fn record(assets: &Assets, table: Table) -> Result<Vec<u8>, Error> {
    let name = match table {
        Table::Mbr => "mbr/mbr.bin",
        Table::Gpt => "mbr/gptmbr.bin",
    };
    let code = assets.read(Set::Syslinux, name)?;
    if code.is_empty() || code.len() > ROOM {
        let message = format!("syslinux: {name} has {} bytes, 1 to {ROOM} are wanted", code.len());
        return Err(Error::new(Kind::Input, message));
    }
    Ok(code.to_vec())
}

/// Code for an ISO image that is to boot as a disk, too, where `isolinux.bin` lies at the byte
/// `image_at` of it: 440 bytes. The disk needs an active partition that begins at sector 0, which
/// is what isolinux reads the volume from.
pub fn hybrid(assets: &Assets, image_at: u64) -> Result<Vec<u8>, Error> {
    let mut code = assets.read(Set::Isolinux, "isohdpfx.bin")?.to_vec();
    if code.len() != HYBRID {
        let message =
            format!("syslinux: isohdpfx.bin has {} bytes, {HYBRID} are wanted", code.len());
        return Err(Error::new(Kind::Input, message));
    }
    let sector = u32::try_from(image_at / 512).ok().filter(|_| image_at.is_multiple_of(2048));
    let sector = sector.ok_or_else(|| {
        let message = format!(
            "isolinux.bin at {image_at} cannot be booted from a disk: it must lie at a multiple of \
             2048 below 2 TiB"
        );
        Error::new(Kind::Document, message)
    })?;
    code.extend(sector.to_le_bytes());
    code.resize(ROOM, 0);
    Ok(code)
}
