//! Numbers that btrfs gives to trees, objects, keys and features, and its keys and hashes.
//!
//! Decides nothing. Source: btrfs documentation, "On-disk Format", sections "Reserved objectids",
//! "Item types", "Superblock" and "Hashing". Invariant: keys compare as btrfs compares them.

use super::ondisk::{DiskKey, Header};

// Trees.
pub(super) const ROOT_TREE: u64 = 1;
pub(super) const EXTENT_TREE: u64 = 2;
pub(super) const CHUNK_TREE: u64 = 3;
pub(super) const DEV_TREE: u64 = 4;
pub(super) const FS_TREE: u64 = 5;
pub(super) const CSUM_TREE: u64 = 7;
pub(super) const UUID_TREE: u64 = 9;
/// -9.
pub(super) const DATA_RELOC_TREE: u64 = 0u64.wrapping_sub(9);

// Objects.
/// The directory of the root tree that names the default subvolume.
pub(super) const ROOT_TREE_DIR: u64 = 6;
pub(super) const DEV_ITEMS: u64 = 1;
pub(super) const FIRST_CHUNK_TREE: u64 = 256;
/// The first number of a file, that of every subvolume's root directory.
pub(super) const FIRST_FREE: u64 = 256;
/// -10.
pub(super) const CSUM_OBJECT: u64 = 0u64.wrapping_sub(10);

// Item types.
pub(super) const INODE_ITEM: u8 = 1;
pub(super) const INODE_REF: u8 = 12;
pub(super) const INODE_EXTREF: u8 = 13;
pub(super) const XATTR_ITEM: u8 = 24;
pub(super) const DIR_ITEM: u8 = 84;
pub(super) const DIR_INDEX: u8 = 96;
pub(super) const EXTENT_DATA: u8 = 108;
pub(super) const EXTENT_CSUM: u8 = 128;
pub(super) const ROOT_ITEM: u8 = 132;
pub(super) const ROOT_REF: u8 = 156;
pub(super) const EXTENT_ITEM: u8 = 168;
pub(super) const METADATA_ITEM: u8 = 169;
pub(super) const TREE_BLOCK_REF: u8 = 176;
pub(super) const EXTENT_DATA_REF: u8 = 178;
pub(super) const BLOCK_GROUP_ITEM: u8 = 192;
pub(super) const DEV_EXTENT: u8 = 204;
pub(super) const DEV_ITEM: u8 = 216;
pub(super) const CHUNK_ITEM: u8 = 228;
pub(super) const UUID_SUBVOLUME: u8 = 251;

// Chunk and block group types; no profile bit: single.
pub(super) const GROUP_DATA: u64 = 1 << 0;
pub(super) const GROUP_SYSTEM: u64 = 1 << 1;
pub(super) const GROUP_METADATA: u64 = 1 << 2;
pub(super) const GROUP_DUP: u64 = 1 << 5;
/// The profiles by the number of their bit.
pub(super) const PROFILES: [(u32, &str); 8] = [
    (3, "RAID0"),
    (4, "RAID1"),
    (5, "DUP"),
    (6, "RAID10"),
    (7, "RAID5"),
    (8, "RAID6"),
    (9, "RAID1C3"),
    (10, "RAID1C4"),
];

// Flags of extents.
pub(super) const EXTENT_DATA_FLAG: u64 = 1 << 0;
pub(super) const EXTENT_TREE_BLOCK: u64 = 1 << 1;

/// Flags of superblocks and nodes: written.
pub(super) const WRITTEN: u64 = 1;
/// The revision of back references, in the highest byte of a node's flags.
pub(super) const BACKREF_REVISION: u64 = 1 << 56;

// Incompatible features.
pub(super) const MIXED_BACKREF: u64 = 1 << 0;
pub(super) const DEFAULT_SUBVOLUME: u64 = 1 << 1;
pub(super) const MIXED_GROUPS: u64 = 1 << 2;
pub(super) const COMPRESS_LZO: u64 = 1 << 3;
pub(super) const COMPRESS_ZSTD: u64 = 1 << 4;
pub(super) const BIG_METADATA: u64 = 1 << 5;
pub(super) const EXTENDED_IREF: u64 = 1 << 6;
pub(super) const SKINNY_METADATA: u64 = 1 << 8;
pub(super) const NO_HOLES: u64 = 1 << 9;
pub(super) const METADATA_UUID: u64 = 1 << 10;

// Types in directory entries.
pub(super) const ENTRY_FILE: u8 = 1;
pub(super) const ENTRY_DIRECTORY: u8 = 2;
pub(super) const ENTRY_CHAR: u8 = 3;
pub(super) const ENTRY_BLOCK: u8 = 4;
pub(super) const ENTRY_FIFO: u8 = 5;
pub(super) const ENTRY_SOCKET: u8 = 6;
pub(super) const ENTRY_SYMLINK: u8 = 7;
pub(super) const ENTRY_XATTR: u8 = 8;

// Kinds of file extents.
pub(super) const EXTENT_INLINE: u8 = 0;
pub(super) const EXTENT_REGULAR: u8 = 1;
pub(super) const EXTENT_PREALLOCATED: u8 = 2;

/// Names that one file may have (BTRFS_LINK_MAX).
pub(super) const LINKS: u32 = 65_535;

/// A place in a tree, in the order of trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) objectid: u64,
    pub(super) kind: u8,
    pub(super) offset: u64,
}

impl Key {
    pub(super) const fn new(objectid: u64, kind: u8, offset: u64) -> Self {
        Self { objectid, kind, offset }
    }

    pub(super) const fn disk(self) -> DiskKey {
        DiskKey {
            objectid: zerocopy::little_endian::U64::new(self.objectid),
            kind: self.kind,
            offset: zerocopy::little_endian::U64::new(self.offset),
        }
    }
}

impl From<DiskKey> for Key {
    fn from(key: DiskKey) -> Self {
        Self::new(key.objectid.get(), key.kind, key.offset.get())
    }
}

/// CRC-32C as btrfs hashes: begun with `seed`, not inverted at the end.
fn raw_crc(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// The offset of a DIR_ITEM's or XATTR_ITEM's key.
pub(super) fn name_hash(name: &[u8]) -> u32 {
    raw_crc(!1, name)
}

/// The offset of an INODE_EXTREF's key.
pub(super) fn extref_hash(parent: u64, name: &[u8]) -> u32 {
    raw_crc(parent as u32, name)
}

/// The checksum field for all that follows it: of a node or a superblock.
pub(super) fn checksum(bytes: &[u8]) -> [u8; 32] {
    let mut field = [0; 32];
    let sum = crc32c::crc32c(bytes.get(32..).unwrap_or_default());
    if let Some(start) = field.first_chunk_mut() {
        *start = sum.to_le_bytes();
    }
    field
}

/// Bytes of a node behind its header.
pub(super) const fn node_room(node_size: usize) -> usize {
    node_size - size_of::<Header>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `btrfs inspect-internal dump-tree` shows them for what `mkfs.btrfs` made.
    #[test]
    fn names_hash_as_mkfs_hashes_them() {
        for (name, hash) in
            [("default", 2_378_154_706), ("a", 3_427_024_844), ("user.c", 2_163_888_887)]
        {
            assert_eq!(name_hash(name.as_bytes()), hash, "{name}");
        }
    }

    #[test]
    fn keys_are_in_the_order_of_trees() {
        let keys = [Key::new(1, 9, 0), Key::new(1, 12, 5), Key::new(1, 12, 6), Key::new(2, 1, 0)];
        assert!(keys.is_sorted());
        assert!(Key::new(DATA_RELOC_TREE, 1, 0) > Key::new(FIRST_FREE, 1, 0));
    }
}
