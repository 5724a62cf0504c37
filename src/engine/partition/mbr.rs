//! Reads the partition table of IBM PCs, logical partitions included.
//!
//! Does not read a protective table as one of partitions. Invariant: at most `MAX_LOGICAL` extended
//! records are read, whatever they point to.

use zerocopy::FromBytes as _;

use super::ondisk::{MBR_SIGNATURE, Mbr, MbrEntry, PROTECTIVE};
use super::{Kind, Partition, Table};
use crate::engine::base::{Error, SectorSource};
use crate::units::SECTOR;

/// Logical partitions that are followed: more than Linux can number.
const MAX_LOGICAL: u32 = 128;

/// Types of extended partitions: CHS, LBA, Linux.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// Reads the master boot record at this sector, if it has the signature.
pub(super) fn record(medium: &dyn SectorSource, sector: u64) -> Result<Option<Mbr>, Error> {
    let Some(offset) =
        sector.checked_mul(SECTOR).filter(|at| *at <= medium.len().saturating_sub(SECTOR))
    else {
        return Ok(None);
    };
    if medium.len() < SECTOR {
        return Ok(None);
    }
    let mut bytes = [0; SECTOR as usize];
    medium.read_at(offset, &mut bytes)?;
    Ok(Mbr::read_from_bytes(&bytes).ok().filter(|mbr| mbr.signature == MBR_SIGNATURE))
}

impl MbrEntry {
    fn used(&self) -> bool {
        self.kind != 0 && self.sectors.get() != 0
    }

    fn empty(&self) -> bool {
        self.kind == 0 && self.first.get() == 0 && self.sectors.get() == 0
    }
}

/// Whether the entries of a first sector look like a table: what a boot program holds there does not.
fn is_table(mbr: &Mbr) -> bool {
    let well_formed =
        |entry: &MbrEntry| entry.status & 0x7f == 0 && (entry.used() || entry.empty());
    mbr.entries.iter().all(well_formed) && mbr.entries.iter().any(MbrEntry::used)
}

/// The table, if there is one.
pub(super) fn read(medium: &dyn SectorSource) -> Result<Option<Table>, Error> {
    let Some(mbr) = record(medium, 0)?.filter(is_table) else { return Ok(None) };
    let mut table = Table {
        kind: Kind::Mbr,
        id: format!("{:08x}", mbr.id.get()),
        sector_size: SECTOR,
        partitions: Vec::new(),
        problems: Vec::new(),
    };
    for (number, entry) in (1..).zip(&mbr.entries).filter(|(_, entry)| entry.used()) {
        add(&mut table, medium.len(), number, 0, entry);
    }
    let extended = mbr.entries.iter().find(|entry| EXTENDED.contains(&entry.kind));
    if let Some(extended) = extended {
        logical(&mut table, medium, u64::from(extended.first.get()))?;
    }
    Ok(Some(table))
}

/// Follows the chain of extended records that begins at sector `base`.
fn logical(table: &mut Table, medium: &dyn SectorSource, base: u64) -> Result<(), Error> {
    let mut at = base;
    for number in 5..5 + MAX_LOGICAL {
        let Some(mbr) = record(medium, at)? else {
            table.problems.push(format!("sector {at} is no extended boot record"));
            return Ok(());
        };
        let [entry, next, ..] = &mbr.entries;
        if entry.used() {
            add(table, medium.len(), number, at, entry);
        }
        if !next.used() {
            return Ok(());
        }
        let to = base + u64::from(next.first.get());
        if to <= at {
            table.problems.push(format!("the extended record at sector {at} points back to {to}"));
            return Ok(());
        }
        at = to;
    }
    table.problems.push(format!("more than {MAX_LOGICAL} logical partitions"));
    Ok(())
}

/// Adds the partition of `entry`, whose first sector counts from `base`.
fn add(table: &mut Table, len: u64, number: u32, base: u64, entry: &MbrEntry) {
    let start = (base + u64::from(entry.first.get())) * SECTOR;
    let end = start + u64::from(entry.sectors.get()) * SECTOR;
    if end > len && entry.kind != PROTECTIVE {
        table.problems.push(format!("partition {number} ends at {end}, behind the disk"));
    }
    table.partitions.push(Partition {
        number,
        kind: format!("{:02x}", entry.kind),
        purpose: purpose(entry.kind),
        // As Linux makes a PARTUUID of it.
        id: format!("{}-{number:02x}", table.id),
        name: String::new(),
        start,
        end,
        bootable: entry.status == 0x80,
    });
}

/// The common types.
const fn purpose(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x01 | 0x04 | 0x06 | 0x0e => "FAT",
        0x05 | 0x0f | 0x85 => "extended",
        0x07 => "NTFS or exFAT",
        0x0b | 0x0c => "FAT32",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x8e => "Linux LVM",
        0xa5 => "FreeBSD",
        0xa6 => "OpenBSD",
        0xa9 => "NetBSD",
        0xee => "GPT protective",
        0xef => "EFI system",
        0xfd => "Linux RAID",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    fn entry(kind: u8, first: u32, sectors: u32) -> [u8; 16] {
        let mut entry = [0; 16];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
        entry
    }

    fn put(disk: &mut [u8], sector: usize, entries: &[[u8; 16]]) {
        let sector = &mut disk[sector * 512..][..512];
        for (at, entry) in entries.iter().enumerate() {
            sector[446 + at * 16..][..16].copy_from_slice(entry);
        }
        sector[510..].copy_from_slice(&MBR_SIGNATURE);
    }

    fn table(disk: Vec<u8>) -> Option<Table> {
        read(&ByteSource::new(disk)).unwrap()
    }

    #[test]
    fn logical_partitions_are_followed_to_their_end() {
        let mut disk = vec![0; 100 * 512];
        put(&mut disk, 0, &[entry(0x83, 1, 9), entry(0x0f, 10, 90)]);
        put(&mut disk, 10, &[entry(0x83, 1, 9), entry(0x05, 20, 10)]);
        put(&mut disk, 30, &[entry(0x82, 2, 8)]);
        let table = table(disk).unwrap();
        let seen: Vec<_> =
            table.partitions.iter().map(|p| (p.number, p.start / 512, p.end / 512)).collect();
        assert_eq!(seen, [(1, 1, 10), (2, 10, 100), (5, 11, 20), (6, 32, 40)]);
        assert!(table.problems.is_empty(), "{:?}", table.problems);
    }

    #[test]
    fn loops_and_lies_end() {
        let mut disk = vec![0; 100 * 512];
        put(&mut disk, 0, &[entry(0x05, 10, 90), entry(0x83, 50, 1000)]);
        put(&mut disk, 10, &[entry(0x83, 1, 9), entry(0x05, 0, 10)]);
        let found = table(disk.clone()).unwrap();
        assert!(found.problems[0].contains("partition 2 ends at 537600"), "{:?}", found.problems);
        assert!(found.problems[1].contains("points back to 10"), "{:?}", found.problems);
        put(&mut disk, 10, &[entry(0x83, 1, 9), entry(0x05, u32::MAX, 10)]);
        let found = table(disk).unwrap();
        assert!(found.problems[1].contains("no extended boot record"), "{:?}", found.problems);
    }

    #[test]
    fn programs_are_no_tables() {
        let mut disk = vec![0; 512];
        put(&mut disk, 0, &[]);
        assert_eq!(table(disk.clone()), None);
        disk[440..510].fill(0x5a);
        assert_eq!(table(disk), None);
        assert_eq!(table(vec![]), None);
    }
}
