//! A planned filesystem as sectors: nodes and superblocks are made when they are read.
//!
//! Invariant: what is neither a superblock, a node nor data reads as zeros.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use zerocopy::{FromZeros, IntoBytes};

use super::constants::{
    BIG_METADATA, CHUNK_ITEM, CHUNK_TREE, CSUM_TREE, DEV_TREE, EXTENDED_IREF, EXTENT_TREE,
    FIRST_CHUNK_TREE, FS_TREE, Key, MIXED_BACKREF, MIXED_GROUPS, NO_HOLES, ROOT_TREE,
    ROOT_TREE_DIR, SKINNY_METADATA, WRITTEN, checksum,
};
use super::layout::Layout;
use super::ondisk::{MAGIC, RootBackup, SUPER_MIRRORS, SUPER_OFFSET, SUPER_SIZE, Superblock};
use super::packed::{Items, List, Nodes, Packed, lost, put};
use super::{Planned, SECTOR, space, system};
use crate::engine::base::tree::Time;
use crate::engine::base::{Error, Extent, Kind, Placement, SectorSource, within};

/// The generation of everything: there was one transaction.
pub(super) const GENERATION: u64 = 1;

/// A planned filesystem.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    pub(super) label: String,
    pub(super) len: u64,
    pub(super) time: Time,
}

impl Planned for Plan {
    fn len(&self) -> u64 {
        self.len
    }

    fn uuid(&self) -> Option<String> {
        Some(self.layout.ids.filesystem.to_string())
    }

    fn render(self: Box<Self>, place: &Placement) -> Result<Arc<dyn SectorSource>, Error> {
        let [extent] = place.extents.as_slice() else {
            let message = format!("a btrfs filesystem in {} pieces", place.extents.len());
            return Err(Error::new(Kind::Document, message));
        };
        self.layout.data.settle(extent.start(), place.medium)?;
        let total = self.len / SECTOR * SECTOR;
        let lists = self.layout.lists(self.time, total);
        let nodes = Nodes {
            size: self.layout.data.shape.rules.node_size,
            fsid: self.layout.ids.filesystem.into_bytes(),
            chunk_uuid: self.layout.ids.chunk_tree.into_bytes(),
            generation: GENERATION,
        };
        let mut medium = Medium { plan: *self, lists, nodes, extents: Vec::new() };
        medium.extents = medium.list_extents();
        Ok(Arc::new(medium))
    }
}

/// A filesystem as sectors.
struct Medium {
    plan: Plan,
    lists: [(u64, List); 5],
    nodes: Nodes,
    /// What is not zero, in order.
    extents: Vec<Extent>,
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Btrfs({} bytes)", self.plan.len)
    }
}

impl Medium {
    fn list_extents(&self) -> Vec<Extent> {
        let layout = &self.plan.layout;
        let node_size = self.nodes.size as u64;
        let pieces = layout.data.shape.pieces.iter().filter(|piece| !piece.inline);
        let pieces = pieces.map(|piece| (piece.disk, piece.len));
        let nodes = layout
            .trees
            .iter()
            .flat_map(|tree| (0..tree.nodes()).map(move |node| (tree.address(node), node_size)));
        let mut joined: Vec<Extent> = Vec::new();
        for (start, len) in nodes.chain(pieces) {
            let last = joined.last().filter(|last| last.end() == start).map(|last| last.start());
            if last.is_some() {
                joined.pop();
            }
            joined.extend(Extent::new(last.unwrap_or(start), start + len));
        }
        // Each of its own: they are read in another way than what they touch.
        joined.extend(self.supers().filter_map(|at| Extent::new(at, at + SUPER_SIZE)));
        joined.sort_unstable();
        joined
    }

    /// Where superblocks lie.
    fn supers(&self) -> impl Iterator<Item = u64> {
        let len = self.plan.len / SECTOR * SECTOR;
        let mirrors = SUPER_MIRRORS.into_iter();
        std::iter::once(SUPER_OFFSET).chain(mirrors.filter(move |at| at + SUPER_SIZE <= len))
    }

    fn superblock(&self, at: u64) -> Superblock {
        let layout = &self.plan.layout;
        let rules = layout.data.shape.rules;
        let total = self.plan.len / SECTOR * SECTOR;
        let tree = |owner| layout.tree(owner).map_or((0, 0), |tree| (tree.root(), tree.level()));
        let (root, chunk) = (tree(ROOT_TREE), tree(CHUNK_TREE));
        let mut block = Superblock::new_zeroed();
        block.fsid = layout.ids.filesystem.into_bytes();
        block.bytenr = at.into();
        block.flags = WRITTEN.into();
        block.magic = MAGIC;
        block.generation = GENERATION.into();
        (block.root, block.root_level) = (root.0.into(), root.1);
        (block.chunk_root, block.chunk_root_level) = (chunk.0.into(), chunk.1);
        block.total_bytes = total.into();
        block.bytes_used = layout.used().into();
        block.root_dir_objectid = ROOT_TREE_DIR.into();
        block.num_devices = 1.into();
        block.sectorsize = (SECTOR as u32).into();
        block.nodesize = (rules.node_size as u32).into();
        block.leafsize = block.nodesize;
        block.stripesize = block.sectorsize;
        block.chunk_root_generation = GENERATION.into();
        let mut features = MIXED_BACKREF | EXTENDED_IREF | SKINNY_METADATA | NO_HOLES;
        features |= if layout.mixed { MIXED_GROUPS } else { 0 };
        features |= if rules.node_size as u64 > SECTOR { BIG_METADATA } else { 0 };
        block.incompat_flags = features.into();
        block.dev_item = system::device(&layout.chunks, &layout.ids, SECTOR, total);
        let label = self.plan.label.as_bytes();
        block.label.iter_mut().zip(label).for_each(|(into, byte)| *into = *byte);
        // No free space cache was written.
        block.cache_generation = u64::MAX.into();
        block.uuid_tree_generation = GENERATION.into();
        if let Some(first) = layout.chunks.first() {
            let key = Key::new(FIRST_CHUNK_TREE, CHUNK_ITEM, first.start).disk();
            let item = system::chunk_item(first, &layout.ids, SECTOR);
            let bytes = [key.as_bytes(), &item].concat();
            block.sys_chunk_array_size = (bytes.len() as u32).into();
            block.sys_chunk_array.iter_mut().zip(bytes).for_each(|(into, byte)| *into = byte);
        }
        block.super_roots = [
            self.backup(total),
            RootBackup::default(),
            RootBackup::default(),
            RootBackup::default(),
        ];
        block.csum = checksum(block.as_bytes());
        block
    }

    /// The roots as older ones are kept.
    fn backup(&self, total: u64) -> RootBackup {
        let layout = &self.plan.layout;
        let tree = |owner| layout.tree(owner).map_or((0, 0), |tree| (tree.root(), tree.level()));
        let generation = GENERATION.into();
        let [root, chunk, extent, files, device, csum] =
            [ROOT_TREE, CHUNK_TREE, EXTENT_TREE, FS_TREE, DEV_TREE, CSUM_TREE].map(tree);
        RootBackup {
            tree_root: root.0.into(),
            tree_root_gen: generation,
            tree_root_level: root.1,
            chunk_root: chunk.0.into(),
            chunk_root_gen: generation,
            chunk_root_level: chunk.1,
            extent_root: extent.0.into(),
            extent_root_gen: generation,
            extent_root_level: extent.1,
            fs_root: files.0.into(),
            fs_root_gen: generation,
            fs_root_level: files.1,
            dev_root: device.0.into(),
            dev_root_gen: generation,
            dev_root_level: device.1,
            csum_root: csum.0.into(),
            csum_root_gen: generation,
            csum_root_level: csum.1,
            total_bytes: total.into(),
            bytes_used: layout.used().into(),
            num_devices: 1.into(),
            ..RootBackup::default()
        }
    }

    /// The tree with a node at `at`, and the number of that node.
    fn node_at(&self, at: u64) -> Option<(&Packed, u64)> {
        self.plan.layout.trees.iter().find_map(|tree| {
            let position = space::position(tree.region, at)?;
            let node = (position / self.nodes.size as u64).checked_sub(tree.base)?;
            (node < tree.nodes()).then_some((tree, node))
        })
    }

    fn items(&self, owner: u64) -> Result<&dyn Items, Error> {
        let layout = &self.plan.layout;
        match owner {
            FS_TREE => Ok(&layout.files),
            CSUM_TREE => Ok(&layout.checksums),
            EXTENT_TREE => Ok(&layout.references),
            _ => {
                let list = self.lists.iter().find(|(list, _)| *list == owner);
                list.map(|(_, list)| list as &dyn Items).ok_or_else(lost)
            }
        }
    }

    /// Reads what lies in one extent: a superblock, nodes or data.
    fn read_extent(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let mut at = offset;
        let mut left = buffer;
        let mut whole = Vec::new();
        while !left.is_empty() {
            if let Some(start) =
                self.supers().find(|start| (*start..start + SUPER_SIZE).contains(&at))
            {
                let block = self.superblock(start);
                let bytes = block.as_bytes().get((at - start) as usize..).unwrap_or_default();
                let here = bytes.len().min(left.len());
                let (front, rest) = left.split_at_mut(here);
                put(front, 0, bytes.get(..here).unwrap_or_default())?;
                (left, at) = (rest, at + here as u64);
                continue;
            }
            let Some((tree, node)) = self.node_at(at) else {
                // Data up to where the extent ends.
                return self.plan.layout.data.read(at, left);
            };
            let from = (at - tree.address(node)) as usize;
            let here = (self.nodes.size - from).min(left.len());
            let (front, rest) = left.split_at_mut(here);
            let items = self.items(tree.owner)?;
            if here == self.nodes.size {
                tree.render(node, items, &self.nodes, front)?;
            } else {
                whole.resize(self.nodes.size, 0);
                tree.render(node, items, &self.nodes, &mut whole)?;
                put(front, 0, whole.get(from..from + here).ok_or_else(lost)?)?;
            }
            (left, at) = (rest, at + here as u64);
        }
        Ok(())
    }

    fn is_data(&self, at: u64) -> bool {
        let start = self.plan.layout.data.shape.rules.data;
        (start..self.plan.layout.metadata.start).contains(&at)
    }
}

impl SectorSource for Medium {
    fn len(&self) -> u64 {
        self.plan.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = within(self.plan.len, offset, buffer.len(), Kind::Io)?;
        buffer.fill(0);
        let mut at = offset;
        while let Some(extent) = self.next_extent(at).filter(|extent| extent.start() < end) {
            let stop = extent.end().min(end);
            let range = (extent.start() - offset) as usize..(stop - offset) as usize;
            self.read_extent(extent.start(), buffer.get_mut(range).unwrap_or_default())?;
            at = stop;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let first = self.extents.partition_point(|extent| extent.end() <= offset);
        let extent = self.extents.get(first)?;
        Extent::new(extent.start().max(offset), extent.end())
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let data = self.is_data(offset).then_some(&self.plan.layout.data)?;
        data.file_range(offset)
    }
}
