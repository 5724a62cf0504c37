//! Trees: items are packed into leaves, leaves are named by nodes, and each is made when it is read.
//!
//! Knows no item. Invariants: every leaf is filled as far as the next item allows; what lies where is
//! known from the lengths of items alone.

use std::fmt;

use zerocopy::IntoBytes;

use super::constants::{BACKREF_REVISION, Key, WRITTEN, checksum, node_room};
use super::ondisk::{Header, ItemHead, KeyPointer};
use super::space;
use crate::engine::base::{Error, Kind};

/// Which item of a source; what the numbers say is the source's affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) row: u32,
    pub(super) item: u32,
}

/// An item without its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) key: Key,
    /// Bytes of its data.
    pub(super) len: usize,
    /// The item behind it.
    pub(super) next: Cursor,
}

/// The items of one tree in the order of their keys.
pub(super) trait Items: Send + Sync + fmt::Debug {
    /// The item at `cursor`; none behind the last.
    fn at(&self, cursor: Cursor) -> Option<Item>;

    /// The data of that item.
    fn fill(&self, cursor: Cursor, data: &mut [u8]) -> Result<(), Error>;
}

/// Items in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct List(pub(super) Vec<(Key, Vec<u8>)>);

impl Items for List {
    fn at(&self, cursor: Cursor) -> Option<Item> {
        let (key, data) = self.0.get(cursor.item as usize)?;
        Some(Item { key: *key, len: data.len(), next: Cursor { row: 0, item: cursor.item + 1 } })
    }

    fn fill(&self, cursor: Cursor, data: &mut [u8]) -> Result<(), Error> {
        let (_, bytes) = self.0.get(cursor.item as usize).ok_or_else(lost)?;
        data.copy_from_slice(bytes);
        Ok(())
    }
}

/// An item that was planned is not there: a mistake of ours.
pub(super) fn lost() -> Error {
    Error::new(Kind::Document, "an item of a btrfs tree is not where it was planned")
}

/// What all nodes of a filesystem have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nodes {
    pub(super) size: usize,
    pub(super) fsid: [u8; 16],
    pub(super) chunk_uuid: [u8; 16],
    pub(super) generation: u64,
}

/// A tree whose nodes have their places.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    pub(super) owner: u64,
    /// First key and first item of each leaf.
    leaves: Vec<(Key, Cursor)>,
    /// Nodes of each level, the leaves first.
    levels: Vec<u64>,
    /// Its first node among those of its region.
    pub(super) base: u64,
    /// Where its region begins.
    pub(super) region: u64,
    node_size: usize,
}

impl Packed {
    /// Packs `items` into nodes of `node_size` bytes.
    pub(super) fn new(owner: u64, items: &dyn Items, node_size: usize) -> Self {
        let room = node_room(node_size);
        let (mut leaves, mut left, mut cursor) = (Vec::new(), 0, Cursor::default());
        while let Some(item) = items.at(cursor) {
            let needs = size_of::<ItemHead>() + item.len;
            debug_assert!(needs <= room, "{:?} has {} bytes", item.key, item.len);
            if leaves.is_empty() || needs > left {
                leaves.push((item.key, cursor));
                left = room;
            }
            left = left.saturating_sub(needs);
            cursor = item.next;
        }
        leaves.shrink_to_fit();
        let levels = levels(leaves.len() as u64, node_size);
        Self { owner, leaves, levels, base: 0, region: 0, node_size }
    }

    /// A tree of so many leaves whose items are not known yet.
    pub(super) fn guess(owner: u64, leaves: u64, node_size: usize) -> Self {
        let levels = levels(leaves, node_size);
        Self { owner, leaves: Vec::new(), levels, base: 0, region: 0, node_size }
    }

    /// The same tree without its leaves.
    pub(super) fn outline(&self) -> Self {
        Self { leaves: Vec::new(), levels: self.levels.clone(), ..*self }
    }

    /// Leaves of the tree.
    pub(super) fn leaves(&self) -> u64 {
        self.levels.first().copied().unwrap_or(0)
    }

    /// Nodes of all levels.
    pub(super) fn nodes(&self) -> u64 {
        self.levels.iter().sum()
    }

    /// The level of the root.
    pub(super) fn level(&self) -> u8 {
        // OK to cast: a tree of 2^64 nodes has less than 64 levels.
        (self.levels.len() - 1) as u8
    }

    /// Where the root lies.
    pub(super) fn root(&self) -> u64 {
        self.address(self.nodes() - 1)
    }

    /// Where a node lies.
    pub(super) fn address(&self, node: u64) -> u64 {
        space::address(self.region, (self.base + node) * self.node_size as u64)
    }

    /// The level of a node, and its number in it.
    pub(super) fn level_of(&self, node: u64) -> (u8, u64) {
        let mut at = node;
        for (level, count) in self.levels.iter().enumerate() {
            if at < *count {
                return (level as u8, at);
            }
            at -= count;
        }
        (self.level(), 0)
    }

    /// A node's bytes.
    pub(super) fn render(
        &self,
        node: u64,
        items: &dyn Items,
        nodes: &Nodes,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        buffer.fill(0);
        let (level, number) = self.level_of(node);
        let nritems = match level {
            0 => self.leaf(number, items, buffer)?,
            _ => self.pointers(level, number, nodes.generation, buffer)?,
        };
        let header = Header {
            fsid: nodes.fsid,
            bytenr: self.address(node).into(),
            flags: (WRITTEN | BACKREF_REVISION).into(),
            chunk_tree_uuid: nodes.chunk_uuid,
            generation: nodes.generation.into(),
            owner: self.owner.into(),
            nritems: nritems.into(),
            level,
            ..Header::default()
        };
        put(buffer, 0, header.as_bytes())?;
        let sum = checksum(buffer);
        put(buffer, 0, &sum)
    }

    fn leaf(&self, number: u64, items: &dyn Items, buffer: &mut [u8]) -> Result<u32, Error> {
        let end = self.leaves.get(number as usize + 1).map(|(_, cursor)| *cursor);
        let mut next = self.leaves.get(number as usize).map(|(_, cursor)| *cursor);
        let header = size_of::<Header>();
        let (mut count, mut data_at) = (0, buffer.len());
        while let Some(cursor) = next.filter(|cursor| Some(*cursor) != end) {
            let Some(item) = items.at(cursor) else { break };
            let from = data_at.checked_sub(item.len).ok_or_else(lost)?;
            items.fill(cursor, buffer.get_mut(from..data_at).ok_or_else(lost)?)?;
            data_at = from;
            let head = ItemHead {
                key: item.key.disk(),
                offset: ((data_at - header) as u32).into(),
                size: (item.len as u32).into(),
            };
            put(buffer, header + count as usize * size_of::<ItemHead>(), head.as_bytes())?;
            count += 1;
            next = Some(item.next);
        }
        Ok(count)
    }

    fn pointers(
        &self,
        level: u8,
        number: u64,
        generation: u64,
        buffer: &mut [u8],
    ) -> Result<u32, Error> {
        let fan = (node_room(self.node_size) / size_of::<KeyPointer>()) as u64;
        let below = usize::from(level) - 1;
        let children = self.levels.get(below).copied().unwrap_or(0);
        let first_below: u64 = self.levels.iter().take(below).sum();
        let leaves_each = fan.saturating_pow(u32::from(level) - 1);
        let mut count = 0;
        for child in number * fan..children.min((number + 1) * fan) {
            let leaf = self.leaves.get((child * leaves_each) as usize);
            let (key, _) = leaf.ok_or_else(lost)?;
            let pointer = KeyPointer {
                key: key.disk(),
                blockptr: self.address(first_below + child).into(),
                generation: generation.into(),
            };
            let at = size_of::<Header>() + count as usize * size_of::<KeyPointer>();
            put(buffer, at, pointer.as_bytes())?;
            count += 1;
        }
        Ok(count)
    }
}

/// Nodes of each level over so many leaves.
fn levels(leaves: u64, node_size: usize) -> Vec<u64> {
    let fan = (node_room(node_size) / size_of::<KeyPointer>()) as u64;
    let mut levels = vec![leaves.max(1)];
    while let Some(below) = levels.last().copied().filter(|below| *below > 1) {
        levels.push(below.div_ceil(fan));
    }
    levels
}

/// Writes `bytes` into `buffer` at `at`.
pub(super) fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), Error> {
    let room = buffer.get_mut(at..at + bytes.len());
    room.ok_or_else(lost)?.copy_from_slice(bytes);
    Ok(())
}
