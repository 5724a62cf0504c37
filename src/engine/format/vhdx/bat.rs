//! The block allocation table of an untrusted VHDX file: which block lies where.
//!
//! Reads no block. Invariants: an offset that it returns is behind the header section, outside of
//! all other structures and in the file; memory is a few pages, however long the table is.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use zerocopy::IntoBytes as _;
use zerocopy::little_endian::U64;

use super::geometry::{ENTRY, Geometry};
use super::ondisk::{
    BAT_OFFSET, BAT_RESERVED, BAT_STATE, FULLY_PRESENT, MIB, NOT_PRESENT, PARTIALLY_PRESENT,
    UNDEFINED, UNMAPPED, ZERO,
};
use super::parse::damaged;
use crate::engine::base::{Error, Extent, SectorSource};

/// Entries that are read at once: 64 KiB.
pub(super) const PAGE: u64 = 8 << 10;

/// Pages that are kept.
const PAGES: usize = 8;

/// The table, read page by page.
pub(super) struct Bat {
    source: Arc<dyn SectorSource>,
    geometry: Geometry,
    place: Extent,
    /// The pages that were used last, with their numbers; the latest is last.
    pages: Mutex<Vec<(u64, Arc<[U64]>)>>,
}

/// How a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// Not mentioned, or only what was there before. Reads as zeros.
    Unallocated,
    /// Zeros.
    Zero,
    /// At this offset of the file.
    Data(u64),
}

impl fmt::Debug for Bat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bat").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Bat {
    /// The table in `place` of `source`, which is long enough for the disk.
    pub(super) fn new(source: Arc<dyn SectorSource>, geometry: Geometry, place: Extent) -> Self {
        Self { source, geometry, place, pages: Mutex::default() }
    }

    /// Where an entry lies in the file.
    pub(super) const fn entry_offset(&self, index: u64) -> u64 {
        self.place.start() + index * ENTRY
    }

    /// The entry with this index.
    pub(super) fn entry(&self, index: u64) -> Result<u64, Error> {
        let page = self.page(index / PAGE)?;
        Ok(page.get((index % PAGE) as usize).map_or(0, |entry| entry.get()))
    }

    /// A page of entries; the last one may be short.
    pub(super) fn page(&self, number: u64) -> Result<Arc<[U64]>, Error> {
        let lock = || self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, page)) = lock().iter().find(|(held, _)| *held == number) {
            return Ok(Arc::clone(page));
        }
        let first = number * PAGE;
        let count = self.geometry.bat_entries().saturating_sub(first).min(PAGE);
        let mut entries = vec![U64::ZERO; count as usize];
        if count > 0 {
            self.source.read_at(self.entry_offset(first), entries.as_mut_bytes())?;
        }
        let page: Arc<[U64]> = entries.into();
        let mut pages = lock();
        if pages.len() == PAGES {
            pages.remove(0);
        }
        pages.push((number, Arc::clone(&page)));
        Ok(page)
    }

    /// The first block from `block` on whose entry may be something other than 0: blocks before it
    /// are not there. Skips the holes of the file that holds the table.
    pub(super) fn skip_holes(&self, block: u64) -> u64 {
        let index = self.geometry.bat_index(block);
        let held = self.source.next_extent(self.entry_offset(index));
        let start = held.map_or(self.place.end(), |extent| extent.start().min(self.place.end()));
        let index = (start.saturating_sub(self.place.start()) / ENTRY).max(index);
        if index >= self.geometry.bat_entries() {
            return self.geometry.blocks();
        }
        // A bitmap's entry stands before the one of the next block.
        let next = || self.geometry.block_of(index + 1);
        self.geometry.block_of(index).or_else(next).unwrap_or(block)
    }

    /// Where `block` lies. `taken` is what no block may lie in.
    pub(super) fn mapping(
        &self,
        block: u64,
        taken: &[(&'static str, Extent)],
    ) -> Result<Mapping, Error> {
        let entry = self.entry(self.geometry.bat_index(block))?;
        let bad =
            |why: String| damaged(format!("the BAT entry of block {block} is {entry:#x}: {why}"));
        if entry & BAT_RESERVED != 0 {
            return Err(bad("reserved bits are set".to_owned()));
        }
        match entry & BAT_STATE {
            NOT_PRESENT | UNDEFINED | UNMAPPED => Ok(Mapping::Unallocated),
            ZERO => Ok(Mapping::Zero),
            FULLY_PRESENT => {
                let offset = entry & BAT_OFFSET;
                let wanted = self.geometry.len_of(block);
                misplaced(offset, wanted, self.source.len(), taken)
                    .map_or(Ok(Mapping::Data(offset)), |why| Err(bad(why)))
            }
            PARTIALLY_PRESENT => {
                Err(bad("the block is partly in a parent, but the disk has none".to_owned()))
            }
            state => Err(bad(format!("the state {state} is reserved"))),
        }
    }
}

/// Why no `len` bytes of a block can lie at `offset`.
pub(super) fn misplaced(
    offset: u64,
    len: u64,
    file: u64,
    taken: &[(&'static str, Extent)],
) -> Option<String> {
    if offset < MIB {
        return Some(format!("offset {offset} is in the header section"));
    }
    let end = offset.checked_add(len).filter(|end| *end <= file);
    let Some(extent) = end.and_then(|end| Extent::new(offset, end)) else {
        return Some(format!("{len} bytes at {offset} go beyond the end of the file at {file}"));
    };
    let hit = taken.iter().find(|(_, taken)| taken.intersect(extent).is_some());
    hit.map(|(what, taken)| {
        format!("offset {offset} is in {what} at {}..{}", taken.start(), taken.end())
    })
}
