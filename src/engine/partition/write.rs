//! The bytes of partition tables.
//!
//! Places nothing. Invariant: boot code is never touched: the first 440 bytes of the disk belong to
//! boot loaders.

use uuid::Uuid;
use zerocopy::IntoBytes as _;

use super::arrange::{GPT_ENTRIES, GPT_TABLE, Place};
use super::ondisk::{GPT_SIGNATURE, GptEntry, GptHeader, MBR_SIGNATURE, Mbr, MbrEntry, PROTECTIVE};
use crate::engine::base::{Error, Kind, Patch};

/// Where the boot code of a master boot record ends.
const CODE: usize = 440;

/// A partition of a master boot record.
#[derive(Clone, Debug)]
pub struct MbrSlot {
    /// Where it lies.
    pub place: Place,
    /// Its type.
    pub kind: u8,
    /// Whether it is the active one.
    pub active: bool,
}

/// A partition of a GPT.
#[derive(Clone, Debug)]
pub struct GptSlot {
    /// Where it lies.
    pub place: Place,
    /// Its type.
    pub kind: Uuid,
    /// Its own id: what `PARTUUID=` names.
    pub id: Uuid,
    /// At most 36 UTF-16 units.
    pub name: String,
    /// Bit 2: a BIOS boots it; bit 59 (FreeBSD): the same for its loader; see the type for others.
    pub attributes: u64,
}

/// A master boot record that shows some partitions of a GPT.
#[derive(Clone, Debug)]
pub struct Hybrid {
    /// At most 3.
    pub slots: Vec<MbrSlot>,
    /// The disk's signature.
    pub signature: u32,
}

/// The records of a disk with sectors of `sector` bytes.
pub fn mbr(slots: &[MbrSlot], signature: u32, sector: u64) -> Result<Vec<Patch>, Error> {
    let (primary, logical): (Vec<_>, Vec<_>) =
        slots.iter().partition(|slot| slot.place.record.is_none());
    let mut entries = [EMPTY; 4];
    for slot in &primary {
        let index = slot.place.number.checked_sub(1).map(|index| index as usize);
        let entry = index.and_then(|index| entries.get_mut(index));
        let entry = entry.ok_or_else(|| too_many(slot.place.number))?;
        let extent = slot.place.extent;
        *entry = mbr_entry(slot.kind, slot.active, 0, extent.start(), extent.len(), sector)?;
    }
    let mut patches = Vec::new();
    let records: Vec<u64> = logical.iter().filter_map(|slot| slot.place.record).collect();
    if let (Some(first), Some(last)) = (records.first(), logical.last()) {
        let extended = entries.last_mut().ok_or_else(|| too_many(4))?;
        let len = last.place.extent.end() - first;
        *extended = mbr_entry(EXTENDED, false, 0, *first, len, sector)?;
        for (index, slot) in logical.iter().enumerate() {
            let next = logical.get(index + 1).map(|slot| &slot.place);
            patches.push(extended_record(slot, next, *first, sector)?);
        }
    }
    patches.insert(0, record(entries, signature));
    Ok(patches)
}

/// A record without code, from the signature on.
fn record(entries: [MbrEntry; 4], signature: u32) -> Patch {
    let mbr = Mbr {
        code: [0; 440],
        id: signature.into(),
        unknown: [0; 2],
        entries,
        signature: MBR_SIGNATURE,
    };
    let bytes = mbr.as_bytes().get(CODE..).unwrap_or_default().to_vec();
    Patch { offset: CODE as u64, bytes }
}

/// The record before a logical partition: itself, counted from the record, and the next record,
/// counted from the first (a linked list, as every reader since DOS 3.3 follows it).
fn extended_record(
    slot: &MbrSlot,
    next: Option<&Place>,
    first: u64,
    sector: u64,
) -> Result<Patch, Error> {
    let at = slot.place.record.unwrap_or(first);
    let extent = slot.place.extent;
    let mut entries = [EMPTY; 4];
    let [own, link, ..] = &mut entries;
    *own = mbr_entry(slot.kind, slot.active, at, extent.start(), extent.len(), sector)?;
    if let Some(Place { extent, record: Some(record), .. }) = next {
        *link = mbr_entry(LINK, false, first, *record, extent.end() - record, sector)?;
    }
    let Patch { offset, bytes } = record(entries, 0);
    Ok(Patch { offset: at + offset, bytes })
}

/// Type of the extended partition: addressed by LBA.
const EXTENDED: u8 = 0x0f;
/// Type of the link to the next record.
const LINK: u8 = 0x05;

const EMPTY: MbrEntry = MbrEntry {
    status: 0,
    first_chs: [0; 3],
    kind: 0,
    last_chs: [0; 3],
    first: zerocopy::little_endian::U32::ZERO,
    sectors: zerocopy::little_endian::U32::ZERO,
};

/// An entry for `len` bytes at `start`, counted from `base`.
fn mbr_entry(
    kind: u8,
    active: bool,
    base: u64,
    start: u64,
    len: u64,
    sector: u64,
) -> Result<MbrEntry, Error> {
    let (first, sectors) = (start / sector, len / sector);
    let number = |value: u64, what: &str| {
        u32::try_from(value).map_err(|_| {
            let message = format!("{what} {value} does not fit the 32 bits of a table entry");
            Error::new(Kind::Document, message)
        })
    };
    Ok(MbrEntry {
        status: if active { 0x80 } else { 0 },
        first_chs: chs(first),
        kind,
        last_chs: chs((first + sectors).saturating_sub(1)),
        first: number(first - base / sector, "first sector")?.into(),
        sectors: number(sectors, "number of sectors")?.into(),
    })
}

/// A sector's address with 255 heads and 63 sectors, the geometry that every BIOS assumes for what
/// is larger than 8 GB; beyond its reach, the last address (as the protective entry of the UEFI
/// Specification 2.10, table 5.3, has it).
fn chs(lba: u64) -> [u8; 3] {
    let (cylinder, head, sector) = (lba / (255 * 63), lba / 63 % 255, lba % 63 + 1);
    if cylinder > 1023 {
        return [0xff; 3];
    }
    [head as u8, sector as u8 | (cylinder >> 8 << 6) as u8, cylinder as u8]
}

/// The tables at both ends of a disk of `len` bytes with sectors of `sector` bytes, and the record
/// that protects them.
pub fn gpt(
    slots: &[GptSlot],
    disk: Uuid,
    len: u64,
    sector: u64,
    hybrid: Option<&Hybrid>,
) -> Result<Vec<Patch>, Error> {
    let mut entries = vec![0; GPT_TABLE as usize];
    for slot in slots {
        let index = slot.place.number.checked_sub(1).filter(|index| *index < GPT_ENTRIES);
        let index = index.ok_or_else(|| too_many(slot.place.number))? as usize;
        let size = size_of::<GptEntry>();
        let entry = gpt_entry(slot, sector)?;
        if let Some(place) = entries.get_mut(index * size..(index + 1) * size) {
            place.copy_from_slice(entry.as_bytes());
        }
    }
    let table = GPT_TABLE / sector;
    let last = (len / sector).saturating_sub(1);
    if last < 3 + 2 * table {
        let message = format!("a disk of {len} bytes has no room for two tables of {GPT_TABLE}");
        return Err(Error::new(Kind::Document, message));
    }
    let mut header = GptHeader {
        signature: *GPT_SIGNATURE,
        revision: 0x1_0000.into(),
        header_size: (size_of::<GptHeader>() as u32).into(),
        crc: 0.into(),
        reserved: 0.into(),
        own: 1.into(),
        alternate: last.into(),
        first_usable: (2 + table).into(),
        last_usable: (last - table - 1).into(),
        disk: disk.to_bytes_le(),
        entries: 2.into(),
        count: GPT_ENTRIES.into(),
        entry_size: (size_of::<GptEntry>() as u32).into(),
        entries_crc: crc32fast::hash(&entries).into(),
    };
    let mut backup = header;
    (backup.own, backup.alternate) = (last.into(), 1.into());
    backup.entries = (last - table).into();
    for header in [&mut header, &mut backup] {
        header.crc = header.computed_crc().into();
    }
    let at = |lba: u64, bytes: &[u8]| Patch { offset: lba * sector, bytes: bytes.to_vec() };
    let guard = match hybrid {
        None => protective(last),
        Some(hybrid) => hybrid_record(hybrid, 1 + table, sector)?,
    };
    Ok(vec![
        guard,
        at(1, header.as_bytes()),
        at(2, &entries),
        at(last - table, &entries),
        at(last, backup.as_bytes()),
    ])
}

/// The record of a hybrid: the tables are protected by the first entry, the partitions follow (the
/// layout of gdisk, in which a BIOS and systems without GPT find them; no specification has it).
fn hybrid_record(hybrid: &Hybrid, tables_end: u64, sector: u64) -> Result<Patch, Error> {
    let mut entries = [EMPTY; 4];
    let [guard, shown @ ..] = &mut entries;
    if hybrid.slots.len() > shown.len() {
        let message = format!("a hybrid record shows at most {} partitions", shown.len());
        return Err(Error::new(Kind::Document, message));
    }
    *guard = mbr_entry(PROTECTIVE, false, 0, sector, tables_end * sector, sector)?;
    for (entry, slot) in shown.iter_mut().zip(&hybrid.slots) {
        let extent = slot.place.extent;
        *entry = mbr_entry(slot.kind, slot.active, 0, extent.start(), extent.len(), sector)?;
    }
    Ok(record(entries, hybrid.signature))
}

/// The record whose one entry covers the disk (UEFI Specification 2.10, 5.2.3).
fn protective(last: u64) -> Patch {
    let mut entries = [EMPTY; 4];
    let [entry, ..] = &mut entries;
    *entry = MbrEntry {
        status: 0,
        first_chs: [0, 2, 0],
        kind: PROTECTIVE,
        last_chs: chs(last),
        first: 1.into(),
        sectors: u32::try_from(last).unwrap_or(u32::MAX).into(),
    };
    record(entries, 0)
}

fn gpt_entry(slot: &GptSlot, sector: u64) -> Result<GptEntry, Error> {
    let mut name = [0; 72];
    let units: Vec<u16> = slot.name.encode_utf16().collect();
    if units.len() > name.len() / 2 {
        let message =
            format!("the name {:?} has {} UTF-16 units, at most 36", slot.name, units.len());
        return Err(Error::new(Kind::Document, message));
    }
    for (place, unit) in name.chunks_exact_mut(2).zip(&units) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    Ok(GptEntry {
        kind: slot.kind.to_bytes_le(),
        id: slot.id.to_bytes_le(),
        first: (slot.place.extent.start() / sector).into(),
        last: (slot.place.extent.end() / sector - 1).into(),
        attributes: slot.attributes.into(),
        name,
    })
}

fn too_many(number: u32) -> Error {
    Error::new(Kind::Document, format!("partition {number} has no entry in this table"))
}
