//! Where everything comes to lie, from what is known about the files.
//!
//! Reads no contents. Invariants: the root's inode is the first one; an inode and its tail lie in one
//! block, so do inodes whose attributes and index leave room for that.

use super::ondisk::{
    BLOCK, CHUNKS, Compact, Extended, FLAT, INDEX_GAP, INLINE, MapHead, PACKED_FULL, SLOT,
};
use super::packed::{Packed, PackedFile};
use super::{Params, attributes, directory};
use crate::engine::base::tree::{Device, Kind, NodeId, Time, Tree};
use crate::engine::base::{Content, Error, Kind as ErrorKind};

/// Where a node lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Bytes of its data: of a directory those of its listing.
    pub(super) len: u64,
    /// From the metadata's begin on, in units of 32 bytes.
    pub(super) slot: u32,
    /// The first block of its own.
    pub(super) block: u32,
    /// How much longer than a block its chunks are, as a logarithm.
    pub(super) form: u8,
    /// Bytes behind the inode that its attributes take.
    pub(super) attributes: u32,
    pub(super) layout: u16,
    pub(super) extended: bool,
}

/// Where everything lies.
#[derive(Debug)]
pub(super) struct Layout {
    /// A row for each node of the tree.
    pub(super) places: Vec<Place>,
    /// The directory that a directory lies in.
    pub(super) parents: Vec<NodeId>,
    /// Nodes by their slots.
    pub(super) nodes: Vec<NodeId>,
    /// Nodes with blocks of their own, by these.
    pub(super) data: Vec<NodeId>,
    /// Where inodes begin, and what lies behind them; in blocks.
    pub(super) metadata: u64,
    pub(super) data_at: u64,
    pub(super) end: u64,
    pub(super) chunked: bool,
}

/// The inodes' blocks with room left, by how much.
struct Rooms {
    /// At n: blocks with n slots left, each with its first free slot.
    free: Vec<Vec<u32>>,
    blocks: u64,
}

const SLOTS: usize = (BLOCK / SLOT) as usize;

impl Rooms {
    /// A place for `len` bytes, in the fullest block that has room.
    fn take(&mut self, len: u64) -> Result<u32, Error> {
        let wanted = len.div_ceil(SLOT);
        let open = usize::try_from(wanted).unwrap_or(usize::MAX);
        let found = (open..SLOTS).find(|left| self.free.get(*left).is_some_and(|f| !f.is_empty()));
        let (slot, left) = match found {
            Some(left) => (self.free.get_mut(left).and_then(Vec::pop).map(u64::from), left as u64),
            None => {
                let blocks = wanted.div_ceil(SLOTS as u64);
                let slot = self.blocks * SLOTS as u64;
                self.blocks += blocks;
                (Some(slot), blocks * SLOTS as u64)
            }
        };
        let too_large = || {
            let message = "the inodes of an erofs take more than 128 GiB";
            Error::new(ErrorKind::Document, message)
        };
        let slot = slot.unwrap_or_default();
        let end = u32::try_from(slot + wanted).map_err(|_| too_large())?;
        // OK to cast: less than a block is left.
        if let Some(free) = self.free.get_mut((left - wanted) as usize).filter(|_| left > wanted) {
            free.push(end);
        }
        Ok(end - wanted as u32)
    }
}

/// Lays the tree out behind the blocks of packed files.
pub(super) fn plan(
    params: &Params,
    tree: &Tree,
    time: Time,
    packed: &Packed,
) -> Result<Layout, Error> {
    let rows = tree.rows();
    let mut layout = Layout {
        places: vec![Place::default(); rows],
        parents: vec![Tree::ROOT; rows],
        nodes: Vec::with_capacity(rows),
        data: Vec::new(),
        metadata: 1 + packed.blocks,
        data_at: 0,
        end: 0,
        chunked: false,
    };
    let mut rooms = Rooms { free: vec![Vec::new(); SLOTS], blocks: 0 };
    let mut known = vec![false; rows];
    let mut open = vec![Tree::ROOT];
    let mut next = 0;
    known.iter_mut().take(1).for_each(|root| *root = true);
    // Directories one level after the other: the root is first, what lies together is read together.
    let place = |layout: &mut Layout, rooms: &mut Rooms, id: NodeId| {
        let place = one(params, tree, time, id, packed).and_then(|(mut place, len, blocks)| {
            place.slot = rooms.take(len)?;
            Ok((place, blocks))
        });
        let (place, blocks) = place.map_err(|e| e.at(tree.origin(id)))?;
        layout.chunked |= place.layout == CHUNKS;
        if let Some(slot) = layout.places.get_mut(id.index()) {
            *slot = place;
        }
        layout.nodes.push(id);
        if blocks > 0 {
            layout.data.push(id);
        }
        Ok::<_, Error>(())
    };
    place(&mut layout, &mut rooms, Tree::ROOT)?;
    while let Some(id) = open.get(next).copied() {
        next += 1;
        for child in tree.node(id).entries().into_iter().flat_map(|entries| entries.values()) {
            let Some(seen) = known.get_mut(child.index()).filter(|seen| !**seen) else { continue };
            *seen = true;
            place(&mut layout, &mut rooms, *child)?;
            if tree.node(*child).kind.is_directory() {
                open.push(*child);
                if let Some(parent) = layout.parents.get_mut(child.index()) {
                    *parent = id;
                }
            }
        }
    }
    layout.data_at = layout.metadata + rooms.blocks;
    layout.end = layout.data_at;
    place_data(tree, &mut layout)?;
    let Layout { nodes, places, .. } = &mut layout;
    nodes.sort_unstable_by_key(|id| places.get(id.index()).map(|place| place.slot));
    Ok(layout)
}

/// Gives every node its blocks.
fn place_data(tree: &Tree, layout: &mut Layout) -> Result<(), Error> {
    for id in &layout.data {
        let Some(place) = layout.places.get_mut(id.index()) else { continue };
        let len = place.len;
        let blocks = match place.layout {
            INLINE => len / BLOCK,
            CHUNKS => chunks(tree, *id, place.form.into()).map_or(0, |chunks| chunks.blocks()),
            _ => len.div_ceil(BLOCK),
        };
        let end = layout.end + blocks;
        if end > u64::from(u32::MAX) {
            let message = format!("an erofs of {end} blocks: 4294967295 of 4 KiB are allowed");
            return Err(Error::new(ErrorKind::Document, message).at(tree.origin(*id)));
        }
        // OK to cast: compared right above.
        place.block = layout.end as u32;
        layout.end = end;
    }
    Ok(())
}

fn own_len(tree: &Tree, id: NodeId) -> u64 {
    let node = tree.node(id);
    if node.kind.is_directory() { directory::len(tree, id) } else { node.len() }
}

/// How a node is laid out: its place so far, the bytes in the inodes' blocks, and its own blocks.
fn one(
    params: &Params,
    tree: &Tree,
    time: Time,
    id: NodeId,
    packed: &Packed,
) -> Result<(Place, u64, u64), Error> {
    let node = tree.node(id);
    let meta = &node.meta;
    if let Kind::CharDevice(device) | Kind::BlockDevice(device) = &node.kind {
        encode_device(*device)?;
    }
    let len = own_len(tree, id);
    let links = links(tree, id);
    let extended = meta.uid > 0xffff
        || meta.gid > 0xffff
        || meta.modified != time
        || len > u64::from(u32::MAX)
        || links > 0xffff;
    let attributes = if params.xattrs { attributes::len(node.attributes.as_deref())? } else { 0 };
    let head = inode_len(extended) + attributes as u64;
    let mut place =
        // OK to cast: at most 256 KiB.
        Place { attributes: attributes as u32, layout: FLAT, extended, len, ..Place::default() };
    if let Some(PackedFile { .. }) = packed.file(id) {
        place.layout = PACKED_FULL;
        return Ok((place, index_at(head) + len.div_ceil(BLOCK) * 8, 0));
    }
    let late = matches!(&node.kind, Kind::File(Content::Late(_)));
    if params.chunks
        && !late
        && let Some(form) = chunk_form(tree, id)
    {
        place.layout = CHUNKS;
        place.form = form as u8;
        let count = len.div_ceil(BLOCK << form);
        return Ok((place, head.next_multiple_of(4) + count * 4, 1));
    }
    let tail = len % BLOCK;
    if tail > 0 && head + tail <= BLOCK && !late {
        place.layout = INLINE;
        return Ok((place, head + tail, len / BLOCK));
    }
    Ok((place, head, len.div_ceil(BLOCK)))
}

/// How many names a node has, as stat counts them: a directory has its own, `.` and its children's `..`.
pub(super) fn links(tree: &Tree, id: NodeId) -> u32 {
    let node = tree.node(id);
    let Some(entries) = node.entries() else { return node.names() };
    let below = entries.values().filter(|child| tree.node(**child).kind.is_directory()).count();
    u32::try_from(below).unwrap_or(u32::MAX).saturating_add(2)
}

pub(super) const fn inode_len(extended: bool) -> u64 {
    if extended { size_of::<Extended>() as u64 } else { size_of::<Compact>() as u64 }
}

/// Where the entries of a full index begin behind an inode whose head and attributes have `head`
/// bytes.
pub(super) const fn index_at(head: u64) -> u64 {
    head.next_multiple_of(8) + size_of::<MapHead>() as u64 + INDEX_GAP
}

/// Entries of a file's list of chunks that are wanted at most.
const MAX_CHUNKS: u64 = 16 << 10;

/// How much longer than a block the chunks of a file are; none if it has no hole of a chunk.
fn chunk_form(tree: &Tree, id: NodeId) -> Option<u32> {
    let len = tree.node(id).len();
    let form = (0..20).find(|bits| len.div_ceil(BLOCK << bits) <= MAX_CHUNKS)?;
    let chunks = chunks(tree, id, form)?;
    (chunks.blocks() < len.div_ceil(BLOCK)).then_some(form)
}

/// The chunks of a file that hold something.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    /// Bytes of a chunk, and of the file.
    pub(super) size: u64,
    len: u64,
    /// Runs of chunks, each with the number of its first and of the one behind its last.
    pub(super) runs: Vec<(u64, u64)>,
}

pub(super) fn chunks(tree: &Tree, id: NodeId, form: u32) -> Option<Chunks> {
    let Kind::File(Content::Sectors(source)) = &tree.node(id).kind else { return None };
    let size = BLOCK << form;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for extent in source.extents() {
        let (first, end) = (extent.start() / size, extent.end().div_ceil(size));
        match runs.last_mut() {
            Some((_, last)) if first <= *last => *last = end.max(*last),
            _ => runs.push((first, end)),
        }
    }
    Some(Chunks { size, len: source.len(), runs })
}

impl Chunks {
    /// Blocks that a run takes: those behind the end of the file are not stored.
    fn run_blocks(&self, (first, end): (u64, u64)) -> u64 {
        ((end * self.size).min(self.len) - first * self.size).div_ceil(BLOCK)
    }

    pub(super) fn blocks(&self) -> u64 {
        self.runs.iter().map(|run| self.run_blocks(*run)).sum()
    }

    /// Each run with the block it begins at, counted from the file's first.
    pub(super) fn placed(&self) -> impl Iterator<Item = ((u64, u64), u64)> + '_ {
        let mut at = 0;
        self.runs.iter().map(move |run| {
            let here = at;
            at += self.run_blocks(*run);
            (*run, here)
        })
    }
}

/// Device numbers as Linux packs them into 32 bits (`new_encode_dev`).
pub(super) fn encode_device(device: Device) -> Result<u32, Error> {
    let Device { major, minor } = device;
    if major > 0xfff || minor > 0xf_ffff {
        let message =
            format!("the device {major}:{minor} cannot be stored: 4095:1048575 is the last one");
        return Err(Error::new(ErrorKind::Document, message));
    }
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}
