//! Finds what a crash left in the log, and replays it in memory.
//!
//! The file stays as it is. Invariants: an entry is believed only if all its fields, its checksum
//! and the sequence numbers in all its sectors fit (section 2.3.1); only the newest complete
//! sequence is replayed (section 2.3.3); time and memory grow with the length of the log, which is
//! bounded, and with nothing that the entries say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zerocopy::FromBytes as _;

use super::ondisk::{
    DATA_SIGNATURE, DESCRIPTOR_SIGNATURE, Header, LOG_SECTOR, LOG_SIGNATURE, LogDataSector,
    LogDescriptor, LogEntryHeader, MIB, ZERO_SIGNATURE,
};
use super::overlay::{Overlay, Patch};
use super::parse::{damaged, unsupported};
use crate::engine::base::{Error, Extent, SectorSource};

/// The longest log that is replayed, as it is held in memory. Writers make logs of 1 MiB.
const MOST_LOG: u64 = 64 << 20;

/// The most writes that are replayed: a log of 64 MiB of sectors has fewer.
const MOST_PATCHES: usize = 128 << 10;

/// How often the bytes of a log may be checksummed: entries that do not lie in each other need one.
const MOST_PASSES: usize = 4;

/// What to do with a file whose log is too much for us.
const ADVICE: &str = "open the file once for writing with what made it, or run \
                      `qemu-img check -r all` on a copy of it";

/// A log that was replayed.
#[derive(Debug)]
pub(super) struct Replayed {
    /// The file as it is with the log replayed.
    pub(super) overlay: Arc<Overlay>,
    /// How many entries were replayed.
    pub(super) entries: usize,
}

/// Replays the log that `header` names. None if there is nothing to replay.
pub(super) fn replay(
    source: &Arc<dyn SectorSource>,
    header: &Header,
) -> Result<Option<Replayed>, Error> {
    if header.log_guid == [0; 16] {
        return Ok(None);
    }
    let log = Log::read(&**source, header)?;
    let Some(active) = log.active_sequence()? else {
        let message = format!(
            "the header says that there is something to replay, but the log at {} holds no \
             complete sequence of entries",
            header.log_offset
        );
        return Err(damaged(message));
    };
    let Some(head) = active.last() else { return Ok(None) };
    if source.len() < head.flushed {
        let message = format!(
            "the log says that the file has at least {} bytes, but it has {}: its end is missing",
            head.flushed,
            source.len()
        );
        return Err(damaged(message));
    }
    let entries = active.len();
    let (last, mut writes) = (head.last, Vec::new());
    for entry in &active {
        log.writes(entry, &mut writes)?;
    }
    let mut overlay = Overlay::new(Arc::clone(source), last, log.bytes);
    for (extent, patch) in writes {
        overlay.lay(extent, patch);
    }
    Ok(Some(Replayed { overlay: Arc::new(overlay), entries }))
}

/// The bytes of a log: a ring of sectors.
struct Log {
    guid: [u8; 16],
    offset: u64,
    bytes: Vec<u8>,
}

/// A valid entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The index of its first sector.
    start: usize,
    sectors: usize,
    sequence: u64,
    /// The index of the sector where its sequence begins.
    tail: usize,
    descriptors: usize,
    flushed: u64,
    last: u64,
}

impl Log {
    fn read(source: &dyn SectorSource, header: &Header) -> Result<Self, Error> {
        let (offset, length) = (header.log_offset.get(), u64::from(header.log_length.get()));
        if length > MOST_LOG {
            let message = format!(
                "a log of {length} bytes is to be replayed, at most {MOST_LOG} are; {ADVICE}"
            );
            return Err(unsupported(message));
        }
        let fits = offset.checked_add(length).is_some_and(|end| end <= source.len());
        if length == 0 || !fits || offset < MIB {
            let message = format!(
                "LogOffset {offset} and LogLength {length} do not lie between the headers and \
                 the end of the file at {}, but there is something to replay",
                source.len()
            );
            return Err(damaged(message));
        }
        let mut bytes = vec![0; length as usize];
        source.read_at(offset, &mut bytes)?;
        Ok(Self { guid: header.log_guid, offset, bytes })
    }

    fn sectors(&self) -> usize {
        self.bytes.len() / LOG_SECTOR
    }

    /// The sector with this index, counted around the ring.
    fn sector(&self, index: usize) -> &[u8] {
        let at = index % self.sectors() * LOG_SECTOR;
        self.bytes.get(at..at + LOG_SECTOR).unwrap_or_default()
    }

    /// The descriptor `index` of the entry that begins at the sector `start`: the first sector has
    /// the header and 126 of them, the others 128 (section 2.3.1).
    fn descriptor(&self, start: usize, index: usize) -> Option<&LogDescriptor> {
        let at = size_of::<LogEntryHeader>() + index * size_of::<LogDescriptor>();
        let sector = self.sector(start + at / LOG_SECTOR).get(at % LOG_SECTOR..)?;
        LogDescriptor::ref_from_prefix(sector).ok().map(|(descriptor, _)| descriptor)
    }

    /// The newest valid sequence, its entries in order. The steps are those of section 2.3.3,
    /// except that a sequence is not tried again from its second entry on: it would end with the
    /// same entry and begin later.
    fn active_sequence(&self) -> Result<Option<Vec<Entry>>, Error> {
        let entries = self.entries()?;
        let mut tried = BTreeSet::new();
        let mut newest: Option<Vec<Entry>> = None;
        for start in entries.keys() {
            if tried.contains(start) {
                continue;
            }
            let mut sequence: Vec<Entry> = Vec::new();
            let mut at = *start;
            while let Some(entry) = entries.get(&at) {
                let follows = sequence
                    .last()
                    .is_none_or(|last| last.sequence.checked_add(1) == Some(entry.sequence));
                if !follows {
                    break;
                }
                tried.insert(at);
                sequence.push(*entry);
                at = (at + entry.sectors) % self.sectors();
            }
            let Some(head) = sequence.last() else { continue };
            let Some(tail) = sequence.iter().position(|entry| entry.start == head.tail) else {
                continue;
            };
            let newer = newest.as_ref().and_then(|newest| newest.last());
            if newer.is_none_or(|newest| newest.sequence < head.sequence) {
                newest = Some(sequence.split_off(tail));
            }
        }
        Ok(newest)
    }

    /// All valid entries by the index of their first sector.
    fn entries(&self) -> Result<BTreeMap<usize, Entry>, Error> {
        let mut found = BTreeMap::new();
        let mut left = self.sectors() * MOST_PASSES;
        for start in 0..self.sectors() {
            let Some(entry) = self.entry(start) else { continue };
            let Some(rest) = left.checked_sub(entry.sectors) else {
                return Err(damaged("the entries of the log lie in each other"));
            };
            left = rest;
            if self.is_intact(&entry) {
                found.insert(start, entry);
            }
        }
        Ok(found)
    }

    /// The entry that begins at the sector `start`, if its header is right and its other sectors
    /// look like it. The checksum is not looked at.
    fn entry(&self, start: usize) -> Option<Entry> {
        let (header, _) = LogEntryHeader::ref_from_prefix(self.sector(start)).ok()?;
        let (length, tail) = (header.entry_length.get() as usize, header.tail.get() as usize);
        let sequence = header.sequence_number.get();
        let descriptors = header.descriptor_count.get() as usize;
        let right = header.signature == LOG_SIGNATURE
            && header.log_guid == self.guid
            && sequence > 0
            && (LOG_SECTOR..=self.bytes.len()).contains(&length)
            && length.is_multiple_of(LOG_SECTOR)
            && tail < self.bytes.len()
            && tail.is_multiple_of(LOG_SECTOR)
            && descriptors <= length / size_of::<LogDescriptor>();
        let entry = Entry {
            start,
            sectors: length / LOG_SECTOR,
            sequence,
            tail: tail / LOG_SECTOR,
            descriptors,
            flushed: header.flushed_file_offset.get(),
            last: header.last_file_offset.get(),
        };
        (right && self.sectors_fit(&entry)).then_some(entry)
    }

    /// Whether all descriptors and data sectors are there and have the entry's sequence number.
    fn sectors_fit(&self, entry: &Entry) -> bool {
        let mut data = entry.descriptor_sectors();
        for index in 0..entry.descriptors {
            let Some(descriptor) = self.descriptor(entry.start, index) else { return false };
            if descriptor.sequence_number.get() != entry.sequence {
                return false;
            }
            match descriptor.signature {
                ZERO_SIGNATURE => {}
                DESCRIPTOR_SIGNATURE if data < entry.sectors => {
                    let sector = LogDataSector::ref_from_bytes(self.sector(entry.start + data));
                    let fits = sector.is_ok_and(|sector| {
                        let high = u64::from(sector.sequence_high.get()) << 32;
                        let sequence = high | u64::from(sector.sequence_low.get());
                        sector.signature == DATA_SIGNATURE && sequence == entry.sequence
                    });
                    if !fits {
                        return false;
                    }
                    data += 1;
                }
                _ => return false,
            }
        }
        data <= entry.sectors
    }

    /// Whether the checksum is right.
    fn is_intact(&self, entry: &Entry) -> bool {
        let Ok((header, _)) = LogEntryHeader::read_from_prefix(self.sector(entry.start)) else {
            return false;
        };
        let mut crc = 0;
        for index in 0..entry.sectors {
            let sector = self.sector(entry.start + index);
            crc = if index == 0 {
                super::ondisk::checksum(sector)
            } else {
                crc32c::crc32c_append(crc, sector)
            };
        }
        crc == header.checksum.get()
    }

    /// The writes of an entry, in order.
    fn writes(&self, entry: &Entry, writes: &mut Vec<(Extent, Patch)>) -> Result<(), Error> {
        let mut data = entry.descriptor_sectors();
        for index in 0..entry.descriptors {
            let Some(descriptor) = self.descriptor(entry.start, index) else { break };
            let start = descriptor.file_offset.get();
            let (len, patch) = if descriptor.signature == ZERO_SIGNATURE {
                (u64::from_le_bytes(descriptor.leading_bytes), Patch::Zero)
            } else {
                let at = (entry.start + data) % self.sectors() * LOG_SECTOR;
                data += 1;
                let (leading, trailing) = (descriptor.leading_bytes, descriptor.trailing_bytes);
                (LOG_SECTOR as u64, Patch::Sector { at, leading, trailing })
            };
            let whole = |number: u64| number.is_multiple_of(LOG_SECTOR as u64);
            let end = start.checked_add(len).filter(|end| *end < 1 << 63);
            let Some(end) = end.filter(|_| whole(start) && whole(len)) else {
                let at = self.offset + (entry.start * LOG_SECTOR) as u64;
                let message = format!(
                    "descriptor {index} of the log entry at {at} writes {len} bytes at {start}: \
                     not whole sectors of {LOG_SECTOR} bytes"
                );
                return Err(damaged(message));
            };
            if writes.len() == MOST_PATCHES {
                let message =
                    format!("the log holds more than {MOST_PATCHES} writes to replay; {ADVICE}");
                return Err(unsupported(message));
            }
            writes.extend(Extent::new(start, end).map(|extent| (extent, patch)));
        }
        Ok(())
    }
}

impl Entry {
    /// Sectors of the header and the descriptors.
    const fn descriptor_sectors(&self) -> usize {
        let bytes = size_of::<LogEntryHeader>() + self.descriptors * size_of::<LogDescriptor>();
        bytes.div_ceil(LOG_SECTOR)
    }
}
