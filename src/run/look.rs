//! How a disk can be started, as far as its bytes tell.
//!
//! Reads a few sectors and directories, follows nothing. Invariant: whatever a disk holds, looking ends
//! after a bounded number of reads, and what cannot be read is no way to start.

use std::sync::Arc;

use super::machine::Architecture;
use crate::engine::base::SectorSource;
use crate::engine::base::tree::{Limits, TreePath};
use crate::engine::view::{self, Choice, View};

/// How a disk can be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// A BIOS finds code in its first sector; for a CD: a boot entry for PCs.
    pub bios: bool,
    /// Architectures for which UEFI finds a program in `/EFI/BOOT`, or a script that starts one.
    pub uefi: Vec<Architecture>,
    /// There is a place that UEFI looks at, whatever it holds: an EFI system partition, or for a CD a
    /// boot entry for UEFI.
    pub uefi_place: bool,
    /// Whether the disk is an ISO image.
    pub iso: bool,
    /// Bytes of a sector, by the partition table; 0: there is none that says.
    pub sector_size: u64,
}

impl Ways {
    /// Whether UEFI finds something, or would look.
    #[must_use]
    pub const fn is_for_uefi(&self) -> bool {
        !self.uefi.is_empty() || self.uefi_place
    }
}

/// Types of EFI system partitions in a GPT and in a master boot record (UEFI 2.10, 5.3.3 and 5.2.2).
const ESP: [&str; 2] = ["c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "ef"];

/// UEFI 2.10, 3.5.1.1: the program on removable media.
const PROGRAMS: [(&str, Architecture); 3] = [
    ("/EFI/BOOT/BOOTX64.EFI", Architecture::Amd64),
    ("/EFI/BOOT/BOOTIA32.EFI", Architecture::I386),
    ("/EFI/BOOT/BOOTAA64.EFI", Architecture::Arm64),
];

/// Code in a master boot record ends where the disk's id begins.
const CODE: usize = 440;

/// ISO 9660: sectors, the boot record's (El Torito 1.0, 2.0), and where it names the catalog.
const ISO_SECTOR: u64 = 2048;
const ISO_DESCRIPTORS: u64 = 16;
const BOOT_RECORD: u64 = 17;
const CATALOG_AT: usize = 0x47;

/// Entries of a boot catalog that are looked at: one sector.
const ENTRY: usize = 32;

/// How this disk can be started; for a CD by its boot catalog.
#[must_use]
pub fn ways(disk: &Arc<dyn SectorSource>, cd: bool) -> Ways {
    let iso = bytes(&**disk, ISO_DESCRIPTORS * ISO_SECTOR + 1, 5).as_deref() == Some(b"CD001");
    let view = view::look(disk).ok();
    let table = view.as_ref().and_then(|view| view.table.as_ref());
    let mut ways = Ways {
        iso,
        sector_size: table.map_or(0, |table| table.sector_size),
        uefi: programs(disk, view.as_ref()),
        ..Ways::default()
    };
    match cd {
        true => (ways.bios, ways.uefi_place) = catalog(&**disk).unwrap_or_default(),
        false => {
            ways.bios = has_code(&**disk);
            let mut kinds = table.iter().flat_map(|table| &table.partitions).map(|one| &one.kind);
            ways.uefi_place =
                kinds.any(|kind| ESP.iter().any(|esp| kind.eq_ignore_ascii_case(esp)));
        }
    }
    ways
}

fn bytes(disk: &dyn SectorSource, at: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let end = at.checked_add(len as u64)?;
    (end <= disk.len()).then(|| disk.read_at(at, &mut bytes).ok()).flatten()?;
    Some(bytes)
}

/// Whether a BIOS would jump into the first sector and find something there.
fn has_code(disk: &dyn SectorSource) -> bool {
    let Some(sector) = bytes(disk, 0, 512) else { return false };
    let code = sector.get(..CODE).unwrap_or_default();
    sector.ends_with(&[0x55, 0xaa]) && code.iter().any(|byte| *byte != 0)
}

/// Programs for UEFI on the disk itself and on all its partitions.
fn programs(disk: &Arc<dyn SectorSource>, view: Option<&View>) -> Vec<Architecture> {
    let mut found = Vec::new();
    for volume in view.iter().flat_map(|view| &view.volumes) {
        // UEFI reads FAT, and the ISO that a CD is.
        let kind = volume.filesystem.as_ref().map_or("", |facts| facts.kind);
        if !["vfat", "iso9660"].contains(&kind) {
            continue;
        }
        let choice = volume.partition.map_or(Choice::Only, Choice::Number);
        let Ok((_, tree)) = view::tree(disk, &choice, &Limits::default()) else { continue };
        for (path, architecture) in PROGRAMS {
            let is_there =
                TreePath::new(path.as_bytes()).is_ok_and(|path| tree.find(&path).is_some());
            if is_there && !found.contains(&architecture) {
                found.push(architecture);
            }
        }
    }
    found
}

/// Whether the boot catalog has entries for PCs and for UEFI (El Torito 1.0, 2.1 to 2.3; UEFI 2.10,
/// 13.3.2.1: platform 0xEF).
fn catalog(disk: &dyn SectorSource) -> Option<(bool, bool)> {
    let record = bytes(disk, BOOT_RECORD * ISO_SECTOR, 2048)?;
    let id = b"\0CD001\x01EL TORITO SPECIFICATION";
    record.starts_with(id).then_some(())?;
    let place = record.get(CATALOG_AT..CATALOG_AT + 4)?.try_into().ok()?;
    let catalog = bytes(disk, u64::from(u32::from_le_bytes(place)) * ISO_SECTOR, 2048)?;
    let mut platform = 0;
    let (mut bios, mut uefi) = (false, false);
    for entry in catalog.chunks(ENTRY) {
        match entry {
            // A validation entry, and the headers of sections, say for whom the next ones are.
            [0x01 | 0x90 | 0x91, for_whom, ..] => platform = *for_whom,
            [0x88, ..] if platform == 0xef => uefi = true,
            [0x88, ..] => bios |= platform == 0,
            _ => {}
        }
    }
    Some((bios, uefi))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    fn of(bytes: &[u8], cd: bool) -> Ways {
        let disk: Arc<dyn SectorSource> = Arc::new(ByteSource::new(bytes));
        ways(&disk, cd)
    }

    #[test]
    fn a_first_sector_has_code_or_not() {
        assert_eq!(of(&[], false), Ways::default());
        let mut sector = vec![0; 512];
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        assert!(!of(&sector, false).bios, "no code");
        sector[450] = 0x83;
        assert!(!of(&sector, false).bios, "a table is no code");
        sector[0] = 0xeb;
        assert!(of(&sector, false).bios);
        sector[511] = 0;
        assert!(!of(&sector, false).bios, "no signature");
    }

    #[test]
    fn a_catalog_names_its_platforms() {
        let mut iso = vec![0; 24 * 2048];
        iso[16 * 2048..][..6].copy_from_slice(b"\x01CD001");
        assert_eq!(of(&iso, true), Ways { iso: true, ..Ways::default() });
        iso[17 * 2048..][..30].copy_from_slice(b"\0CD001\x01EL TORITO SPECIFICATION");
        iso[17 * 2048 + 0x47] = 20;
        iso[20 * 2048] = 1;
        iso[20 * 2048 + 32] = 0x88;
        let found = of(&iso, true);
        assert!(found.bios && !found.uefi_place);
        iso[20 * 2048 + 64..][..2].copy_from_slice(&[0x91, 0xef]);
        iso[20 * 2048 + 96] = 0x88;
        let found = of(&iso, true);
        assert!(found.bios && found.uefi_place);
        iso[20 * 2048 + 32] = 0;
        let found = of(&iso, true);
        assert!(!found.bios && found.uefi_place);
    }
}
