//! Inodes and directories as bytes.
//!
//! Source: NetBSD, sys/ufs/ufs/dinode.h and dir.h. Invariant: a directory entry never crosses 512
//! bytes.

use super::geometry::Geometry;
use super::map::{Map, roots};
use super::ondisk::{DIR_BLOCK, DIRECT, Fields, LINKS};
use super::plan::{Layout, Row};
use crate::engine::base::tree::{Device, Kind as NodeKind, Node, Tree};

/// Whether a link's text lies in its inode.
pub(super) fn inline(geometry: &Geometry, target: &[u8]) -> bool {
    (target.len() as u64) < LINKS[usize::from(geometry.wide)]
}

/// dir.h, `UFS_DIRSIZ`: bytes of an entry, with a zero behind the name.
const fn entry_len(name: usize) -> usize {
    (8 + name + 1).next_multiple_of(4)
}

/// Bytes of a directory with names of such lengths, `.` and `..` not counted.
pub(super) fn blocked(names: impl Iterator<Item = usize>) -> u64 {
    let (mut blocks, mut at) = (1u64, 2 * entry_len(1));
    for name in names {
        let len = entry_len(name);
        if at + len > DIR_BLOCK {
            (blocks, at) = (blocks + 1, 0);
        }
        at += len;
    }
    blocks * DIR_BLOCK as u64
}

/// The bytes of a directory.
pub(super) fn directory(layout: &Layout, row: &Row) -> Vec<u8> {
    let tree = &layout.tree;
    let inode = |index: usize| layout.inodes.get(index).copied().unwrap_or(0);
    let own = inode(row.node.index());
    let entries = tree.node(row.node).entries().into_iter().flatten();
    let dots = [(&b"."[..], own, 4), (&b".."[..], row.parent, 4)].into_iter();
    let names = entries.map(|(name, id)| {
        (name.as_bytes(), inode(id.index()), (format(&tree.node(*id).kind) >> 12) as u8)
    });
    let mut bytes = Vec::new();
    let (mut last, mut block) = (0, 0);
    for (name, inode, kind) in dots.chain(names) {
        let len = entry_len(name.len());
        if bytes.len() + len > block + DIR_BLOCK {
            close(&mut bytes, last, block + DIR_BLOCK, layout.params.big_endian);
            block += DIR_BLOCK;
        }
        last = bytes.len();
        let mut entry = Fields::new(len, layout.params.big_endian);
        entry.u32(0, inode);
        entry.u16(4, u16::try_from(len).unwrap_or(0));
        entry.raw(6, &[kind, u8::try_from(name.len()).unwrap_or(0)]);
        entry.raw(8, name);
        bytes.extend(entry.bytes);
    }
    close(&mut bytes, last, block + DIR_BLOCK, layout.params.big_endian);
    bytes
}

/// Gives the rest of a block to its last entry.
fn close(bytes: &mut Vec<u8>, last: usize, end: usize, big: bool) {
    let len = u16::try_from(end - last).unwrap_or(0);
    bytes.resize(end, 0);
    if let Some(place) = bytes.get_mut(last + 4..last + 6) {
        place.copy_from_slice(&if big { len.to_be_bytes() } else { len.to_le_bytes() });
    }
}

/// dinode.h, `IFMT`: its upper four bits are also the type in a directory.
pub(super) const fn format(kind: &NodeKind) -> u16 {
    match kind {
        NodeKind::Fifo => 0o010_000,
        NodeKind::CharDevice(_) => 0o020_000,
        NodeKind::Directory(_) => 0o040_000,
        NodeKind::BlockDevice(_) => 0o060_000,
        NodeKind::File(_) => 0o100_000,
        NodeKind::Symlink(_) => 0o120_000,
        NodeKind::Socket => 0o140_000,
    }
}

/// NetBSD, sys/types.h, `makedev`.
const fn packed(device: Device) -> u32 {
    (device.major << 8 & 0x000F_FF00) | (device.minor << 12 & 0xFFF0_0000) | (device.minor & 0xFF)
}

/// Names of a node; a directory has its own, its `.`, and the `..` of those in it.
pub(super) fn links(tree: &Tree, node: &Node) -> u32 {
    let below = |id| u32::from(tree.node(id).kind.is_directory());
    match node.entries() {
        Some(entries) => 2 + entries.values().map(|id| below(*id)).sum::<u32>(),
        None => node.names(),
    }
}

/// The inode of a row.
pub(super) fn inode(layout: &Layout, row: &Row) -> Vec<u8> {
    let geometry = &layout.geometry;
    let (wide, node, map) = (geometry.wide, layout.tree.node(row.node), layout.map(row));
    let mut fields = Fields::new(geometry.inode_size() as usize, layout.params.big_endian);
    fields.u16(0, format(&node.kind) | node.meta.mode);
    // A plan has no more than LINK_MAX.
    fields.u16(2, u16::try_from(links(&layout.tree, node)).unwrap_or(u16::MAX));
    let len = if node.kind.is_directory() { layout.stored(row) } else { node.len() };
    let sectors = (map.count * geometry.frag + map.tail) * (geometry.fragment / 512);
    let time = node.meta.modified;
    let pointers = if wide {
        fields.all(&[(4, node.meta.uid.into()), (8, node.meta.gid.into()), (12, geometry.block)]);
        fields.u64(16, len);
        fields.u64(24, sectors);
        // OK to cast: the same bits.
        [32, 40, 48, 56].iter().for_each(|at| fields.u64(*at, time.seconds.cast_unsigned()));
        [64, 68, 72, 76].iter().for_each(|at| fields.u32(*at, time.nanos));
        112
    } else {
        let seconds = time.seconds.clamp(i32::MIN.into(), i32::MAX.into()).cast_unsigned();
        fields.u64(8, len);
        fields.all(&[(16, seconds), (24, seconds), (32, seconds)]);
        [20, 28, 36].iter().for_each(|at| fields.u32(*at, time.nanos));
        fields.all(&[(104, sectors), (112, node.meta.uid.into()), (116, node.meta.gid.into())]);
        40
    };
    match &node.kind {
        NodeKind::Symlink(target) if inline(geometry, target) => fields.raw(pointers, target),
        NodeKind::CharDevice(device) | NodeKind::BlockDevice(device) => {
            fields.number(pointers, wide, packed(*device).into());
        }
        _ => blocks(layout, row, &map, &mut fields, pointers),
    }
    fields.bytes
}

/// Writes the block numbers of an inode.
fn blocks(layout: &Layout, row: &Row, map: &Map, fields: &mut Fields, at: usize) {
    let geometry = &layout.geometry;
    let width = if geometry.wide { 8 } else { 4 };
    let own = |block: u64| geometry.block_at(row.start + block) * geometry.frag;
    let blocks = layout.stored(row).div_ceil(geometry.block);
    for (number, block) in (0..blocks.min(DIRECT)).enumerate() {
        let found = match map.data(block) {
            Some(block) => own(block),
            None if map.tail > 0 && block + 1 == blocks => {
                geometry.block_at(row.tail.0) * geometry.frag + row.tail.1
            }
            None => 0,
        };
        fields.number(at + number * width, geometry.wide, found);
    }
    for (number, (depth, begin)) in roots(geometry).into_iter().enumerate() {
        let found = map.indirect(depth, begin).map_or(0, own);
        fields.number(at + (DIRECT as usize + number) * width, geometry.wide, found);
    }
}
