//! Reads the partition table of UEFI.
//!
//! Sectors have 512 or 4096 bytes, whichever the header's place tells. Invariant: a table whose checksums are wrong is shown with what is
//! wrong, never silently; at most 1 MiB of entries is read.

use zerocopy::{FromBytes as _, IntoBytes as _};

use super::ondisk::{GPT_SIGNATURE, GptEntry, GptHeader, MAX_ENTRIES_BYTES};
use super::{Kind, Partition, Table};
use crate::engine::base::{Error, SectorSource};

/// Bytes of a sector that disks have.
const SIZES: [u64; 2] = [512, 4096];

/// Partitions whose problems are told.
const MAX_PROBLEMS: usize = 16;

/// Bits of `attributes`.
const LEGACY_BOOT: u64 = 1 << 2;

/// A header with its entries, as they were read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) header: GptHeader,
    pub(super) entries: Vec<u8>,
    pub(super) problems: Vec<String>,
    /// Bytes of a sector.
    pub(super) size: u64,
}

impl Found {
    /// The entries that are in use, with their numbers.
    pub(super) fn used(&self) -> impl Iterator<Item = (u32, GptEntry)> + '_ {
        let size = self.header.entry_size.get() as usize;
        let entries = self.entries.chunks(size.max(1));
        (1..).zip(entries).filter_map(|(number, bytes)| {
            let (entry, _) = GptEntry::read_from_prefix(bytes).ok()?;
            (entry.kind != [0; 16]).then_some((number, entry))
        })
    }
}

impl GptHeader {
    /// The CRC of the header; the fields beyond those known here are not covered.
    pub(super) fn computed_crc(&self) -> u32 {
        let mut header = *self;
        header.crc = 0.into();
        crc32fast::hash(header.as_bytes())
    }
}

/// The first header of `medium`, and with it the size of its sectors.
pub(super) fn first(medium: &dyn SectorSource) -> Result<Option<Found>, Error> {
    for size in SIZES {
        if let Some(found) = at(medium, 1, size)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The header at this sector of `unit` bytes with its entries, if there is one.
pub(super) fn at(
    medium: &dyn SectorSource,
    sector: u64,
    unit: u64,
) -> Result<Option<Found>, Error> {
    let fits =
        |offset: u64, len: u64| offset.checked_add(len).is_some_and(|end| end <= medium.len());
    let Some(offset) = sector.checked_mul(unit).filter(|at| fits(*at, unit)) else {
        return Ok(None);
    };
    let mut bytes = [0; size_of::<GptHeader>()];
    medium.read_at(offset, &mut bytes)?;
    let Ok(header) = GptHeader::read_from_bytes(&bytes) else { return Ok(None) };
    if header.signature != *GPT_SIGNATURE {
        return Ok(None);
    }
    let mut problems = Vec::new();
    if header.header_size.get() != 92 {
        problems.push(format!(
            "the header at sector {sector} has {} bytes, not 92",
            header.header_size
        ));
    } else if header.computed_crc() != header.crc.get() {
        problems.push(format!(
            "the header at sector {sector} has the checksum {:08x}, not {:08x}",
            header.crc.get(),
            header.computed_crc()
        ));
    }
    if header.own.get() != sector {
        problems.push(format!("the header at sector {sector} says that it lies at {}", header.own));
    }
    let size = u64::from(header.count.get()) * u64::from(header.entry_size.get());
    let start = header.entries.get().checked_mul(unit).filter(|at| fits(*at, size));
    let entry_size = header.entry_size.get();
    let mut entries = Vec::new();
    match start {
        Some(start)
            if size <= MAX_ENTRIES_BYTES && entry_size >= 128 && entry_size.is_power_of_two() =>
        {
            entries.resize(size as usize, 0);
            medium.read_at(start, &mut entries)?;
            let crc = crc32fast::hash(&entries);
            if crc != header.entries_crc.get() {
                problems.push(format!(
                    "the entries of the header at sector {sector} have the checksum {crc:08x}, \
                     not {:08x}",
                    header.entries_crc.get()
                ));
            }
        }
        _ => problems.push(format!(
            "the header at sector {sector} has {} entries of {entry_size} bytes at sector {}: \
             they are not read",
            header.count, header.entries
        )),
    }
    Ok(Some(Found { header, entries, problems, size: unit }))
}

/// The table, if there is one: the first header, or the last sector's if the first is lost.
pub(super) fn read(medium: &dyn SectorSource) -> Result<Option<Table>, Error> {
    for size in SIZES {
        if let Some(table) = read_sectors(medium, size)? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

fn read_sectors(medium: &dyn SectorSource, size: u64) -> Result<Option<Table>, Error> {
    let last = (medium.len() / size).saturating_sub(1);
    let (primary, backup) = (at(medium, 1, size)?, at(medium, last, size)?);
    let (found, mut problems) = match (primary, backup) {
        (Some(primary), backup) => {
            let lost = match backup {
                _ if primary.header.alternate.get() != last => Some(format!(
                    "the backup should lie at sector {}, not at the disk's last sector {last}",
                    primary.header.alternate
                )),
                None => Some(format!("there is no backup at sector {last}")),
                Some(backup) => backup.problems.into_iter().next(),
            };
            (primary, lost.into_iter().collect::<Vec<_>>())
        }
        (None, Some(backup)) => (backup, vec!["only the backup is there".to_owned()]),
        (None, None) => return Ok(None),
    };
    problems.splice(0..0, found.problems.iter().cloned());
    let partitions = found.used().map(|(number, entry)| partition(number, &entry, size)).collect();
    let last_usable = found.header.last_usable.get();
    let outside =
        |entry: &GptEntry| entry.last.get() > last_usable || entry.first.get() > entry.last.get();
    let wrong = found.used().filter(|(_, entry)| outside(entry)).take(MAX_PROBLEMS);
    problems.extend(wrong.map(|(number, entry)| {
        format!(
            "partition {number} has the sectors {} to {}; the last usable one is {last_usable}",
            entry.first, entry.last
        )
    }));
    let id = guid(&found.header.disk);
    Ok(Some(Table { kind: Kind::Gpt, id, sector_size: size, partitions, problems }))
}

fn partition(number: u32, entry: &GptEntry, size: u64) -> Partition {
    let units = entry.name.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let name: String = char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    let kind = guid(&entry.kind);
    Partition {
        number,
        purpose: purpose(&kind),
        kind,
        id: guid(&entry.id),
        name,
        start: entry.first.get().saturating_mul(size),
        end: entry.last.get().saturating_add(1).saturating_mul(size),
        bootable: entry.attributes.get() & LEGACY_BOOT != 0,
    }
}

/// A GUID as text: the first three fields are little-endian (UEFI Specification 2.10, appendix A).
fn guid(bytes: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes_le(*bytes).to_string()
}

/// The common types (UEFI Specification 2.10, table 5.7; the Discoverable Partitions Specification).
fn purpose(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" => "EFI system",
        "21686148-6449-6e6f-744e-656564454649" => "BIOS boot",
        "0fc63daf-8483-4772-8e79-3d69d8477de4" => "Linux",
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" => "Linux root (x86-64)",
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" => "Linux swap",
        "e6d6d379-f507-44c2-a23c-238f2a3df928" => "Linux LVM",
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" => "Microsoft basic data",
        "e3c9e316-0b5c-4db8-817d-f92df00215ae" => "Microsoft reserved",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{read, resized};
    use super::*;
    use crate::engine::base::ByteSource;

    /// A disk of 100 sectors with one partition; `change` gets the first header and its entries
    /// before the checksums are computed.
    fn disk(change: impl Fn(&mut GptHeader, &mut [u8])) -> Vec<u8> {
        let mut disk = vec![0; 100 * 512];
        let mut entries = vec![0; 4 * 128];
        entries[..16].fill(7);
        entries[32] = 10;
        entries[40] = 20;
        entries[56] = b'a';
        let mut header = GptHeader::read_from_bytes(&[0; 92]).unwrap();
        header.signature = *GPT_SIGNATURE;
        header.header_size = 92.into();
        header.own = 1.into();
        header.alternate = 99.into();
        header.first_usable = 3.into();
        header.last_usable = 97.into();
        header.entries = 2.into();
        header.count = 4.into();
        header.entry_size = 128.into();
        change(&mut header, &mut entries);
        header.entries_crc = crc32fast::hash(&entries).into();
        header.crc = header.computed_crc().into();
        disk[1024..1536].copy_from_slice(&entries);
        disk[512..604].copy_from_slice(header.as_bytes());
        let mut backup = header;
        (backup.own, backup.alternate, backup.entries) = (99.into(), 1.into(), 98.into());
        backup.crc = backup.computed_crc().into();
        disk[98 * 512..][..512].copy_from_slice(&entries);
        disk[99 * 512..][..92].copy_from_slice(backup.as_bytes());
        disk
    }

    fn table(disk: Vec<u8>) -> Table {
        read(&ByteSource::new(disk)).unwrap().unwrap()
    }

    #[test]
    fn a_sound_table_has_no_problems() {
        let table = table(disk(|_, _| ()));
        assert_eq!(table.problems, [""; 0]);
        let [one] = table.partitions.as_slice() else { panic!("{table:?}") };
        assert_eq!((one.number, one.start, one.end), (1, 5120, 21 * 512));
        assert_eq!((one.name.as_str(), one.bootable), ("a", false));
    }

    /// The same disk with sectors of 4096 bytes.
    fn large() -> Vec<u8> {
        let small = disk(|_, _| ());
        let mut large = vec![0; 100 * 4096];
        for (at, sector) in small.chunks(512).enumerate() {
            large[at * 4096..][..512].copy_from_slice(sector);
        }
        large
    }

    #[test]
    fn sectors_of_4096_bytes_are_seen_by_the_headers_place() {
        let found = table(large());
        assert_eq!((found.sector_size, found.problems.as_slice()), (4096, &[][..]));
        assert_eq!((found.partitions[0].start, found.partitions[0].end), (10 * 4096, 21 * 4096));
        let moved = resized(&ByteSource::new(large()), 200 * 4096).unwrap().unwrap();
        let mut longer = large();
        longer.resize(200 * 4096, 0);
        for patch in moved.erased.iter().chain(&moved.written) {
            longer[patch.offset as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        assert_eq!(table(longer).problems, [""; 0]);
        assert!(resized(&ByteSource::new(large()), 200 * 4096 + 512).is_err());
    }

    #[test]
    fn lies_are_told_and_stop_a_move() {
        for (change, says) in [
            (
                Box::new(|h: &mut GptHeader, _: &mut [u8]| h.count = u32::MAX.into())
                    as Box<dyn Fn(&mut GptHeader, &mut [u8])>,
                "has 4294967295 entries of 128 bytes",
            ),
            (Box::new(|h, _| h.entry_size = 0.into()), "entries of 0 bytes"),
            (Box::new(|h, _| h.entries = u64::MAX.into()), "at sector 18446744073709551615"),
            (Box::new(|h, _| h.own = 7.into()), "says that it lies at 7"),
            (Box::new(|h, _| h.header_size = 512.into()), "has 512 bytes, not 92"),
        ] {
            let disk = disk(change);
            let found = table(disk.clone());
            assert!(found.problems.iter().any(|p| p.contains(says)), "{says}: {found:?}");
            let error = resized(&ByteSource::new(disk), 200 * 512).unwrap_err().to_string();
            assert!(
                error.starts_with("the GPT cannot be moved: ") && error.contains(says),
                "{error}"
            );
        }
        for (at, says) in
            [(600, "header at sector 1 has the checksum"), (1100, "entries of the header")]
        {
            let mut disk = disk(|_, _| ());
            disk[at] ^= 1;
            assert!(table(disk.clone()).problems[0].contains(says), "{at}");
            assert!(resized(&ByteSource::new(disk), 200 * 512).is_err());
        }
    }

    #[test]
    fn a_lost_header_and_a_lost_backup_are_told() {
        let mut lost = disk(|_, _| ());
        lost[512] = 0;
        assert_eq!(table(lost).problems, ["only the backup is there"]);
        let mut lost = disk(|_, _| ());
        lost[99 * 512] = 0;
        assert_eq!(table(lost).problems, ["there is no backup at sector 99"]);
        let mut longer = disk(|_, _| ());
        longer.resize(200 * 512, 0);
        let problems = table(longer).problems;
        assert_eq!(
            problems,
            ["the backup should lie at sector 99, not at the disk's last sector 199"]
        );
    }

    #[test]
    fn partitions_are_never_cut_off_or_erased() {
        let disk = disk(|_, entries| entries[40] = 97);
        let error = resized(&ByteSource::new(disk.clone()), 99 * 512).unwrap_err().to_string();
        assert!(error.contains("partition 1 ends at sector 97"), "{error}");
        for len in [0, 512, 3 * 512, 99 * 512 + 1] {
            assert!(resized(&ByteSource::new(disk.clone()), len).is_err(), "{len}");
        }
        // The entries of the backup lie where a partition lies: they are not erased.
        let mut lying = disk;
        let mut backup = GptHeader::read_from_bytes(&lying[99 * 512..][..92]).unwrap();
        backup.entries = 2.into();
        backup.crc = backup.computed_crc().into();
        lying[99 * 512..][..92].copy_from_slice(backup.as_bytes());
        let moved = resized(&ByteSource::new(lying), 200 * 512).unwrap().unwrap();
        let erased: Vec<_> = moved.erased.iter().map(|p| (p.offset, p.bytes.len())).collect();
        assert_eq!(erased, [(99 * 512, 512)]);
    }
}
