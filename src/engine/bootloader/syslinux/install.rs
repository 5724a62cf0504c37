//! syslinux on a FAT or ext volume: its files, and the code for the volume's first sector.
//!
//! Writes nothing to a volume: the files go into its tree and the code into its boot code. What
//! they say of each other's places is computed when a filesystem has placed them. Invariant: any
//! placement a filesystem gives can be said, so nothing can fail that late.

use std::sync::Arc;

use zerocopy::IntoBytes as _;

use super::carve::Parts;
use super::ondisk::{ADV_HEAD, ADV_SECTORS, ADV_SUM, ADV_TAIL, MAGIC, OEM_NAME, SECTOR, SectorRun};
use crate::engine::base::tree::{Name, TreePath};
use crate::engine::base::{Content, Error, Kind, Late, Placement};

/// The first version that was seen to read ext4 whose descriptors of block groups have 64 bytes:
/// 6.04 boots from inodes of group 1 (tests/syslinux). Before, they were taken to have 32, and all
/// groups but the first were misread (Debian's bug 833057).
const READS_64BIT: (u32, u32) = (6, 4);

/// What a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// ext2, ext3 or ext4.
    Ext,
}

/// Makes code for a volume's first sector out of the places of the files it needs.
pub type Make = Arc<dyn Fn(&[Placement]) -> Vec<u8> + Send + Sync>;

/// What goes onto a volume.
#[derive(Clone)]
pub struct Installed {
    /// Names and contents of files in the directory: `ldlinux.sys` and `ldlinux.c32`. The config is
    /// not among them.
    pub files: [(&'static str, Content); 2],
    /// The files whose places the code needs: `ldlinux.sys`.
    pub needs: Vec<TreePath>,
    /// 512 bytes for the volume's first sector. On FAT the volume's parameters replace bytes 3 to 89.
    pub code: Make,
    /// What FAT volumes that syslinux made say to be made by: no code looks at it.
    pub oem_name: [u8; 8],
}

impl std::fmt::Debug for Installed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Installed").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Volume {
    /// The volume of a filesystem by the name that `blkid` gives it, if syslinux can boot from it;
    /// `features` are those of ext by their usual names.
    pub fn of(name: &str, features: &[String], sector: u64, parts: &Parts) -> Result<Self, Error> {
        let refused = |message: String| Err(Error::new(Kind::Document, message));
        if sector != SECTOR as u64 {
            return refused(format!(
                "syslinux reads disks with sectors of {SECTOR} bytes, this one has {sector}: choose \
                 another boot loader, or sectors of {SECTOR} bytes"
            ));
        }
        let volume = match name {
            "vfat" => Self::Fat,
            "ext2" | "ext3" | "ext4" => Self::Ext,
            other => {
                return refused(format!(
                    "syslinux is installed on FAT (vfat), ext2, ext3 and ext4, not on {other}: \
                     choose one of them, or another boot loader"
                ));
            }
        };
        let (major, minor) = parts.version();
        if volume == Self::Ext
            && (major, minor) < READS_64BIT
            && features.iter().any(|own| own == "64bit")
        {
            return refused(format!(
                "syslinux {major}.{minor} cannot read {name} with the feature 64bit: add \"-64bit\" to \
                 the filesystem's features"
            ));
        }
        Ok(volume)
    }

    /// The file in the directory that is read first.
    #[must_use]
    pub const fn config(self) -> &'static str {
        match self {
            Self::Fat => "syslinux.cfg",
            Self::Ext => "extlinux.conf",
        }
    }
}

/// What is put into `directory` of a volume: all of its names and files of syslinux are looked for
/// there first.
pub fn install(
    parts: &Arc<Parts>,
    volume: Volume,
    directory: &TreePath,
) -> Result<Installed, Error> {
    let name = directory_name(parts, volume, directory)?;
    let adv = u64::from(ADV_SECTORS) * SECTOR as u64;
    let own = Arc::clone(parts);
    let late = Late {
        len: parts.image.len() as u64 + adv,
        align: SECTOR as u64,
        contiguous: false,
        finish: Box::new(move |placement| own.installed(&name, placement)),
    };
    let own = Arc::clone(parts);
    Ok(Installed {
        files: [
            ("ldlinux.sys", Content::Late(Arc::new(late))),
            ("ldlinux.c32", Content::Bytes(Arc::clone(&parts.library))),
        ],
        needs: vec![directory.join(&Name::new(b"ldlinux.sys")?)],
        code: Arc::new(move |places| own.boot_sector(volume, places.first())),
        oem_name: OEM_NAME,
    })
}

/// As installers write it: nothing for the root of FAT, `/` for that of ext.
fn directory_name(parts: &Parts, volume: Volume, directory: &TreePath) -> Result<Vec<u8>, Error> {
    let mut name = Vec::new();
    for part in directory.names() {
        name.push(b'/');
        name.extend(part.as_bytes());
    }
    if name.is_empty() && volume == Volume::Ext {
        name.push(b'/');
    }
    let room = parts.areas.directory.1.saturating_sub(1);
    if name.len() > room {
        let message =
            format!("syslinux: the path {directory} has {} bytes, at most {room}", name.len());
        return Err(Error::new(Kind::Document, message));
    }
    if let Some(byte) = name.iter().find(|byte| !matches!(byte, b'!'..=b'~')) {
        let message = format!(
            "syslinux: the path {directory} holds \"{}\", allowed are printable ASCII characters \
             without spaces",
            byte.escape_ascii()
        );
        return Err(Error::new(Kind::Document, message));
    }
    Ok(name)
}

/// The numbers of a file's sectors, counted from the beginning of its volume.
fn sectors(placement: &Placement) -> impl Iterator<Item = u64> + '_ {
    let size = SECTOR as u64;
    placement.extents.iter().flat_map(move |extent| {
        let first = extent.start().saturating_sub(placement.volume) / size;
        first..first + extent.len().div_ceil(size)
    })
}

impl Parts {
    /// `ldlinux.sys` as an installer leaves it at a place.
    fn installed(&self, directory: &[u8], placement: &Placement) -> Vec<u8> {
        let areas = &self.areas;
        let mut image = self.image.to_vec();
        // OK to cast: a length of at most 256 KiB was accepted.
        let (count, words) = (image.len() / SECTOR, (image.len() / 4) as u32);
        let all: Vec<u64> = sectors(placement).collect();
        let adv = all.get(count..).unwrap_or_default();
        for (at, sector) in adv.iter().take(usize::from(ADV_SECTORS)).enumerate() {
            put(&mut image, areas.adv + at * 8, &sector.to_le_bytes());
        }
        let code = all.get(1..count).unwrap_or_default();
        for (at, run) in runs(code).iter().enumerate() {
            put(&mut image, areas.runs + at * size_of::<SectorRun>(), run.as_bytes());
        }
        put(&mut image, areas.directory.0, directory);
        put(&mut image, areas.patch + 8, &(count as u16).to_le_bytes());
        put(&mut image, areas.patch + 10, &ADV_SECTORS.to_le_bytes());
        put(&mut image, areas.patch + 12, &words.to_le_bytes());
        let sum = sum(&image);
        put(&mut image, areas.patch + 16, &MAGIC.wrapping_sub(sum).to_le_bytes());
        for _ in 0..ADV_SECTORS {
            image.extend(empty_adv());
        }
        image
    }

    /// The volume's first sector for `ldlinux.sys` at a place.
    fn boot_sector(&self, volume: Volume, placement: Option<&Placement>) -> Vec<u8> {
        let mut sector = self.boot.to_vec();
        let first = placement.and_then(|placement| sectors(placement).next()).unwrap_or(0);
        // OK to cast: the two halves.
        put(&mut sector, self.areas.first_low, &(first as u32).to_le_bytes());
        put(&mut sector, self.areas.first_high, &((first >> 32) as u32).to_le_bytes());
        if volume == Volume::Ext {
            // The code wants to hear of a FAT volume's BIOS parameters where there are none: bytes
            // of a sector, sectors of a track, heads and where the volume begins. A BIOS that knows
            // better is asked for the third and fourth.
            let start = placement.map_or(0, |placement| placement.volume / SECTOR as u64);
            let hidden = u32::try_from(start).unwrap_or(0);
            put(&mut sector, 0x0b, &(SECTOR as u16).to_le_bytes());
            put(&mut sector, 0x18, &32u16.to_le_bytes());
            put(&mut sector, 0x1a, &64u16.to_le_bytes());
            put(&mut sector, 0x1c, &hidden.to_le_bytes());
        }
        sector
    }
}

/// Sectors as runs: each of less than 64 KiB, as installers cut them. (They mean to cut where the
/// code's place in memory crosses 64 KiB, too; measured, they do not: the code looks after it.)
fn runs(sectors: &[u64]) -> Vec<SectorRun> {
    const MOST: u16 = 127;
    let mut runs: Vec<SectorRun> = Vec::new();
    for sector in sectors {
        match runs.last_mut() {
            Some(run)
                if run.count.get() < MOST
                    && run.first.get() + u64::from(run.count.get()) == *sector =>
            {
                run.count += 1;
            }
            _ => runs.push(SectorRun { first: (*sector).into(), count: 1.into() }),
        }
    }
    runs
}

fn sum(image: &[u8]) -> u32 {
    let words = image.as_chunks::<4>().0.iter();
    words.fold(0, |sum, word| sum.wrapping_add(u32::from_le_bytes(*word)))
}

/// The auxiliary data vector, in which nothing is remembered from one boot to the next.
fn empty_adv() -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    for (at, word) in [(0, ADV_HEAD), (4, ADV_SUM), (SECTOR - 4, ADV_TAIL)] {
        put(&mut sector, at, &word.to_le_bytes());
    }
    sector
}

/// All places were checked when the parts were read.
fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + what.len()) {
        place.copy_from_slice(what);
    }
}
