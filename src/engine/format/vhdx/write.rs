//! Writes a medium as VHDX.
//!
//! One pass over the medium; every byte is read once, in pieces, whatever the block size. A block
//! is given its place when the first piece of it that is not zero comes; zeros inside of it are not
//! written, as the sink reads zero there. Some threads read while this one writes. Memory: a few
//! pieces for each thread and one page of the BAT. Invariant: see
//! the module; a file that was begun and not finished has no identifier.

use zerocopy::IntoBytes as _;
use zerocopy::little_endian::U64;

use super::geometry::{ENTRY, Geometry};
use super::header::{self, BAT_OFFSET, blocks_offset};
use super::ondisk::{FULLY_PRESENT, NOT_PRESENT, ZERO};
use super::{Params, Subformat};
use crate::engine::base::{Error, Kind, PositionalSink, SectorSource, Work};
use crate::engine::format::Output;
use crate::engine::format::units::{Ahead, read_ahead};

/// What is either written or left out inside of a block.
const UNIT: u64 = 64 << 10;

/// Bytes read at once.
const BATCH: u64 = 1 << 20;

/// Entries of the BAT that are written at once.
const PAGE: usize = 8 << 10;

/// Writes `source` to a sink that reads as zeros where nothing is written. A medium that is not
/// whole sectors, or too large for the format, is refused before anything is written.
pub fn write(
    source: &dyn SectorSource,
    output: &Output<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    let geometry = match params.block_size {
        0 => Geometry::chosen(source.len()),
        block => Geometry::new(block, source.len()),
    }
    .map_err(|e| Error::new(Kind::Document, e.to_string()))?;
    work.progress.begin("writing vhdx", source.len());
    let mut writer = Writer::new(geometry, params.subformat, output.sink);
    let ahead = Ahead { unit: UNIT, batch: BATCH, head: 0, threads: work.threads() };
    read_ahead(source, ahead, work.progress, |part| {
        part.runs.iter().try_for_each(|run| {
            let at = part.extent.start() + run.start as u64;
            writer.store(at, part.buffer.get(run.clone()).unwrap_or_default())
        })
    })?;
    writer.finish()?;
    header::write(geometry, params.subformat, output.label.id, output.sink)
}

/// The blocks and the BAT of a file being written.
struct Writer<'a> {
    geometry: Geometry,
    subformat: Subformat,
    sink: &'a dyn PositionalSink,
    /// Entries of the BAT that have no place yet.
    page: Vec<U64>,
    /// Index in the BAT of the first of them.
    first: u64,
    /// The next block that gets an entry.
    next: u64,
    /// The block that got the last place, with its offset.
    current: Option<(u64, u64)>,
    /// Where the next block will lie: the length of the file so far.
    end: u64,
}

impl<'a> Writer<'a> {
    fn new(geometry: Geometry, subformat: Subformat, sink: &'a dyn PositionalSink) -> Self {
        Self {
            geometry,
            subformat,
            sink,
            page: Vec::with_capacity(PAGE),
            first: 0,
            next: 0,
            current: None,
            end: blocks_offset(geometry),
        }
    }

    /// Stores `bytes`, which begin at `at` of the disk. Blocks come in order.
    fn store(&mut self, mut at: u64, mut bytes: &[u8]) -> Result<(), Error> {
        let size = self.geometry.block();
        // Blocks that are neighbours on the disk as well as in the file are written together.
        while !bytes.is_empty() {
            let host = self.place(at / size)? + at % size;
            let mut len = (size - at % size).min(bytes.len() as u64);
            while len < bytes.len() as u64 && self.end == host + len {
                self.place((at + len) / size)?;
                len = (len + size).min(bytes.len() as u64);
            }
            let (now, rest) = bytes.split_at(len as usize);
            self.sink.write_at(host, now)?;
            at += len;
            bytes = rest;
        }
        Ok(())
    }

    /// The place of a block: its own, or the next one in the file.
    fn place(&mut self, block: u64) -> Result<u64, Error> {
        if let Some((current, offset)) = self.current
            && current == block
        {
            return Ok(offset);
        }
        self.skip_to(block)?;
        let offset = self.allocate()?;
        self.current = Some((block, offset));
        Ok(offset)
    }

    /// Gives an entry to all blocks before `block`, which hold nothing. The state is ZERO, as what
    /// NOT_PRESENT reads as is undefined (section 2.5.1.1).
    fn skip_to(&mut self, block: u64) -> Result<(), Error> {
        while self.next < block {
            match self.subformat {
                Subformat::Fixed => self.allocate().map(drop)?,
                Subformat::Dynamic => self.enter(ZERO)?,
            }
        }
        Ok(())
    }

    /// Gives the next block its place.
    fn allocate(&mut self) -> Result<u64, Error> {
        let offset = self.end;
        self.enter(offset | FULLY_PRESENT)?;
        self.end += self.geometry.block();
        Ok(offset)
    }

    /// Gives the next block its entry.
    fn enter(&mut self, entry: u64) -> Result<(), Error> {
        if self.geometry.block_of(self.first + self.page.len() as u64).is_none() {
            self.push(NOT_PRESENT)?;
        }
        self.next += 1;
        self.push(entry)
    }

    fn push(&mut self, entry: u64) -> Result<(), Error> {
        self.page.push(entry.into());
        if self.page.len() == PAGE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.page.is_empty() {
            self.sink.write_at(BAT_OFFSET + self.first * ENTRY, self.page.as_bytes())?;
            self.first += self.page.len() as u64;
            self.page.clear();
        }
        Ok(())
    }

    /// Writes the rest of the BAT and gives the file its length.
    fn finish(mut self) -> Result<(), Error> {
        self.skip_to(self.geometry.blocks())?;
        self.flush()?;
        debug_assert_eq!(self.first, self.geometry.bat_entries());
        self.sink.set_len(self.end)
    }
}
