//! Reads an untrusted VHDX file as a medium.
//!
//! Opens no other file and writes nothing: a log that a crash left is replayed in memory.
//! Invariants: never panics, every offset is checked before it is used; memory is a few pages of
//! the BAT, and the log where there is something to replay (at most 64 MiB).

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::bat::{Bat, Mapping};
use super::parse::{Parsed, guid, parse};
use super::{Params, Subformat, check};
use crate::engine::base::{Error, Extent, Kind, SectorSource, Work, within};
use crate::engine::format::{self, Census, Findings, FormatName, image};
use crate::units::SECTOR;

/// An open VHDX file: its virtual disk as a medium.
#[derive(Debug)]
pub struct Image {
    parsed: Parsed,
    bat: Bat,
    /// The file as it is, without what its log holds.
    file: Arc<dyn SectorSource>,
}

impl Image {
    /// Judges the headers of `source` and replays its log.
    pub fn open(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let parsed = parse(Arc::clone(&source))?;
        let bat = Bat::new(Arc::clone(&parsed.source), parsed.geometry, parsed.bat);
        Ok(Self { parsed, bat, file: source })
    }

    fn mapping(&self, block: u64) -> Result<Mapping, Error> {
        self.bat.mapping(block, &self.parsed.taken)
    }

    fn subformat(&self) -> Subformat {
        if self.parsed.metadata.fixed { Subformat::Fixed } else { Subformat::Dynamic }
    }

    /// The first extent of `block` from byte `from` of it on, as bytes of the disk. What cannot be
    /// told may hold data: the error then comes when it is read.
    fn extent_in(&self, block: u64, from: u64) -> Option<Extent> {
        let geometry = self.parsed.geometry;
        let (guest, len) = (block * geometry.block(), geometry.len_of(block));
        match self.mapping(block) {
            Ok(Mapping::Unallocated | Mapping::Zero) => None,
            // Blocks have holes where the file has.
            Ok(Mapping::Data(host)) => {
                let held = self.parsed.source.next_extent(host + from)?;
                let held = held.intersect(Extent::new(host + from, host + len)?)?;
                Extent::new(held.start() - host + guest, held.end() - host + guest)
            }
            Err(_) => Extent::new(guest + from, guest + len),
        }
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.parsed.geometry.virtual_size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len(), offset, buffer.len(), Kind::Io)?;
        let size = self.parsed.geometry.block();
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let (block, from) = (at / size, at % size);
            let len = (self.parsed.geometry.len_of(block) - from).min(rest.len() as u64);
            // OK to cast: at most the length of the buffer.
            let (part, behind) = rest.split_at_mut(len as usize);
            match self.mapping(block)? {
                Mapping::Unallocated | Mapping::Zero => part.fill(0),
                Mapping::Data(host) => self.parsed.source.read_at(host + from, part)?,
            }
            at += len;
            rest = behind;
        }
        Ok(())
    }

    /// One extent ends where its block does, even if the next block goes on with data.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let geometry = self.parsed.geometry;
        let (mut block, mut from) = (offset / geometry.block(), offset % geometry.block());
        while block < geometry.blocks() {
            if let Some(extent) = self.extent_in(block, from) {
                return Some(extent);
            }
            let next = self.bat.skip_holes(block + 1);
            (block, from) = (next.max(block + 1), 0);
        }
        None
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let size = self.parsed.geometry.block();
        let (block, from) = (offset / size, offset % size);
        let left = self.parsed.geometry.len_of(block).checked_sub(from)?;
        match self.mapping(block).ok()? {
            Mapping::Data(host) => {
                let (path, at, len) = self.parsed.source.file_range_at(host + from)?;
                Some((path, at, len.min(left)))
            }
            Mapping::Unallocated | Mapping::Zero => None,
        }
    }
}

impl image::Image for Image {
    fn format(&self) -> FormatName {
        FormatName::Vhdx
    }

    fn details(&self) -> Map<String, Value> {
        let (header, metadata) = (&self.parsed.header, &self.parsed.metadata);
        let fixed = self.subformat() == Subformat::Fixed;
        [
            ("subformat", json!(if fixed { "fixed" } else { "dynamic" })),
            ("blockSize", json!(metadata.block_size)),
            ("logicalSectorSize", json!(SECTOR)),
            ("physicalSectorSize", json!(metadata.physical_sector)),
            ("diskId", json!(metadata.disk_id.to_string())),
            ("dataWriteId", json!(guid(header.data_write_guid).to_string())),
            ("creator", json!(self.parsed.creator)),
            ("replayedLogEntries", json!(self.parsed.replayed)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn params(&self) -> format::Params {
        let block_size = self.parsed.geometry.block();
        format::Params::Vhdx(Params { subformat: self.subformat(), block_size })
    }

    fn census(&self) -> Result<Census, Error> {
        let geometry = self.parsed.geometry;
        let mut census = Census { unit: geometry.block(), ..Census::default() };
        let mut block = 0;
        while block < geometry.blocks() {
            match self.mapping(block)? {
                Mapping::Unallocated => census.unallocated += 1,
                Mapping::Zero => census.zero += 1,
                Mapping::Data(_) => census.data += 1,
            }
            let next = self.bat.skip_holes(block + 1).max(block + 1);
            census.unallocated += next - (block + 1);
            block = next;
        }
        Ok(census)
    }

    fn check(&self, work: &Work<'_>) -> Result<Findings, Error> {
        check::check(&self.parsed, &self.bat, &*self.file, work)
    }
}
