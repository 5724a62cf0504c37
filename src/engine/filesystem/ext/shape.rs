//! What decides all places: features, sizes and counts, and the numbers that follow from them.
//!
//! Places nothing. Invariant: the same shape, the same numbers.

use super::features::{B64, Features, RESIZE_INODE, SPARSE_SUPER};
use super::ondisk::{DESC_SIZE, DESC_SIZE_64};

/// A filesystem may grow to so many times its blocks before descriptors need `meta_bg`.
const GROWTH: u64 = 1024;

/// What decides all places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) features: Features,
    pub(super) block_size: u32,
    pub(super) inode_size: u16,
    /// At least so many.
    pub(super) inodes: u64,
    pub(super) blocks: u64,
}

impl Shape {
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.block_size)
    }

    pub(super) fn per_group(&self) -> u64 {
        self.bytes() * 8
    }

    pub(super) fn first(&self) -> u64 {
        u64::from(self.block_size == 1024)
    }

    pub(super) fn desc_size(&self) -> usize {
        if self.features.has(B64) { DESC_SIZE_64 } else { DESC_SIZE }
    }

    pub(super) fn desc_blocks(&self, groups: u64) -> u64 {
        (groups * self.desc_size() as u64).div_ceil(self.bytes())
    }

    /// Blocks kept free behind the descriptors, so that a mounted filesystem can grow.
    pub(super) fn reserved(&self, blocks: u64, desc_blocks: u64) -> u64 {
        if !self.features.has(RESIZE_INODE) {
            return 0;
        }
        let most = blocks.saturating_mul(GROWTH).min(u64::from(u32::MAX));
        let groups = (most.saturating_sub(self.first())).div_ceil(self.per_group());
        // At least one: the feature without a block is an error for e2fsck.
        self.desc_blocks(groups).saturating_sub(desc_blocks).clamp(1, self.bytes() / 4)
    }

    pub(super) fn has_super(&self, group: u64) -> bool {
        !self.features.has(SPARSE_SUPER) || is_sparse_group(group)
    }

    /// Inodes of each group: whole blocks of the table, and whole bytes of the bitmap; none if that
    /// is more than a bitmap has.
    pub(super) fn inodes_per_group(&self, groups: u64) -> Option<u32> {
        let in_block = self.bytes() / u64::from(self.inode_size);
        let unit = in_block.max(8);
        let wanted = self.inodes.max(16).div_ceil(groups).next_multiple_of(unit);
        let most = self.per_group().min(u64::from(u32::MAX) / groups);
        u32::try_from(wanted).ok().filter(|_| wanted <= most)
    }

    /// Blocks below which a bitmap for each group cannot have all inodes.
    pub(super) fn least(&self) -> u64 {
        let groups = self.inodes.div_ceil(self.per_group());
        self.first() + groups.saturating_sub(1) * self.per_group()
    }
}

/// Whether a group has copies under `sparse_super`: 0, 1 and powers of 3, 5 and 7.
pub(super) fn is_sparse_group(group: u64) -> bool {
    let power = |base: u64| {
        let mut at = base;
        while at < group {
            at *= base;
        }
        at == group
    };
    group <= 1 || power(3) || power(5) || power(7)
}
