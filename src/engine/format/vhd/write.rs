//! Writes VHD files.
//!
//! One pass over the medium; every byte is read once. Memory is the table (4 MiB at most) and up to five
//! batches of 2 MiB. Invariant: see the module; a file that was begun and not finished has no footer.

use uuid::Uuid;
use zerocopy::IntoBytes as _;
use zerocopy::big_endian::{U16, U32, U64};

use super::geometry::{LARGEST, rounded};
use super::ondisk::{
    DynamicHeader, FEATURE_RESERVED, FOOTER_COOKIE, Footer, HEADER_COOKIE, NO_OFFSET,
    ParentLocator, TYPE_DYNAMIC, TYPE_FIXED, UNUSED, VERSION,
};
use super::{Params, Sizing, Subformat};
use crate::engine::base::{Error, Kind, PositionalSink, SectorSource, StreamSink, Work};
use crate::engine::format::blocks::{Piece, walk};
use crate::engine::format::{Label, Output, raw};
use crate::units::SECTOR;

/// Bytes of a block: the specification's default.
const BLOCK: u64 = 2 << 20;

/// A bit for each sector of a block.
const BITMAP: u64 = BLOCK / SECTOR / 8;

/// Where the header of a dynamic disk lies: behind the copy of the footer.
const HEADER_AT: u64 = size_of::<Footer>() as u64;

/// Where its table lies.
const TABLE_AT: u64 = HEADER_AT + size_of::<DynamicHeader>() as u64;

/// A fixed disk is one block that no medium fills.
const ENDLESS: u64 = 1 << 62;

/// The version of qemu's VHD writer, whose names of creators are used.
const CREATOR_VERSION: u32 = 0x0005_0003;

/// Writes `source` to a sink that reads as zeros where nothing is written. A medium that is not
/// whole sectors, or too large, is refused before anything is written.
pub fn write(
    source: &dyn SectorSource,
    output: &Output<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    let footer = footer(source.len(), params, output.label.id)?;
    work.progress.begin("writing vhd", source.len());
    match params.subformat {
        Subformat::Fixed => {
            let sink = output.sink;
            let put = |piece: Piece<'_>| sink.write_at(piece.within, piece.bytes);
            walk(source, ENDLESS, 0, work, put)?;
            sink.set_len(footer.current_size.get() + size_of::<Footer>() as u64)?;
            sink.write_at(footer.current_size.get(), footer.as_bytes())
        }
        Subformat::Dynamic => {
            let mut writer = Writer::new(footer.current_size.get(), output.sink);
            walk(source, BLOCK, BITMAP as usize, work, |piece| writer.put(&piece))?;
            writer.finish(&footer)
        }
    }
}

/// Writes `source` in order as a fixed disk.
pub fn stream(
    source: &dyn SectorSource,
    label: &Label<'_>,
    sink: &mut dyn StreamSink,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    if !params.streams() {
        let message = "a dynamic vhd cannot be written to a pipe: its table stands before the data";
        return Err(Error::new(Kind::Document, message));
    }
    let footer = footer(source.len(), params, label.id)?;
    let padding = footer.current_size.get() - source.len();
    work.progress.begin("writing vhd", source.len() + padding);
    raw::pour(source, sink, work.progress)?;
    raw::zeros(sink, padding, work.progress)?;
    sink.write(footer.as_bytes())
}

/// The footer of a disk for a medium of `len` bytes.
fn footer(len: u64, params: &Params, id: Uuid) -> Result<Footer, Error> {
    params.validate()?;
    let size = params.virtual_size(len)?;
    // The largest geometry makes every reader believe the size instead.
    let (chs, creator) = match params.sizing {
        Sizing::Chs => (rounded(len / SECTOR).0, *b"qemu"),
        Sizing::Exact => (LARGEST, *b"qem2"),
    };
    let (disk_type, data_offset) = match params.subformat {
        Subformat::Fixed => (TYPE_FIXED, NO_OFFSET),
        Subformat::Dynamic => (TYPE_DYNAMIC, HEADER_AT),
    };
    let mut footer = Footer {
        cookie: FOOTER_COOKIE,
        features: U32::new(FEATURE_RESERVED),
        version: U32::new(VERSION),
        data_offset: U64::new(data_offset),
        // Time 0 is 2000-01-01: the earliest there is, and no clock.
        time_stamp: U32::ZERO,
        creator_application: params.creator.unwrap_or(creator),
        creator_version: U32::new(CREATOR_VERSION),
        creator_host_os: *b"Wi2k",
        original_size: U64::new(size),
        current_size: U64::new(size),
        cylinders: U16::new(chs.cylinders),
        heads: chs.heads,
        sectors_per_track: chs.sectors,
        disk_type: U32::new(disk_type),
        checksum: U32::ZERO,
        unique_id: Uuid::new_v5(&id, b"vhd").into_bytes(),
        saved_state: 0,
        reserved: [0; 427],
    };
    footer.checksum = U32::new(footer.sum());
    Ok(footer)
}

/// The header of a dynamic disk whose table has `entries` entries.
fn header(entries: u32) -> DynamicHeader {
    let unused = ParentLocator {
        platform_code: [0; 4],
        platform_data_space: U32::ZERO,
        platform_data_length: U32::ZERO,
        reserved: U32::ZERO,
        platform_data_offset: U64::ZERO,
    };
    let mut header = DynamicHeader {
        cookie: HEADER_COOKIE,
        data_offset: U64::new(NO_OFFSET),
        table_offset: U64::new(TABLE_AT),
        header_version: U32::new(VERSION),
        max_table_entries: U32::new(entries),
        block_size: U32::new(BLOCK as u32),
        checksum: U32::ZERO,
        parent_unique_id: [0; 16],
        parent_time_stamp: U32::ZERO,
        reserved: U32::ZERO,
        parent_unicode_name: [0; 512],
        parent_locators: [unused; 8],
        reserved2: [0; 256],
    };
    header.checksum = U32::new(header.sum());
    header
}

/// A dynamic disk being written.
struct Writer<'a> {
    sink: &'a dyn PositionalSink,
    entries: u32,
    /// Whole sectors of entries, of which the last may belong to no block.
    table: Vec<U32>,
    /// Where the next block goes, in bytes.
    end: u64,
}

impl<'a> Writer<'a> {
    fn new(size: u64, sink: &'a dyn PositionalSink) -> Self {
        // OK to cast: at most 2040 GiB in blocks of 2 MiB.
        let entries = size.div_ceil(BLOCK) as u32;
        let per_sector = SECTOR as usize / size_of::<U32>();
        let whole = (entries as usize).next_multiple_of(per_sector);
        let table = vec![U32::new(UNUSED); whole];
        let end = TABLE_AT + (whole * size_of::<U32>()) as u64;
        Self { sink, entries, table, end }
    }

    /// Stores a piece; its block gets a place if it has none.
    fn put(&mut self, piece: &Piece<'_>) -> Result<(), Error> {
        let Some(entry) = self.table.get_mut(piece.block as usize) else {
            let message = format!("block {} is behind the end of the disk", piece.block);
            return Err(Error::new(Kind::Io, message));
        };
        if entry.get() == UNUSED {
            // OK to cast: 2040 GiB of blocks end below sector 2^32 - 1, bitmaps and all.
            entry.set((self.end / SECTOR) as u32);
            let at = self.end;
            self.end += BITMAP + BLOCK;
            // The whole block is said to be written, as qemu does: what it skips reads as zeros.
            match piece.headed {
                Some(headed) => return self.sink.write_at(at, headed),
                None => self.sink.write_at(at, &[0xff; BITMAP as usize])?,
            }
        }
        let at = u64::from(entry.get()) * SECTOR + BITMAP + piece.within;
        self.sink.write_at(at, piece.bytes)
    }

    /// Writes table and header, the footer, and its copy at the start last.
    fn finish(self, footer: &Footer) -> Result<(), Error> {
        self.sink.set_len(self.end + size_of::<Footer>() as u64)?;
        if !self.table.is_empty() {
            self.sink.write_at(TABLE_AT, self.table.as_bytes())?;
        }
        self.sink.write_at(HEADER_AT, header(self.entries).as_bytes())?;
        self.sink.write_at(self.end, footer.as_bytes())?;
        self.sink.write_at(0, footer.as_bytes())
    }
}
