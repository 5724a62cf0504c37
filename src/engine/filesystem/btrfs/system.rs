//! The items of the small trees: roots, chunks, devices, UUIDs and the empty tree for relocation.
//!
//! Invariant: their lengths depend on the number of chunks alone, so that they can be packed before
//! anything is placed.

use uuid::Uuid;
use zerocopy::IntoBytes;

use super::Ids;
use super::constants::{
    CHUNK_ITEM, CHUNK_TREE, CSUM_TREE, DATA_RELOC_TREE, DEV_EXTENT, DEV_ITEM, DEV_ITEMS, DEV_TREE,
    DIR_ITEM, ENTRY_DIRECTORY, EXTENT_TREE, FIRST_CHUNK_TREE, FIRST_FREE, FS_TREE, INODE_ITEM,
    INODE_REF, Key, ROOT_ITEM, ROOT_TREE, ROOT_TREE_DIR, UUID_SUBVOLUME, UUID_TREE, name_hash,
};
use super::items::timespec;
use super::ondisk::{
    Chunk, DevExtent, DevItem, DirItem, InodeItem, InodeRef, RootItem, STRIPE, Stripe,
};
use super::packed::{List, Packed};
use super::space::ChunkPlace;
use super::write::GENERATION;
use crate::engine::base::tree::Time;

/// The only device's number.
const DEVICE: u64 = 1;
/// The name of the default subvolume.
const DEFAULT: &[u8] = b"default";

/// The trees that the tree of roots names, in the order of their numbers.
pub(super) const NAMED: [u64; 6] =
    [EXTENT_TREE, DEV_TREE, FS_TREE, CSUM_TREE, UUID_TREE, DATA_RELOC_TREE];

/// What the chunks say of themselves.
pub(super) fn chunk_item(chunk: &ChunkPlace, ids: &Ids, sector: u64) -> Vec<u8> {
    let sector = sector as u32;
    let item = Chunk {
        length: chunk.len.into(),
        owner: EXTENT_TREE.into(),
        stripe_len: STRIPE.into(),
        kind: chunk.kind.into(),
        io_align: (STRIPE as u32).into(),
        io_width: (STRIPE as u32).into(),
        sector_size: sector.into(),
        num_stripes: 1.into(),
        sub_stripes: 1.into(),
    };
    let stripe = Stripe {
        devid: DEVICE.into(),
        offset: chunk.start.into(),
        dev_uuid: ids.device.into_bytes(),
    };
    [item.as_bytes(), stripe.as_bytes()].concat()
}

/// The device, of `total` bytes.
pub(super) fn device(chunks: &[ChunkPlace], ids: &Ids, sector: u64, total: u64) -> DevItem {
    let sector = sector as u32;
    DevItem {
        devid: DEVICE.into(),
        total_bytes: total.into(),
        bytes_used: chunks.iter().map(|chunk| chunk.len).sum::<u64>().into(),
        io_align: sector.into(),
        io_width: sector.into(),
        sector_size: sector.into(),
        uuid: ids.device.into_bytes(),
        fsid: ids.filesystem.into_bytes(),
        ..DevItem::default()
    }
}

/// The tree of chunks.
pub(super) fn chunk_tree(chunks: &[ChunkPlace], ids: &Ids, sector: u64, total: u64) -> List {
    let device = device(chunks, ids, sector, total).as_bytes().to_vec();
    let mut items = vec![(Key::new(DEV_ITEMS, DEV_ITEM, DEVICE), device)];
    items.extend(chunks.iter().map(|chunk| {
        let key = Key::new(FIRST_CHUNK_TREE, CHUNK_ITEM, chunk.start);
        (key, chunk_item(chunk, ids, sector))
    }));
    List(items)
}

/// The tree of what is used of the device.
pub(super) fn device_tree(chunks: &[ChunkPlace], ids: &Ids) -> List {
    let item = |chunk: &ChunkPlace| {
        let extent = DevExtent {
            chunk_tree: CHUNK_TREE.into(),
            chunk_objectid: FIRST_CHUNK_TREE.into(),
            chunk_offset: chunk.start.into(),
            length: chunk.len.into(),
            chunk_tree_uuid: ids.chunk_tree.into_bytes(),
        };
        (Key::new(DEVICE, DEV_EXTENT, chunk.start), extent.as_bytes().to_vec())
    };
    List(chunks.iter().map(item).collect())
}

/// The tree that finds subvolumes by their UUID.
pub(super) fn uuid_tree(ids: &Ids) -> List {
    let (high, low) = halves(&ids.subvolume);
    let key = Key::new(high, UUID_SUBVOLUME, low);
    List(vec![(key, FS_TREE.to_le_bytes().to_vec())])
}

/// A UUID as the two numbers of a key.
fn halves(id: &Uuid) -> (u64, u64) {
    // A key holds the UUID's bytes as they are.
    let number = id.to_u128_le();
    (number as u64, (number >> 64) as u64)
}

fn directory(time: Time) -> InodeItem {
    let time = timespec(time);
    InodeItem {
        generation: GENERATION.into(),
        nlink: 1.into(),
        mode: 0o040_755.into(),
        atime: time,
        ctime: time,
        mtime: time,
        otime: time,
        ..InodeItem::default()
    }
}

fn reference(index: u64, name: &[u8]) -> Vec<u8> {
    let head = InodeRef { index: index.into(), name_len: (name.len() as u16).into() };
    [head.as_bytes(), name].concat()
}

/// The empty tree that Linux uses when it moves data.
pub(super) fn relocation_tree(time: Time) -> List {
    List(vec![
        (Key::new(FIRST_FREE, INODE_ITEM, 0), directory(time).as_bytes().to_vec()),
        (Key::new(FIRST_FREE, INODE_REF, FIRST_FREE), reference(0, b"..")),
    ])
}

fn root_item(tree: &Packed, node_size: u64, ids: &Ids, time: Time) -> RootItem {
    let files = tree.owner == FS_TREE;
    let inode = InodeItem {
        generation: GENERATION.into(),
        size: 3.into(),
        nbytes: node_size.into(),
        nlink: 1.into(),
        mode: 0o040_755.into(),
        ..InodeItem::default()
    };
    let root_dirid = if files || tree.owner == DATA_RELOC_TREE { FIRST_FREE } else { 0 };
    let item = RootItem {
        inode,
        generation: GENERATION.into(),
        root_dirid: root_dirid.into(),
        bytenr: tree.root().into(),
        bytes_used: (tree.nodes() * node_size).into(),
        refs: 1.into(),
        level: tree.level(),
        generation_v2: GENERATION.into(),
        ..RootItem::default()
    };
    if !files {
        return item;
    }
    let (uuid, time) = (ids.subvolume.into_bytes(), timespec(time));
    RootItem { uuid, ctime: time, otime: time, ..item }
}

/// The tree of roots. `trees` are all that it names.
pub(super) fn root_tree(trees: &[&Packed], node_size: u64, ids: &Ids, time: Time) -> List {
    debug_assert!(trees.iter().all(|tree| tree.owner != ROOT_TREE));
    let mut items: Vec<(Key, Vec<u8>)> = trees
        .iter()
        .map(|tree| {
            let item = root_item(tree, node_size, ids, time).as_bytes().to_vec();
            (Key::new(tree.owner, ROOT_ITEM, 0), item)
        })
        .collect();
    let entry = DirItem {
        location: Key::new(FS_TREE, ROOT_ITEM, u64::MAX).disk(),
        name_len: (DEFAULT.len() as u16).into(),
        kind: ENTRY_DIRECTORY,
        ..DirItem::default()
    };
    let hash = u64::from(name_hash(DEFAULT));
    items.extend([
        (Key::new(FS_TREE, INODE_REF, ROOT_TREE_DIR), reference(0, DEFAULT)),
        (Key::new(ROOT_TREE_DIR, INODE_ITEM, 0), directory(time).as_bytes().to_vec()),
        (Key::new(ROOT_TREE_DIR, INODE_REF, ROOT_TREE_DIR), reference(0, b"..")),
        (Key::new(ROOT_TREE_DIR, DIR_ITEM, hash), [entry.as_bytes(), DEFAULT].concat()),
    ]);
    items.sort_by_key(|(key, _)| *key);
    List(items)
}
