//! An erofs as a medium: everything is made when it is read.
//!
//! Holds no image. Invariant: inodes, directories and the superblock come from the layout alone;
//! file contents are passed through from where they lie.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::layout::{self, Layout, Place, chunks};
use super::metadata::overlay;
use super::ondisk::{BLOCK, CHUNKS, INLINE, SUPERBLOCK_AT};
use super::packed::{self, Packed};
use super::{Params, Planned, Request, directory};
use crate::engine::base::tree::{Kind, NodeId, Time, Tree};
use crate::engine::base::{
    Content, Error, Extent, Kind as ErrorKind, Placement, SectorSource, read_exact_at, within,
};
use crate::engine::filesystem::Room;

/// Bytes of a label.
const MAX_LABEL: usize = 16;

/// An erofs whose length is known.
pub(super) struct Laid {
    pub(super) tree: Arc<Tree>,
    pub(super) layout: Layout,
    pub(super) packed: Packed,
    pub(super) time: Time,
    pub(super) uuid: Uuid,
    pub(super) label: [u8; MAX_LABEL],
    len: u64,
    /// Late contents with their bytes.
    settled: Vec<(NodeId, Arc<[u8]>)>,
    /// The listing that was made last: long ones are read in parts.
    listing: Mutex<Option<(NodeId, Arc<[u8]>)>>,
}

impl fmt::Debug for Laid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Laid(erofs, {} bytes)", self.len)
    }
}

pub(super) fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    let identity = &request.identity;
    let uuid = match &identity.uuid {
        None => Uuid::new_v5(&identity.seed, b"erofs uuid"),
        Some(text) => Uuid::parse_str(text).map_err(|_| {
            let message = format!(
                "\"{text}\" is no UUID of an erofs, such as 01234567-89ab-cdef-0123-456789abcdef"
            );
            Error::new(ErrorKind::Document, message)
        })?,
    };
    let mut label = [0; MAX_LABEL];
    let wanted = identity.label.as_deref().unwrap_or_default().as_bytes();
    let room = label.get_mut(..wanted.len()).filter(|_| !wanted.contains(&0)).ok_or_else(|| {
        let len = wanted.len();
        let message = format!("the label of an erofs has {len} bytes: {MAX_LABEL} are allowed");
        Error::new(ErrorKind::Document, message)
    })?;
    room.copy_from_slice(wanted);
    let packed = packed::write(params, request)?;
    let layout = layout::plan(params, &request.tree, request.time, &packed)?;
    let used = layout.end * BLOCK;
    let len = match request.room {
        Room::Exactly(len) if len < used => {
            let message = format!("the erofs needs {used} bytes, its place has {len}");
            return Err(Error::new(ErrorKind::Document, message));
        }
        Room::Exactly(len) => len,
        Room::Fit { percent, bytes } => {
            let all = u128::from(used) * (100 + u128::from(percent)) / 100 + u128::from(bytes);
            let len = u64::try_from(all).ok().and_then(|len| len.checked_next_multiple_of(BLOCK));
            len.ok_or_else(|| {
                Error::new(ErrorKind::Document, format!("an erofs of {all} bytes is too large"))
            })?
        }
    };
    Ok(Box::new(Laid {
        tree: Arc::clone(&request.tree),
        layout,
        packed,
        time: request.time,
        uuid,
        label,
        len,
        settled: Vec::new(),
        listing: Mutex::new(None),
    }))
}

impl Planned for Laid {
    fn len(&self) -> u64 {
        self.len
    }

    fn uuid(&self) -> Option<String> {
        Some(self.uuid.to_string())
    }

    fn render(mut self: Box<Self>, place: &Placement) -> Result<Arc<dyn SectorSource>, Error> {
        let start = place.extents.first().map_or(0, |extent| extent.start());
        for id in &self.layout.data {
            let Kind::File(content @ Content::Late(late)) = &self.tree.node(*id).kind else {
                continue;
            };
            let at = start + u64::from(self.place(*id).block) * BLOCK;
            if !at.is_multiple_of(late.align.max(1)) {
                let message = format!(
                    "bytes that must lie at a multiple of {} came to lie at {at}",
                    late.align
                );
                return Err(Error::new(ErrorKind::Document, message).at(self.tree.origin(*id)));
            }
            let extents = Extent::new(at, at + late.len).into_iter().collect();
            let own = Placement { extents, medium: place.medium, volume: start };
            let settled = content.clone().settle(&own)?;
            if let Content::Bytes(bytes) = settled {
                self.settled.push((*id, bytes));
            }
        }
        self.settled.sort_unstable_by_key(|(id, _)| *id);
        Ok(Arc::new(*self))
    }
}

impl Laid {
    pub(super) fn place(&self, id: NodeId) -> Place {
        self.layout.places.get(id.index()).copied().unwrap_or_default()
    }

    /// The part of a node's data from `from` on.
    pub(super) fn data(&self, id: NodeId, from: u64, part: &mut [u8]) -> Result<(), Error> {
        let node = self.tree.node(id);
        match &node.kind {
            Kind::Directory(_) => read_exact_at(&self.listing(id), from, part),
            Kind::Symlink(text) => read_exact_at(text, from, part),
            Kind::File(Content::Bytes(bytes)) => read_exact_at(bytes, from, part),
            Kind::File(Content::Sectors(source)) => source.read_at(from, part),
            Kind::File(Content::Late(_)) => {
                let settled = self.settled.binary_search_by_key(&id, |(id, _)| *id);
                let bytes = settled.ok().and_then(|found| self.settled.get(found));
                bytes.map_or(Ok(()), |(_, bytes)| read_exact_at(bytes, from, part))
            }
            _ => Ok(()),
        }
        .map_err(|e| e.at(self.tree.origin(id)))
    }

    fn listing(&self, id: NodeId) -> Arc<[u8]> {
        let mut kept = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, bytes)) = kept.as_ref().filter(|(of, _)| *of == id) {
            debug_assert_eq!(*of, id);
            return Arc::clone(bytes);
        }
        let parent = self.layout.parents.get(id.index()).copied().unwrap_or(Tree::ROOT);
        let bytes = directory::bytes(&self.tree, (id, parent), |id| u64::from(self.place(id).slot));
        let bytes: Arc<[u8]> = bytes.into();
        *kept = Some((id, Arc::clone(&bytes)));
        bytes
    }

    /// The node whose own blocks are at `offset` or the next, by its number in `data`.
    fn owner(&self, offset: u64) -> usize {
        let begins = |id: &NodeId| u64::from(self.place(*id).block) * BLOCK;
        self.layout.data.partition_point(|id| begins(id) <= offset).saturating_sub(1)
    }

    /// Where pieces of a node's data lie: their place, where they begin in the data, and how long
    /// they are.
    fn pieces(&self, id: NodeId) -> Vec<(u64, u64, u64)> {
        let place = self.place(id);
        let len = place.len;
        let at = u64::from(place.block) * BLOCK;
        match place.layout {
            INLINE => vec![(at, 0, len - len % BLOCK)],
            CHUNKS => {
                let size = BLOCK << place.form;
                let chunks = chunks(&self.tree, id, place.form.into());
                let placed = chunks.iter().flat_map(layout::Chunks::placed);
                let piece = |((first, end), block): ((u64, u64), u64)| {
                    (at + block * BLOCK, first * size, (end * size).min(len) - first * size)
                };
                placed.map(piece).collect()
            }
            _ => vec![(at, 0, len)],
        }
    }

    /// Fills a part of the files' blocks.
    fn files(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let Some(wanted) = Extent::new(offset, offset + buffer.len() as u64) else { return Ok(()) };
        for id in self.layout.data.iter().skip(self.owner(offset)) {
            if u64::from(self.place(*id).block) * BLOCK >= wanted.end() {
                break;
            }
            for (at, from, len) in self.pieces(*id) {
                let piece = Extent::new(at, at + len).and_then(|piece| piece.intersect(wanted));
                let Some(piece) = piece else { continue };
                let range = (piece.start() - offset) as usize..(piece.end() - offset) as usize;
                if let Some(part) = buffer.get_mut(range) {
                    self.data(*id, from + piece.start() - at, part)?;
                }
            }
        }
        Ok(())
    }

    /// What holds something in a node's blocks, behind `offset`.
    fn held(&self, id: NodeId, offset: u64) -> Option<Extent> {
        let node = self.tree.node(id);
        self.pieces(id).into_iter().find_map(|(at, from, len)| {
            let piece = Extent::new(at.max(offset), at + len)?;
            let Kind::File(Content::Sectors(source)) = &node.kind else { return Some(piece) };
            let next = source.next_extent(from + piece.start() - at)?;
            let start = (at + next.start()).checked_sub(from)?;
            Extent::new(start, at + next.end() - from)?.intersect(piece)
        })
    }
}

impl SectorSource for Laid {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), ErrorKind::Io)?;
        buffer.fill(0);
        let mut rest = buffer;
        let mut at = offset;
        let bounds = [
            BLOCK,
            self.layout.metadata * BLOCK,
            self.layout.data_at * BLOCK,
            self.layout.end * BLOCK,
        ];
        for (area, end) in bounds.into_iter().enumerate() {
            let len = end.saturating_sub(at).min(rest.len() as u64) as usize;
            let (now, left) = std::mem::take(&mut rest).split_at_mut(len);
            rest = left;
            if now.is_empty() {
                continue;
            }
            match area {
                0 => overlay(now, at, SUPERBLOCK_AT, &self.superblock()),
                1 => self.packed.data.as_ref().map_or(Ok(()), |d| d.read_at(at - BLOCK, now))?,
                2 => self.metadata(at, now)?,
                _ => self.files(at, now)?,
            }
            at += len as u64;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let data = self.layout.data_at * BLOCK;
        if offset < data {
            return Extent::new(offset, data);
        }
        self.layout.data.iter().skip(self.owner(offset)).find_map(|id| self.held(*id, offset))
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let id = *self.layout.data.get(self.owner(offset))?;
        let (at, from, len) =
            self.pieces(id).into_iter().find(|(at, _, len)| (*at..at + len).contains(&offset))?;
        let Kind::File(Content::Sectors(source)) = &self.tree.node(id).kind else { return None };
        let (path, place, held) = source.file_range_at(from + offset - at)?;
        Some((path, place, held.min(at + len - offset)))
    }
}
