//! Reads compressed grains, many at a time on several threads.
//!
//! Finds no grains (see `sparse`). Invariants: hostile bytes neither panic nor take more memory
//! than the region that is read at once and a grain per thread; a grain whose marker names
//! another sector is refused.

use std::sync::Mutex;

use libdeflater::Decompressor;
use zerocopy::FromBytes as _;

use super::descriptor::damaged;
use super::lock;
use super::ondisk::{GRAIN_MARKER, GrainMarker};
use super::sparse::Sparse;
use crate::engine::base::Error;
use crate::engine::codec::Pool;
use crate::units::SECTOR;

/// Bytes of the file that are read at once, beside the last grain.
const REGION: u64 = 2 << 20;

/// Buffers for regions that are kept for the next reads.
const KEPT_REGIONS: usize = 8;

/// A compressed grain is at most this much longer than a plain one: deflate stores what it cannot
/// shorten, with a few bytes for each block.
const SLACK: u64 = 64 << 10;

/// A compressed grain and where it lies in the file.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) grain: u64,
    pub(super) sector: u64,
}

/// A part of a grain that is wanted.
pub(super) struct Job<'a> {
    pub(super) spot: Spot,
    /// The first wanted byte of the grain.
    pub(super) from: u64,
    pub(super) part: &'a mut [u8],
}

/// What all extents of an image share for unpacking.
#[derive(Debug, Default)]
pub(super) struct Inflater {
    /// The grain that was unpacked last: small reads come again.
    recent: Mutex<Option<Unpacked>>,
    pool: Pool<Unpacker>,
    regions: Mutex<Vec<Vec<u8>>>,
}

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

impl Inflater {
    /// Fills the parts of all jobs.
    pub(super) fn fill(&self, extent: &Sparse, mut jobs: Vec<Job<'_>>) -> Result<(), Error> {
        if let [job] = &mut *jobs
            && (job.part.len() as u64) < extent.header.grain_bytes()
        {
            return self.fill_part(extent, job);
        }
        while !jobs.is_empty() {
            let behind = jobs.split_off(in_one_region(&jobs));
            let region = self.region(extent, &jobs)?;
            let context = || Ok(Unpacker::default());
            let unpack = |unpacker: &mut Unpacker, job| unpacker.unpack(extent, &region, job);
            self.pool.run(jobs, context, unpack)?;
            self.keep(region);
            jobs = behind;
        }
        Ok(())
    }

    /// Fills a part of a grain, and keeps the grain.
    fn fill_part(&self, extent: &Sparse, job: &mut Job<'_>) -> Result<(), Error> {
        let identity = extent.directory.as_ptr().addr();
        let mut held = lock(&self.recent);
        let known =
            held.as_ref().is_some_and(|it| it.extent == identity && it.grain == job.spot.grain);
        if !known {
            let region = self.region(extent, std::slice::from_ref(job))?;
            let mut bytes = held.take().map_or_else(Vec::new, |it| it.bytes);
            bytes.resize(extent.header.grain_bytes() as usize, 0);
            let packed = packed(extent, &region, job.spot)?;
            unpack(&mut Decompressor::new(), extent, job.spot, packed.bytes(), &mut bytes)?;
            *held = Some(Unpacked { extent: identity, grain: job.spot.grain, bytes });
            drop(packed);
            self.keep(region);
        }
        let from = job.from as usize;
        let unpacked = held.as_ref().map_or(&[][..], |it| &it.bytes);
        if let Some(wanted) = unpacked.get(from..from + job.part.len()) {
            job.part.copy_from_slice(wanted);
        }
        Ok(())
    }

    /// Reads what the jobs, which are in one region, probably need.
    fn region(&self, extent: &Sparse, jobs: &[Job<'_>]) -> Result<Region, Error> {
        let sectors = jobs.iter().map(|job| job.spot.sector);
        let at = sectors.clone().min().unwrap_or(0) * SECTOR;
        let last = sectors.max().unwrap_or(0) * SECTOR;
        let end = (last + extent.header.grain_bytes() + SECTOR).min(extent.source.len());
        let mut bytes = lock(&self.regions).pop().unwrap_or_default();
        bytes.resize(end.saturating_sub(at) as usize, 0);
        extent.source.read_at(at, &mut bytes)?;
        Ok(Region { at, bytes })
    }

    fn keep(&self, region: Region) {
        let mut kept = lock(&self.regions);
        if kept.len() < KEPT_REGIONS {
            kept.push(region.bytes);
        }
    }
}

/// How many of the first jobs lie so close behind each other that one read gets them.
fn in_one_region(jobs: &[Job<'_>]) -> usize {
    let first = jobs.first().map_or(0, |job| job.spot.sector);
    let close = |job: &&Job<'_>| {
        job.spot.sector.checked_sub(first).is_some_and(|sectors| sectors * SECTOR <= REGION)
    };
    jobs.iter().take_while(close).count().max(1)
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

/// Judges the marker of the grain and finds the bytes behind it.
fn packed<'a>(extent: &Sparse, region: &'a Region, spot: Spot) -> Result<Packed<'a>, Error> {
    let at = spot.sector * SECTOR;
    let bad = |what: String| {
        damaged(format!("the marker of grain {} at sector {}: {what}", spot.grain, spot.sector))
    };
    let behind = region.bytes.get(at.saturating_sub(region.at) as usize..).unwrap_or_default();
    let Ok((marker, data)) = GrainMarker::read_from_prefix(behind) else {
        return Err(bad("the file ends".to_owned()));
    };
    let lba = spot.grain * extent.header.grain;
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
    spot: Spot,
    packed: &[u8],
    grain: &mut [u8],
) -> Result<(), Error> {
    let bad = |what: String| {
        damaged(format!(
            "{} compressed bytes of grain {} at sector {}: {what}",
            packed.len(),
            spot.grain,
            spot.sector
        ))
    };
    let got = decompressor.zlib_decompress(packed, grain).map_err(|e| bad(e.to_string()))?;
    let left = (extent.header.capacity - spot.grain * extent.header.grain) * SECTOR;
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
    fn unpack(&mut self, extent: &Sparse, region: &Region, job: Job<'_>) -> Result<(), Error> {
        let size = extent.header.grain_bytes() as usize;
        let Job { spot, from, part } = job;
        let packed = packed(extent, region, spot)?;
        if part.len() == size {
            return unpack(&mut self.decompressor, extent, spot, packed.bytes(), part);
        }
        self.grain.resize(size, 0);
        unpack(&mut self.decompressor, extent, spot, packed.bytes(), &mut self.grain)?;
        let from = from as usize;
        let wanted = self.grain.get(from..from + part.len()).unwrap_or_default();
        part.copy_from_slice(wanted);
        Ok(())
    }
}
