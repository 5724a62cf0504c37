//! How large each tree is and where all of it lies.
//!
//! The trees of extents, chunks and the device describe themselves, too: their sizes are found by
//! trying until nothing grows. Reads no contents. Invariant: the same tables give the same layout.

use std::sync::Arc;

use super::constants::{
    CHUNK_TREE, CSUM_TREE, DATA_RELOC_TREE, DEV_TREE, EXTENT_TREE, FS_TREE, GROUP_DATA,
    GROUP_METADATA, GROUP_SYSTEM, ROOT_TREE, UUID_TREE,
};
use super::data::{Checksums, Data};
use super::items::Files;
use super::packed::{Items, List, Packed};
use super::references::References;
use super::shape::Shape;
use super::space::{ChunkPlace, FIRST_CHUNK, Region, SYSTEM_LENGTH};
use super::{Ids, SECTOR, system};
use crate::engine::base::tree::Time;
use crate::engine::base::{Error, Kind};

/// Metadata that is free at least, in bytes and in nodes.
const SPARE: u64 = 4 << 20;
const SPARE_NODES: u64 = 256;
/// Metadata that is free at most: as much as Linux ever sets aside.
const MOST_SPARE: u64 = 512 << 20;

/// Where all of it lies.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) data: Arc<Data>,
    pub(super) ids: Ids,
    pub(super) mixed: bool,
    pub(super) chunks: Vec<ChunkPlace>,
    pub(super) metadata: Region,
    /// In the order of their places; the first is that of chunks.
    pub(super) trees: Vec<Packed>,
    pub(super) files: Files,
    pub(super) checksums: Checksums,
    pub(super) references: References,
}

/// Sizes that depend on each other: the leaves of trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    extents: u64,
    device: u64,
    chunks: u64,
}

impl Layout {
    pub(super) fn new(shape: Arc<Shape>, ids: Ids, mixed: bool) -> Result<Self, Error> {
        let rules = shape.rules;
        let data = Arc::new(Data::new(Arc::clone(&shape)));
        let files = Files(Arc::clone(&shape));
        let checksums = Checksums::new(Arc::clone(&data));
        let node_size = rules.node_size;
        let pack = |owner, items: &dyn Items| Packed::new(owner, items, node_size);
        let guess = |owner, leaves| Packed::guess(owner, leaves, node_size);
        let roots: Vec<Packed> = system::NAMED.iter().map(|owner| guess(*owner, 1)).collect();
        let roots: Vec<&Packed> = roots.iter().collect();
        let roots = system::root_tree(&roots, node_size as u64, &ids, Time::default());
        // In the order of their places; those whose size is not known yet are guessed.
        let fixed = [
            pack(FS_TREE, &files),
            pack(CSUM_TREE, &checksums),
            pack(ROOT_TREE, &roots),
            pack(UUID_TREE, &system::uuid_tree(&ids)),
            pack(DATA_RELOC_TREE, &system::relocation_tree(Time::default())),
        ];
        let data_region = Region::new(rules.data, shape.data_used, 0);
        let mut sizes = Sizes { extents: 1, device: 1, chunks: 1 };
        // Each round, sizes grow or stay.
        for _ in 0..64 {
            let mut trees: Vec<Packed> = fixed.to_vec();
            trees.push(guess(EXTENT_TREE, sizes.extents));
            trees.push(guess(DEV_TREE, sizes.device));
            let nodes: u64 = trees.iter().map(Packed::nodes).sum();
            let used = nodes * node_size as u64;
            let spare = spare(used, node_size as u64, mixed);
            let metadata = Region::new(data_region.end(), used, spare);
            trees.insert(0, guess(CHUNK_TREE, sizes.chunks));
            place(&mut trees, metadata.start);
            let chunks = chunks(data_region, metadata, mixed);
            let mut references = References {
                shape: Arc::clone(&shape),
                trees: trees.iter().map(Packed::outline).collect(),
                chunks: chunks.iter().map(|chunk| (*chunk, 0)).collect(),
            };
            let found = [
                pack(CHUNK_TREE, &system::chunk_tree(&chunks, &ids, SECTOR, 0)),
                pack(EXTENT_TREE, &references),
                pack(DEV_TREE, &system::device_tree(&chunks, &ids)),
            ];
            let [chunk, extent, device] = found.each_ref().map(Packed::leaves);
            let now = Sizes { extents: extent, device, chunks: chunk };
            if now != sizes {
                sizes = now;
                continue;
            }
            for mut tree in found {
                let same = trees.iter_mut().find(|outline| outline.owner == tree.owner);
                let Some(outline) = same else { continue };
                (tree.base, tree.region) = (outline.base, outline.region);
                *outline = tree;
            }
            references.count();
            return Ok(Self {
                data,
                ids,
                mixed,
                chunks,
                metadata,
                trees,
                files,
                checksums,
                references,
            });
        }
        Err(Error::new(Kind::Document, "the trees of a btrfs filesystem find no size"))
    }

    /// Where the last chunk ends.
    pub(super) const fn end(&self) -> u64 {
        self.metadata.end()
    }

    /// Bytes of data and nodes.
    pub(super) fn used(&self) -> u64 {
        self.references.chunks.iter().map(|(_, used)| used).sum()
    }

    /// The tree of this number.
    pub(super) fn tree(&self, owner: u64) -> Option<&Packed> {
        self.trees.iter().find(|tree| tree.owner == owner)
    }

    /// The trees that are small, with their items.
    pub(super) fn lists(&self, time: Time, total: u64) -> [(u64, List); 5] {
        let node_size = self.data.shape.rules.node_size as u64;
        let named: Vec<&Packed> =
            system::NAMED.iter().filter_map(|owner| self.tree(*owner)).collect();
        [
            (CHUNK_TREE, system::chunk_tree(&self.chunks, &self.ids, SECTOR, total)),
            (ROOT_TREE, system::root_tree(&named, node_size, &self.ids, time)),
            (UUID_TREE, system::uuid_tree(&self.ids)),
            (DATA_RELOC_TREE, system::relocation_tree(time)),
            (DEV_TREE, system::device_tree(&self.chunks, &self.ids)),
        ]
    }
}

/// Metadata that is left free. Linux mounts a filesystem without it, but writes nothing: it sets
/// aside the nodes that a transaction may touch. (With 64 free nodes of 64 KiB, Linux 6.1 made no
/// file; with 256 of 16 KiB it did.)
fn spare(used: u64, node_size: u64, mixed: bool) -> u64 {
    let least = SPARE.max(SPARE_NODES * node_size);
    // As much as mkfs.btrfs gives, unless the disk is small.
    let whole = if mixed { 0 } else { 2 * least };
    (used / 8).clamp(least, MOST_SPARE).max(whole.saturating_sub(used))
}

/// All chunks in the order of their places.
fn chunks(data: Region, metadata: Region, mixed: bool) -> Vec<ChunkPlace> {
    let both = if mixed { GROUP_DATA | GROUP_METADATA } else { 0 };
    let system = ChunkPlace { start: FIRST_CHUNK, len: SYSTEM_LENGTH, kind: GROUP_SYSTEM };
    let mut chunks = vec![system];
    chunks.extend(data.chunks(both | GROUP_DATA));
    chunks.extend(metadata.chunks(both | GROUP_METADATA));
    chunks
}

/// Gives each tree its place: that of chunks in its own region, the others behind each other.
fn place(trees: &mut [Packed], metadata: u64) {
    let mut base = 0;
    for tree in trees {
        if tree.owner == CHUNK_TREE {
            (tree.region, tree.base) = (FIRST_CHUNK, 0);
            continue;
        }
        (tree.region, tree.base) = (metadata, base);
        base += tree.nodes();
    }
}
