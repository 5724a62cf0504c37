//! Blocks that a plan makes: of inode tables, directories, attributes, the journal, and those that
//! are reserved for descriptors.
//!
//! Reads no content. Invariant: a block depends on the plan alone.

use zerocopy::{FromZeros as _, IntoBytes as _};

use super::bytes::put;
use super::dir::Entry;
use super::hash::crc_of_inode;
use super::ondisk::{FIRST_INO, JOURNAL_MAGIC, JOURNAL_SUPER_V2, JournalSuper, ROOT_INO};
use super::plan::Plan;
use super::rows::{LOST_FOUND, Row, Who};
use super::xattr;
use crate::engine::base::tree::Kind;

impl Plan {
    /// Block `n` of a group's inode table.
    pub(super) fn table_block(&self, group: u32, n: u64) -> Vec<u8> {
        let size = usize::from(self.rules.inode_size);
        let mut block = vec![0; self.rules.style.block_size];
        let in_block = block.len() / size;
        let first =
            u64::from(group) * u64::from(self.geometry.inodes_per_group) + n * in_block as u64 + 1;
        for (ino, place) in (first..).zip(block.chunks_exact_mut(size)) {
            let Ok(ino) = u32::try_from(ino) else { break };
            if let Some(row) = self.rows.row(ino) {
                put(place, 0, &self.inode(ino, row));
            }
        }
        block
    }

    pub(super) fn directory(&self, ino: u32, row: &Row) -> Vec<u8> {
        let seed = self.seed().map_or(0, |seed| crc_of_inode(seed, ino, 0));
        let mut entries = Vec::new();
        let mut parent = row.parent;
        match row.who {
            Who::Node(node) => {
                let found = self.tree.node(node).entries().into_iter().flatten();
                entries.extend(found.map(|(name, node)| Entry {
                    name: name.as_bytes(),
                    ino: self.rows.ino(*node),
                    kind: kind_of(&self.tree.node(*node).kind),
                }));
            }
            _ => parent = ROOT_INO,
        }
        if ino == ROOT_INO && !entries.iter().any(|entry| entry.name == LOST_FOUND) {
            let ino = FIRST_INO;
            entries.push(Entry { name: LOST_FOUND, ino, kind: 2 });
        }
        self.rules.style.build((ino, parent), &entries, seed)
    }

    pub(super) fn xattr_block(&self, row: &Row) -> Vec<u8> {
        let size = self.rules.style.block_size;
        let Who::Node(node) = row.who else { return vec![0; size] };
        let attributes = self.tree.node(node).attributes.as_deref();
        let split = attributes.and_then(|all| xattr::split(all, self.rules.room(), size).ok());
        let mut block = split.and_then(|split| split.block).unwrap_or_else(|| vec![0; size]);
        if let Some(seed) = self.seed() {
            let place = self.geometry.content_at(row.first_map() + u64::from(row.maps)).0;
            let sum = xattr::checksum(&block, seed, place);
            put(&mut block, 16, &sum.to_le_bytes());
        }
        block
    }

    /// The first block of the journal: an empty log (journal.rst).
    pub(super) fn journal_super(&self) -> Vec<u8> {
        let mut block = vec![0; self.rules.style.block_size];
        let mut head = JournalSuper::new_zeroed();
        head.magic = JOURNAL_MAGIC.into();
        head.block_type = JOURNAL_SUPER_V2.into();
        head.block_size = self.geometry.shape.block_size.into();
        // OK to cast: a journal has at most 10,240,000 blocks.
        head.max_len = (self.journal as u32).into();
        head.first = 1.into();
        head.sequence = 1.into();
        head.users = 1.into();
        put(&mut block, 0, head.as_bytes());
        block
    }

    /// The block that names those that are reserved for descriptors (special_inodes.rst, inode 7):
    /// each at the number of its place among all descriptors' blocks.
    pub(super) fn resize_map(&self) -> Vec<u8> {
        let geometry = &self.geometry;
        let mut block = vec![0; self.rules.style.block_size];
        let per_block = block.len() as u64 / 4;
        for n in 0..geometry.reserved {
            let place = geometry.first + 1 + geometry.desc_blocks + n;
            let slot = (geometry.desc_blocks + n) % per_block;
            put(&mut block, slot as usize * 4, &(place as u32).to_le_bytes());
        }
        block
    }

    /// A block that is reserved for descriptors names its copies in other groups.
    pub(super) fn reserved_block(&self, n: u64) -> Vec<u8> {
        let geometry = &self.geometry;
        let mut block = vec![0; self.rules.style.block_size];
        let own = geometry.first + 1 + geometry.desc_blocks + n;
        let copies = (1..geometry.group_count()).filter(|group| geometry.has_super(*group));
        for (slot, group) in copies.enumerate() {
            let place = own + group * geometry.per_group;
            put(&mut block, slot * 4, &(place as u32).to_le_bytes());
        }
        block
    }
}

/// The kind in a directory's entry (dynamic.rst, `file_type`).
const fn kind_of(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Directory(_) => 2,
        Kind::CharDevice(_) => 3,
        Kind::BlockDevice(_) => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink(_) => 7,
    }
}
