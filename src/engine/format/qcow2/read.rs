//! Reads an untrusted qcow2 file as a medium.
//!
//! Opens no other file; reads no snapshot and no reference count. Invariants: never panics, every
//! offset is checked before it is used; memory is the L1 table (at most 32 MiB), one L2 table, one
//! unpacked and one packed cluster (2 MiB and 4 MiB at most), whatever the file says.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zerocopy::IntoBytes as _;
use zerocopy::big_endian::U64;

use serde_json::{Map, Value, json};

use super::geometry::{ENTRY, Geometry, Packed};
use super::ondisk::{COMPRESSED_SECTOR, ENTRY_COMPRESSED, ENTRY_COPIED, ENTRY_OFFSET, ENTRY_ZERO};
use super::parse::{Details, damaged, inside, parse};
use super::{Compression, Params};
use crate::engine::base::{Error, Extent, Gate, Kind, SectorSource, Work};
use crate::engine::codec::{Decompressor, Method};
use crate::engine::format::image;
use crate::engine::format::{self, Census, Findings, FormatName};

/// An open qcow2 file: its virtual disk as a medium.
pub struct Image {
    source: Arc<dyn SectorSource>,
    details: Details,
    geometry: Geometry,
    l1: Vec<U64>,
    /// The L2 table that was used last, with its offset.
    table: Mutex<Option<(u64, Arc<[U64]>)>>,
    unpacked: Mutex<Unpacked>,
}

/// The compressed cluster that was read last.
struct Unpacked {
    decompressor: Decompressor,
    place: Option<Packed>,
    packed: Vec<u8>,
    block: Vec<u8>,
}

/// Where a guest cluster lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    Unallocated,
    Zero,
    Data(u64),
    Compressed(Packed),
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("details", &self.details).finish_non_exhaustive()
    }
}

impl Image {
    /// Judges the header of `source` and reads the L1 table.
    pub fn open(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let parsed = parse(&*source)?;
        let entries = parsed.geometry.l1_entries();
        let mut l1 = vec![U64::ZERO; entries as usize];
        if entries > 0 {
            source.read_at(parsed.l1_offset, l1.as_mut_bytes())?;
        }
        // Two L1 entries never share a table, so there are not more tables than host clusters:
        // walking all tables takes time that the length of the file bounds.
        let tables = l1.iter().filter(|entry| entry.get() & ENTRY_OFFSET != 0).count() as u64;
        let clusters = parsed.geometry.clusters_of(source.len());
        if tables > clusters {
            let message = format!("{tables} L2 tables in a file of {clusters} clusters");
            return Err(damaged(message));
        }
        let method = match parsed.details.compression {
            Compression::Zstd => Method::Zstd,
            Compression::Zlib | Compression::None => Method::Deflate,
        };
        let unpacked = Unpacked {
            decompressor: Decompressor::new(method)?,
            place: None,
            packed: Vec::new(),
            block: Vec::new(),
        };
        Ok(Self {
            source,
            details: parsed.details,
            geometry: parsed.geometry,
            l1,
            table: Mutex::new(None),
            unpacked: Mutex::new(unpacked),
        })
    }

    /// As `open`; files that the header names go through `gate`.
    pub fn open_with(source: Arc<dyn SectorSource>, _gate: &dyn Gate) -> Result<Self, Error> {
        Self::open(source)
    }

    /// What the header says.
    #[must_use]
    pub const fn header(&self) -> &Details {
        &self.details
    }

    /// Counts the clusters of the virtual disk.
    fn count(&self) -> Result<Census, Error> {
        let mut census = Census { unit: self.geometry.cluster(), ..Census::default() };
        let mut guest = 0;
        while guest < self.geometry.guest_clusters() {
            let in_table = self.left_in_table(guest);
            match self.table(guest)? {
                None => census.unallocated += in_table,
                Some(table) => {
                    for guest in guest..guest + in_table {
                        match self.mapping(&table, guest)? {
                            Mapping::Unallocated => census.unallocated += 1,
                            Mapping::Zero => census.zero += 1,
                            Mapping::Data(_) => census.data += 1,
                            Mapping::Compressed(_) => census.compressed += 1,
                        }
                    }
                }
            }
            guest += in_table;
        }
        Ok(census)
    }

    /// Guest clusters from `guest` on that the same L2 table maps.
    fn left_in_table(&self, guest: u64) -> u64 {
        let entries = self.geometry.l2_entries();
        (entries - guest % entries).min(self.geometry.guest_clusters() - guest)
    }

    /// The L2 table that maps `guest`, if there is one.
    fn table(&self, guest: u64) -> Result<Option<Arc<[U64]>>, Error> {
        let index = guest / self.geometry.l2_entries();
        let entry = self.l1.get(index as usize).map_or(0, |entry| entry.get());
        if entry & !(ENTRY_OFFSET | ENTRY_COPIED) != 0 {
            return Err(damaged(format!("L1 entry {index} is {entry:#x}: reserved bits are set")));
        }
        let offset = entry & ENTRY_OFFSET;
        if offset == 0 {
            return Ok(None);
        }
        let mut cached = lock(&self.table);
        if let Some((at, table)) = &*cached
            && *at == offset
        {
            return Ok(Some(Arc::clone(table)));
        }
        let bytes = self.geometry.l2_entries() * ENTRY;
        inside("L2 table", offset, bytes, self.geometry, self.source.len())?;
        *cached = None;
        let mut table: Arc<[U64]> =
            std::iter::repeat_n(U64::ZERO, self.geometry.l2_entries() as usize).collect();
        if let Some(entries) = Arc::get_mut(&mut table) {
            self.source.read_at(offset, entries.as_mut_bytes())?;
        }
        *cached = Some((offset, Arc::clone(&table)));
        Ok(Some(table))
    }

    /// Where `guest` lies, by its table.
    fn mapping(&self, table: &[U64], guest: u64) -> Result<Mapping, Error> {
        let index = guest % self.geometry.l2_entries();
        let entry = table.get(index as usize).map_or(0, |entry| entry.get());
        let bad = |why: &str| damaged(format!("L2 entry of cluster {guest} is {entry:#x}: {why}"));
        if entry & ENTRY_COMPRESSED != 0 {
            let packed = self.geometry.unpack(entry).ok_or_else(|| bad("reserved bits are set"))?;
            if entry & ENTRY_COPIED != 0 {
                return Err(bad("a compressed cluster cannot be written in place"));
            }
            if packed.offset < self.geometry.cluster() || packed.offset >= self.source.len() {
                return Err(bad("it does not lie in the file"));
            }
            return Ok(Mapping::Compressed(packed));
        }
        let offset = entry & ENTRY_OFFSET;
        let zero = entry & ENTRY_ZERO != 0;
        if entry & !(ENTRY_OFFSET | ENTRY_COPIED | ENTRY_ZERO) != 0
            || (zero && self.details.version < 3)
        {
            return Err(bad("reserved bits are set"));
        }
        if !offset.is_multiple_of(self.geometry.cluster()) {
            return Err(bad("the offset is not aligned"));
        }
        match (zero, offset) {
            (true, _) => Ok(Mapping::Zero),
            (false, 0) if entry & ENTRY_COPIED == 0 => Ok(Mapping::Unallocated),
            (false, offset) if offset == 0 || offset >= self.source.len() => {
                Err(bad("it does not lie in the file"))
            }
            (false, offset) => Ok(Mapping::Data(offset)),
        }
    }

    /// Fills `part` from the cluster `guest`, from byte `from` of it on.
    fn read_cluster(&self, guest: u64, from: u64, part: &mut [u8]) -> Result<(), Error> {
        let mapping = match self.table(guest)? {
            None => Mapping::Unallocated,
            Some(table) => self.mapping(&table, guest)?,
        };
        match mapping {
            Mapping::Unallocated | Mapping::Zero => part.fill(0),
            Mapping::Data(host) => self.read_host(host + from, part)?,
            Mapping::Compressed(packed) => {
                let mut unpacked = lock(&self.unpacked);
                let block = self.unpack(&mut unpacked, packed, guest)?;
                let end = from as usize + part.len();
                part.copy_from_slice(block.get(from as usize..end).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Reads from the file; what lies behind its end is zero, as the last cluster need not be
    /// whole.
    fn read_host(&self, at: u64, part: &mut [u8]) -> Result<(), Error> {
        let there = self.source.len().saturating_sub(at).min(part.len() as u64);
        let (read, behind) = part.split_at_mut(there as usize);
        behind.fill(0);
        if read.is_empty() { Ok(()) } else { self.source.read_at(at, read) }
    }

    /// The bytes of a compressed cluster.
    fn unpack<'a>(
        &self,
        unpacked: &'a mut Unpacked,
        place: Packed,
        guest: u64,
    ) -> Result<&'a [u8], Error> {
        if unpacked.place != Some(place) {
            unpacked.place = None;
            let most = self.geometry.cluster() + 2 * COMPRESSED_SECTOR;
            let len = place.len.min(self.source.len() - place.offset).min(most);
            unpacked.packed.resize(len as usize, 0);
            self.source.read_at(place.offset, &mut unpacked.packed)?;
            unpacked.block.resize(self.geometry.cluster_len(), 0);
            unpacked
                .decompressor
                .decompress(&unpacked.packed, &mut unpacked.block)
                .map_err(|e| damaged(format!("cluster {guest} at {}: {e}", place.offset)))?;
            unpacked.place = Some(place);
        }
        Ok(&unpacked.block)
    }

    /// Whether `guest` may hold something other than zeros. What cannot be told may: the error
    /// then comes when it is read.
    fn may_have_data(&self, table: &[U64], guest: u64) -> bool {
        !matches!(self.mapping(table, guest), Ok(Mapping::Unallocated | Mapping::Zero))
    }

    /// The first run of clusters with data among those from `guest` on that one table maps.
    fn run_in_table(&self, guest: u64) -> Option<(u64, u64)> {
        let end = guest + self.left_in_table(guest);
        let table = match self.table(guest) {
            Ok(None) => return None,
            Ok(Some(table)) => table,
            Err(_) => return Some((guest, end)),
        };
        let start = (guest..end).find(|guest| self.may_have_data(&table, *guest))?;
        let stop = (start..end).find(|guest| !self.may_have_data(&table, *guest));
        Some((start, stop.unwrap_or(end)))
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.geometry.virtual_size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            let message = format!(
                "reading {} bytes at offset {offset} goes beyond the end at {}",
                buffer.len(),
                self.len()
            );
            return Err(Error::new(Kind::Io, message));
        }
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (guest, from) = (at / self.geometry.cluster(), at % self.geometry.cluster());
            let len = (self.geometry.guest_len(guest) - from).min(rest.len() as u64);
            let (part, behind) = rest.split_at_mut(len as usize);
            self.read_cluster(guest, from, part)?;
            at += len;
            rest = behind;
        }
        Ok(())
    }

    /// One extent ends where its L2 table does, even if the next table goes on with data.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let mut guest = offset / self.geometry.cluster();
        while guest < self.geometry.guest_clusters() {
            if let Some((start, end)) = self.run_in_table(guest) {
                let bytes = |guest: u64| (guest * self.geometry.cluster()).min(self.len());
                return Extent::new(bytes(start).max(offset), bytes(end));
            }
            guest += self.left_in_table(guest);
        }
        None
    }
}

impl image::Image for Image {
    fn format(&self) -> FormatName {
        FormatName::Qcow2
    }

    fn details(&self) -> Map<String, Value> {
        let details = &self.details;
        let features = [
            (details.compression == Compression::Zstd, "compression type"),
            (details.dirty, "dirty bit"),
            (details.lazy_refcounts, "lazy refcounts"),
        ];
        let features: Vec<_> = features.iter().filter(|(set, _)| *set).map(|(_, n)| *n).collect();
        let zstd = details.compression == Compression::Zstd;
        [
            ("version", json!(details.version)),
            ("clusterSize", json!(details.cluster_size)),
            ("compressionType", json!(if zstd { "zstd" } else { "zlib" })),
            ("refcountBits", json!(details.refcount_bits)),
            ("features", json!(features)),
            ("snapshots", json!(details.snapshots)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn params(&self) -> format::Params {
        let cluster_size = self.details.cluster_size;
        format::Params::Qcow2(Params { cluster_size, ..Params::default() })
    }

    fn census(&self) -> Result<Census, Error> {
        self.count()
    }

    fn check(&self, _: &Work<'_>) -> Result<Findings, Error> {
        Err(Error::new(Kind::Unsupported, "check of qcow2 is being built"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
