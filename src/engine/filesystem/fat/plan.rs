//! Where every file and directory of a tree lies on a FAT volume.
//!
//! Reads no content. Invariants: directories come in the order of their depth, each before its
//! files; each of them is one run of clusters; no run overlaps another.

use std::collections::HashSet;
use std::sync::Arc;

use super::boot::Marks;
use super::choice::{Row, rows};
use super::geometry::{Frame, Geometry, clusters_for};
use super::identity::{label, serial};
use super::ondisk::{ENTRY, MAX_ENTRIES};
use super::write::Image;
use super::{Bits, Params, name};
use crate::engine::base::tree::{Kind as NodeKind, Name, NodeId, Time, Tree, TreePath};
use crate::engine::base::{Error, Kind, Placement, SectorSource};
use crate::engine::filesystem::{BootCode, Planned, Request, Room};

/// A directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    pub(super) node: NodeId,
    /// Number of the directory it lies in.
    pub(super) parent: u32,
    /// Its own item; of no meaning for the root.
    pub(super) item: u32,
    /// Its first item; one follows for each name.
    pub(super) first: u32,
    /// Entries it takes.
    pub(super) slots: u32,
    /// Its first cluster; 0 for a root directory that lies before the clusters.
    pub(super) start: u32,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) node: NodeId,
    /// Its first cluster; 0 for a file without bytes.
    pub(super) start: u32,
}

/// A run of clusters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) count: u32,
    pub(super) holds: Holds,
}

/// What a run holds, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Directory(u32),
    Item(u32),
}

/// A volume that is planned.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) tree: Arc<Tree>,
    pub(super) geometry: Geometry,
    pub(super) directories: Vec<Directory>,
    pub(super) items: Vec<Item>,
    /// In the order of their clusters.
    pub(super) pieces: Vec<Piece>,
    pub(super) label: Option<[u8; 11]>,
    pub(super) time: Time,
    pub(super) case_flags: bool,
    /// Clusters that are used; they are the first ones.
    pub(super) used: u64,
}

#[derive(Debug)]
pub(super) struct Plan {
    layout: Layout,
    marks: Marks,
    boot: Option<BootCode>,
    len: u64,
}

impl Plan {
    pub(super) fn new(params: &Params, request: &Request<'_>) -> Result<Self, Error> {
        let label = label(&request.identity)?;
        let serial = serial(&request.identity)?;
        let mut layout = Layout {
            tree: Arc::clone(&request.tree),
            geometry: Geometry::default(),
            directories: Vec::new(),
            items: Vec::new(),
            pieces: Vec::new(),
            label,
            time: request.time,
            case_flags: params.case_flags,
            used: 0,
        };
        layout.collect()?;
        let root_slots = layout.directories.first().map_or(0, |root| u64::from(root.slots));
        let frame = Frame { params, sector: request.sector, root_slots };
        let (geometry, len) = layout.size(&frame, request.room)?;
        layout.geometry = geometry;
        layout.assign();
        Ok(Self {
            layout,
            marks: Marks::new(params, label, serial),
            boot: params.boot.clone(),
            len,
        })
    }
}

impl Layout {
    /// Lists directories and names; what FAT cannot hold is refused.
    fn collect(&mut self) -> Result<(), Error> {
        let tree = Arc::clone(&self.tree);
        let root = Directory { node: Tree::ROOT, parent: 0, item: 0, first: 0, slots: 0, start: 0 };
        self.directories.push(root);
        let mut number = 0;
        while let Some(directory) = self.directories.get(number).copied() {
            let first = index(self.items.len())?;
            let own = if number == 0 { u64::from(self.label.is_some()) } else { 2 };
            let mut slots = own;
            let mut seen = HashSet::new();
            for (name, node) in tree.node(directory.node).entries().into_iter().flatten() {
                self.check(number, name, *node, &mut seen)?;
                slots += u64::from(name::slots(name.as_bytes(), self.case_flags));
                if tree.node(*node).kind.is_directory() {
                    self.directories.push(Directory {
                        node: *node,
                        parent: index(number)?,
                        item: index(self.items.len())?,
                        ..root
                    });
                }
                self.items.push(Item { node: *node, start: 0 });
            }
            if slots > MAX_ENTRIES {
                let message = format!(
                    "the names of {} take {slots} entries, a directory of FAT has at most {MAX_ENTRIES}",
                    self.path(number)
                );
                return Err(Error::new(Kind::Document, message).at(tree.origin(directory.node)));
            }
            if let Some(directory) = self.directories.get_mut(number) {
                (directory.first, directory.slots) = (first, slots as u32);
            }
            number += 1;
        }
        Ok(())
    }

    fn check(
        &self,
        directory: usize,
        name: &Name,
        node: NodeId,
        seen: &mut HashSet<String>,
    ) -> Result<(), Error> {
        let found = self.tree.node(node);
        let refused = |why: &str| {
            let path = self.path(directory).join(name);
            let message = format!("{path} cannot be on FAT: {why}");
            Err(Error::new(Kind::Document, message).at(self.tree.origin(node)))
        };
        if let Some(why) = name::refusal(name.as_bytes()) {
            return refused(&why);
        }
        if !seen.insert(name::folded(name.as_bytes())) {
            return refused("another name there differs only in small and capital letters");
        }
        match &found.kind {
            NodeKind::Directory(_) => Ok(()),
            NodeKind::File(content) if content.len() > u64::from(u32::MAX) => {
                refused(&format!("it has {} bytes, at most {} can be", content.len(), u32::MAX))
            }
            NodeKind::File(_) => Ok(()),
            other => refused(&format!("it is a {}", other.word())),
        }
    }

    /// The path of a directory, for messages.
    fn path(&self, mut number: usize) -> TreePath {
        let mut names = Vec::new();
        while number != 0
            && let Some(directory) = self.directories.get(number)
            && let Some(parent) = self.directories.get(directory.parent as usize)
        {
            let entries = self.tree.node(parent.node).entries().into_iter().flatten();
            names.extend(entries.filter(|(_, id)| **id == directory.node).map(|(name, _)| name));
            number = directory.parent as usize;
        }
        names.into_iter().rev().fold(TreePath::default(), |path, name| path.join(name))
    }

    /// Clusters that the tree takes if they have so many bytes.
    fn need(&self, row: &Row) -> u64 {
        let wide = row.bits == Bits::ThirtyTwo;
        let directories = self.directories.iter().skip(usize::from(!wide));
        // The root of FAT32 has a cluster even when it is empty.
        let bytes = |directory: &Directory| (u64::from(directory.slots) * ENTRY as u64).max(1);
        let files = self.items.iter().map(|item| match &self.tree.node(item.node).kind {
            NodeKind::File(content) => content.len(),
            _ => 0,
        });
        let all = directories.map(bytes).chain(files);
        all.map(|bytes| clusters_for(bytes, row.cluster)).sum()
    }

    /// The volume's geometry and bytes.
    fn size(&self, frame: &Frame<'_>, room: Room) -> Result<(Geometry, u64), Error> {
        let rows = rows(frame);
        let floppy = frame.params.floppy.map(|floppy| floppy.shape().sectors * 512);
        let exactly = match (room, floppy) {
            (Room::Exactly(bytes), Some(floppy)) if bytes != floppy => {
                let message = format!("a floppy disk of this kind has {floppy} bytes, not {bytes}");
                return Err(Error::new(Kind::Document, message));
            }
            (Room::Exactly(bytes), _) | (Room::Fit { .. }, Some(bytes)) => bytes,
            (Room::Fit { percent, bytes }, None) => {
                return self.smallest(frame, &rows, u64::from(percent), bytes);
            }
        };
        let row = rows.iter().find(|row| exactly <= row.most).or(rows.last());
        let row = row.ok_or_else(|| Error::new(Kind::Document, "no FAT has this size"))?;
        let geometry = frame.geometry(row, exactly / frame.sector)?;
        let need = self.need(row);
        if need > geometry.clusters {
            let message = format!(
                "the tree needs {} bytes, a FAT{} volume of {exactly} bytes has {} for it \
                 (clusters of {} bytes)",
                need.saturating_mul(row.cluster),
                row.bits.count(),
                geometry.clusters.saturating_mul(row.cluster),
                row.cluster
            );
            return Err(Error::new(Kind::NoSpace, message));
        }
        Ok((geometry, exactly))
    }

    /// The smallest volume, of those that each type and cluster size allow.
    fn smallest(
        &self,
        frame: &Frame<'_>,
        rows: &[Row],
        percent: u64,
        bytes: u64,
    ) -> Result<(Geometry, u64), Error> {
        let mut from = 0;
        let mut best: Option<Geometry> = None;
        let mut refusal = None;
        for row in rows {
            let need = self.need(row);
            let used = u128::from(need) * u128::from(row.cluster);
            let more = (used * u128::from(percent)).div_ceil(100) + u128::from(bytes);
            let wanted = u128::from(need) + more.div_ceil(u128::from(row.cluster));
            let enough = |total: u64| {
                let found = frame.geometry(row, total);
                found.is_ok_and(|found| u128::from(found.clusters) >= wanted)
            };
            // No volume has more sectors than 32 bits count.
            let most = (row.most / frame.sector).min(u64::from(u32::MAX));
            let (mut low, mut high) = (from, most);
            from = most.saturating_add(1);
            if low > high || !enough(high) {
                refusal = frame.geometry(row, most).err().or(refusal);
                continue;
            }
            while low < high {
                let middle = low.midpoint(high);
                if enough(middle) { high = middle } else { low = middle + 1 }
            }
            if best.is_none_or(|best| high < best.total) {
                best = Some(Geometry { total: high, ..frame.geometry(row, high)? });
            }
        }
        let tree = || Error::new(Kind::Document, "the tree is too large for a FAT of this kind");
        let best = best.ok_or_else(|| refusal.unwrap_or_else(tree))?;
        Ok((best, best.total * frame.sector))
    }

    /// Gives clusters to everything.
    fn assign(&mut self) {
        let cluster = self.geometry.cluster_bytes();
        let mut next = 2;
        let mut take = |bytes: u64, holds, pieces: &mut Vec<Piece>| {
            // Fits: the volume was found large enough, and clusters have 28 bits.
            let (start, count) = (next, clusters_for(bytes, cluster) as u32);
            if count == 0 {
                return 0;
            }
            next += count;
            pieces.push(Piece { start, count, holds });
            start
        };
        let tree = Arc::clone(&self.tree);
        for number in 0..self.directories.len() {
            let Some(directory) = self.directories.get_mut(number) else { break };
            if number != 0 || self.geometry.bits == Bits::ThirtyTwo {
                let bytes = (u64::from(directory.slots) * ENTRY as u64).max(1);
                directory.start = take(bytes, Holds::Directory(number as u32), &mut self.pieces);
            }
            let (directory, count) = (*directory, tree.node(directory.node).entries());
            if number != 0
                && let Some(item) = self.items.get_mut(directory.item as usize)
            {
                item.start = directory.start;
            }
            let first = directory.first as usize;
            let own = self.items.iter_mut().enumerate().skip(first);
            for (at, item) in own.take(count.map_or(0, |entries| entries.len())) {
                if let NodeKind::File(content) = &tree.node(item.node).kind {
                    item.start = take(content.len(), Holds::Item(at as u32), &mut self.pieces);
                }
            }
        }
        self.used = u64::from(next) - 2;
    }
}

impl Planned for Plan {
    fn len(&self) -> u64 {
        self.len
    }

    fn uuid(&self) -> Option<String> {
        let serial = self.marks.serial;
        Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xFFFF))
    }

    fn render(self: Box<Self>, place: &Placement) -> Result<Arc<dyn SectorSource>, Error> {
        let layout = self.layout;
        let from = place.extents.first().map_or(0, |extent| extent.start());
        let hidden = u32::try_from(from / layout.geometry.sector).map_err(|_| {
            let message = format!("a FAT volume cannot begin at {from}: its sector has 32 bits");
            Error::new(Kind::Document, message)
        })?;
        let settled = layout.settle(place, from)?;
        let code = self.boot.map(|boot| {
            let places = boot.files.iter().map(|path| {
                let found = layout.item(path).map(|item| layout.place(item, place, from));
                let message = format!("the boot code needs {path}, which is not there");
                found.ok_or_else(|| Error::new(Kind::Document, message))
            });
            Ok::<_, Error>((boot.make)(&places.collect::<Result<Vec<_>, _>>()?))
        });
        let front = super::boot::reserved(
            &layout.geometry,
            &self.marks,
            hidden,
            code.transpose()?.as_deref(),
            (layout.geometry.clusters - layout.used, layout.used + 2),
        )?;
        Ok(Arc::new(Image::new(layout, front, self.marks.media, settled, self.len)))
    }
}

pub(super) fn index(number: usize) -> Result<u32, Error> {
    let message = format!("{number} names are more than a FAT volume holds");
    u32::try_from(number).map_err(|_| Error::new(Kind::Document, message))
}
