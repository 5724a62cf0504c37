//! Reads compressed grains, many at a time on several threads.
//!
//! Finds no grains (see `sparse`). Invariants: hostile bytes neither panic nor take more memory
//! than the region that is read at once and a grain per thread; a grain whose marker names
//! another sector is refused.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use libdeflater::Decompressor;
use zerocopy::FromBytes as _;

use super::descriptor::damaged;
use super::lock;
use super::ondisk::{GRAIN_MARKER, GrainMarker};
use super::sparse::Sparse;
use crate::engine::base::Error;
use crate::units::SECTOR;

/// Bytes of the file that are read at once, beside the last grain.
const REGION: u64 = 2 << 20;

/// Fewer grains than this are not worth a thread.
const WORTH_A_THREAD: usize = 4;

/// Threads that unpack; more gain nothing in a buffer of a few MiB.
const MAX_THREADS: usize = 8;

/// A compressed grain is at most this much longer than a plain one: deflate stores what it cannot
/// shorten, with a few bytes for each block.
const SLACK: u64 = 64 << 10;

/// A part of a grain that is wanted.
pub(super) struct Job<'a> {
    pub(super) grain: u64,
    /// Where the grain lies in the file.
    pub(super) sector: u64,
    /// The first wanted byte of the grain.
    pub(super) from: u64,
    pub(super) part: &'a mut [u8],
}

/// The grain that was unpacked last: small reads come again.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Option<Unpacked>>);

#[derive(Debug)]
struct Unpacked {
    /// Which extent, by the address of its directory, which lives as long as the image.
    extent: usize,
    grain: u64,
    bytes: Vec<u8>,
}

/// Bytes of the file from this offset on.
struct Region {
    at: u64,
    bytes: Vec<u8>,
}

/// Fills the parts of all jobs.
pub(super) fn inflate(extent: &Sparse, jobs: &mut [Job<'_>], recent: &Recent) -> Result<(), Error> {
    if let [job] = jobs
        && (job.part.len() as u64) < extent.header.grain_bytes()
    {
        return inflate_part(extent, job, recent);
    }
    let mut rest = jobs;
    while !rest.is_empty() {
        let count = in_one_region(rest);
        let (now, behind) = rest.split_at_mut(count);
        let region = read_region(extent, now)?;
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
        fill(now, threads, Unpacker::default, |unpacker, job| {
            unpacker.unpack(extent, &region, job)
        })?;
        rest = behind;
    }
    Ok(())
}

/// Fills a part of a grain, and keeps the grain.
fn inflate_part(extent: &Sparse, job: &mut Job<'_>, recent: &Recent) -> Result<(), Error> {
    let identity = extent.directory.as_ptr().addr();
    let mut held = lock(&recent.0);
    let known = held.as_ref().is_some_and(|it| it.extent == identity && it.grain == job.grain);
    if !known {
        let region = read_region(extent, std::slice::from_ref(job))?;
        let mut bytes = held.take().map_or_else(Vec::new, |it| it.bytes);
        bytes.resize(extent.header.grain_bytes() as usize, 0);
        let packed = packed(extent, &region, job)?;
        unpack(&mut Decompressor::new(), extent, job, packed.bytes(), &mut bytes)?;
        *held = Some(Unpacked { extent: identity, grain: job.grain, bytes });
    }
    let from = job.from as usize;
    let unpacked = held.as_ref().map_or(&[][..], |it| &it.bytes);
    if let Some(wanted) = unpacked.get(from..from + job.part.len()) {
        job.part.copy_from_slice(wanted);
    }
    Ok(())
}

/// How many of the first jobs lie so close behind each other that one read gets them.
fn in_one_region(jobs: &[Job<'_>]) -> usize {
    let first = jobs.first().map_or(0, |job| job.sector);
    let close = |job: &&Job<'_>| {
        job.sector.checked_sub(first).is_some_and(|sectors| sectors * SECTOR <= REGION)
    };
    jobs.iter().take_while(close).count().max(1)
}

/// Reads what the jobs, which are in one region, probably need.
fn read_region(extent: &Sparse, jobs: &[Job<'_>]) -> Result<Region, Error> {
    let sectors = jobs.iter().map(|job| job.sector);
    let at = sectors.clone().min().unwrap_or(0) * SECTOR;
    let last = sectors.max().unwrap_or(0) * SECTOR;
    let end = (last + extent.header.grain_bytes() + SECTOR).min(extent.source.len());
    let mut bytes = vec![0; end.saturating_sub(at) as usize];
    extent.source.read_at(at, &mut bytes)?;
    Ok(Region { at, bytes })
}

/// The compressed bytes of a grain, in the region or, where they go beyond it, by themselves.
enum Packed<'a> {
    Here(&'a [u8]),
    Apart(Vec<u8>),
}

impl Packed<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Here(bytes) => bytes,
            Self::Apart(bytes) => bytes,
        }
    }
}

/// Judges the marker of the job's grain and finds the bytes behind it.
fn packed<'a>(extent: &Sparse, region: &'a Region, job: &Job<'_>) -> Result<Packed<'a>, Error> {
    let at = job.sector * SECTOR;
    let bad = |what: String| {
        damaged(format!("the marker of grain {} at sector {}: {what}", job.grain, job.sector))
    };
    let behind = region.bytes.get(at.saturating_sub(region.at) as usize..).unwrap_or_default();
    let Ok((marker, data)) = GrainMarker::read_from_prefix(behind) else {
        return Err(bad("the file ends".to_owned()));
    };
    let lba = job.grain * extent.header.grain;
    if marker.lba.get() != lba {
        return Err(bad(format!("lba is {}, not {lba}", marker.lba)));
    }
    let (size, most) = (u64::from(marker.size.get()), extent.header.grain_bytes() + SLACK);
    if size == 0 || size > most {
        return Err(bad(format!("size is {size}; 1 to {most} bytes are allowed")));
    }
    if let Some(bytes) = data.get(..size as usize) {
        return Ok(Packed::Here(bytes));
    }
    let from = at + GRAIN_MARKER as u64;
    if from + size > extent.source.len() {
        return Err(bad(format!("{size} bytes go beyond the end of the file")));
    }
    let mut bytes = vec![0; size as usize];
    extent.source.read_at(from, &mut bytes)?;
    Ok(Packed::Apart(bytes))
}

/// Unpacks a grain to all of `grain`. The last grain of a disk may hold less.
fn unpack(
    decompressor: &mut Decompressor,
    extent: &Sparse,
    job: &Job<'_>,
    packed: &[u8],
    grain: &mut [u8],
) -> Result<(), Error> {
    let bad = |what: String| {
        damaged(format!(
            "{} compressed bytes of grain {} at sector {}: {what}",
            packed.len(),
            job.grain,
            job.sector
        ))
    };
    let got = decompressor.zlib_decompress(packed, grain).map_err(|e| bad(e.to_string()))?;
    let left = (extent.header.capacity - job.grain * extent.header.grain) * SECTOR;
    let wanted = left.min(extent.header.grain_bytes());
    if (got as u64) < wanted {
        return Err(bad(format!("they end after {got} bytes of {wanted}")));
    }
    Ok(())
}

/// What a thread keeps.
struct Unpacker {
    decompressor: Decompressor,
    grain: Vec<u8>,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { decompressor: Decompressor::new(), grain: Vec::new() }
    }
}

impl Unpacker {
    fn unpack(&mut self, extent: &Sparse, region: &Region, job: &mut Job<'_>) -> Result<(), Error> {
        let size = extent.header.grain_bytes() as usize;
        let packed = packed(extent, region, job)?;
        if job.part.len() == size {
            let part = std::mem::take(&mut job.part);
            return unpack(&mut self.decompressor, extent, job, packed.bytes(), part);
        }
        self.grain.resize(size, 0);
        unpack(&mut self.decompressor, extent, job, packed.bytes(), &mut self.grain)?;
        let from = job.from as usize;
        let wanted = self.grain.get(from..from + job.part.len()).unwrap_or_default();
        job.part.copy_from_slice(wanted);
        Ok(())
    }
}

/// Calls `work` for every job, on up to `threads` threads, each with a context of its own. The
/// error that is returned is that of the first job, in their order, that failed.
fn fill<J: Send, C>(
    jobs: &mut [J],
    threads: usize,
    context: impl Fn() -> C + Sync,
    work: impl Fn(&mut C, &mut J) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let all = |jobs: &mut [J]| {
        let mut context = context();
        jobs.iter_mut().try_for_each(|job| work(&mut context, job))
    };
    let threads = threads.min(jobs.len() / WORTH_A_THREAD);
    if threads <= 1 {
        return all(jobs);
    }
    let (own, others) = jobs.split_at_mut(jobs.len().div_ceil(threads));
    thread::scope(|scope| {
        let size = others.len().div_ceil(threads - 1);
        let running: Vec<_> =
            others.chunks_mut(size).map(|jobs| scope.spawn(|| all(jobs))).collect();
        let first = all(own);
        running.into_iter().fold(first, |result, thread| {
            let next = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result.and(next)
        })
    })
}
