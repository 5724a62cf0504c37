//! Reads an untrusted VHD file as a medium.
//!
//! Opens no other file. Bitmaps are not read: as in qemu, an allocated block is read whole (`check`
//! finds where a bitmap says otherwise). Invariants: never panics, every offset is checked before
//! it is used; memory is the table, at most 32 MiB, whatever the file says.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use zerocopy::IntoBytes as _;
use zerocopy::big_endian::U32;

use super::ondisk::{Footer, UNUSED};
use super::parse::{Dynamic, Parsed, damaged, parse};
use super::{Params, Sizing, Subformat, check};
use crate::engine::base::{Error, Extent, Kind, SectorSource, Work, within};
use crate::engine::format::blocks::held;
use crate::engine::format::image;
use crate::engine::format::{self, Census, Findings, FormatName};
use crate::units::SECTOR;

/// An open file: its virtual disk as a medium.
#[derive(Debug)]
pub struct Image {
    pub(super) source: Arc<dyn SectorSource>,
    pub(super) parsed: Parsed,
    /// One entry per block; empty for fixed disks.
    pub(super) table: Vec<U32>,
}

impl Image {
    /// Judges the footer and the header of `source` and reads the table.
    pub fn open(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let parsed = parse(&*source)?;
        let mut table = Vec::new();
        if let Some(dynamic) = parsed.dynamic {
            // OK to cast: at most 32 MiB of entries.
            table.resize(dynamic.entries as usize, U32::ZERO);
            if !table.is_empty() {
                source.read_at(dynamic.table_at, table.as_mut_bytes())?;
            }
        }
        Ok(Self { source, parsed, table })
    }

    /// Where the data of `block` lies, if it is allocated. The bytes up to `within` lie in the
    /// file.
    fn place(&self, dynamic: Dynamic, block: u64, within: u64) -> Result<Option<u64>, Error> {
        let entry = self.entry(block);
        if entry == UNUSED {
            return Ok(None);
        }
        let data = u64::from(entry) * SECTOR + dynamic.bitmap;
        if data + within > self.source.len() {
            return Err(damaged(format!(
                "table entry {block} is {entry}: the block at offset {data} does not lie in the \
                 file of {} bytes",
                self.source.len()
            )));
        }
        Ok(Some(data))
    }

    fn entry(&self, block: u64) -> u32 {
        self.table.get(block as usize).map_or(UNUSED, |entry| entry.get())
    }

    fn read_blocks(&self, dynamic: Dynamic, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (block, from) = (at / dynamic.block, at % dynamic.block);
            let len = (dynamic.block - from).min(rest.len() as u64);
            let (part, behind) = rest.split_at_mut(len as usize);
            match self.place(dynamic, block, from + len)? {
                Some(data) => self.source.read_at(data + from, part)?,
                None => part.fill(0),
            }
            at += len;
            rest = behind;
        }
        Ok(())
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.parsed.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len(), offset, buffer.len(), Kind::Io)?;
        match self.parsed.dynamic {
            None => self.source.read_at(offset, buffer),
            Some(dynamic) => self.read_blocks(dynamic, offset, buffer),
        }
    }

    /// One extent ends where its block does, even if the next block has data, too.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let Some(dynamic) = self.parsed.dynamic else {
            let extent = self.source.next_extent(offset)?;
            return Extent::new(extent.start(), extent.end().min(self.len()));
        };
        let mut at = offset;
        while at < self.len() {
            let (block, from) = (at / dynamic.block, at % dynamic.block);
            let len = (dynamic.block - from).min(self.len() - at);
            let found = match self.place(dynamic, block, from + len) {
                Ok(None) => None,
                Ok(Some(data)) => held(&*self.source, at, data + from, len),
                // Reading it tells what is wrong.
                Err(_) => Extent::new(at, at + len),
            };
            if found.is_some() {
                return found;
            }
            at += len;
        }
        None
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let left = self.len().checked_sub(offset)?;
        let (at, left) = match self.parsed.dynamic {
            None => (offset, left),
            Some(dynamic) => {
                let within = offset % dynamic.block;
                let data = self.place(dynamic, offset / dynamic.block, within).ok()??;
                (data + within, left.min(dynamic.block - within))
            }
        };
        let (path, at, len) = self.source.file_range_at(at)?;
        Some((path, at, len.min(left)))
    }
}

impl image::Image for Image {
    fn format(&self) -> FormatName {
        FormatName::Vhd
    }

    fn details(&self) -> Map<String, Value> {
        let Footer { creator_application, creator_host_os, unique_id, .. } = self.parsed.footer;
        let footer = &self.parsed.footer;
        let (cylinders, heads) = (footer.cylinders.get(), footer.heads);
        let dynamic = self.parsed.dynamic;
        [
            ("subformat", json!(if dynamic.is_some() { "dynamic" } else { "fixed" })),
            ("blockSize", json!(dynamic.map(|dynamic| dynamic.block))),
            ("sizing", json!(if self.parsed.exact { "exact" } else { "chs" })),
            ("currentSize", json!(footer.current_size.get())),
            ("geometry", json!([cylinders, u16::from(heads), u16::from(footer.sectors_per_track)])),
            ("creator", json!(creator_application.escape_ascii().to_string())),
            ("creatorHostOs", json!(creator_host_os.escape_ascii().to_string())),
            ("uniqueId", json!(uuid::Uuid::from_bytes(unique_id).to_string())),
            ("timeStamp", json!(footer.time_stamp.get())),
            ("savedState", json!(footer.saved_state != 0)),
            ("footer", json!(self.parsed.lost.unwrap_or("good"))),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn params(&self) -> format::Params {
        let dynamic = self.parsed.dynamic.is_some();
        format::Params::Vhd(Params {
            subformat: if dynamic { Subformat::Dynamic } else { Subformat::Fixed },
            sizing: if self.parsed.exact { Sizing::Exact } else { Sizing::Chs },
            creator: None,
        })
    }

    /// In blocks; for a fixed disk in sectors, as its file holds them.
    fn census(&self) -> Result<Census, Error> {
        let Some(dynamic) = self.parsed.dynamic else {
            let data = self.extents().map(|extent| extent.len().div_ceil(SECTOR)).sum();
            let unallocated = (self.len() / SECTOR).saturating_sub(data);
            return Ok(Census { unit: SECTOR, data, unallocated, ..Census::default() });
        };
        let data = self.table.iter().filter(|entry| entry.get() != UNUSED).count() as u64;
        let unallocated = dynamic.entries - data;
        Ok(Census { unit: dynamic.block, data, unallocated, ..Census::default() })
    }

    fn check(&self, work: &Work<'_>) -> Result<Findings, Error> {
        check::check(self, work.progress)
    }
}
