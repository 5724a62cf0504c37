//! Writes a medium as qcow2.
//!
//! One pass over the medium; every byte is read once. Memory does not grow with the data, only
//! with the tables named in `alloc` and `tables`, plus about 4 MiB per thread that compresses.
//! Invariant: see the module; a file that was begun and not finished has no header.

use super::alloc::{Alloc, whole};
use super::geometry::{Geometry, Packed};
use super::header::header;
use super::ondisk::ENTRY_COPIED;
use super::squeeze::{Run, Squeezed, squeeze};
use super::tables::{Tables, l1_bytes};
use super::{Compression, Params, Preallocation};
use crate::engine::base::{Error, Kind, PositionalSink, Progress, SectorSource, Work, write_zeros};
use crate::engine::codec::{Compressor, Method, ordered};
use crate::engine::format::units::{Batches, data_runs};
use crate::units::SECTOR;

/// Bytes read at once, at least a cluster.
const BATCH: u64 = 1 << 20;

/// Writes `source` to a sink that reads as zeros where nothing is written. A medium that is not
/// whole sectors, or too large for the format, and parameters that do not go together are refused
/// before anything is written.
pub fn write(
    source: &dyn SectorSource,
    sink: &dyn PositionalSink,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    let progress = work.progress;
    if !source.len().is_multiple_of(SECTOR) {
        let message = format!("{} bytes are not whole sectors of {SECTOR} bytes", source.len());
        return Err(Error::new(Kind::Document, message));
    }
    let geometry = params.geometry(source.len())?;
    let mapped = match params.preallocation {
        Preallocation::Off => None,
        _ => Some(whole(geometry, all_clusters(geometry))?),
    };
    progress.begin("writing qcow2", source.len());
    if let (Some(bytes), Preallocation::Falloc) = (mapped, params.preallocation) {
        sink.reserve(0, bytes)?;
    }
    let mut writer = Writer::new(geometry, sink, params)?;
    let method = match params.compression {
        Compression::None => None,
        Compression::Zlib => Some(Method::Deflate),
        Compression::Zstd => Some(Method::Zstd),
    };
    match method {
        None => writer.copy(source, progress)?,
        Some(method) => writer.compress(source, method, work.threads(), progress)?,
    }
    progress.advance(source.len() - writer.done)?;
    writer.finish()
}

/// Clusters of a file that maps all of its virtual disk, without its reference counts.
fn all_clusters(geometry: Geometry) -> u64 {
    let l1 = geometry.clusters_of(l1_bytes(geometry));
    1 + l1 + geometry.l1_entries() + geometry.guest_clusters()
}

/// A file being written.
struct Writer<'a> {
    geometry: Geometry,
    params: &'a Params,
    sink: &'a dyn PositionalSink,
    alloc: Alloc<'a>,
    tables: Tables,
    l1_offset: u64,
    /// With preallocation: the clusters before this one are mapped.
    mapped: u64,
    /// Bytes of the medium that progress knows of.
    done: u64,
}

impl<'a> Writer<'a> {
    fn new(
        geometry: Geometry,
        sink: &'a dyn PositionalSink,
        params: &'a Params,
    ) -> Result<Self, Error> {
        let mut alloc = Alloc::new(geometry, sink);
        alloc.clusters(1)?; // the header
        let l1_offset = match geometry.clusters_of(l1_bytes(geometry)) {
            0 => 0, // an empty disk has no table: qemu-img, too, writes 0
            clusters => alloc.clusters(clusters)?,
        };
        let tables = Tables::new(geometry);
        Ok(Self { geometry, params, sink, alloc, tables, l1_offset, mapped: 0, done: 0 })
    }

    /// Stores all clusters as they are.
    fn copy(&mut self, source: &dyn SectorSource, progress: &dyn Progress) -> Result<(), Error> {
        let mut buffer = Vec::new();
        let cluster = self.geometry.cluster();
        for batch in Batches::new(source, cluster, BATCH.max(cluster)) {
            buffer.resize(batch.len() as usize, 0);
            source.read_at(batch.start(), &mut buffer)?;
            for run in data_runs(&buffer, self.geometry.cluster_len()) {
                let guest = (batch.start() + run.start as u64) / cluster;
                self.map_until(guest)?;
                self.store(guest, buffer.get(run).unwrap_or_default())?;
            }
            self.reached(batch.end(), progress)?;
        }
        self.map_until(self.geometry.guest_clusters())
    }

    /// With preallocation: gives places to the clusters before `end` that have none.
    fn map_until(&mut self, end: u64) -> Result<(), Error> {
        while self.params.preallocation != Preallocation::Off && self.mapped < end {
            let (host, count) = self.place_run(self.mapped, end - self.mapped)?;
            if self.params.preallocation == Preallocation::Full {
                write_zeros(self.sink, host, count * self.geometry.cluster())?;
            }
        }
        Ok(())
    }

    /// Stores `bytes` as they are, from the cluster `guest` on. A last cluster that is not whole
    /// is followed by zeros, as the sink's bytes are zero until written.
    fn store(&mut self, mut guest: u64, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let wanted = self.geometry.clusters_of(bytes.len() as u64);
            let (host, count) = self.place_run(guest, wanted)?;
            let len = bytes.len().min(count as usize * self.geometry.cluster_len());
            let (now, rest) = bytes.split_at(len);
            self.sink.write_at(host, now)?;
            guest += count;
            bytes = rest;
        }
        Ok(())
    }

    /// Gives places in a row to at most `wanted` clusters from `guest` on: those that one table
    /// maps. Returns where they are and how many.
    fn place_run(&mut self, guest: u64, wanted: u64) -> Result<(u64, u64), Error> {
        let count = self.tables.enter(guest, &mut self.alloc, self.sink)?.min(wanted);
        let host = self.alloc.clusters(count)?;
        for n in 0..count {
            let at = host + n * self.geometry.cluster();
            self.tables.set(guest + n, at | ENTRY_COPIED);
        }
        self.mapped = guest + count;
        Ok((host, count))
    }

    /// Stores all clusters compressed where that makes them shorter.
    fn compress(
        &mut self,
        source: &dyn SectorSource,
        method: Method,
        threads: usize,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let geometry = self.geometry;
        ordered(
            threads,
            Batches::new(source, geometry.cluster(), BATCH.max(geometry.cluster())),
            || Ok((Compressor::new(method)?, Vec::new())),
            |(compressor, buffer), batch| squeeze(source, geometry, batch, compressor, buffer),
            |squeezed| {
                self.place(&squeezed)?;
                self.reached(squeezed.extent.end(), progress)
            },
        )
    }

    /// Gives the clusters of a batch their places, and writes neighbours together.
    fn place(&mut self, squeezed: &Squeezed) -> Result<(), Error> {
        let mut run = Run::default();
        let mut from = 0;
        for piece in &squeezed.pieces {
            self.tables.enter(piece.guest, &mut self.alloc, self.sink)?;
            let len = piece.len as u64;
            let (host, entry) = if piece.packed {
                let offset = self.alloc.bytes(len)?;
                let entry = self.geometry.pack(Packed { offset, len });
                (offset, entry.ok_or_else(|| too_far(offset))?)
            } else {
                let host = self.alloc.clusters(1)?;
                (host, host | ENTRY_COPIED)
            };
            self.tables.set(piece.guest, entry);
            if host != run.host + run.len as u64 {
                run.write(&squeezed.bytes, self.sink)?;
                run = Run { host, from, len: 0 };
            }
            run.len += piece.len;
            from += piece.len;
        }
        run.write(&squeezed.bytes, self.sink)
    }

    fn reached(&mut self, at: u64, progress: &dyn Progress) -> Result<(), Error> {
        progress.advance(at - self.done)?;
        self.done = at;
        Ok(())
    }

    /// Writes the tables, and the header last.
    fn finish(self) -> Result<(), Error> {
        self.tables.finish(self.l1_offset, self.sink)?;
        let (refcounts, end) = self.alloc.finish()?;
        self.sink.set_len(end)?;
        let header = header(self.geometry, self.l1_offset, refcounts, self.params)?;
        self.sink.write_at(0, &header)
    }
}

fn too_far(offset: u64) -> Error {
    let message = format!("offset {offset} is too large for a compressed qcow2 cluster");
    Error::new(Kind::Document, message)
}
