//! An untrusted sparse extent: finds and reads its grains.
//!
//! Knows no descriptor. Invariants: every place is checked against the file before it is used;
//! memory is the directory (at most 16 MiB), a few tables, and what `inflate` says.

use std::sync::{Arc, Mutex};

use zerocopy::IntoBytes as _;
use zerocopy::little_endian::U32;

use super::descriptor::damaged;
use super::inflate::{Inflater, Job, Spot};
use super::lock;
use super::ondisk::GTE_ZERO;
use super::parse::Header;
use crate::engine::base::{Error, Extent, SectorSource};
use crate::units::SECTOR;

/// A table that was read, with its number.
type Cached = Option<(u64, Arc<[U32]>)>;

/// A sparse extent.
#[derive(Debug)]
pub(super) struct Sparse {
    pub(super) source: Arc<dyn SectorSource>,
    pub(super) header: Header,
    pub(super) directory: Vec<U32>,
    /// A table's place here is its number modulo the length.
    tables: Mutex<Vec<Cached>>,
}

/// Grains that are worked off together: 4 MiB as they are usually.
const STEPS: usize = 64;

/// A part of one grain that is to be read.
#[derive(Clone, Copy, Debug)]
struct Step {
    grain: u64,
    /// The first wanted byte of the grain.
    from: u64,
    len: u64,
    place: Place,
}

impl Step {
    /// Where the part of a stored grain lies in the file.
    const fn host(&self) -> Option<u64> {
        match self.place {
            Place::At(sector) => Some(sector * SECTOR + self.from),
            Place::Unallocated | Place::Zero => None,
        }
    }

    /// Whether `next` lies behind this, or neither lies anywhere.
    fn goes_on(&self, next: &Self) -> bool {
        self.host().map(|at| at + self.len) == next.host()
    }
}

/// Where a grain lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: it reads as zeros.
    Unallocated,
    /// Nowhere, and it is said to be zero.
    Zero,
    /// At this sector of the file.
    At(u64),
}

impl Sparse {
    /// Reads the directory that `header` names. Keeps `cached` tables.
    pub(super) fn new(
        source: Arc<dyn SectorSource>,
        header: Header,
        cached: usize,
    ) -> Result<Self, Error> {
        let directory = read_entries(&*source, header.directory, header.tables, "directory")?;
        // Two entries never share a table, so walking all tables takes time that the length of
        // the file bounds.
        let named = directory.iter().filter(|entry| entry.get() != 0).count() as u64;
        let table_sectors = (header.entries * 4).div_ceil(SECTOR);
        let sectors = source.len().div_ceil(SECTOR);
        if named * table_sectors > sectors {
            return Err(damaged(format!("{named} grain tables in a file of {sectors} sectors")));
        }
        let tables = Mutex::new(vec![None; cached.max(1)]);
        Ok(Self { source, header, directory, tables })
    }

    /// The table of this number, if there is one.
    pub(super) fn table(&self, number: u64) -> Result<Option<Arc<[U32]>>, Error> {
        let at = self.directory.get(number as usize).map_or(0, |entry| u64::from(entry.get()));
        if at == 0 {
            return Ok(None);
        }
        let slot = |tables: &Vec<Cached>| number as usize % tables.len();
        let tables = lock(&self.tables);
        if let Some(Some((cached, table))) = tables.get(slot(&tables))
            && *cached == number
        {
            return Ok(Some(Arc::clone(table)));
        }
        drop(tables);
        let what = format!("grain table {number}");
        let table: Arc<[U32]> = read_entries(&*self.source, at, self.header.entries, &what)?.into();
        let mut tables = lock(&self.tables);
        let slot = slot(&tables);
        if let Some(place) = tables.get_mut(slot) {
            *place = Some((number, Arc::clone(&table)));
        }
        Ok(Some(table))
    }

    /// Where the entry of `grain` in its table says that it lies.
    pub(super) fn place(&self, table: &[U32], grain: u64) -> Result<Place, Error> {
        let index = grain % self.header.entries;
        let entry = table.get(index as usize).map_or(0, |entry| entry.get());
        match entry {
            0 => Ok(Place::Unallocated),
            GTE_ZERO if self.header.zeroed => Ok(Place::Zero),
            entry if u64::from(entry) * SECTOR < self.source.len() => Ok(Place::At(entry.into())),
            entry => Err(damaged(format!(
                "the grain table's entry of grain {grain} is sector {entry}; the file has {}",
                self.source.len().div_ceil(SECTOR)
            ))),
        }
    }

    /// Grains from `grain` on that the same table maps.
    fn left_in_table(&self, grain: u64) -> u64 {
        let entries = self.header.entries;
        (entries - grain % entries).min(self.header.grains().saturating_sub(grain))
    }

    /// Fills `buffer` from byte `at` of the extent on.
    pub(super) fn read(
        &self,
        at: u64,
        buffer: &mut [u8],
        inflater: &Inflater,
    ) -> Result<(), Error> {
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let steps = self.steps(at, rest.len() as u64)?;
            let len: u64 = steps.iter().map(|step| step.len).sum();
            let (now, behind) = rest.split_at_mut(len as usize);
            if self.header.compressed {
                self.read_compressed(&steps, now, inflater)?;
            } else {
                self.read_stored(&steps, now)?;
            }
            rest = behind;
            at += len;
        }
        Ok(())
    }

    /// Where the next bytes lie, grain by grain.
    fn steps(&self, mut at: u64, mut len: u64) -> Result<Vec<Step>, Error> {
        let size = self.header.grain_bytes();
        let mut steps = Vec::new();
        while len > 0 && steps.len() < STEPS {
            let (grain, from) = (at / size, at % size);
            let place = match self.table(grain / self.header.entries)? {
                None => Place::Unallocated,
                Some(table) => self.place(&table, grain)?,
            };
            let part = (size - from).min(len);
            steps.push(Step { grain, from, len: part, place });
            at += part;
            len -= part;
        }
        Ok(steps)
    }

    fn read_compressed(
        &self,
        steps: &[Step],
        mut rest: &mut [u8],
        inflater: &Inflater,
    ) -> Result<(), Error> {
        let mut jobs = Vec::with_capacity(steps.len());
        for step in steps {
            let (part, behind) = rest.split_at_mut(step.len as usize);
            rest = behind;
            match step.place {
                Place::Unallocated | Place::Zero => part.fill(0),
                Place::At(sector) => {
                    let spot = Spot { grain: step.grain, sector };
                    jobs.push(Job { spot, from: step.from, part });
                }
            }
        }
        inflater.fill(self, jobs)
    }

    /// Reads grains that are neighbours in the file, too, in one piece.
    fn read_stored(&self, steps: &[Step], mut rest: &mut [u8]) -> Result<(), Error> {
        let mut ahead = steps.iter().peekable();
        while let Some(first) = ahead.next() {
            let (start, mut last, mut len) = (first.host(), *first, first.len);
            while let Some(next) = ahead.next_if(|next| last.goes_on(next)) {
                len += next.len;
                last = *next;
            }
            let (part, behind) = rest.split_at_mut(len as usize);
            rest = behind;
            let Some(at) = start else {
                part.fill(0);
                continue;
            };
            if at.checked_add(len).is_none_or(|end| end > self.source.len()) {
                return Err(damaged(format!(
                    "grain {} goes beyond the end of the file at {}",
                    last.grain,
                    self.source.len()
                )));
            }
            self.source.read_at(at, part)?;
        }
        Ok(())
    }

    /// The first run of grains with data at or behind byte `at`, at least to the end of a table.
    /// What cannot be told may have data: the error then comes when it is read.
    pub(super) fn next_extent(&self, at: u64) -> Option<Extent> {
        let size = self.header.grain_bytes();
        let mut grain = at / size;
        while grain < self.header.grains() {
            let end = grain + self.left_in_table(grain);
            let run = match self.table(grain / self.header.entries) {
                Ok(None) => None,
                Err(_) => Some((grain, end)),
                Ok(Some(table)) => {
                    let data = |grain: &u64| {
                        !matches!(self.place(&table, *grain), Ok(Place::Unallocated | Place::Zero))
                    };
                    let start = (grain..end).find(data);
                    start.map(|start| {
                        (start, (start..end).find(|grain| !data(grain)).unwrap_or(end))
                    })
                }
            };
            if let Some((start, end)) = run {
                return Extent::new((start * size).max(at), end * size);
            }
            grain = end;
        }
        None
    }
}

/// Reads `count` entries of a directory or table at this sector.
fn read_entries(
    source: &dyn SectorSource,
    sector: u64,
    count: u64,
    what: &str,
) -> Result<Vec<U32>, Error> {
    let at = sector.checked_mul(SECTOR);
    if at.and_then(|at| at.checked_add(count * 4)).is_none_or(|end| end > source.len()) {
        return Err(damaged(format!(
            "the {what} at sector {sector} does not lie in the file of {} sectors",
            source.len().div_ceil(SECTOR)
        )));
    }
    let mut entries = vec![U32::ZERO; count as usize];
    source.read_at(sector * SECTOR, entries.as_mut_bytes())?;
    Ok(entries)
}
