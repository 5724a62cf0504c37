//! Reads an untrusted VDI file as a medium.
//!
//! Opens no other file. Invariants: never panics, every offset is checked before it is used; memory
//! is the block map, at most 64 MiB, whatever the file says.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;
use zerocopy::IntoBytes as _;
use zerocopy::little_endian::U32;

use super::ondisk::{TYPE_STATIC, UNALLOCATED, ZERO};
use super::parse::{Parsed, damaged, parse};
use super::{Params, Subformat, check};
use crate::engine::base::{Error, Extent, Kind, SectorSource, Work, within};
use crate::engine::format::blocks::held;
use crate::engine::format::image;
use crate::engine::format::{self, Census, Findings, FormatName};

/// The most blocks that are looked at for one answer: as many steps for each hole of a static disk.
const MOST_RUN: u64 = 64;

/// An open file: its virtual disk as a medium.
#[derive(Debug)]
pub struct Image {
    pub(super) source: Arc<dyn SectorSource>,
    pub(super) parsed: Parsed,
    /// One entry per block.
    pub(super) map: Vec<U32>,
}

impl Image {
    /// Judges the header of `source` and reads the block map.
    pub fn open(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let parsed = parse(&*source)?;
        // OK to cast: at most 64 MiB of entries.
        let mut map = vec![U32::ZERO; parsed.entries as usize];
        if !map.is_empty() {
            source.read_at(parsed.map_at, map.as_mut_bytes())?;
        }
        Ok(Self { source, parsed, map })
    }

    /// The entry of `block`, if it names one.
    fn entry(&self, block: u64) -> Option<u32> {
        let entry = self.map.get(block as usize)?.get();
        (!matches!(entry, UNALLOCATED | ZERO)).then_some(entry)
    }

    /// The blocks from `block` on, at most `most`, that lie one behind the other in the file.
    fn neighbours(&self, block: u64, first: u32, most: u64) -> u64 {
        let follows =
            |n: &u64| self.entry(block + n).is_some_and(|e| u64::from(e) == u64::from(first) + n);
        1 + (1..most.min(MOST_RUN)).take_while(follows).count() as u64
    }

    fn host(&self, entry: u32) -> u64 {
        self.parsed.data_at + u64::from(entry) * self.parsed.block
    }

    /// Fills as much of `buffer` as lies in one piece, or nowhere. Returns how much.
    fn read_run(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let size = self.parsed.block;
        let (block, from) = (offset / size, offset % size);
        let wanted = buffer.len() as u64;
        let most = (from + wanted).div_ceil(size);
        let Some(entry) = self.entry(block) else {
            let len = (size - from).min(wanted) as usize;
            buffer.get_mut(..len).unwrap_or_default().fill(0);
            return Ok(len);
        };
        let run = self.neighbours(block, entry, most) * size - from;
        let len = run.min(wanted) as usize;
        let at = self.host(entry) + from;
        if at + len as u64 > self.source.len() {
            return Err(damaged(format!(
                "map entry {block} is {entry}: {len} bytes at offset {at} do not lie in the file \
                 of {} bytes",
                self.source.len()
            )));
        }
        self.source.read_at(at, buffer.get_mut(..len).unwrap_or_default())?;
        Ok(len)
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.parsed.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len(), offset, buffer.len(), Kind::Io)?;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let len = self.read_run(at, rest)?;
            at += len as u64;
            rest = rest.get_mut(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// One extent ends where the file goes on elsewhere, even if the next block has data, too.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let mut at = offset;
        while at < self.len() {
            let (block, from) = (at / self.parsed.block, at % self.parsed.block);
            let Some(entry) = self.entry(block) else {
                at = (block + 1) * self.parsed.block;
                continue;
            };
            let run = self.neighbours(block, entry, self.parsed.entries - block);
            let len = (run * self.parsed.block - from).min(self.len() - at);
            if let Some(found) = held(&*self.source, at, self.host(entry) + from, len) {
                return Some(found);
            }
            at += len;
        }
        None
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let (block, from) = (offset / self.parsed.block, offset % self.parsed.block);
        let left = self.len().checked_sub(offset)?;
        let host = self.host(self.entry(block)?) + from;
        let (path, at, len) = self.source.file_range_at(host)?;
        Some((path, at, len.min(left).min(self.parsed.block - from)))
    }
}

impl image::Image for Image {
    fn format(&self) -> FormatName {
        FormatName::Vdi
    }

    fn details(&self) -> Map<String, Value> {
        let header = &self.parsed.header;
        let version = header.version.get();
        let is_static = header.image_type.get() == TYPE_STATIC;
        [
            ("subformat", json!(if is_static { "static" } else { "dynamic" })),
            ("version", json!(format!("{}.{}", version >> 16, version & 0xffff))),
            ("blockSize", json!(self.parsed.block)),
            ("dataOffset", json!(self.parsed.data_at)),
            ("uniqueId", json!(Uuid::from_bytes_le(header.uuid_image).to_string())),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn params(&self) -> format::Params {
        let is_static = self.parsed.header.image_type.get() == TYPE_STATIC;
        let subformat = if is_static { Subformat::Static } else { Subformat::Dynamic };
        format::Params::Vdi(Params { subformat })
    }

    fn census(&self) -> Result<Census, Error> {
        let mut census = Census { unit: self.parsed.block, ..Census::default() };
        for entry in &self.map {
            match entry.get() {
                UNALLOCATED => census.unallocated += 1,
                ZERO => census.zero += 1,
                _ => census.data += 1,
            }
        }
        Ok(census)
    }

    fn check(&self, _: &Work<'_>) -> Result<Findings, Error> {
        Ok(check::check(self))
    }
}
