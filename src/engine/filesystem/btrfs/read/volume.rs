//! Addresses and trees of untrusted sectors.
//!
//! Invariants: every node has the checksum, the place and the first key that its parent says; keys
//! grow from item to item of a whole walk, so that no node is seen twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use zerocopy::FromBytes;

use super::super::constants::{CHUNK_ITEM, FIRST_CHUNK_TREE, GROUP_DUP, Key, PROFILES, checksum};
use super::super::ondisk::{Chunk, DiskKey, Header, ItemHead, KeyPointer, Stripe, Superblock};
use super::damaged;
use super::superblock::{node_id, unsupported};
use crate::engine::base::{Error, SectorSource};

/// Levels above the leaves at most (BTRFS_MAX_LEVEL).
const LEVELS: u8 = 8;

/// Where a chunk lies.
#[derive(Clone, Debug)]
struct Mapped {
    len: u64,
    /// One copy, or two.
    copies: Vec<u64>,
}

/// A filesystem whose addresses are known.
#[derive(Debug)]
pub(super) struct Volume {
    medium: Arc<dyn SectorSource>,
    pub(super) node_size: usize,
    pub(super) sector: u64,
    fsid: [u8; 16],
    chunks: BTreeMap<u64, Mapped>,
}

/// A node's place as its parent gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub(super) address: u64,
    pub(super) level: u8,
    pub(super) generation: u64,
}

/// What a walk calls for every item.
type Visit<'a> = &'a mut dyn FnMut(Key, &[u8]) -> Result<(), Error>;

impl Volume {
    pub(super) fn open(medium: Arc<dyn SectorSource>, block: &Superblock) -> Result<Self, Error> {
        let mut volume = Self {
            medium,
            node_size: block.nodesize.get() as usize,
            sector: block.sectorsize.get().into(),
            fsid: node_id(block),
            chunks: BTreeMap::new(),
        };
        let size = block.sys_chunk_array_size.get() as usize;
        let mut array = block.sys_chunk_array.get(..size).ok_or_else(|| {
            damaged(format!("the array of system chunks has {size} bytes, at most 2048"))
        })?;
        while !array.is_empty() {
            let cut = || damaged("the array of system chunks ends within a chunk".to_owned());
            let (key, rest) = DiskKey::read_from_prefix(array).map_err(|_| cut())?;
            let len = volume.add_chunk(key.into(), rest)?;
            array = rest.get(len..).ok_or_else(cut)?;
        }
        let root = Pointer {
            address: block.chunk_root.get(),
            level: block.chunk_root_level,
            generation: block.chunk_root_generation.get(),
        };
        let mut found = Vec::new();
        volume.walk(root, &mut |key, data| {
            if (key.objectid, key.kind) == (FIRST_CHUNK_TREE, CHUNK_ITEM) {
                found.push((key, data.to_vec()));
            }
            Ok(())
        })?;
        for (key, data) in found {
            volume.add_chunk(key, &data)?;
        }
        Ok(volume)
    }

    /// Adds a chunk; its length in bytes of the item.
    fn add_chunk(&mut self, key: Key, data: &[u8]) -> Result<usize, Error> {
        let at = key.offset;
        let bad = |why: &str| damaged(format!("the chunk at {at} {why}"));
        let (chunk, mut rest) = Chunk::read_from_prefix(data).map_err(|_| bad("is cut off"))?;
        if (key.objectid, key.kind) != (FIRST_CHUNK_TREE, CHUNK_ITEM) {
            return Err(bad(&format!("has the key {key:?}")));
        }
        let kind = chunk.kind.get();
        let profile =
            PROFILES.iter().find(|(bit, _)| kind & 1 << bit != 0 && kind & GROUP_DUP == 0);
        if let Some((_, name)) = profile {
            return Err(unsupported(&format!(
                "the chunk at {at} is {name}; single and DUP are read"
            )));
        }
        let (count, wanted) = (chunk.num_stripes.get(), if kind & GROUP_DUP == 0 { 1 } else { 2 });
        if count != wanted {
            return Err(bad(&format!("has {count} stripes, not {wanted}")));
        }
        let len = chunk.length.get();
        let mut copies = Vec::new();
        for _ in 0..count {
            let (stripe, behind) = Stripe::read_from_prefix(rest).map_err(|_| bad("is cut off"))?;
            let start = stripe.offset.get();
            let end = start.checked_add(len).filter(|end| *end <= self.medium.len());
            if end.is_none() {
                let have = self.medium.len();
                return Err(bad(&format!("has {len} bytes at {start}, the medium has {have}")));
            }
            copies.push(start);
            rest = behind;
        }
        let end = at.checked_add(len).filter(|_| len > 0).ok_or_else(|| bad("has no length"))?;
        let before = self.chunks.range(..=at).next_back();
        let behind = self.chunks.range(at + 1..).next();
        let known = before.is_some_and(|(start, mapped)| *start == at && mapped.len == len);
        let meets = before.is_some_and(|(start, mapped)| start + mapped.len > at)
            || behind.is_some_and(|(start, _)| *start < end);
        if meets && !known {
            return Err(bad("overlaps another"));
        }
        self.chunks.insert(at, Mapped { len, copies });
        Ok(size_of::<Chunk>() + usize::from(count) * size_of::<Stripe>())
    }

    /// The chunk that holds `address`: its copies from there on, and for how many bytes.
    fn places(&self, address: u64) -> Result<(Vec<u64>, u64), Error> {
        let found = self.chunks.range(..=address).next_back();
        let found = found.filter(|(start, mapped)| address - **start < mapped.len);
        let (start, mapped) =
            found.ok_or_else(|| damaged(format!("the address {address} lies in no chunk")))?;
        let from = address - start;
        Ok((mapped.copies.iter().map(|copy| copy + from).collect(), mapped.len - from))
    }

    /// Whether `len` bytes from `address` on lie in chunks.
    pub(super) fn holds(&self, address: u64, len: u64) -> bool {
        let mut at = address;
        let end = address.checked_add(len);
        while end.is_some_and(|end| at < end) {
            match self.places(at) {
                Ok((_, run)) => at += run,
                Err(_) => return false,
            }
        }
        end.is_some()
    }

    /// Reads data: the first copy of them.
    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let (mut at, mut left) = (address, buffer);
        while !left.is_empty() {
            let (copies, run) = self.places(at)?;
            let here = run.min(left.len() as u64) as usize;
            let (front, rest) = left.split_at_mut(here);
            let first = copies.first().copied().unwrap_or(0);
            self.medium.read_at(first, front)?;
            (left, at) = (rest, at + here as u64);
        }
        Ok(())
    }

    /// A node, of the first copy that is sound.
    fn node(&self, pointer: Pointer) -> Result<(Vec<u8>, Header), Error> {
        let at = pointer.address;
        let (copies, run) = self.places(at)?;
        if run < self.node_size as u64 || !at.is_multiple_of(self.sector) {
            let message = format!("a node of {} bytes cannot lie at {at}", self.node_size);
            return Err(damaged(message));
        }
        let mut last = None;
        for copy in copies {
            let mut bytes = vec![0; self.node_size];
            self.medium.read_at(copy, &mut bytes)?;
            match self.check(pointer, &bytes) {
                Ok(header) => return Ok((bytes, header)),
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.unwrap_or_else(|| damaged(format!("there is no node at {at}"))))
    }

    fn check(&self, pointer: Pointer, bytes: &[u8]) -> Result<Header, Error> {
        let bad = |why: String| damaged(format!("the node at {} {why}", pointer.address));
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| bad("is cut".into()))?;
        if header.csum.get(..4) != checksum(bytes).get(..4) {
            return Err(bad("has a wrong checksum".into()));
        }
        let (found, wanted) = (header.bytenr.get(), pointer.address);
        if found != wanted || header.fsid != self.fsid {
            return Err(bad(format!("says that it lies at {found}, or in another filesystem")));
        }
        if header.level != pointer.level || header.level >= LEVELS {
            return Err(bad(format!("has level {}, not {}", header.level, pointer.level)));
        }
        if header.generation.get() != pointer.generation {
            let message =
                format!("is of generation {}, not {}", header.generation, pointer.generation);
            return Err(bad(message));
        }
        Ok(header)
    }

    /// Calls `visit` for every item of a tree in the order of keys.
    pub(super) fn walk(&self, root: Pointer, visit: Visit<'_>) -> Result<(), Error> {
        let mut last = None;
        self.walk_node(root, None, &mut last, visit)
    }

    fn walk_node(
        &self,
        pointer: Pointer,
        first: Option<Key>,
        last: &mut Option<Key>,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        let (bytes, header) = self.node(pointer)?;
        let bad = |why: String| damaged(format!("the node at {} {why}", pointer.address));
        let count = header.nritems.get() as usize;
        let body = bytes.get(size_of::<Header>()..).unwrap_or_default();
        let head = if header.level == 0 { size_of::<ItemHead>() } else { size_of::<KeyPointer>() };
        let room = body.len() / head;
        let heads = body.get(..count.saturating_mul(head));
        let heads = heads.ok_or_else(|| bad(format!("has {count} items, at most {room}")))?;
        if count == 0 && first.is_some() {
            return Err(bad("has no items".into()));
        }
        for (number, head) in heads.chunks_exact(head).enumerate() {
            let (key, _) = DiskKey::read_from_prefix(head).map_err(|_| bad("is cut".into()))?;
            let key = Key::from(key);
            if number == 0 && first.is_some_and(|first| first != key) {
                return Err(bad(format!("begins with {key:?}, not {first:?}")));
            }
            if header.level > 0 {
                let (child, _) =
                    KeyPointer::read_from_prefix(head).map_err(|_| bad("is cut".into()))?;
                let child = Pointer {
                    address: child.blockptr.get(),
                    level: header.level - 1,
                    generation: child.generation.get(),
                };
                self.walk_node(child, Some(key), last, visit)?;
                continue;
            }
            if last.is_some_and(|last| last >= key) {
                return Err(bad(format!("has {key:?} behind {last:?}")));
            }
            *last = Some(key);
            let (item, _) = ItemHead::read_from_prefix(head).map_err(|_| bad("is cut".into()))?;
            let (from, len) = (item.offset.get() as usize, item.size.get() as usize);
            let data = from.checked_add(len).filter(|_| from >= heads.len());
            let data = data.and_then(|end| body.get(from..end));
            visit(key, data.ok_or_else(|| bad(format!("has {len} bytes of an item at {from}")))?)?;
        }
        Ok(())
    }
}
