//! Where the bytes of the virtual disk lie, by the L1 and L2 tables of an untrusted file.
//!
//! Reads tables, no data. Invariants: an entry that is followed has no reserved bit set and points
//! into the file; memory is the L1 table (at most 32 MiB) and a few L2 tables.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use zerocopy::IntoBytes as _;
use zerocopy::big_endian::U64;

use super::geometry::{ENTRY, Geometry, Packed};
use super::ondisk::{ENTRY_COMPRESSED, ENTRY_COPIED, ENTRY_OFFSET, ENTRY_ZERO, SUBCLUSTERS};
use super::parse::{Parsed, damaged, inside};
use super::recent::{Recent, Table};
use crate::engine::base::{Error, SectorSource};
use crate::engine::format::Census;

/// Where a guest cluster lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    Unallocated,
    Zero,
    Data(u64),
    Compressed(Packed),
    /// Subclusters that differ: one bit each.
    Split {
        host: u64,
        allocated: u32,
        zero: u32,
    },
}

/// What some bytes of the virtual disk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Not in this file: in the backing file, or zero without one.
    Below,
    Zero,
    /// At this offset of the file that holds the data.
    Host(u64),
    /// In a compressed cluster.
    Packed(Packed),
}

/// The entries of an L2 table are judged by this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) geometry: Geometry,
    pub(super) version: u32,
    /// Bytes of the image file.
    pub(super) file: u64,
    /// Bytes of the external data file.
    pub(super) external: Option<u64>,
}

/// The mapping of the active state.
pub(super) struct Map {
    source: Arc<dyn SectorSource>,
    rules: Rules,
    l1: Vec<U64>,
    tables: Mutex<Recent>,
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Rules {
    /// What the entry `index` of a table says.
    pub(super) fn mapping(&self, table: &[U64], index: u64) -> Result<Mapping, Error> {
        let wide = self.geometry.is_extended();
        let at = index as usize * if wide { 2 } else { 1 };
        let entry = table.get(at).map_or(0, |entry| entry.get());
        let bitmap = if wide { table.get(at + 1).map_or(0, |entry| entry.get()) } else { 0 };
        let bad = |why: &str| damaged(format!("L2 entry {index} is {entry:#x}: {why}"));
        if entry & ENTRY_COMPRESSED != 0 {
            let packed = self.packed(entry).map_err(bad)?;
            return if bitmap == 0 {
                Ok(Mapping::Compressed(packed))
            } else {
                Err(bad("a compressed cluster with subclusters"))
            };
        }
        let offset = entry & ENTRY_OFFSET;
        let zero = entry & ENTRY_ZERO != 0;
        let no_zero_bit = self.version < 3 || wide;
        let known = ENTRY_OFFSET | ENTRY_COPIED | ENTRY_ZERO;
        if entry & !known != 0 || (zero && no_zero_bit) {
            return Err(bad("reserved bits are set"));
        }
        if !offset.is_multiple_of(self.geometry.cluster()) {
            return Err(bad("the offset is not aligned"));
        }
        if wide {
            return self.subclusters(entry, bitmap).map_err(bad);
        }
        match zero {
            true => Ok(Mapping::Zero),
            false if self.is_nowhere(entry) => Ok(Mapping::Unallocated),
            false => self.place(offset).map(Mapping::Data).map_err(bad),
        }
    }

    fn packed(&self, entry: u64) -> Result<Packed, &'static str> {
        if self.external.is_some() {
            return Err("compressed clusters do not go with an external data file");
        }
        let packed = self.geometry.unpack(entry).ok_or("reserved bits are set")?;
        if entry & ENTRY_COPIED != 0 {
            return Err("a compressed cluster cannot be written in place");
        }
        if packed.offset < self.geometry.cluster() || packed.offset >= self.file {
            return Err("it does not lie in the file");
        }
        Ok(packed)
    }

    /// Offset 0 means a place only in an external data file, and only with the bit set.
    fn is_nowhere(&self, entry: u64) -> bool {
        entry & ENTRY_OFFSET == 0 && entry & ENTRY_COPIED == 0
    }

    fn place(&self, offset: u64) -> Result<u64, &'static str> {
        let (from, end) =
            self.external.map_or((self.geometry.cluster(), self.file), |end| (0, end));
        if (from..end).contains(&offset) { Ok(offset) } else { Err("it does not lie in the file") }
    }

    fn subclusters(&self, entry: u64, bitmap: u64) -> Result<Mapping, &'static str> {
        let (allocated, zero) = (bitmap as u32, (bitmap >> SUBCLUSTERS) as u32);
        if allocated & zero != 0 {
            return Err("a subcluster is both allocated and zero");
        }
        if allocated == 0 {
            return Ok(match zero {
                0 => Mapping::Unallocated,
                u32::MAX => Mapping::Zero,
                _ => Mapping::Split { host: 0, allocated, zero },
            });
        }
        if self.is_nowhere(entry) {
            return Err("subclusters are allocated without a place");
        }
        let host = self.place(entry & ENTRY_OFFSET)?;
        Ok(match allocated {
            u32::MAX => Mapping::Data(host),
            _ => Mapping::Split { host, allocated, zero },
        })
    }
}

impl Map {
    /// Reads the L1 table.
    pub(super) fn open(
        source: Arc<dyn SectorSource>,
        parsed: &Parsed,
        external: Option<u64>,
    ) -> Result<Self, Error> {
        let geometry = parsed.geometry;
        let mut l1 = vec![U64::ZERO; geometry.l1_entries() as usize];
        if !l1.is_empty() {
            source.read_at(parsed.layout.l1_offset, l1.as_mut_bytes())?;
        }
        // Two L1 entries never share a table, so there are not more tables than host clusters:
        // walking all tables takes time that the length of the file bounds.
        let tables = l1.iter().filter(|entry| entry.get() & ENTRY_OFFSET != 0).count() as u64;
        let clusters = geometry.clusters_of(source.len());
        if tables > clusters {
            let message = format!("{tables} L2 tables in a file of {clusters} clusters");
            return Err(damaged(message));
        }
        let version = parsed.details.version;
        let rules = Rules { geometry, version, file: source.len(), external };
        Ok(Self { source, rules, l1, tables: Mutex::default() })
    }

    pub(super) const fn rules(&self) -> Rules {
        self.rules
    }

    /// The L2 table of this index, if there is one.
    fn table(&self, index: u64) -> Result<Option<Table>, Error> {
        let entry = self.l1.get(index as usize).map_or(0, |entry| entry.get());
        if entry & !(ENTRY_OFFSET | ENTRY_COPIED) != 0 {
            return Err(damaged(format!("L1 entry {index} is {entry:#x}: reserved bits are set")));
        }
        let offset = entry & ENTRY_OFFSET;
        if offset == 0 {
            return Ok(None);
        }
        let mut recent = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = recent.get(offset) {
            return Ok(Some(table));
        }
        recent.make_room();
        let table = read_table(&*self.source, self.rules.geometry, "L2 table", offset)?;
        recent.put(offset, Arc::clone(&table));
        Ok(Some(table))
    }

    /// What the bytes from `from` to `end` are, cut at clusters, subclusters and tables.
    pub(super) fn pieces(&self, from: u64, end: u64) -> Pieces<'_> {
        Pieces { map: self, at: from, end, table: None }
    }

    /// Counts the clusters of the virtual disk.
    pub(super) fn census(&self) -> Result<Census, Error> {
        let geometry = self.rules.geometry;
        let mut census = Census { unit: geometry.cluster(), ..Census::default() };
        for index in 0..geometry.l1_entries() {
            let left = geometry.guest_clusters() - index * geometry.l2_entries();
            let in_table = geometry.l2_entries().min(left);
            let Some(table) = self.table(index)? else {
                census.unallocated += in_table;
                continue;
            };
            for n in 0..in_table {
                match self.rules.mapping(&table, n).map_err(|e| within(index, &e))? {
                    Mapping::Unallocated => census.unallocated += 1,
                    Mapping::Data(_) => census.data += 1,
                    Mapping::Split { allocated, .. } if allocated != 0 => census.data += 1,
                    Mapping::Zero | Mapping::Split { .. } => census.zero += 1,
                    Mapping::Compressed(_) => census.compressed += 1,
                }
            }
        }
        Ok(census)
    }
}

/// Reads a table of one cluster.
pub(super) fn read_table(
    source: &dyn SectorSource,
    geometry: Geometry,
    what: &str,
    offset: u64,
) -> Result<Table, Error> {
    inside(what, offset, geometry.cluster(), geometry, source.len())?;
    let entries = (geometry.cluster() / ENTRY) as usize;
    let mut table: Table = std::iter::repeat_n(U64::ZERO, entries).collect();
    if let Some(entries) = Arc::get_mut(&mut table) {
        source.read_at(offset, entries.as_mut_bytes())?;
    }
    Ok(table)
}

fn within(index: u64, error: &Error) -> Error {
    Error::new(error.kind(), format!("{error} (L2 table {index})"))
}

/// A run of bytes that are the same thing, or that nobody can tell.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) what: Result<What, Error>,
}

/// The pieces of a range in order, without gaps.
pub(super) struct Pieces<'a> {
    map: &'a Map,
    at: u64,
    end: u64,
    /// The table that was used last, with its index.
    table: Option<(u64, Option<Table>)>,
}

impl Pieces<'_> {
    /// What begins at `at`, and where that ends at most.
    fn look(&mut self) -> (u64, Result<What, Error>) {
        let geometry = self.map.rules.geometry;
        let cluster = geometry.cluster();
        let guest = self.at / cluster;
        let (index, entry) = (guest / geometry.l2_entries(), guest % geometry.l2_entries());
        let table_end = (index + 1).saturating_mul(geometry.l2_entries() * cluster);
        let table = match &self.table {
            Some((known, table)) if *known == index => table.clone(),
            _ => match self.map.table(index) {
                Ok(table) => self.table.insert((index, table)).1.clone(),
                Err(error) => return (table_end, Err(error)),
            },
        };
        let Some(table) = table else { return (table_end, Ok(What::Below)) };
        let (inside, next) = (self.at % cluster, (guest + 1) * cluster);
        match self.map.rules.mapping(&table, entry) {
            Err(error) => (next, Err(within(index, &error))),
            Ok(Mapping::Unallocated) => (next, Ok(What::Below)),
            Ok(Mapping::Zero) => (next, Ok(What::Zero)),
            Ok(Mapping::Data(host)) => (next, Ok(What::Host(host + inside))),
            Ok(Mapping::Compressed(packed)) => (next, Ok(What::Packed(packed))),
            Ok(Mapping::Split { host, allocated, zero }) => {
                let bit = 1u32 << (inside / geometry.subcluster());
                let what = match (allocated & bit != 0, zero & bit != 0) {
                    (true, _) => What::Host(host + inside),
                    (false, true) => What::Zero,
                    (false, false) => What::Below,
                };
                ((self.at / geometry.subcluster() + 1) * geometry.subcluster(), Ok(what))
            }
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.end {
            return None;
        }
        let start = self.at;
        let (stop, what) = self.look();
        self.at = stop.min(self.end);
        Some(Piece { start, len: self.at - start, what })
    }
}
