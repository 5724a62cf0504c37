//! Finds the tables of an untrusted file that `check` follows: L1 tables, the snapshot table and
//! the directory of bitmaps.
//!
//! Judges no reference. Invariants: a table is read piece by piece; all L1 tables of snapshots
//! together are not longer than the file, so hostile tables cost time that the file bounds.

use zerocopy::big_endian::U64;
use zerocopy::{FromBytes, IntoBytes as _};

use super::extensions::Bitmaps;
use super::geometry::{ENTRY, Geometry};
use super::ondisk::{
    BitmapEntry, ENTRY_OFFSET, MAX_BITMAP_TABLE, MAX_BITMAPS, MAX_L1_BYTES, MAX_SNAPSHOT_EXTRA,
    SnapshotEntry,
};
use super::parse::{Layout, damaged, inside};
use crate::engine::base::{Error, SectorSource};

/// Bytes of a table read at once.
const PIECE: u64 = 64 << 10;

/// An L1 table.
#[derive(Clone, Copy, Debug)]
pub(super) struct L1 {
    pub(super) offset: u64,
    pub(super) entries: u64,
    /// Whether it is that of the active state.
    pub(super) active: bool,
}

/// What is done with what is found.
pub(super) trait Visit {
    /// These bytes of the file are used.
    fn refer(&mut self, what: &str, offset: u64, len: u64);

    /// An entry of an L1 table, zero or not.
    fn l1_entry(&mut self, l1: &L1, index: u64, entry: u64) -> Result<(), Error>;

    /// Something at this offset is not as it must be.
    fn damaged(&mut self, offset: u64, message: String);
}

/// Visits an L1 table and its entries.
pub(super) fn walk_l1(
    source: &dyn SectorSource,
    l1: &L1,
    visit: &mut impl Visit,
) -> Result<(), Error> {
    visit.refer("L1 table", l1.offset, l1.entries * ENTRY);
    let mut at = 0;
    while at < l1.entries {
        let now = (l1.entries - at).min(PIECE / ENTRY);
        let mut entries = vec![U64::ZERO; now as usize];
        let place = l1.offset + at * ENTRY;
        if place.saturating_add(now * ENTRY) > source.len() {
            visit.damaged(place, "the L1 table goes beyond the end of the file".to_owned());
            return Ok(());
        }
        source.read_at(place, entries.as_mut_bytes())?;
        for (index, entry) in (at..).zip(&entries) {
            visit.l1_entry(l1, index, entry.get())?;
        }
        at += now;
    }
    Ok(())
}

/// The length of the snapshot table, and the L1 tables that it names.
pub(super) fn snapshot_tables(
    source: &dyn SectorSource,
    geometry: Geometry,
    layout: &Layout,
) -> Result<(u64, Vec<L1>), Error> {
    let (mut at, mut tables, mut total) = (layout.snapshots_offset, Vec::new(), 0u64);
    for n in 0..layout.snapshots {
        let bad = |why: &str| damaged(format!("snapshot {n} at offset {at}: {why}"));
        let mut bytes = [0; size_of::<SnapshotEntry>()];
        if at.saturating_add(bytes.len() as u64) > source.len() {
            return Err(bad("it goes beyond the end of the file"));
        }
        source.read_at(at, &mut bytes)?;
        let entry = SnapshotEntry::read_from_bytes(&bytes).map_err(|_| bad("no entry"))?;
        let extra = entry.extra_data_size.get();
        if extra > MAX_SNAPSHOT_EXTRA {
            let why =
                format!("{extra} bytes of extra data, at most {MAX_SNAPSHOT_EXTRA} are known");
            return Err(bad(&why));
        }
        let (offset, entries) = (entry.l1_table_offset.get(), u64::from(entry.l1_size.get()));
        total += entries * ENTRY;
        if entries * ENTRY > MAX_L1_BYTES || total > source.len() {
            return Err(bad(&format!("an L1 table of {entries} entries")));
        }
        if entries > 0 {
            inside("L1 table of a snapshot", offset, entries * ENTRY, geometry, source.len())?;
            tables.push(L1 { offset, entries, active: false });
        }
        let rest =
            u64::from(extra) + u64::from(entry.id_size.get()) + u64::from(entry.name_size.get());
        at += (bytes.len() as u64 + rest).next_multiple_of(8);
    }
    Ok((at - layout.snapshots_offset, tables))
}

/// Visits the directory of the bitmaps, their tables and their clusters.
pub(super) fn walk_bitmaps(
    source: &dyn SectorSource,
    geometry: Geometry,
    bitmaps: &Bitmaps,
    visit: &mut impl Visit,
) -> Result<(), Error> {
    inside("bitmap directory", bitmaps.offset, bitmaps.size, geometry, source.len())?;
    if bitmaps.count > MAX_BITMAPS {
        let message = format!("{} bitmaps, at most {MAX_BITMAPS} are known", bitmaps.count);
        return Err(damaged(message));
    }
    visit.refer("bitmap directory", bitmaps.offset, bitmaps.size);
    let (mut at, end) = (bitmaps.offset, bitmaps.offset + bitmaps.size);
    for n in 0..bitmaps.count {
        let bad = |why: &str| damaged(format!("bitmap {n} at offset {at}: {why}"));
        let mut bytes = [0; size_of::<BitmapEntry>()];
        if at.saturating_add(bytes.len() as u64) > end {
            return Err(bad("it goes beyond the end of the directory"));
        }
        source.read_at(at, &mut bytes)?;
        let entry = BitmapEntry::read_from_bytes(&bytes).map_err(|_| bad("no entry"))?;
        bitmap(source, geometry, &entry, visit)?;
        let rest = u64::from(entry.extra_data_size.get()) + u64::from(entry.name_size.get());
        at += (bytes.len() as u64 + rest).next_multiple_of(8);
    }
    Ok(())
}

fn bitmap(
    source: &dyn SectorSource,
    geometry: Geometry,
    entry: &BitmapEntry,
    visit: &mut impl Visit,
) -> Result<(), Error> {
    let (offset, entries) = (entry.bitmap_table_offset.get(), entry.bitmap_table_size.get());
    let len = u64::from(entries) * ENTRY;
    if entries > MAX_BITMAP_TABLE {
        let message = format!("a bitmap table of {entries} entries, {MAX_BITMAP_TABLE} are known");
        return Err(damaged(message));
    }
    inside("bitmap table", offset, len, geometry, source.len())?;
    visit.refer("bitmap table", offset, len);
    let mut done = 0;
    while done < len {
        let now = (len - done).min(PIECE);
        let mut entries = vec![U64::ZERO; (now / ENTRY) as usize];
        source.read_at(offset + done, entries.as_mut_bytes())?;
        for (n, entry) in (0..).zip(&entries) {
            let cluster = entry.get() & ENTRY_OFFSET;
            if cluster == 0 {
                continue;
            }
            if cluster.is_multiple_of(geometry.cluster()) {
                visit.refer("bitmap cluster", cluster, geometry.cluster());
            } else {
                let message = format!("bitmap table entry {:#x} is not aligned", entry.get());
                visit.damaged(offset + done + n * ENTRY, message);
            }
        }
        done += now;
    }
    Ok(())
}
