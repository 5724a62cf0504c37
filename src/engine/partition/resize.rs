//! A GPT after its disk changed its length: the backup belongs to the last sectors.
//!
//! Changes no partition. Invariant: both headers are right or nothing is changed; a partition that
//! would not fit is an error.

use zerocopy::IntoBytes as _;

use super::gpt::{Found, at, first};
use super::mbr::record;
use super::ondisk::{GptHeader, PROTECTIVE};
use crate::engine::base::{Error, Kind, Patch, SectorSource};

/// Where the old backup was, and what has to stand where on the disk of the new length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Zeros for the old backup; offsets count in the old disk.
    pub erased: Vec<Patch>,
    /// The new tables; offsets count in the new disk. In the order in which they are to be written
    /// where a disk is changed in place: the first header last.
    pub written: Vec<Patch>,
}

/// The GPT of `medium` for a disk of `len` bytes; none if it has no GPT.
pub fn resized(medium: &dyn SectorSource, len: u64) -> Result<Option<Moved>, Error> {
    let Some(primary) = first(medium)? else { return Ok(None) };
    if let Some(problem) = primary.problems.first() {
        return Err(refused(Kind::Input, format!("the GPT cannot be moved: {problem}")));
    }
    let size = primary.size;
    let table = (primary.entries.len() as u64).div_ceil(size);
    // MBR, two headers, two tables, and one usable sector.
    let least = (4 + 2 * table) * size;
    if len < least || !len.is_multiple_of(size) {
        let message =
            format!("a disk with this GPT has whole sectors and at least {least} bytes, not {len}");
        return Err(refused(Kind::Document, message));
    }
    let last = len / size - 1;
    let last_usable = last - table - 1;
    for (number, entry) in primary.used() {
        if entry.last.get() > last_usable {
            let message = format!(
                "partition {number} ends at sector {}; on a disk of {len} bytes the last usable \
                 sector is {last_usable}",
                entry.last
            );
            return Err(refused(Kind::Document, message));
        }
    }
    let backup = at(medium, primary.header.alternate.get(), size)?;
    let erased = backup.map(|backup| erased(&primary, &backup)).unwrap_or_default();
    Ok(Some(Moved { erased, written: written(medium, &primary, last, table)? }))
}

/// Zeros for the old backup, if it is one and no partition lies on it.
fn erased(primary: &Found, backup: &Found) -> Vec<Patch> {
    let (header, table) = (&backup.header, backup.entries.len() as u64);
    let own = header.own.get();
    let last_usable = primary.header.last_usable.get();
    if !backup.problems.is_empty() || header.disk != primary.header.disk || own <= last_usable {
        return Vec::new();
    }
    let zeros = |sector: u64, len: u64| Patch {
        offset: sector.saturating_mul(primary.size),
        bytes: vec![0; len as usize],
    };
    let entries = header.entries.get();
    let end = entries.saturating_add(table.div_ceil(primary.size));
    let free = entries > last_usable && end <= own;
    let mut erased = vec![zeros(own, primary.size)];
    if free {
        erased.push(zeros(entries, table));
    }
    erased
}

/// The new tables, the first header last.
fn written(
    medium: &dyn SectorSource,
    primary: &Found,
    last: u64,
    table: u64,
) -> Result<Vec<Patch>, Error> {
    let size = primary.size;
    let mut header = primary.header;
    header.alternate = last.into();
    header.last_usable = (last - table - 1).into();
    header.crc = header.computed_crc().into();
    let mut backup = header;
    backup.own = last.into();
    backup.alternate = 1.into();
    backup.entries = (last - table).into();
    backup.crc = backup.computed_crc().into();
    let mut written = vec![
        Patch { offset: (last - table) * size, bytes: primary.entries.clone() },
        Patch { offset: last * size, bytes: sector(&backup, size) },
    ];
    written.extend(protective(medium, last)?);
    written.push(Patch { offset: size, bytes: sector(&header, size) });
    Ok(written)
}

fn sector(header: &GptHeader, size: u64) -> Vec<u8> {
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(size as usize, 0);
    bytes
}

/// The master boot record with its one entry over the whole disk (UEFI Specification 2.10, 5.2.3).
/// A hybrid one stays as it is.
fn protective(medium: &dyn SectorSource, last: u64) -> Result<Option<Patch>, Error> {
    let Some(mut mbr) = record(medium, 0)? else { return Ok(None) };
    let mut used = mbr.entries.iter_mut().filter(|entry| entry.kind != 0);
    let (Some(entry), None) = (used.next(), used.next()) else { return Ok(None) };
    if entry.kind != PROTECTIVE || entry.first.get() != 1 {
        return Ok(None);
    }
    entry.sectors = u32::try_from(last).unwrap_or(u32::MAX).into();
    Ok(Some(Patch { offset: 0, bytes: mbr.as_bytes().to_vec() }))
}

fn refused(kind: Kind, message: String) -> Error {
    Error::new(kind, message)
}
