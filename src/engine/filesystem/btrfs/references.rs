//! The items of the extent tree: who uses which bytes, and how full each block group is.
//!
//! Invariant: every node of every tree, this one's included, and every extent of a file has exactly
//! one item.

use std::sync::Arc;

use zerocopy::IntoBytes;

use super::constants::{
    BLOCK_GROUP_ITEM, EXTENT_DATA_FLAG, EXTENT_DATA_REF, EXTENT_ITEM, EXTENT_TREE_BLOCK,
    FIRST_CHUNK_TREE, FIRST_FREE, FS_TREE, Key, METADATA_ITEM, TREE_BLOCK_REF,
};
use super::ondisk::{BlockGroup, DataItem, MetadataItem};
use super::packed::{Cursor, Item, Items, Packed, lost, put};
use super::shape::Shape;
use super::space::ChunkPlace;
use super::write::GENERATION;
use crate::engine::base::Error;

/// The items.
#[derive(Clone, Debug)]
pub(super) struct References {
    pub(super) shape: Arc<Shape>,
    /// Outlines of all trees in the order of their places; the first is that of chunks.
    pub(super) trees: Vec<Packed>,
    /// Chunks with the bytes that are used in each.
    pub(super) chunks: Vec<(ChunkPlace, u64)>,
}

/// What uses bytes.
enum Thing {
    /// The node of a tree.
    Node(usize, u64),
    Piece(u32),
}

impl References {
    /// Nodes of the tree of chunks: they come before the data.
    fn system(&self) -> u64 {
        self.trees.first().map_or(0, Packed::nodes)
    }

    /// The thing with this number; small files have none, the next one is meant.
    fn thing(&self, number: u64) -> Option<(u64, Thing)> {
        if number < self.system() {
            return Some((number, Thing::Node(0, number)));
        }
        let pieces = &self.shape.pieces;
        let mut at = (number - self.system()) as usize;
        while pieces.get(at).is_some_and(|piece| piece.inline) {
            at += 1;
        }
        if at < pieces.len() {
            return Some((self.system() + at as u64, Thing::Piece(at as u32)));
        }
        let mut node = (at - pieces.len()) as u64;
        let found = self.system() + at as u64;
        for (tree, packed) in self.trees.iter().enumerate().skip(1) {
            if node < packed.nodes() {
                return Some((found, Thing::Node(tree, node)));
            }
            node -= packed.nodes();
        }
        None
    }

    fn thing_key(&self, thing: &Thing) -> Option<Key> {
        Some(match *thing {
            Thing::Node(tree, node) => {
                let packed = self.trees.get(tree)?;
                let (level, _) = packed.level_of(node);
                Key::new(packed.address(node), METADATA_ITEM, level.into())
            }
            Thing::Piece(piece) => {
                let piece = self.shape.pieces.get(piece as usize)?;
                Key::new(piece.disk, EXTENT_ITEM, piece.len)
            }
        })
    }

    /// The thing at `cursor`, or none if a block group comes first.
    fn pick(&self, cursor: Cursor) -> Option<(u64, Thing, Key)> {
        let (number, thing) = self.thing(cursor.item.into())?;
        let key = self.thing_key(&thing)?;
        let group = self.chunks.get(cursor.row as usize);
        let first = group.is_none_or(|(chunk, _)| key < group_key(chunk));
        first.then_some((number, thing, key))
    }

    /// Takes down how many bytes of each chunk are used.
    pub(super) fn count(&mut self) {
        let mut used = vec![0; self.chunks.len()];
        let node_size = self.shape.rules.node_size as u64;
        let pieces = self.shape.pieces.iter().filter(|piece| !piece.inline);
        let pieces = pieces.map(|piece| (piece.disk, piece.len));
        let nodes = self.trees.iter().flat_map(|packed| {
            (0..packed.nodes()).map(move |node| (packed.address(node), node_size))
        });
        for (at, len) in pieces.chain(nodes) {
            let group = self.chunks.partition_point(|(chunk, _)| chunk.start <= at);
            if let Some(used) = used.get_mut(group.wrapping_sub(1)) {
                *used += len;
            }
        }
        for ((_, count), used) in self.chunks.iter_mut().zip(used) {
            *count = used;
        }
    }
}

fn group_key(chunk: &ChunkPlace) -> Key {
    Key::new(chunk.start, BLOCK_GROUP_ITEM, chunk.len)
}

impl Items for References {
    fn at(&self, cursor: Cursor) -> Option<Item> {
        if let Some((number, thing, key)) = self.pick(cursor) {
            let len = match thing {
                Thing::Node(..) => size_of::<MetadataItem>(),
                Thing::Piece(_) => size_of::<DataItem>(),
            };
            let next = Cursor { item: number as u32 + 1, ..cursor };
            return Some(Item { key, len, next });
        }
        let (chunk, _) = self.chunks.get(cursor.row as usize)?;
        let next = Cursor { row: cursor.row + 1, ..cursor };
        Some(Item { key: group_key(chunk), len: size_of::<BlockGroup>(), next })
    }

    fn fill(&self, cursor: Cursor, data: &mut [u8]) -> Result<(), Error> {
        match self.pick(cursor) {
            Some((_, Thing::Node(tree, _), _)) => {
                let item = MetadataItem {
                    refs: 1.into(),
                    generation: GENERATION.into(),
                    flags: EXTENT_TREE_BLOCK.into(),
                    ref_kind: TREE_BLOCK_REF,
                    root: self.trees.get(tree).ok_or_else(lost)?.owner.into(),
                };
                put(data, 0, item.as_bytes())
            }
            Some((_, Thing::Piece(number), _)) => {
                let piece = self.shape.pieces.get(number as usize).ok_or_else(lost)?;
                let item = DataItem {
                    refs: 1.into(),
                    generation: GENERATION.into(),
                    flags: EXTENT_DATA_FLAG.into(),
                    ref_kind: EXTENT_DATA_REF,
                    root: FS_TREE.into(),
                    objectid: (FIRST_FREE + u64::from(self.shape.row_of_piece(number))).into(),
                    offset: piece.offset.into(),
                    count: 1.into(),
                };
                put(data, 0, item.as_bytes())
            }
            None => {
                let (chunk, used) = self.chunks.get(cursor.row as usize).ok_or_else(lost)?;
                let item = BlockGroup {
                    used: (*used).into(),
                    chunk_objectid: FIRST_CHUNK_TREE.into(),
                    flags: chunk.kind.into(),
                };
                put(data, 0, item.as_bytes())
            }
        }
    }
}
