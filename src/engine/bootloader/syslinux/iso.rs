//! isolinux: the boot image of an ISO 9660 volume.
//!
//! Places nothing. The image is booted without emulation, by 4 sectors of 512 bytes that load the
//! rest, and wants the boot information table in its bytes 8 to 63. Invariant: the image has room
//! for that table and knows how to be booted from a disk.

use std::sync::Arc;

use super::super::assets::{Assets, Set};
use super::elf;
use crate::engine::base::{Error, Kind};

/// Behind the boot information table: this image can be booted by a hybrid's code. Measured in
/// isolinux 6.04, and what `isohybrid` looks for.
const HYBRID: [u8; 4] = [0xfb, 0xc0, 0x78, 0x70];
const HYBRID_AT: usize = 64;
const BANNER: &[u8] = b"ISOLINUX 6.";
/// What is loaded from the catalog's entry, and no image is longer than 640 KiB.
const LENGTHS: std::ops::RangeInclusive<usize> = 2048..=640 << 10;

/// What goes into the directory of an ISO 9660 volume, beside `isolinux.cfg`: `/isolinux`,
/// `/boot/isolinux`, `/boot/syslinux`, `/syslinux`, `/boot` or the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolinux {
    /// `isolinux.bin`: the catalog's image, with `load_sectors` 4 and `info_table`.
    pub image: Arc<[u8]>,
    /// `ldlinux.c32`.
    pub library: Arc<[u8]>,
}

impl Isolinux {
    /// The file that is read first.
    pub const CONFIG: &'static str = "isolinux.cfg";

    /// Its files out of the packages `isolinux` and `syslinux-common`.
    pub fn read(assets: &Assets) -> Result<Self, Error> {
        let image = assets.read(Set::Isolinux, "isolinux.bin")?;
        let refused =
            |message: String| Err(Error::new(Kind::Input, format!("isolinux: {message}")));
        if !LENGTHS.contains(&image.len()) {
            return refused(format!(
                "isolinux.bin has {} bytes, {} to {} are wanted",
                image.len(),
                LENGTHS.start(),
                LENGTHS.end()
            ));
        }
        let hybrid = image.get(HYBRID_AT..HYBRID_AT + HYBRID.len()) == Some(&HYBRID);
        if !hybrid || !image.windows(BANNER.len()).any(|window| window == BANNER) {
            return refused("isolinux.bin is not the boot image of isolinux 6".to_owned());
        }
        let library = assets.read(Set::Syslinux, "modules/bios/ldlinux.c32")?;
        if elf::module_len(&library).is_none() {
            return refused("ldlinux.c32 is no module: a 32-bit ELF is wanted".to_owned());
        }
        Ok(Self { image, library })
    }
}
