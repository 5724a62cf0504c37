//! Looks at the bytes of a disk: their digest, where they are not zero, what the first sector is.
//!
//! Knows no image format. Invariant: memory does not grow with the disk; holes are not read.

use super::drawing::Cells;
use super::report::{BootSector, Content, Range};
use crate::engine::base::{Error, SectorSource, Silent, digest, is_zero};
use crate::units::SECTOR;

/// Runs that are listed; the rest is counted.
const MAX_RUNS: usize = 64;

/// Larger disks are not hashed: every zero of a hole costs time, about a second per GiB.
const MAX_HASHED: u64 = 64 << 30;

/// Bytes read at once.
const BATCH: u64 = 1 << 20;

/// Looks at all of `medium`.
pub(super) fn look(medium: &dyn SectorSource, width: usize) -> Result<Content, Error> {
    let digest = match medium.len() {
        0..=MAX_HASHED => Some(digest(medium, &Silent)?),
        _ => None,
    };
    let mut runs = Runs { cells: Cells::new(medium.len(), width), ..Runs::default() };
    let mut buffer = Vec::new();
    let mut at = 0;
    while let Some(extent) = medium.next_extent(at).filter(|e| e.start() < medium.len()) {
        // Whole sectors, as an extent may begin and end anywhere.
        let mut start = (extent.start() / SECTOR * SECTOR).max(at);
        let end = extent.end().checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
        let end = end.min(medium.len());
        while start < end {
            buffer.resize((end - start).min(BATCH) as usize, 0);
            medium.read_at(start, &mut buffer)?;
            runs.add(start, &buffer);
            start += buffer.len() as u64;
        }
        at = end;
    }
    let first = first_sectors(medium)?;
    let boot_signature = first.get(510..512) == Some(&[0x55, 0xaa]);
    Ok(Content {
        digest,
        boot_signature,
        boot_sector: boot_signature.then(|| boot_sector(&first)),
        data_bytes: runs.bytes,
        data: runs.listed,
        more: runs.more,
        cells: runs.cells.thousandths(),
    })
}

/// Runs of sectors that are not all zero.
#[derive(Default)]
struct Runs {
    bytes: u64,
    listed: Vec<Range>,
    more: u64,
    /// Where the last run ends.
    end: Option<u64>,
    cells: Cells,
}

impl Runs {
    /// Adds the sectors that begin at `at`, behind all before.
    fn add(&mut self, at: u64, bytes: &[u8]) {
        let mut at = at;
        for sector in bytes.chunks(SECTOR as usize) {
            let end = at + sector.len() as u64;
            if !is_zero(sector) {
                self.sector(at, end);
            }
            at = end;
        }
    }

    fn sector(&mut self, start: u64, end: u64) {
        self.bytes += end - start;
        self.cells.add(start, end - start);
        let grows = self.end == Some(start);
        self.end = Some(end);
        let room = self.listed.len() < MAX_RUNS;
        match self.listed.last_mut() {
            Some(last) if grows && self.more == 0 => last.end = end,
            _ if grows => {}
            _ if room => self.listed.push(Range { start, end }),
            _ => self.more += 1,
        }
    }
}

fn first_sectors(medium: &dyn SectorSource) -> Result<Vec<u8>, Error> {
    let mut first = vec![0; medium.len().min(2 * SECTOR) as usize];
    medium.read_at(0, &mut first)?;
    Ok(first)
}

/// What the first sector is, by its marks. `first` has the second one, too, if there is one.
fn boot_sector(first: &[u8]) -> BootSector {
    let at = |offset: usize, mark: &[u8]| {
        first.get(offset..).is_some_and(|bytes| bytes.starts_with(mark))
    };
    // Four entries of 16 bytes from byte 446 on: status, CHS, type, CHS, first sector, sectors.
    let entries: Vec<_> =
        first.get(446..510).unwrap_or_default().as_chunks::<16>().0.iter().collect();
    let used = |entry: &&[u8; 16]| entry[4] != 0 && entry[12..] != [0; 4];
    let table = entries.iter().all(|entry| entry[0] & 0x7f == 0)
        && entries.iter().any(used)
        && entries.iter().all(|entry| used(entry) || **entry == [0; 16]);
    if table && entries.iter().any(|entry| entry[4] == 0xee) && at(512, b"EFI PART") {
        BootSector::Gpt
    } else if at(3, b"NTFS    ") {
        BootSector::Ntfs
    } else if at(54, b"FAT12   ") || at(54, b"FAT16   ") || at(82, b"FAT32   ") {
        BootSector::Fat
    } else if table {
        BootSector::Mbr
    } else {
        BootSector::Program
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    fn sector(marks: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        for (at, mark) in marks {
            bytes[*at..][..mark.len()].copy_from_slice(mark);
        }
        bytes
    }

    #[test]
    fn first_sectors_are_told_apart() {
        let entry = |kind: u8| [0x80, 0, 0, 0, kind, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0];
        for (kind, marks) in [
            (BootSector::Program, &[][..]),
            (BootSector::Program, &[(440, &[0x5a; 60][..])]),
            (BootSector::Program, &[(446, &entry(0x83)), (462, &[0x41; 16])]),
            (BootSector::Mbr, &[(446, &entry(0x83))]),
            (BootSector::Mbr, &[(446, &entry(0xee))]),
            (BootSector::Gpt, &[(446, &entry(0xee)), (512, b"EFI PART")]),
            (BootSector::Fat, &[(82, b"FAT32   ")]),
            (BootSector::Fat, &[(54, b"FAT12   ")]),
            (BootSector::Ntfs, &[(3, b"NTFS    ")]),
        ] {
            assert_eq!(boot_sector(&sector(marks)), kind);
        }
    }

    #[test]
    fn runs_are_bounded_and_counted() {
        let mut bytes = vec![0; 3 << 20];
        for run in 0..100 {
            bytes[run * 4096 + 511] = 1;
            bytes[run * 4096 + 512] = 1;
        }
        let content = look(&ByteSource::new(bytes), 3).unwrap();
        assert_eq!(content.data.len(), MAX_RUNS);
        assert_eq!(content.more, 36);
        assert_eq!(content.data_bytes, 100 * 1024);
        assert_eq!(content.data[1], Range { start: 4096, end: 5120 });
        assert!(!content.boot_signature);
        assert_eq!(content.boot_sector, None);
        // 100 KiB of the first MiB: 97.7 thousandths.
        assert_eq!(content.cells, [98, 0, 0]);
    }

    #[test]
    fn short_and_empty_disks_are_fine() {
        for len in [0, 1, 511] {
            let content = look(&ByteSource::new(vec![1; len]), 3).unwrap();
            assert_eq!(content.data_bytes, len as u64);
            assert!(!content.boot_signature);
        }
    }
}
