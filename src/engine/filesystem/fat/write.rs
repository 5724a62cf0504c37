//! A FAT volume's sectors, made when they are read.
//!
//! Holds the reserved sectors and one directory in memory. Invariant: what is read does not depend
//! on how it is cut into reads.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::ondisk::ENTRY;
use super::plan::{Holds, Layout, Piece};
use super::{Bits, directory};
use crate::engine::base::tree::Kind as NodeKind;
use crate::engine::base::{
    Content, Error, Extent, Kind, SectorSource, copy_held, read_exact_at, within,
};

/// A volume.
#[derive(Debug)]
pub(super) struct Image {
    layout: Layout,
    /// The reserved sectors, without the zeros behind them.
    front: Vec<u8>,
    media: u8,
    /// Late contents by the number of their item.
    settled: HashMap<u32, Content>,
    len: u64,
    /// The directory that was read last: they are read in pieces.
    built: Mutex<Option<(u32, Arc<[u8]>)>>,
}

/// What lies at a place.
enum Part {
    Reserved,
    /// A FAT from this byte of it on.
    Fat(u64),
    Root,
    Piece(usize),
    Nothing,
}

impl Image {
    pub(super) fn new(
        layout: Layout,
        front: Vec<u8>,
        media: u8,
        settled: HashMap<u32, Content>,
        len: u64,
    ) -> Self {
        Self { layout, front, media, settled, len, built: Mutex::new(None) }
    }

    /// What lies at `offset`, where that begins, and where it ends.
    fn part(&self, offset: u64) -> (Part, u64, u64) {
        let geometry = &self.layout.geometry;
        let data = geometry.cluster_at(2);
        if offset < geometry.fat_at() {
            return (Part::Reserved, 0, geometry.fat_at());
        }
        if offset < geometry.root_at() {
            let bytes = geometry.fat * geometry.sector;
            let begin = offset - (offset - geometry.fat_at()) % bytes;
            return (Part::Fat(offset - begin), begin, begin + bytes);
        }
        if offset < data {
            return (Part::Root, geometry.root_at(), data);
        }
        let at = self.piece_after(offset);
        let Some(piece) = self.layout.pieces.get(at) else {
            return (Part::Nothing, offset, self.len);
        };
        let (begin, end) = self.bounds(piece);
        if offset < begin { (Part::Nothing, offset, begin) } else { (Part::Piece(at), begin, end) }
    }

    /// The first piece that ends after `offset`.
    fn piece_after(&self, offset: u64) -> usize {
        self.layout.pieces.partition_point(|piece| self.bounds(piece).1 <= offset)
    }

    fn bounds(&self, piece: &Piece) -> (u64, u64) {
        let at = |cluster: u64| self.layout.geometry.cluster_at(cluster);
        (at(u64::from(piece.start)), at(u64::from(piece.start) + u64::from(piece.count)))
    }

    fn content(&self, item: u32) -> Option<&Content> {
        let node = self.layout.tree.node(self.layout.items.get(item as usize)?.node);
        match &node.kind {
            NodeKind::File(content) => Some(self.settled.get(&item).unwrap_or(content)),
            _ => None,
        }
    }

    fn directory(&self, number: u32) -> Result<Arc<[u8]>, Error> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, bytes)) = &*built
            && *last == number
        {
            return Ok(Arc::clone(bytes));
        }
        let bytes: Arc<[u8]> = directory::build(&self.layout, number as usize)?.into();
        *built = Some((number, Arc::clone(&bytes)));
        Ok(bytes)
    }

    /// Fills `into` with the bytes of one part from `from` on.
    fn fill(&self, part: &Part, from: u64, into: &mut [u8]) -> Result<(), Error> {
        match part {
            Part::Reserved => copy_held(&self.front, from, into),
            Part::Fat(at) => self.fat(*at, into),
            Part::Root => copy_held(&self.directory(0)?, from, into),
            Part::Nothing => {}
            Part::Piece(at) => {
                let holds = self.layout.pieces.get(*at).map(|piece| piece.holds);
                match holds {
                    Some(Holds::Directory(number)) => {
                        copy_held(&self.directory(number)?, from, into)
                    }
                    Some(Holds::Item(item)) => self.file(item, from, into)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn file(&self, item: u32, from: u64, into: &mut [u8]) -> Result<(), Error> {
        let Some(content) = self.content(item) else { return Ok(()) };
        let held = content.len().saturating_sub(from).min(into.len() as u64);
        // OK to cast: at most the length of the buffer.
        let Some(part) = into.get_mut(..held as usize).filter(|part| !part.is_empty()) else {
            return Ok(());
        };
        let read = match content {
            Content::Bytes(bytes) => read_exact_at(bytes, from, part),
            Content::Sectors(source) => source.read_at(from, part),
            Content::Late(_) => Err(Error::new(Kind::Document, "a late content is not settled")),
        };
        let node = self.layout.items.get(item as usize).map(|item| item.node);
        read.map_err(|error| match node {
            Some(node) => error.at(self.layout.tree.origin(node)),
            None => error,
        })
    }

    /// Bytes of a FAT from `from` on.
    fn fat(&self, from: u64, into: &mut [u8]) {
        let bits = self.layout.geometry.bits.count();
        // An even number: two entries of FAT12 share three bytes.
        let first = from * 8 / bits / 2 * 2;
        let end = ((from + into.len() as u64) * 8).div_ceil(bits).next_multiple_of(2);
        let entries = self.entries(first, end);
        let mut bytes = Vec::with_capacity(entries.len() * 4);
        match self.layout.geometry.bits {
            Bits::Twelve => {
                for pair in entries.as_chunks::<2>().0 {
                    let both = pair[0] & 0xFFF | (pair[1] & 0xFFF) << 12;
                    bytes.extend(both.to_le_bytes().into_iter().take(3));
                }
            }
            Bits::Sixteen => {
                let low = |entry: &u32| entry.to_le_bytes().into_iter().take(2);
                bytes.extend(entries.iter().flat_map(low));
            }
            Bits::ThirtyTwo => {
                let low = |entry: &u32| (entry & 0x0FFF_FFFF).to_le_bytes();
                bytes.extend(entries.iter().flat_map(low));
            }
        }
        copy_held(&bytes, from - first * bits / 8, into);
    }

    /// The entries of clusters `first` to `end`, with all bits that a type may have.
    fn entries(&self, first: u64, end: u64) -> Vec<u32> {
        const LAST: u32 = u32::MAX;
        // OK to cast: as many as the buffer has bytes.
        let mut entries = vec![0; (end - first) as usize];
        let mut set = |cluster: u64, entry| {
            let place = cluster.checked_sub(first).and_then(|at| entries.get_mut(at as usize));
            place.into_iter().for_each(|place| *place = entry);
        };
        set(0, 0xFFFF_FF00 | u32::from(self.media));
        set(1, LAST);
        let pieces = &self.layout.pieces;
        let from = pieces
            .partition_point(|piece| u64::from(piece.start) + u64::from(piece.count) <= first);
        for piece in pieces.iter().skip(from) {
            let (start, stop) = (u64::from(piece.start), u64::from(piece.start + piece.count));
            if start >= end {
                break;
            }
            for cluster in start.max(first)..stop.min(end) {
                // Clusters have 28 bits.
                set(cluster, if cluster + 1 == stop { LAST } else { cluster as u32 + 1 });
            }
        }
        entries
    }

    /// The first extent after `offset` of what lies before the clusters.
    fn extent_before_data(&self, offset: u64) -> Option<Extent> {
        let geometry = &self.layout.geometry;
        let fat = ((self.layout.used + 2) * geometry.bits.count()).div_ceil(8);
        let fats = (0..geometry.fats).map(|number| {
            let at = geometry.fat_at() + number * geometry.fat * geometry.sector;
            (at, at + fat)
        });
        let slots = self.layout.directories.first().map_or(0, |root| u64::from(root.slots));
        let root = (geometry.root_entries > 0)
            .then(|| (geometry.root_at(), geometry.root_at() + slots * ENTRY as u64));
        let mut all = std::iter::once((0, self.front.len() as u64)).chain(fats).chain(root);
        all.find_map(|(start, end)| Extent::new(start.max(offset), end))
    }

    fn extent_of(&self, piece: &Piece, offset: u64) -> Option<Extent> {
        let (begin, _) = self.bounds(piece);
        let from = offset.saturating_sub(begin);
        let inner = match piece.holds {
            Holds::Directory(number) => {
                let slots = self.layout.directories.get(number as usize)?.slots;
                Extent::new(from, u64::from(slots) * ENTRY as u64)
            }
            Holds::Item(item) => match self.content(item)? {
                Content::Sectors(source) => source.next_extent(from),
                content => Extent::new(from, content.len()),
            },
        }?;
        Extent::new(begin + inner.start(), begin + inner.end())
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Io)?;
        buffer.fill(0);
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (part, begin, end) = self.part(at);
            // OK to cast: at most the length of the buffer.
            let count = (end - at).min(rest.len() as u64) as usize;
            let (now, behind) = rest.split_at_mut(count);
            self.fill(&part, at - begin, now)?;
            at += count as u64;
            rest = behind;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        self.extent_before_data(offset).or_else(|| {
            let pieces = self.layout.pieces.iter().skip(self.piece_after(offset));
            pieces.into_iter().find_map(|piece| self.extent_of(piece, offset))
        })
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let (Part::Piece(at), begin, _) = self.part(offset) else { return None };
        let Holds::Item(item) = self.layout.pieces.get(at)?.holds else { return None };
        match self.content(item)? {
            Content::Sectors(source) if offset - begin < source.len() => {
                source.file_range_at(offset - begin)
            }
            _ => None,
        }
    }
}
