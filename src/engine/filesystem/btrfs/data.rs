//! The data of files at their places, and the checksums of their sectors.
//!
//! Keeps no data. A checksum is taken down when its sector is read, so that one pass from the
//! beginning to the end reads the contents once: the tree of checksums lies behind the data. One that
//! is asked for before is computed. Invariant: what is taken down is never wrong, only missing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::constants::{CSUM_OBJECT, EXTENT_CSUM, Key, node_room};
use super::ondisk::ItemHead;
use super::packed::{Cursor, Item, Items, lost};
use super::shape::{Piece, Shape};
use super::space;
use crate::engine::base::tree::Kind;
use crate::engine::base::{Content, Error, Extent, Placement, read_exact_at};

/// Bytes of a checksum.
const SUM: usize = 4;
/// Checksums that are taken down at most: 64 MiB of them.
const KEPT: u64 = 16 << 20;
/// Sectors that are read at once for the checksums that are missing.
const BATCH: usize = 64;

/// The data.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) shape: Arc<Shape>,
    /// Contents that were computed for their places, by row.
    late: OnceLock<BTreeMap<u32, Arc<[u8]>>>,
    /// For each sector its checksum; 0 is not known.
    sums: Vec<AtomicU32>,
}

impl Data {
    pub(super) fn new(shape: Arc<Shape>) -> Self {
        let sectors = shape.data_used / shape.rules.sector;
        let kept = if sectors <= KEPT { sectors } else { 0 };
        let sums = (0..kept).map(|_| AtomicU32::new(0)).collect();
        Self { shape, late: OnceLock::new(), sums }
    }

    /// Computes what depends on its place, for a filesystem that begins at `start`.
    pub(super) fn settle(&self, start: u64, medium: u64) -> Result<(), Error> {
        let mut late = BTreeMap::new();
        for (row, id) in self.shape.order.iter().enumerate() {
            let node = self.shape.tree.node(*id);
            let Kind::File(content @ Content::Late(_)) = &node.kind else { continue };
            let origin = self.shape.tree.origin(*id);
            let extents = self.extents(row, start, content.len());
            let first = extents.first().map_or(0, |extent| extent.start());
            if !first.is_multiple_of(content.align()) {
                let message = format!(
                    "bytes that need a place at a multiple of {} lie at {first}",
                    content.align()
                );
                return Err(Error::new(crate::engine::base::Kind::Document, message).at(origin));
            }
            let own = Placement { extents, medium, volume: start };
            let settled = content.clone().settle(&own);
            if let Content::Bytes(bytes) = settled.map_err(|e| e.at(origin))? {
                late.insert(row as u32, bytes);
            }
        }
        self.late.set(late).map_err(|_| lost())
    }

    /// Where a file of `len` bytes lies on the medium.
    fn extents(&self, row: usize, start: u64, len: u64) -> Vec<Extent> {
        let at = |row: usize| self.shape.first_piece.get(row).copied().unwrap_or(0) as usize;
        let pieces = self.shape.pieces.get(at(row)..at(row + 1)).unwrap_or_default();
        let mut extents: Vec<Extent> = Vec::new();
        for piece in pieces {
            let begin = start + piece.disk;
            let end = begin + piece.len.min(len.saturating_sub(piece.offset));
            let joined = extents.last().filter(|last| last.end() == begin).map(|e| e.start());
            if joined.is_some() {
                extents.pop();
            }
            extents.extend(Extent::new(joined.unwrap_or(begin), end));
        }
        extents
    }

    /// Reads the data at `disk`, which ends behind the buffer's end or is followed by free space.
    pub(super) fn read(&self, disk: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let mut at = disk;
        let mut left = buffer;
        while !left.is_empty() {
            let Some((number, piece)) = self.shape.piece_at(at) else {
                let next = self.shape.pieces.partition_point(|piece| piece.disk <= at);
                let next = self.shape.pieces.get(next).map_or(u64::MAX, |piece| piece.disk);
                let gap = (next - at).min(left.len() as u64) as usize;
                let (front, rest) = left.split_at_mut(gap);
                front.fill(0);
                (left, at) = (rest, at + gap as u64);
                continue;
            };
            let here = (piece.disk + piece.len - at).min(left.len() as u64) as usize;
            let (front, rest) = left.split_at_mut(here);
            self.read_piece(number, piece, at - piece.disk, front)?;
            self.note(at, front);
            (left, at) = (rest, at + here as u64);
        }
        Ok(())
    }

    fn read_piece(
        &self,
        number: u32,
        piece: &Piece,
        from: u64,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        let row = self.shape.row_of_piece(number);
        let node = self.shape.node(row).ok_or_else(lost)?;
        let offset = piece.offset + from;
        let held = node.len().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (front, behind) = buffer.split_at_mut(held);
        behind.fill(0);
        if front.is_empty() {
            return Ok(());
        }
        match &node.kind {
            Kind::File(Content::Bytes(bytes)) => read_exact_at(bytes, offset, front),
            Kind::File(Content::Sectors(source)) => source.read_at(offset, front),
            Kind::File(Content::Late(_)) => {
                let bytes = self.late.get().and_then(|late| late.get(&row)).ok_or_else(lost)?;
                read_exact_at(bytes, offset, front)
            }
            _ => Err(lost()),
        }
        .map_err(|e| match self.shape.order.get(row as usize) {
            Some(id) => e.at(self.shape.tree.origin(*id)),
            None => e,
        })
    }

    /// The file that the data at `disk` lie in.
    pub(super) fn file_range(&self, disk: u64) -> Option<(&Path, u64, u64)> {
        let (number, piece) = self.shape.piece_at(disk)?;
        let node = self.shape.node(self.shape.row_of_piece(number))?;
        let Kind::File(Content::Sectors(source)) = &node.kind else { return None };
        let from = disk - piece.disk;
        let held = piece.len.min(node.len().checked_sub(piece.offset)?).checked_sub(from)?;
        let (path, offset, len) = source.file_range_at(piece.offset + from)?;
        (held > 0).then_some((path, offset, len.min(held)))
    }

    fn place(&self, disk: u64) -> Option<&AtomicU32> {
        let position = space::position(self.shape.rules.data, disk)?;
        self.sums.get((position / self.shape.rules.sector) as usize)
    }

    /// Takes down the checksums of the whole sectors in `bytes`.
    fn note(&self, disk: u64, bytes: &[u8]) {
        let sector = self.shape.rules.sector;
        let begin = disk.next_multiple_of(sector);
        let whole = bytes.get((begin - disk) as usize..).unwrap_or_default();
        let chunks = whole.chunks_exact(sector as usize);
        for (at, bytes) in (begin..).step_by(sector as usize).zip(chunks) {
            if let Some(place) = self.place(at) {
                place.store(crc32c::crc32c(bytes), Ordering::Relaxed);
            }
        }
    }

    /// The checksums of the sectors from `disk` on.
    fn sums(&self, disk: u64, sums: &mut [u8]) -> Result<(), Error> {
        let sector = self.shape.rules.sector;
        let known = |at| self.place(at).map_or(0, |place| place.load(Ordering::Relaxed));
        let mut buffer = Vec::new();
        let step = sector * BATCH as u64;
        for (from, batch) in (disk..).step_by(step as usize).zip(sums.chunks_mut(BATCH * SUM)) {
            let mut missing = false;
            for (at, sum) in (from..).step_by(sector as usize).zip(batch.chunks_exact_mut(SUM)) {
                let known = known(at);
                missing |= known == 0;
                sum.copy_from_slice(&known.to_le_bytes());
            }
            if missing {
                buffer.resize(batch.len() / SUM * sector as usize, 0);
                self.read(from, &mut buffer)?;
                let sectors = buffer.chunks_exact(sector as usize);
                for (bytes, sum) in sectors.zip(batch.chunks_exact_mut(SUM)) {
                    sum.copy_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

/// The items of the tree of checksums.
#[derive(Clone, Debug)]
pub(super) struct Checksums {
    data: Arc<Data>,
    /// Address and sectors of each item.
    items: Vec<(u64, u32)>,
}

impl Checksums {
    pub(super) fn new(data: Arc<Data>) -> Self {
        let rules = data.shape.rules;
        // Linux makes no larger items (MAX_CSUM_ITEMS).
        let most = (node_room(rules.node_size) - 2 * size_of::<ItemHead>()) / SUM - 1;
        let mut items: Vec<(u64, u32)> = Vec::new();
        for piece in data.shape.pieces.iter().filter(|piece| !piece.inline) {
            let (mut at, mut left) = (piece.disk, piece.len / rules.sector);
            while left > 0 {
                let chunk_begins = (at - rules.data).is_multiple_of(1 << 30);
                let last = items.last_mut().filter(|(start, count)| {
                    start + u64::from(*count) * rules.sector == at
                        && (*count as usize) < most
                        && (*count == 0 || !chunk_begins)
                });
                let Some((_, count)) = last else {
                    items.push((at, 0));
                    continue;
                };
                let more = left.min(most as u64 - u64::from(*count));
                *count += more as u32;
                at += more * rules.sector;
                left -= more;
            }
        }
        Self { data, items }
    }
}

impl Items for Checksums {
    fn at(&self, cursor: Cursor) -> Option<Item> {
        let (start, count) = *self.items.get(cursor.item as usize)?;
        Some(Item {
            key: Key::new(CSUM_OBJECT, EXTENT_CSUM, start),
            len: count as usize * SUM,
            next: Cursor { row: 0, item: cursor.item + 1 },
        })
    }

    fn fill(&self, cursor: Cursor, data: &mut [u8]) -> Result<(), Error> {
        let (start, _) = *self.items.get(cursor.item as usize).ok_or_else(lost)?;
        self.data.sums(start, data)
    }
}
