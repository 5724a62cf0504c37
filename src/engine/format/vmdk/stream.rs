//! Writes a medium as streamOptimized, in order, so that a pipe can take it.
//!
//! ```text
//! header, descriptor │ grain grain … GT │ grain … GT │ … │ GD │ footer │ end
//! ```
//!
//! Each grain stands behind its `GrainMarker`, each table, the directory and the footer behind a
//! `MetaDataMarker`. One pass; memory is a few batches per thread, one grain table and the
//! directory (4 bytes for 32 MiB of disk). Invariant: the bytes do not depend on the threads: a
//! grain is compressed alone, and what is compressed comes in order.

use libdeflater::{CompressionLvl, Compressor};
use zerocopy::IntoBytes as _;
use zerocopy::little_endian::{U32, U64};

use super::Params;
use super::header::{self, STREAM_OVER_HEAD};
use super::layout::{GRAIN_BYTES, Layout, TABLE_SECTORS};
use super::ondisk::{
    DESCRIPTOR_SECTORS, GRAIN, GRAIN_MARKER, GTES, GrainMarker, MARKER_EOS, MARKER_FOOTER,
    MARKER_GD, MARKER_GT, MetaDataMarker,
};
use super::text::{descriptor, embedded};
use super::write::too_far;
use crate::engine::base::{Error, Extent, Kind, SectorSource, StreamSink, Work, is_zero};
use crate::engine::codec::ordered;
use crate::engine::format::Label;
use crate::engine::format::units::Batches;
use crate::units::SECTOR;

/// Bytes read at once by a thread.
const BATCH: u64 = 1 << 20;

/// Bytes written at once.
const RUN: usize = 1 << 20;

/// libdeflate's level. Makes files a little shorter than zlib's level 6, QEMU's, in a third of
/// its time.
const LEVEL: i32 = 6;

/// Writes a streamOptimized file.
pub(super) fn write(
    source: &dyn SectorSource,
    label: &Label<'_>,
    sink: &mut dyn StreamSink,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    let layout = Layout::new(source.len())?;
    let text = descriptor(label, label.name, layout.capacity, params)?;
    let text = embedded(&text, (DESCRIPTOR_SECTORS * SECTOR) as usize)?;
    work.progress.begin("writing vmdk", source.len());
    let mut stream = Stream::new(layout, sink);
    stream.put(header::stream(layout, None).as_bytes())?;
    stream.put(&text)?;
    stream.fill_to(STREAM_OVER_HEAD)?;
    let mut done = 0;
    ordered(
        work.threads(),
        Batches::new(source, GRAIN_BYTES, BATCH),
        || Ok(Context { compressor: Compressor::new(level()?), grains: Vec::new() }),
        |context, batch| squeeze(source, batch, context),
        |squeezed: Squeezed| {
            stream.place(&squeezed)?;
            work.progress.advance(squeezed.extent.end() - done)?;
            done = squeezed.extent.end();
            Ok(())
        },
    )?;
    work.progress.advance(source.len() - done)?;
    stream.finish()
}

fn level() -> Result<CompressionLvl, Error> {
    CompressionLvl::new(LEVEL)
        .map_err(|_| Error::new(Kind::Io, format!("libdeflate has no level {LEVEL}")))
}

/// What a compressing thread keeps.
struct Context {
    compressor: Compressor,
    grains: Vec<u8>,
}

/// A batch whose grains are compressed, with markers and padding, but have no place yet.
struct Squeezed {
    extent: Extent,
    /// Each grain that is not zero: its number, and how many bytes it takes.
    pieces: Vec<(u64, usize)>,
    bytes: Vec<u8>,
}

/// Reads a batch and compresses its grains. The last grain of a disk is filled with zeros.
fn squeeze(
    source: &dyn SectorSource,
    extent: Extent,
    context: &mut Context,
) -> Result<Squeezed, Error> {
    let Context { compressor, grains } = context;
    grains.resize(extent.len().next_multiple_of(GRAIN_BYTES) as usize, 0);
    let (read, padding) = grains.split_at_mut(extent.len() as usize);
    source.read_at(extent.start(), read)?;
    padding.fill(0);
    let room = (GRAIN_MARKER + compressor.zlib_compress_bound(GRAIN_BYTES as usize))
        .next_multiple_of(SECTOR as usize);
    let mut squeezed = Squeezed { extent, pieces: Vec::new(), bytes: Vec::new() };
    let first = extent.start() / GRAIN_BYTES;
    for (grain, block) in (first..).zip(grains.chunks_exact(GRAIN_BYTES as usize)) {
        if is_zero(block) {
            continue;
        }
        let bytes = &mut squeezed.bytes;
        let start = bytes.len();
        bytes.resize(start + room, 0);
        let (marker, data) = bytes.get_mut(start..).unwrap_or_default().split_at_mut(GRAIN_MARKER);
        let size = compressor.zlib_compress(block, data).map_err(|e| {
            Error::new(Kind::Io, format!("compressing {} bytes: {e:?}", block.len()))
        })?;
        let lba = U64::new(grain * GRAIN);
        // OK to cast: a little more than a grain at most.
        marker.copy_from_slice(GrainMarker { lba, size: U32::new(size as u32) }.as_bytes());
        let len = (GRAIN_MARKER + size).next_multiple_of(SECTOR as usize);
        data.get_mut(size..len - GRAIN_MARKER).unwrap_or_default().fill(0);
        bytes.truncate(start + len);
        squeezed.pieces.push((grain, len));
    }
    Ok(squeezed)
}

/// A file being written.
struct Stream<'a> {
    layout: Layout,
    sink: &'a mut dyn StreamSink,
    /// What was given to the sink or is pending, in bytes.
    at: u64,
    pending: Vec<u8>,
    directory: Vec<U32>,
    /// The table that is being filled, if any of its grains is there; by its number.
    table: Option<(u64, Box<[U32; GTES as usize]>)>,
}

impl<'a> Stream<'a> {
    fn new(layout: Layout, sink: &'a mut dyn StreamSink) -> Self {
        let pending = Vec::with_capacity(2 * RUN);
        Self { layout, sink, at: 0, pending, directory: Vec::new(), table: None }
    }

    /// Writes `bytes`, together with their neighbours.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.at += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= RUN { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.sink.write(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    /// Writes zeros up to this sector.
    fn fill_to(&mut self, sector: u64) -> Result<(), Error> {
        let zeros = (sector * SECTOR).saturating_sub(self.at);
        self.put(&vec![0; zeros as usize])
    }

    /// The sector that comes next, for a table's entry.
    fn here(&self) -> Result<U32, Error> {
        let sector = self.at / SECTOR;
        u32::try_from(sector).map(U32::new).map_err(|_| too_far(sector))
    }

    /// Writes the grains of a batch, and each table behind its last grain.
    fn place(&mut self, squeezed: &Squeezed) -> Result<(), Error> {
        let mut from = 0;
        for (grain, len) in &squeezed.pieces {
            let (number, index) = (grain / u64::from(GTES), grain % u64::from(GTES));
            if self.table.as_ref().is_some_and(|(open, _)| *open != number) {
                self.close_table()?;
            }
            let here = self.here()?;
            let empty = || (number, Box::new([U32::ZERO; GTES as usize]));
            let (_, table) = self.table.get_or_insert_with(empty);
            if let Some(entry) = table.get_mut(index as usize) {
                *entry = here;
            }
            self.put(squeezed.bytes.get(from..from + len).unwrap_or_default())?;
            from += len;
        }
        Ok(())
    }

    /// Writes the table that is open, if one is.
    fn close_table(&mut self) -> Result<(), Error> {
        let Some((number, table)) = self.table.take() else { return Ok(()) };
        self.marker(TABLE_SECTORS, MARKER_GT)?;
        self.directory.resize(number as usize, U32::ZERO);
        self.directory.push(self.here()?);
        self.put(table.as_bytes())
    }

    fn marker(&mut self, num_sectors: u64, kind: u32) -> Result<(), Error> {
        let marker = MetaDataMarker {
            num_sectors: U64::new(num_sectors),
            size: U32::ZERO,
            kind: U32::new(kind),
            pad: [0; 496],
        };
        self.put(marker.as_bytes())
    }

    /// Writes the last table, the directory, the footer and the end.
    fn finish(mut self) -> Result<(), Error> {
        self.close_table()?;
        self.marker(self.layout.directory, MARKER_GD)?;
        let start = u64::from(self.here()?.get());
        let mut directory = std::mem::take(&mut self.directory);
        directory.resize((self.layout.directory * SECTOR / 4) as usize, U32::ZERO);
        self.put(directory.as_bytes())?;
        self.marker(1, MARKER_FOOTER)?;
        self.put(header::stream(self.layout, Some(start)).as_bytes())?;
        self.marker(0, MARKER_EOS)?;
        self.flush()
    }
}
