//! Unpacks the compressed clusters of a read: many at once in parallel, a part of one from the
//! cluster that was unpacked last.
//!
//! Invariants: never panics; packed bytes are read once per call, neighbours together; memory is
//! bounded by the caller's window, as a cluster's packed bytes are at most a little longer than
//! the cluster.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::geometry::{Geometry, Packed};
use super::ondisk::COMPRESSED_SECTOR;
use super::parse::damaged;
use crate::engine::base::{Error, SectorSource};
use crate::engine::codec::{Decompressor, Method, Pool};

/// Packed neighbours are read together up to this many bytes.
const MOST_READ: usize = 4 << 20;

/// What unpacks.
#[derive(Debug)]
pub(super) struct Unpacker {
    geometry: Geometry,
    method: Method,
    pool: Pool<Decompressor>,
    /// Room for packed bytes, kept from call to call.
    room: Mutex<Vec<u8>>,
    last: Mutex<Last>,
}

/// The compressed cluster that was unpacked last for a part of it.
#[derive(Debug, Default)]
struct Last {
    place: Option<Packed>,
    block: Vec<u8>,
}

/// A wanted part of a compressed cluster.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) place: Packed,
    /// Where in the cluster the part begins.
    pub(super) from: usize,
    pub(super) part: &'a mut [u8],
}

/// A whole cluster, and where its packed bytes are in the room.
struct Job<'a> {
    packed: Range<usize>,
    offset: u64,
    block: &'a mut [u8],
}

impl Unpacker {
    pub(super) fn new(geometry: Geometry, method: Method) -> Self {
        let (room, last) = (Mutex::default(), Mutex::default());
        Self { geometry, method, pool: Pool::default(), room, last }
    }

    /// Fills all parts.
    pub(super) fn fill(
        &self,
        source: &dyn SectorSource,
        wanted: Vec<Wanted<'_>>,
    ) -> Result<(), Error> {
        let mut whole = Vec::new();
        for wanted in wanted {
            if wanted.part.len() == self.geometry.cluster_len() {
                whole.push(wanted);
            } else {
                self.part(source, wanted)?;
            }
        }
        if whole.is_empty() {
            return Ok(());
        }
        let mut room = std::mem::take(&mut *lock(&self.room));
        let done = self.all(source, whole, &mut room);
        *lock(&self.room) = room;
        done
    }

    fn all(
        &self,
        source: &dyn SectorSource,
        whole: Vec<Wanted<'_>>,
        room: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut jobs = Vec::with_capacity(whole.len());
        // Host bytes that are read together: where they begin, and where they go in the room.
        let mut run: Option<(u64, Range<usize>)> = None;
        for wanted in whole {
            let offset = wanted.place.offset;
            let len = self.packed_len(wanted.place, source.len());
            let joined = run.as_mut().and_then(|(start, into)| {
                let at = usize::try_from(offset.checked_sub(*start)?).ok()?;
                let close = at <= into.len() && at + len <= MOST_READ;
                close.then(|| {
                    into.end = into.end.max(into.start + at + len);
                    into.start + at
                })
            });
            let at = match joined {
                Some(at) => at,
                None => {
                    let begin = read_run(source, run.take(), room)?;
                    run = Some((offset, begin..begin + len));
                    begin
                }
            };
            jobs.push(Job { packed: at..at + len, offset, block: wanted.part });
        }
        read_run(source, run, room)?;
        let packed: &[u8] = room;
        let unpack = |decompressor: &mut Decompressor, job: Job<'_>| {
            let packed = packed.get(job.packed).unwrap_or_default();
            decompressor.decompress(packed, job.block).map_err(|e| at(job.offset, &e))
        };
        self.pool.run(jobs, || Decompressor::new(self.method), unpack)
    }

    /// Packed bytes of a cluster that can matter: its descriptor may count more sectors than the
    /// file has, and with small clusters many more than a cluster.
    fn packed_len(&self, place: Packed, file: u64) -> usize {
        let most = self.geometry.cluster() + 2 * COMPRESSED_SECTOR;
        place.len.min(file.saturating_sub(place.offset)).min(most) as usize
    }

    fn part(&self, source: &dyn SectorSource, wanted: Wanted<'_>) -> Result<(), Error> {
        let mut last = lock(&self.last);
        if last.place != Some(wanted.place) {
            last.place = None;
            let mut packed = vec![0; self.packed_len(wanted.place, source.len())];
            source.read_at(wanted.place.offset, &mut packed)?;
            last.block.resize(self.geometry.cluster_len(), 0);
            let unpack = |decompressor: &mut Decompressor, block: &mut [u8]| {
                decompressor.decompress(&packed, block).map_err(|e| at(wanted.place.offset, &e))
            };
            let jobs = vec![last.block.as_mut_slice()];
            self.pool.run(jobs, || Decompressor::new(self.method), unpack)?;
            last.place = Some(wanted.place);
        }
        let end = wanted.from + wanted.part.len();
        wanted.part.copy_from_slice(last.block.get(wanted.from..end).unwrap_or_default());
        Ok(())
    }
}

/// Reads a run into the room. Returns where the next one may begin.
fn read_run(
    source: &dyn SectorSource,
    run: Option<(u64, Range<usize>)>,
    room: &mut Vec<u8>,
) -> Result<usize, Error> {
    let Some((start, into)) = run else { return Ok(0) };
    if room.len() < into.end {
        room.resize(into.end, 0);
    }
    let end = into.end;
    source.read_at(start, room.get_mut(into).unwrap_or_default())?;
    Ok(end)
}

fn at(offset: u64, error: &Error) -> Error {
    damaged(format!("compressed cluster at offset {offset}: {error}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
