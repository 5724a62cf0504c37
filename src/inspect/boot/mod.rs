//! How a disk or an ISO image boots: boot code, catalog, EFI programs, menus, kernels.
//!
//! Runs nothing, and follows no name out of an image. Invariants: what is damaged is told, not
//! failed for; what is read is bounded by the number of partitions, files and bytes looked at.

mod bytes;
mod catalog;
mod files;
mod found;
mod grub;
mod kernel;
mod menu;
mod pe;
mod record;
mod text;

use std::sync::Arc;

use crate::engine::archive::Part;
use crate::engine::base::SectorSource;
use crate::engine::base::tree::Limits;
use crate::engine::filesystem;
use crate::engine::view::{View, Volume};
use bytes::Bytes;
use files::Seen;
pub use found::{
    Answer, Boot, CatalogEntry, Code, Grub, Initrd, Kernel, Menu, Program, Record, Ways,
};

/// Filesystems that are looked into.
const VOLUMES: usize = 32;

/// Images of a boot catalog that are looked into beside them: all entries may name the same one.
const IMAGES: usize = 8;

/// Files of one of them, looked at or not: more are not read at all.
const NODES: usize = 1 << 20;

/// Looks at all of `medium`, whose filesystems are known.
pub(super) fn look(medium: &Arc<dyn SectorSource>, view: &View) -> Boot {
    let bytes = Bytes(medium.as_ref());
    let mut boot = Boot::default();
    let budget = grub::Budget::default();
    let mut seen = Vec::new();
    for volume in view.volumes.iter().take(VOLUMES) {
        let place = name(volume);
        let mut record = record::look(bytes, volume.start, &place, &budget);
        let kind = volume.filesystem.as_ref().map_or("", |facts| facts.kind);
        let files = match kind {
            "" | "swap" => Seen::default(),
            _ => walk(medium, volume.start, volume.end, &place, &mut boot),
        };
        if let Some(record) = &mut record {
            record.version.clone_from(&files.syslinux);
            // One program with one sector; on these filesystems people call it extlinux.
            if record.code == Code::Syslinux && !matches!(kind, "" | "vfat") {
                record.code = Code::Extlinux;
            }
        }
        boot.records.extend(record);
        seen.push((volume, kind, files));
    }
    boot.disk.bios = bios(bytes, &boot, view);
    for (_, _, files) in seen.iter().filter(|(_, kind, _)| *kind == "vfat") {
        boot.disk.uefi.extend(&files.uefi);
    }
    boot.catalog = catalog::look(bytes, &budget);
    if !boot.catalog.is_empty() {
        boot.cd = Some(cd(medium, &seen, &mut boot));
    }
    grub_version(&seen, &mut boot);
    for ways in [Some(&mut boot.disk), boot.cd.as_mut()].into_iter().flatten() {
        ways.uefi.sort_unstable();
        ways.uefi.dedup();
    }
    boot
}

fn name(volume: &Volume) -> String {
    volume.partition.map_or_else(|| "disk".to_owned(), |number| format!("partition {number}"))
}

/// What boots among the files from `start` to `end`.
fn walk(
    medium: &Arc<dyn SectorSource>,
    start: u64,
    end: u64,
    place: &str,
    boot: &mut Boot,
) -> Seen {
    let limits = Limits { nodes: NODES, ..Limits::default() };
    let part = Part::new(Arc::clone(medium), start, end.saturating_sub(start));
    let source = part.map(|part| Arc::new(part) as Arc<dyn SectorSource>);
    match source.and_then(|source| filesystem::read(&source, &limits)) {
        Ok(Some(tree)) => files::collect(&tree, place, boot),
        Ok(None) => Seen::default(),
        Err(error) => {
            boot.problems.push(format!("{place}: {error}"));
            Seen::default()
        }
    }
}

/// A core without the module that knows the version has it from the modules on the disk.
fn grub_version(seen: &[(&Volume, &str, Seen)], boot: &mut Boot) {
    let version =
        |which: usize| seen.iter().find_map(|(_, _, files)| files.grub.get(which)?.clone());
    let (bios, uefi) = (version(0), version(1));
    let records = boot.records.iter_mut().filter_map(|record| record.grub.as_mut());
    let entries = boot.catalog.iter_mut().filter_map(|entry| entry.grub.as_mut());
    for core in records.chain(entries).filter(|core| core.version.is_none()) {
        core.version.clone_from(&bios);
    }
    let programs = boot.programs.iter_mut().filter(|program| program.grub.is_some());
    for program in programs.filter(|program| program.version.is_none()) {
        program.version.clone_from(&uefi);
    }
}

/// Whether a BIOS finds a loader on the disk: its first sector, and what this starts.
fn bios(medium: Bytes<'_>, boot: &Boot, view: &View) -> Answer {
    let at = |place: &str| boot.records.iter().find(|record| record.place == place);
    let Some(first) = at("disk") else { return Answer::No };
    match first.code {
        Code::Vmimage => Answer::Yes,
        Code::Grub | Code::GrubHybrid => yes(first.grub.is_some()),
        Code::Syslinux | Code::Extlinux => yes(first.version.is_some()),
        Code::Isohybrid => {
            // isohdpfx.bin: the place of isolinux.bin in sectors of 512 bytes, behind the code.
            let start = medium.u32(432).map(|sector| u64::from(sector) * 512);
            let head = start.map(|start| medium.some(start, 64 << 10)).unwrap_or_default();
            yes(record::banner(&head, b"ISOLINUX ").is_some())
        }
        Code::SyslinuxMbr | Code::SyslinuxGptMbr | Code::Dos => {
            let partitions = view.table.iter().flat_map(|table| &table.partitions);
            let active: Vec<_> = partitions.filter(|one| one.bootable).collect();
            let [only] = active.as_slice() else { return Answer::No };
            match at(&format!("partition {}", only.number)) {
                None => Answer::No,
                Some(record) => match record.code {
                    Code::Syslinux | Code::Extlinux => yes(record.version.is_some()),
                    Code::NotBootable => Answer::No,
                    _ => Answer::Unknown,
                },
            }
        }
        Code::NotBootable => Answer::No,
        Code::SyslinuxAltMbr | Code::Unknown => Answer::Unknown,
    }
}

const fn yes(whether: bool) -> Answer {
    if whether { Answer::Yes } else { Answer::No }
}

/// What firmware finds on a CD. An EFI image that is a partition, too, was looked at before.
fn cd(medium: &Arc<dyn SectorSource>, seen: &[(&Volume, &str, Seen)], boot: &mut Boot) -> Ways {
    let (mut ways, mut left) = (Ways::default(), IMAGES);
    for (number, entry) in (1..).zip(boot.catalog.clone()).filter(|(_, entry)| entry.bootable) {
        if entry.platform == catalog::BIOS {
            let found = match (entry.loader, &entry.grub) {
                (Some("GRUB"), None) => Answer::No,
                (Some(_), _) => Answer::Yes,
                (None, _) => Answer::Unknown,
            };
            // One entry that starts is enough.
            ways.bios = if ways.bios == Answer::Yes { Answer::Yes } else { found };
        } else if entry.platform == catalog::UEFI {
            let known = seen
                .iter()
                .find(|(volume, kind, _)| volume.start == entry.start && *kind == "vfat");
            match known {
                Some((_, _, files)) => ways.uefi.extend(&files.uefi),
                None if left == 0 => {
                    let message =
                        format!("El Torito {number}: only {IMAGES} images are looked into");
                    boot.problems.push(message);
                }
                None => {
                    left -= 1;
                    let place = format!("El Torito {number}");
                    let files = walk(medium, entry.start, medium.len(), &place, boot);
                    ways.uefi.extend(files.uefi);
                }
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;
    use crate::engine::view;

    /// 62 entries for one image of a million files would take minutes.
    #[test]
    fn only_some_images_of_a_catalog_are_looked_into() {
        let mut disc = vec![0; 32 << 11];
        let mut put = |at: usize, bytes: &[u8]| disc[at..at + bytes.len()].copy_from_slice(bytes);
        put(17 << 11, b"\0CD001\x01EL TORITO SPECIFICATION\0");
        put((17 << 11) + 0x47, &[20]);
        // Validation for UEFI, one entry, and a section with nine more, all for sector 30.
        put(20 << 11, &[1, 0xef]);
        put((20 << 11) + 30, &[0x55, 0xaa]);
        put((20 << 11) + 64, &[0x91, 0xef, 9]);
        for row in (1..12).filter(|row| *row != 2) {
            put((20 << 11) + 32 * row, &[0x88, 0, 0, 0, 0, 0, 0, 0, 30]);
        }
        let medium: Arc<dyn SectorSource> = Arc::new(ByteSource::new(disc));
        let boot = look(&medium, &view::look(&medium).unwrap());
        assert_eq!(boot.catalog.len(), 10);
        let told = |number| format!("El Torito {number}: only 8 images are looked into");
        assert_eq!(boot.problems, [told(9), told(10)]);
    }
}
