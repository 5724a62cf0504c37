//! Where every file and directory of a tree lies on an FFS.
//!
//! Reads no content. Invariants: inodes are numbered in the order of depth and names; each node's
//! blocks are one run of data blocks; tails of several files share a block.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use uuid::Uuid;

use super::Params;
use super::encode::{blocked, inline, links};
use super::geometry::Geometry;
use super::map::Map;
use super::ondisk::{LINK_MAX, MAJOR_MAX, MINOR_MAX, ROOT};
use super::write::Image;
use crate::engine::base::tree::{Kind as NodeKind, NodeId, Time, Tree};
use crate::engine::base::{Content, Error, Extent, Kind, Placement, SectorSource};
use crate::engine::filesystem::{Identity, Planned, Request, Room};

/// A node with an inode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) node: NodeId,
    /// The inode of the directory it was found in.
    pub(super) parent: u32,
    /// Its first data block.
    pub(super) start: u64,
    pub(super) count: u64,
    /// The data block and fragment in it of its tail.
    pub(super) tail: (u64, u64),
}

/// A data block with tails in it.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) block: u64,
    pub(super) used: u64,
    /// Fragment and inode.
    pub(super) tails: Vec<(u64, u32)>,
}

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) tree: Arc<Tree>,
    pub(super) params: Params,
    pub(super) geometry: Geometry,
    /// By inode number, from the root's on.
    pub(super) rows: Vec<Row>,
    /// Inodes by `NodeId::index`.
    pub(super) inodes: Vec<u32>,
    pub(super) shared: Vec<Shared>,
    /// Data blocks that are used; they are the first ones.
    pub(super) used: u64,
    pub(super) time: Time,
    pub(super) id: [u32; 2],
    pub(super) label: [u8; 32],
    pub(super) settled: HashMap<u32, Content>,
}

#[derive(Debug)]
pub(super) struct Plan {
    layout: Layout,
    len: u64,
}

impl Plan {
    pub(super) fn new(params: &Params, request: &Request<'_>) -> Result<Self, Error> {
        let mut layout = Layout {
            tree: Arc::clone(&request.tree),
            params: params.clone(),
            geometry: Geometry::new(params, 1 << 20, 2)?,
            rows: Vec::new(),
            inodes: vec![0; request.tree.rows()],
            shared: Vec::new(),
            used: 0,
            time: request.time,
            id: id(&request.identity)?,
            label: label(&request.identity)?,
            settled: HashMap::new(),
        };
        layout.number()?;
        layout.assign();
        let len = layout.size(request.room)?;
        Ok(Self { layout, len })
    }
}

impl Layout {
    /// Numbers the inodes.
    fn number(&mut self) -> Result<(), Error> {
        let tree = Arc::clone(&self.tree);
        let row = |node, parent| Row { node, parent, start: 0, count: 0, tail: (0, 0) };
        possible(&tree, Tree::ROOT, &"/")?;
        self.rows.push(row(Tree::ROOT, ROOT));
        if let Some(inode) = self.inodes.get_mut(Tree::ROOT.index()) {
            *inode = ROOT;
        }
        let mut at = 0;
        while let Some(directory) = self.rows.get(at).map(|row| row.node) {
            let own = at as u32 + ROOT;
            for (name, id) in tree.node(directory).entries().into_iter().flatten() {
                let Some(inode) = self.inodes.get_mut(id.index()).filter(|inode| **inode == 0)
                else {
                    continue;
                };
                possible(&tree, *id, name)?;
                *inode = self.rows.len() as u32 + ROOT;
                self.rows.push(row(*id, own));
            }
            at += 1;
        }
        Ok(())
    }

    /// The row of an inode.
    pub(super) fn row(&self, inode: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(inode.checked_sub(u64::from(ROOT))?).ok()?)
    }

    pub(super) fn content(&self, row: &Row) -> Option<&Content> {
        let inode = self.inodes.get(row.node.index())?;
        match &self.tree.node(row.node).kind {
            NodeKind::File(content) => Some(self.settled.get(inode).unwrap_or(content)),
            _ => None,
        }
    }

    /// Bytes that a node stores in blocks.
    pub(super) fn stored(&self, row: &Row) -> u64 {
        let node = self.tree.node(row.node);
        match &node.kind {
            NodeKind::Directory(entries) => {
                blocked(entries.keys().map(|name| name.as_bytes().len()))
            }
            NodeKind::Symlink(target) if inline(&self.geometry, target) => 0,
            NodeKind::File(_) | NodeKind::Symlink(_) => node.len(),
            _ => 0,
        }
    }

    pub(super) fn map(&self, row: &Row) -> Map {
        Map::new(&self.geometry, self.stored(row), self.content(row))
    }

    /// Gives data blocks to everything.
    fn assign(&mut self) {
        let mut next = 0;
        let mut open: Option<usize> = None;
        for at in 0..self.rows.len() {
            let Some(row) = self.rows.get(at).copied() else { break };
            let map = self.map(&row);
            let start = next;
            next += map.count;
            let mut tail = (0, 0);
            if map.tail > 0 {
                let fits = |shared: &Shared| shared.used + map.tail <= self.geometry.frag;
                let place = open.filter(|open| self.shared.get(*open).is_some_and(fits));
                let place = place.unwrap_or_else(|| {
                    self.shared.push(Shared { block: next, used: 0, tails: Vec::new() });
                    next += 1;
                    self.shared.len() - 1
                });
                open = Some(place);
                if let Some(shared) = self.shared.get_mut(place) {
                    tail = (shared.block, shared.used);
                    shared.tails.push((shared.used, at as u32 + ROOT));
                    shared.used += map.tail;
                }
            }
            if let Some(row) = self.rows.get_mut(at) {
                (row.start, row.count, row.tail) = (start, map.count, tail);
            }
        }
        self.used = next;
    }

    /// The geometry, and bytes of the volume.
    fn size(&mut self, room: Room) -> Result<u64, Error> {
        let fragment = self.params.fragment_size;
        let need = self.rows.len() as u64 + u64::from(ROOT);
        let at = |total: u64, wanted: u64, more: u64| {
            let dense = self.params.density.map_or(0, |each| total * fragment / each.max(1));
            let inodes = dense.max(need + more);
            let found = Geometry::new(&self.params, total, inodes)?;
            if found.blocks() < wanted {
                let message = format!(
                    "the tree needs {} bytes of data blocks, an FFS of {} bytes has {}",
                    wanted * found.block,
                    total * fragment,
                    found.blocks() * found.block
                );
                return Err(Error::new(Kind::NoSpace, message));
            }
            Ok(found)
        };
        let block = self.params.block_size;
        let (percent, bytes) = match room {
            Room::Exactly(bytes) => {
                self.geometry = at(bytes / fragment, self.used, 0)?;
                return Ok(bytes);
            }
            Room::Fit { percent, bytes } => (u64::from(percent), bytes),
        };
        let free = (self.used * percent).div_ceil(100) + bytes.div_ceil(block);
        let (wanted, more) = (self.used.saturating_add(free), free);
        let mut total = wanted.saturating_mul(self.geometry.frag);
        // More room needs more groups and inodes: what is missing is added until it fits.
        let mut found = loop {
            match at(total, wanted, more) {
                Ok(found) => break found,
                Err(error) if error.kind() != Kind::NoSpace || total > 1 << 56 => {
                    return Err(error);
                }
                Err(_) => {
                    total +=
                        (total / 256).next_multiple_of(self.geometry.frag).max(self.geometry.frag)
                }
            }
        };
        while let Some(less) = found.total.checked_sub(found.frag)
            && let Ok(smaller) = at(less, wanted, more)
        {
            found = smaller;
        }
        self.geometry = found;
        Ok(found.total * fragment)
    }

    /// Settles late contents.
    fn settle(&mut self, place: &Placement) -> Result<(), Error> {
        let from = place.extents.first().map_or(0, |extent| extent.start());
        let mut settled = HashMap::new();
        for (at, row) in self.rows.iter().enumerate() {
            let Some(content @ Content::Late(_)) = self.content(row) else { continue };
            let extents = self.extents(row, from);
            let own = Placement { extents, medium: place.medium, volume: from };
            let done = content.clone().settle(&own);
            settled.insert(at as u32 + ROOT, done.map_err(|e| e.at(self.tree.origin(row.node)))?);
        }
        self.settled = settled;
        Ok(())
    }

    /// The places of a file's bytes on a medium where the volume begins at `from`.
    fn extents(&self, row: &Row, from: u64) -> Vec<Extent> {
        let geometry = &self.geometry;
        let len = self.tree.node(row.node).len();
        let map = self.map(row);
        let mut found: Vec<Extent> = Vec::new();
        for block in 0..len.div_ceil(geometry.block) {
            let bytes = geometry.block.min(len - block * geometry.block);
            let at = match map.data(block) {
                Some(own) => geometry.block_at(row.start + own) * geometry.block,
                None => {
                    geometry.block_at(row.tail.0) * geometry.block + row.tail.1 * geometry.fragment
                }
            };
            let Some(extent) = Extent::new(from + at, from + at + bytes) else { continue };
            match found.last_mut() {
                Some(last) if last.end() == extent.start() => {
                    *last = Extent::new(last.start(), extent.end()).unwrap_or(extent);
                }
                _ => found.push(extent),
            }
        }
        found
    }
}

impl Planned for Plan {
    fn len(&self) -> u64 {
        self.len
    }

    fn uuid(&self) -> Option<String> {
        let [high, low] = self.layout.id;
        Some(format!("{high:08x}{low:08x}"))
    }

    fn render(mut self: Box<Self>, place: &Placement) -> Result<Arc<dyn SectorSource>, Error> {
        self.layout.settle(place)?;
        Ok(Arc::new(Image::new(self.layout, self.len)))
    }
}

/// Refuses a node that an inode cannot hold.
fn possible(tree: &Tree, id: NodeId, name: &dyn Display) -> Result<(), Error> {
    let node = tree.node(id);
    let refused = |message: String| {
        Err(Error::new(Kind::Document, format!("{name} {message}")).at(tree.origin(id)))
    };
    if node.attributes.is_some() {
        return refused("has extended attributes, which FFS has not here".to_owned());
    }
    match &node.kind {
        NodeKind::Directory(_) => {
            let names = links(tree, node);
            if names > LINK_MAX {
                let (below, most) = (names - 2, LINK_MAX - 2);
                return refused(format!("has {below} directories in it, FFS has at most {most}"));
            }
        }
        NodeKind::CharDevice(device) | NodeKind::BlockDevice(device)
            if device.major > MAJOR_MAX || device.minor > MINOR_MAX =>
        {
            return refused(format!(
                "is device {}:{}, FFS has at most {MAJOR_MAX}:{MINOR_MAX}",
                device.major, device.minor
            ));
        }
        _ if node.names() > LINK_MAX => {
            return refused(format!("has {} names, FFS has {LINK_MAX}", node.names()));
        }
        _ => {}
    }
    Ok(())
}

/// The id: 16 hexadecimal digits, or out of the seed.
fn id(identity: &Identity) -> Result<[u32; 2], Error> {
    let number = match &identity.uuid {
        None => Uuid::new_v5(&identity.seed, b"ffs id").as_u64_pair().0,
        Some(text) => {
            let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u64::from_str_radix(text, 16).ok().filter(|_| hex);
            let message = format!("the id of an FFS has 16 hexadecimal digits, not \"{text}\"");
            number.ok_or_else(|| Error::new(Kind::Document, message))?
        }
    };
    Ok([(number >> 32) as u32, (number & 0xFFFF_FFFF) as u32])
}

fn label(identity: &Identity) -> Result<[u8; 32], Error> {
    let label = identity.label.as_deref().unwrap_or_default().as_bytes();
    let mut found = [0; 32];
    if label.len() >= found.len() || label.contains(&0) {
        let message = format!("the label of an FFS has at most 31 bytes, this one {}", label.len());
        return Err(Error::new(Kind::Document, message));
    }
    found.iter_mut().zip(label).for_each(|(to, from)| *to = *from);
    Ok(found)
}
