//! The parts of syslinux that an installer puts on a volume: `ldlinux.sys`, `ldlinux.c32` and a boot
//! sector.
//!
//! No package has the first and the last as files: they are data of the programs `syslinux` and
//! `extlinux`, which are read and never run. They are found by what they begin and end with and by
//! what points from one into the other, never by a fixed place; a checksum is no help, as only an
//! installer writes it. Invariant: of `Parts`, whatever lay in the files, all that an installer
//! writes lies inside of them.

use std::sync::Arc;

use super::super::assets::{Assets, Set};
use super::elf;
use super::ondisk::{
    BANNER, BOOT_END, ELF32, ExtPatchArea, MAGIC, OEM_NAME, PatchArea, SECTOR, SectorRun,
};
use crate::engine::base::{Error, Kind};

/// No program or file of syslinux is larger.
const LARGEST: usize = 4 << 20;
/// `ldlinux.sys` is loaded below 640 KiB at 8000h, and it takes that twice when it unpacks itself.
const LONGEST: usize = 256 << 10;

/// What is put on a volume, before it knows its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `ldlinux.sys` without what an installer writes.
    pub(super) image: Arc<[u8]>,
    pub(super) areas: Areas,
    pub(super) boot: [u8; SECTOR],
    /// `ldlinux.c32`.
    pub(super) library: Arc<[u8]>,
}

/// Where an installer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Areas {
    /// `PatchArea` in the image.
    pub(super) patch: usize,
    pub(super) adv: usize,
    /// The directory's name, and the room for it.
    pub(super) directory: (usize, usize),
    pub(super) runs: usize,
    /// In the boot sector.
    pub(super) first_low: usize,
    pub(super) first_high: usize,
}

impl Parts {
    /// Out of the files `ldlinux.sys`, `ldlinux.bss` and `modules/bios/ldlinux.c32` of `Set::Syslinux`
    /// where a user's directory has the first, else out of the program `syslinux` or `extlinux`.
    pub fn read(assets: &Assets) -> Result<Self, Error> {
        if let Some(image) = there(assets.read(Set::Syslinux, "ldlinux.sys"))? {
            let boot = assets.read(Set::Syslinux, "ldlinux.bss")?;
            let library = assets.read(Set::Syslinux, "modules/bios/ldlinux.c32")?;
            return Self::from_files(&image, &boot, library);
        }
        let program = match there(assets.read(Set::SyslinuxPrograms, "syslinux"))? {
            Some(program) => program,
            None => assets.read(Set::SyslinuxPrograms, "extlinux")?,
        };
        Self::from_program(&program)
    }

    /// Major and minor version of `ldlinux.sys`: 6.04 is (6, 4). Zeros where it does not say.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        let digits = |bytes: &[u8]| {
            bytes
                .iter()
                .take(4)
                .map_while(|byte| char::from(*byte).to_digit(10))
                .fold(0, |n, d| n * 10 + d)
        };
        let mut numbers =
            self.image.get(BANNER.len()..).unwrap_or_default().splitn(3, |b| *b == b'.');
        let mut next = || numbers.next().map_or(0, digits);
        (next(), next())
    }

    /// Out of the bytes of the program `syslinux` or `extlinux`; both have the same parts.
    pub fn from_program(program: &[u8]) -> Result<Self, Error> {
        if program.len() > LARGEST {
            return Err(refused(format!("the program has more than {LARGEST} bytes")));
        }
        let boot = boot_sector(program)?;
        let library = library(program)?;
        let loaded = elf::loaded(program);
        let mut why = "it is nowhere".to_owned();
        for start in places(program, BANNER) {
            let end = loaded.iter().find(|range| range.contains(&start)).map(|range| range.end);
            let end = end.unwrap_or(start).min(program.len());
            let next = [BOOT_END.as_slice(), &ELF32].into_iter().filter_map(|next| {
                let at = places(program.get(start..end)?, next).next()?;
                // A boot sector ends with what it is found by.
                Some(start + if next == ELF32 { at } else { (at + 8).saturating_sub(SECTOR) })
            });
            let end = next.min().unwrap_or(end);
            let found = program.get(start..end).unwrap_or_default();
            match Self::new(found, &boot, Arc::clone(&library)) {
                // The program knows the length: it is a number that is the same one somewhere.
                Ok(parts) if holds_length(program, parts.image.len()) => return Ok(parts),
                Ok(parts) => {
                    let len = parts.image.len();
                    why = format!("it seems to have {len} bytes, which the program does not say");
                }
                Err(error) => why = error.to_string(),
            }
        }
        Err(refused(format!("no ldlinux.sys in the program: {why}")))
    }

    /// Out of files: `ldlinux.sys`, as built or as an installer left it, a boot sector of 512 bytes
    /// (`ldlinux.bss`) and `ldlinux.c32`.
    pub fn from_files(image: &[u8], boot: &[u8], library: Arc<[u8]>) -> Result<Self, Error> {
        if elf::module_len(&library).is_none() {
            return Err(refused("ldlinux.c32 is no module: a 32-bit ELF is wanted".to_owned()));
        }
        let boot = <[u8; SECTOR]>::try_from(boot).map_err(|_| {
            refused(format!("ldlinux.bss has {} bytes, {SECTOR} are wanted", boot.len()))
        })?;
        if !is_boot_sector(&boot) {
            let message = "ldlinux.bss is no boot sector of syslinux 6";
            return Err(refused(message.to_owned()));
        }
        Self::new(image, &boot, library)
    }

    /// `found` begins with `ldlinux.sys`; zeros, or what an installer puts there, may follow.
    fn new(found: &[u8], boot: &[u8; SECTOR], library: Arc<[u8]>) -> Result<Self, Error> {
        let patch = patch_area(found)?;
        let area: PatchArea = elf::at(found, patch).ok_or_else(short)?;
        // An installed one says how long it is.
        let words = area.dwords.get() as usize;
        let found = if words > 0 { found.get(..words.saturating_mul(4)) } else { Some(found) };
        let found = found.ok_or_else(short)?;
        let used = found.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let mut image = found.get(..used).unwrap_or_default().to_vec();
        if image.len() > LONGEST {
            let message = format!("ldlinux.sys has {} bytes, at most {LONGEST}", image.len());
            return Err(refused(message));
        }
        image.resize(image.len().next_multiple_of(SECTOR), 0);
        let areas = Areas::new(&image, patch, usize::from(area.ext_at.get()))?;
        areas.clear(&mut image);
        Ok(Self { image: image.into(), areas, boot: *boot, library })
    }
}

impl Areas {
    fn new(image: &[u8], patch: usize, ext: usize) -> Result<Self, Error> {
        let area: ExtPatchArea = elf::at(image, ext).ok_or_else(short)?;
        let at = |field: zerocopy::little_endian::U16| usize::from(field.get());
        let areas = Self {
            patch,
            adv: at(area.adv_at),
            directory: (at(area.directory_at), at(area.directory_len)),
            runs: at(area.runs_at),
            first_low: at(area.first_low_at),
            first_high: at(area.first_high_at),
        };
        let room = at(area.runs);
        let sectors = image.len() / SECTOR;
        // A run for each sector, the first one's being in the boot sector: any placement fits.
        if room + 1 < sectors {
            let message = format!("ldlinux.sys has {sectors} sectors and room for {room} places");
            return Err(refused(message));
        }
        let inside = areas.within(sectors).iter().all(|(at, len)| at + len <= image.len());
        let pointers = [areas.first_low, areas.first_high];
        if !inside || pointers.iter().any(|at| *at < 0x5a || at + 4 > SECTOR - BOOT_END.len()) {
            return Err(refused("ldlinux.sys points outside of itself".to_owned()));
        }
        Ok(areas)
    }

    /// What an installer writes in an image of so many sectors: places and lengths.
    fn within(&self, sectors: usize) -> [(usize, usize); 4] {
        [
            // From `data_sectors` to `checksum`.
            (self.patch + 8, 12),
            (self.adv, 16),
            self.directory,
            (self.runs, (sectors.saturating_sub(1)) * size_of::<SectorRun>()),
        ]
    }

    /// Takes away what an installer wrote.
    fn clear(&self, image: &mut [u8]) {
        for (at, len) in self.within(image.len() / SECTOR) {
            if let Some(place) = image.get_mut(at..at + len) {
                place.fill(0);
            }
        }
    }
}

/// Where the patch area lies.
fn patch_area(image: &[u8]) -> Result<usize, Error> {
    if !image.starts_with(BANNER) {
        let message = "ldlinux.sys does not begin with the banner of syslinux";
        return Err(refused(message.to_owned()));
    }
    let magic = MAGIC.to_le_bytes();
    let first = image.get(..SECTOR).ok_or_else(short)?;
    let found = first.chunks_exact(4).position(|word| *word == magic);
    let message = "ldlinux.sys has no patch area in its first sector; syslinux 6 is wanted";
    found.map(|word| word * 4).ok_or_else(|| refused(message.to_owned()))
}

fn boot_sector(program: &[u8]) -> Result<[u8; SECTOR], Error> {
    let found = places(program, &BOOT_END).find_map(|at| {
        let end = at + BOOT_END.len();
        let sector = program.get(end.checked_sub(SECTOR)?..end)?;
        <[u8; SECTOR]>::try_from(sector).ok().filter(is_boot_sector)
    });
    found.ok_or_else(|| refused("no boot sector of syslinux 6 in the program".to_owned()))
}

fn is_boot_sector(sector: &[u8; SECTOR]) -> bool {
    // A jump behind the parameters of the largest kind of volume, which are not code.
    sector.starts_with(&[0xeb, 0x58, 0x90])
        && sector.get(3..11) == Some(&OEM_NAME)
        && sector.ends_with(&BOOT_END)
}

fn library(program: &[u8]) -> Result<Arc<[u8]>, Error> {
    // A program of 32 bits begins with the same.
    let found = places(program, &ELF32).filter(|at| *at > 0).find_map(|at| {
        let rest = program.get(at..)?;
        rest.get(..elf::module_len(rest)?)
    });
    found.map(Arc::from).ok_or_else(|| refused("no ldlinux.c32 in the program".to_owned()))
}

fn holds_length(program: &[u8], len: usize) -> bool {
    let wanted = u32::try_from(len).unwrap_or(0).to_le_bytes();
    program.windows(4).any(|word| *word == wanted)
}

/// Where `wanted` begins.
fn places<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(wanted.len()).enumerate().filter_map(move |(at, w)| (w == wanted).then_some(at))
}

/// What is read, and nothing if it is missing.
fn there(read: Result<Arc<[u8]>, Error>) -> Result<Option<Arc<[u8]>>, Error> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == Kind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

fn short() -> Error {
    refused("ldlinux.sys is cut off".to_owned())
}

fn refused(message: String) -> Error {
    Error::new(Kind::Input, format!("syslinux: {message}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A `ldlinux.sys` of four sectors in which everything has a place, and a boot sector and a
    /// module beside it, as in a program; nothing of them was ever part of syslinux.
    fn program() -> Vec<u8> {
        let mut image = vec![0; 4 * SECTOR];
        image[..BANNER.len()].copy_from_slice(BANNER);
        image[0x18..0x1c].copy_from_slice(&MAGIC.to_le_bytes());
        image[0x2e..0x30].copy_from_slice(&0x40u16.to_le_bytes());
        let fields: [u16; 10] = [0x60, 0x70, 0x80, 0xf0, 0x10, 0x100, 3, 0x11a, 0x120, 0x1ca];
        for (at, field) in fields.iter().enumerate() {
            image[0x40 + at * 2..0x42 + at * 2].copy_from_slice(&field.to_le_bytes());
        }
        *image.last_mut().unwrap() = 9;
        let mut boot = vec![0; SECTOR];
        boot[..11].copy_from_slice(b"\xeb\x58\x90SYSLINUX");
        boot[SECTOR - 8..].copy_from_slice(&BOOT_END);
        let mut module = vec![0; 92];
        module[..6].copy_from_slice(&ELF32);
        for (at, value) in [(0x10, 3u8), (0x12, 3), (0x20, 52), (0x2e, 40), (0x30, 1)] {
            module[at] = value;
        }
        // A 64-bit program with one loaded segment, from 0 to its end.
        let mut all = vec![0; 0x100];
        all[..6].copy_from_slice(&super::super::ondisk::ELF64);
        all[0x20] = 0x40;
        all[0x36] = 56;
        all[0x38] = 1;
        all[0x40] = 1;
        all[0x90..0x94].copy_from_slice(&(4 * SECTOR as u32).to_le_bytes());
        all.extend(boot);
        all.extend(image);
        all.extend(module);
        let len = (all.len() as u32).to_le_bytes();
        all[0x60..0x64].copy_from_slice(&len);
        all
    }

    #[test]
    fn parts_are_found_by_what_they_are() {
        let program = program();
        let parts = Parts::from_program(&program).unwrap();
        assert_eq!(parts.image.len(), 4 * SECTOR);
        assert_eq!((parts.areas.runs, parts.library.len()), (0x100, 92));
        // Anywhere else, and without what lies between.
        let mut moved = program[..0x100].to_vec();
        moved.extend([1; 77]);
        moved.extend(&program[0x100..]);
        let len = (moved.len() as u32).to_le_bytes();
        moved[0x60..0x64].copy_from_slice(&len);
        assert_eq!(Parts::from_program(&moved).unwrap(), parts);
    }

    #[test]
    fn what_is_missing_or_points_outside_is_told() {
        let refused = |at: usize, bytes: &[u8]| {
            let mut program = program();
            program[at..at + bytes.len()].copy_from_slice(bytes);
            let error = Parts::from_program(&program).unwrap_err();
            assert_eq!(error.kind(), Kind::Input);
            error.to_string()
        };
        let image = 0x100 + SECTOR;
        for (at, bytes, why) in [
            (0x100, &[0][..], "no boot sector"),
            (image, &[0], "no ldlinux.sys in the program: it is nowhere"),
            (image + 0x18, &[0], "no patch area"),
            (image + 0x4c, &[2, 0], "4 sectors and room for 2 places"),
            (image + 0x40, &[0xff, 0xff], "points outside of itself"),
            (image + 0x42, &[0xff, 0xff], "points outside of itself"),
            (image + 0x4a, &[0xf9, 0x07], "points outside of itself"),
            (image + 0x4e, &[0xf5, 0x01], "points outside of itself"),
            (image + 0x50, &[0x10, 0x00], "points outside of itself"),
            (image + 0x2e, &[0xf0, 0x07], "cut off"),
            (image + 4 * SECTOR, &[0], "no ldlinux.c32"),
            (0x90, &[0, 0, 0, 0], "2048 bytes, which the program does not say"),
        ] {
            let error = refused(at, bytes);
            assert!(error.contains(why), "{at:#x}: {error}");
        }
        let files = Parts::from_files(&[0; 99], &[0; 512], Arc::from(&b""[..])).unwrap_err();
        assert!(files.to_string().contains("no module"), "{files}");
    }

    proptest! {
        /// Broken bytes are answered, and what is accepted can be installed anywhere.
        #[test]
        fn no_bytes_break_it(changes in proptest::collection::vec((0usize..2800, any::<u8>()), 1..9)) {
            let mut program = program();
            for (at, byte) in changes {
                if let Some(place) = program.get_mut(at) {
                    *place = byte;
                }
            }
            if let Ok(parts) = Parts::from_program(&program) {
                let sectors = parts.image.len() / SECTOR;
                for (at, len) in parts.areas.within(sectors) {
                    prop_assert!(at + len <= parts.image.len());
                }
                let _ = elf::needed(&parts.library);
            }
            let library = program.get(0x100 + 5 * SECTOR..).unwrap_or_default();
            let image = program.get(0x100 + SECTOR..).unwrap_or_default();
            let boot = program.get(0x100..0x100 + SECTOR).unwrap_or_default();
            let _ = Parts::from_files(image, boot, library.into());
            let _ = elf::needed(library);
        }
    }
}
