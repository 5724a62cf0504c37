//! Writes a medium as qcow2.
//!
//! One pass over the medium; every byte is read once. Memory does not grow with the data, only
//! with the tables named in `alloc` and `tables`, plus about 4 MiB per thread that compresses.
//! Invariant: see the module; a file that was begun and not finished has no header.

use zerocopy::IntoBytes as _;
use zerocopy::big_endian::{U16, U64};

use super::alloc::{Alloc, RefcountPlaces};
use super::geometry::{Geometry, Packed};
use super::header::header;
use super::ondisk::ENTRY_COPIED;
use super::tables::{Tables, l1_bytes};
use super::{Compression, Params};
use crate::engine::base::{
    Error, Extent, Kind, PositionalSink, Progress, SectorSource, Work, is_zero,
};
use crate::engine::codec::{Compressor, Method, ordered};
use crate::engine::format::units::{Batches, data_runs};
use crate::units::SECTOR;

/// Clusters of 64 KiB, QEMU's default.
const CLUSTER_BITS: u32 = 16;

/// Bytes read at once.
const BATCH: u64 = 1 << 20;

/// Writes `source` to a sink that reads as zeros where nothing is written. A medium that is not
/// whole sectors, or too large for the format, is refused before anything is written.
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
    let geometry = Geometry::new(CLUSTER_BITS, source.len())
        .map_err(|e| Error::new(Kind::Document, e.to_string()))?;
    progress.begin("writing qcow2", source.len());
    let mut writer = Writer::new(geometry, sink);
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
    writer.finish(params.compression)
}

/// A file being written.
struct Writer<'a> {
    geometry: Geometry,
    sink: &'a dyn PositionalSink,
    alloc: Alloc,
    tables: Tables,
    l1_offset: u64,
    /// Bytes of the medium that progress knows of.
    done: u64,
}

impl<'a> Writer<'a> {
    fn new(geometry: Geometry, sink: &'a dyn PositionalSink) -> Self {
        let mut alloc = Alloc::new(geometry);
        alloc.clusters(1); // the header
        let l1_offset = alloc.clusters(geometry.clusters_of(l1_bytes(geometry)));
        Self { geometry, sink, alloc, tables: Tables::new(geometry), l1_offset, done: 0 }
    }

    /// Stores all clusters as they are.
    fn copy(&mut self, source: &dyn SectorSource, progress: &dyn Progress) -> Result<(), Error> {
        let mut buffer = Vec::new();
        for batch in Batches::new(source, self.geometry.cluster(), BATCH) {
            buffer.resize(batch.len() as usize, 0);
            source.read_at(batch.start(), &mut buffer)?;
            for run in data_runs(&buffer, self.geometry.cluster_len()) {
                let guest = (batch.start() + run.start as u64) / self.geometry.cluster();
                self.store(guest, buffer.get(run).unwrap_or_default())?;
            }
            self.reached(batch.end(), progress)?;
        }
        Ok(())
    }

    /// Stores `bytes` as they are, from the cluster `guest` on. A last cluster that is not whole
    /// is followed by zeros, as the sink's bytes are zero until written.
    fn store(&mut self, mut guest: u64, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let in_table = self.tables.enter(guest, &mut self.alloc, self.sink)?;
            let count = self.geometry.clusters_of(bytes.len() as u64).min(in_table);
            let len = bytes.len().min(count as usize * self.geometry.cluster_len());
            let (now, rest) = bytes.split_at(len);
            let host = self.alloc.clusters(count);
            self.sink.write_at(host, now)?;
            for n in 0..count {
                let at = host + n * self.geometry.cluster();
                self.tables.set(guest + n, at | ENTRY_COPIED);
            }
            guest += count;
            bytes = rest;
        }
        Ok(())
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
            Batches::new(source, geometry.cluster(), BATCH),
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
                let offset = self.alloc.bytes(len);
                let entry = self.geometry.pack(Packed { offset, len });
                (offset, entry.ok_or_else(|| too_far(offset))?)
            } else {
                let host = self.alloc.clusters(1);
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
    fn finish(mut self, compression: Compression) -> Result<(), Error> {
        self.tables.finish(self.l1_offset, self.sink)?;
        let refcounts = self.alloc.refcounts()?;
        write_refcounts(&self.alloc, refcounts, self.geometry, self.sink)?;
        self.sink.set_len(self.alloc.end())?;
        let header = header(self.geometry, self.l1_offset, refcounts, compression)?;
        self.sink.write_at(0, &header)
    }
}

fn write_refcounts(
    alloc: &Alloc,
    places: RefcountPlaces,
    geometry: Geometry,
    sink: &dyn PositionalSink,
) -> Result<(), Error> {
    let offset = |n: u64| places.blocks + n * geometry.cluster();
    let mut block: Vec<U16> = Vec::new();
    for (n, counts) in (0..).zip(alloc.blocks()) {
        block.clear();
        block.extend(counts.iter().map(|count| U16::new(*count)));
        sink.write_at(offset(n), block.as_bytes())?;
    }
    let table: Vec<U64> = (0..places.block_count).map(|n| U64::new(offset(n))).collect();
    sink.write_at(places.table, table.as_bytes())
}

/// A batch whose clusters are compressed but have no place yet.
struct Squeezed {
    extent: Extent,
    pieces: Vec<Piece>,
    /// The bytes of all pieces in order.
    bytes: Vec<u8>,
}

/// A cluster that is not zero.
struct Piece {
    guest: u64,
    len: usize,
    packed: bool,
}

/// Reads a batch and compresses its clusters. The last cluster of a medium is filled with zeros.
fn squeeze(
    source: &dyn SectorSource,
    geometry: Geometry,
    extent: Extent,
    compressor: &mut Compressor,
    buffer: &mut Vec<u8>,
) -> Result<Squeezed, Error> {
    let whole = geometry.clusters_of(extent.len()) * geometry.cluster();
    buffer.resize(whole as usize, 0);
    let (read, padding) = buffer.split_at_mut(extent.len() as usize);
    source.read_at(extent.start(), read)?;
    padding.fill(0);
    let mut squeezed = Squeezed { extent, pieces: Vec::new(), bytes: Vec::new() };
    let first = extent.start() / geometry.cluster();
    for (guest, block) in (first..).zip(buffer.chunks_exact(geometry.cluster_len())) {
        if is_zero(block) {
            continue;
        }
        let packed = compressor.compress(block)?;
        let bytes = packed.unwrap_or(block);
        squeezed.bytes.extend_from_slice(bytes);
        let packed = packed.is_some();
        squeezed.pieces.push(Piece { guest, len: bytes.len(), packed });
    }
    Ok(squeezed)
}

/// Pieces that are neighbours in the file as well as in their batch.
#[derive(Default)]
struct Run {
    host: u64,
    from: usize,
    len: usize,
}

impl Run {
    fn write(&self, bytes: &[u8], sink: &dyn PositionalSink) -> Result<(), Error> {
        match bytes.get(self.from..self.from + self.len) {
            Some(bytes) if self.len > 0 => sink.write_at(self.host, bytes),
            _ => Ok(()),
        }
    }
}

fn too_far(offset: u64) -> Error {
    let message = format!("offset {offset} is too large for a compressed qcow2 cluster");
    Error::new(Kind::Document, message)
}
