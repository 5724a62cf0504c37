//! What every group has: bitmaps and descriptors; and the superblock that counts them.
//!
//! Places nothing. Invariants: counters are those of the bitmaps; what is marked as not written
//! reads as zeros.

use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use super::bytes::put;
use super::extents::{high, low};
use super::features::{CSUM, EXTRA_ISIZE as EXTRA_FEATURE, FLEX_BG, JOURNAL};
use super::geometry::{LOG_FLEX, What};
use super::hash::{crc, crc_of_uuid};
use super::inode::time_low;
use super::ondisk::{
    BG_BLOCK_UNINIT, BG_INODE_UNINIT, BG_INODE_ZEROED, CHECKSUM_CRC32C, DESC_SIZE_64,
    ERRORS_CONTINUE, EXTRA_ISIZE, FIRST_INO, FLAG_SIGNED_HASH, FLAG_UNSIGNED_HASH, GroupDesc,
    HASH_HALF_MD4, Inode, JOURNAL_BACKUP, JOURNAL_INO, MAGIC, MOUNT_XATTR_ACL, REV_DYNAMIC,
    STATE_CLEAN, SuperBlock,
};
use super::plan::{Plan, SIGNED};
use super::rows::Who;

impl Plan {
    /// What checksums go on from, where there are any.
    pub(super) fn seed(&self) -> Option<u32> {
        self.geometry.shape.features.has(CSUM).then(|| crc_of_uuid(self.uuid.as_bytes()))
    }

    /// The first block behind all that is in use for contents.
    fn used_end(&self) -> u64 {
        self.used
            .checked_sub(1)
            .map_or(self.geometry.first, |last| self.geometry.content_at(last).0 + 1)
    }

    /// Inodes of a group that are in use: the first ones.
    pub(super) fn inodes_in(&self, group: u64) -> u64 {
        let per_group = u64::from(self.geometry.inodes_per_group);
        self.rows.count().saturating_sub(group * per_group).min(per_group)
    }

    /// Whether a group's block bitmap is left out: nothing lies in the group but copies of the
    /// superblock and what follows them.
    pub(super) fn blocks_unwritten(&self, group: u64) -> bool {
        let geometry = &self.geometry;
        let (start, end) = (geometry.group_start(group), geometry.group_end(group));
        // The last group's bitmap says where the medium ends.
        if self.seed().is_none() || group + 1 == geometry.group_count() || start < self.used_end() {
            return false;
        }
        let at = geometry.fixed().partition_point(|fixed| fixed.start + fixed.len <= start);
        let mut fixed = geometry.fixed().iter().skip(at).take_while(|fixed| fixed.start < end);
        fixed.all(|fixed| {
            matches!(fixed.what, What::Super(_) | What::Descriptors | What::Reserved(_))
        })
    }

    /// The same for inodes.
    pub(super) fn inodes_unwritten(&self, group: u64) -> bool {
        self.seed().is_some() && self.inodes_in(group) == 0
    }

    /// A group's bitmap of blocks.
    pub(super) fn block_bitmap(&self, group: u64) -> Vec<u8> {
        let geometry = &self.geometry;
        let (start, end) = (geometry.group_start(group), geometry.group_end(group));
        let mut bitmap = vec![0; geometry.shape.bytes() as usize];
        let mut set = |from: u64, to: u64| {
            let (from, to) = (from.max(start), to.min(start + geometry.per_group));
            if from < to {
                set_bits(&mut bitmap, (from - start) as usize, (to - start) as usize);
            }
        };
        set(start, self.used_end());
        let at = geometry.fixed().partition_point(|fixed| fixed.start + fixed.len <= start);
        for fixed in geometry.fixed().iter().skip(at).take_while(|fixed| fixed.start < end) {
            set(fixed.start, fixed.start + fixed.len);
        }
        set(end, u64::MAX);
        bitmap
    }

    /// A group's bitmap of inodes.
    pub(super) fn inode_bitmap(&self, group: u64) -> Vec<u8> {
        let bits = self.geometry.shape.bytes() as usize * 8;
        let mut bitmap = vec![0; bits / 8];
        set_bits(&mut bitmap, 0, self.inodes_in(group) as usize);
        set_bits(&mut bitmap, self.geometry.inodes_per_group as usize, bits);
        bitmap
    }

    /// All descriptors, in whole blocks.
    pub(super) fn descriptors(&self) -> Vec<u8> {
        let geometry = &self.geometry;
        let mut all = vec![0; (geometry.desc_blocks * geometry.shape.bytes()) as usize];
        let directories = self.directories();
        for (number, chunk) in
            (0..geometry.group_count()).zip(all.chunks_exact_mut(geometry.desc_size))
        {
            let found = directories.get(number as usize).copied().unwrap_or(0);
            let mut desc = self.descriptor(number, found);
            if let Some(seed) = self.seed() {
                let sum = crc(crc(seed, &(number as u32).to_le_bytes()), sized(&desc, chunk.len()));
                // OK to cast: the lower half is what is kept.
                desc.checksum = (sum as u16).into();
            }
            put(chunk, 0, sized(&desc, chunk.len()));
        }
        all
    }

    fn descriptor(&self, number: u64, directories: u32) -> GroupDesc {
        let geometry = &self.geometry;
        let group = geometry.groups.get(number as usize).copied().unwrap_or_default();
        let free_from = geometry.contents_before(geometry.group_start(number)).max(self.used);
        let free = geometry.contents_before(geometry.group_end(number)).saturating_sub(free_from);
        let unused = u64::from(geometry.inodes_per_group) - self.inodes_in(number);
        let mut desc = GroupDesc {
            block_bitmap_lo: low(group.block_bitmap).into(),
            inode_bitmap_lo: low(group.inode_bitmap).into(),
            inode_table_lo: low(group.inode_table).into(),
            free_blocks_count_lo: (free as u16).into(),
            free_inodes_count_lo: (unused as u16).into(),
            used_dirs_count_lo: (directories as u16).into(),
            block_bitmap_hi: u32::from(high(group.block_bitmap)).into(),
            inode_bitmap_hi: u32::from(high(group.inode_bitmap)).into(),
            inode_table_hi: u32::from(high(group.inode_table)).into(),
            free_blocks_count_hi: ((free >> 16) as u16).into(),
            free_inodes_count_hi: ((unused >> 16) as u16).into(),
            used_dirs_count_hi: ((directories >> 16) as u16).into(),
            ..GroupDesc::default()
        };
        let Some(seed) = self.seed() else { return desc };
        desc.itable_unused_lo = (unused as u16).into();
        desc.itable_unused_hi = ((unused >> 16) as u16).into();
        let mut flags = BG_INODE_ZEROED;
        if self.blocks_unwritten(number) {
            flags |= BG_BLOCK_UNINIT;
        } else {
            let sum = crc(seed, &self.block_bitmap(number));
            desc.block_bitmap_csum_lo = (sum as u16).into();
            desc.block_bitmap_csum_hi = ((sum >> 16) as u16).into();
        }
        if self.inodes_unwritten(number) {
            flags |= BG_INODE_UNINIT;
        } else {
            let bitmap = self.inode_bitmap(number);
            let len = geometry.inodes_per_group as usize / 8;
            let sum = crc(seed, bitmap.get(..len).unwrap_or_default());
            desc.inode_bitmap_csum_lo = (sum as u16).into();
            desc.inode_bitmap_csum_hi = ((sum >> 16) as u16).into();
        }
        desc.flags = flags.into();
        desc
    }

    /// Directories of each group that has inodes in use.
    fn directories(&self) -> Vec<u32> {
        let per_group = self.geometry.inodes_per_group as usize;
        let is_directory = |who: Who| match who {
            Who::Node(node) => self.tree.node(node).kind.is_directory(),
            Who::LostFound => true,
            Who::Nobody | Who::Resize | Who::Journal => false,
        };
        let chunks = self.rows.rows.chunks(per_group.max(1));
        chunks.map(|rows| rows.iter().filter(|row| is_directory(row.who)).count() as u32).collect()
    }

    /// The copy of the superblock that lies in `group`.
    pub(super) fn superblock(&self, group: u32) -> SuperBlock {
        let geometry = &self.geometry;
        let features = geometry.shape.features;
        let free = geometry.contents() - self.used;
        let mut block = SuperBlock::new_zeroed();
        // OK to cast: the geometry keeps all inodes within 32 bits.
        block.inodes_count = (geometry.inodes() as u32).into();
        block.blocks_count_lo = low(geometry.blocks).into();
        block.blocks_count_hi = ((geometry.blocks >> 32) as u32).into();
        block.r_blocks_count_lo = low(self.reserved).into();
        block.r_blocks_count_hi = ((self.reserved >> 32) as u32).into();
        block.free_blocks_count_lo = low(free).into();
        block.free_blocks_count_hi = ((free >> 32) as u32).into();
        block.free_inodes_count = ((geometry.inodes() - self.rows.count()) as u32).into();
        block.first_data_block = (geometry.first as u32).into();
        block.log_block_size = geometry.shape.block_size.trailing_zeros().wrapping_sub(10).into();
        block.log_cluster_size = block.log_block_size;
        block.blocks_per_group = (geometry.per_group as u32).into();
        block.clusters_per_group = block.blocks_per_group;
        block.inodes_per_group = geometry.inodes_per_group.into();
        block.wtime = time_low(self.time).into();
        block.lastcheck = block.wtime;
        block.mkfs_time = block.wtime;
        // Never checked for the number of mounts.
        block.max_mnt_count = u16::MAX.into();
        block.magic = MAGIC.into();
        block.state = STATE_CLEAN.into();
        block.errors = ERRORS_CONTINUE.into();
        block.rev_level = REV_DYNAMIC.into();
        block.first_ino = FIRST_INO.into();
        block.inode_size = geometry.shape.inode_size.into();
        block.block_group_nr = (group as u16).into();
        block.feature_compat = features.compat.into();
        block.feature_incompat = features.incompat.into();
        block.feature_ro_compat = features.ro.into();
        block.uuid = *self.uuid.as_bytes();
        block.volume_name = self.label;
        block.hash_seed = *self.hash_seed.as_bytes();
        block.def_hash_version = HASH_HALF_MD4;
        block.flags = if SIGNED { FLAG_SIGNED_HASH } else { FLAG_UNSIGNED_HASH }.into();
        block.default_mount_opts = MOUNT_XATTR_ACL.into();
        block.reserved_gdt_blocks = (geometry.reserved as u16).into();
        if geometry.desc_size == DESC_SIZE_64 {
            block.desc_size = (DESC_SIZE_64 as u16).into();
        }
        if geometry.shape.inode_size > 128 {
            block.min_extra_isize = (EXTRA_ISIZE as u16).into();
            block.want_extra_isize = block.min_extra_isize;
        }
        debug_assert!(!features.has(EXTRA_FEATURE) || geometry.shape.inode_size > 128);
        if features.has(FLEX_BG) {
            block.log_groups_per_flex = LOG_FLEX;
        }
        if features.has(JOURNAL) {
            self.journal_backup(&mut block);
        }
        if features.has(CSUM) {
            block.checksum_type = CHECKSUM_CRC32C;
            let bytes = block.as_bytes();
            let sum = crc(!0, bytes.get(..bytes.len() - 4).unwrap_or_default());
            block.checksum = sum.into();
        }
        block
    }

    /// The journal's number, and a copy of where it lies.
    fn journal_backup(&self, block: &mut SuperBlock) {
        block.journal_inum = JOURNAL_INO.into();
        let Some(row) = self.rows.row(JOURNAL_INO) else { return };
        let bytes = self.inode(JOURNAL_INO, row);
        let Ok((inode, _)) = Inode::read_from_prefix(&bytes) else { return };
        block.jnl_backup_type = JOURNAL_BACKUP;
        let (words, _) = inode.block.as_chunks::<4>();
        for (word, bytes) in block.jnl_blocks.iter_mut().zip(words) {
            *word = u32::from_le_bytes(*bytes).into();
        }
        let [.., high, low] = &mut block.jnl_blocks;
        (*high, *low) = (inode.size_hi, inode.size_lo);
    }
}

fn sized(desc: &GroupDesc, len: usize) -> &[u8] {
    desc.as_bytes().get(..len).unwrap_or_default()
}

/// Sets the bits from `from` to `to`, exclusive.
fn set_bits(bitmap: &mut [u8], from: usize, to: usize) {
    let mut at = from;
    while at < to {
        let whole = at.is_multiple_of(8) && to - at >= 8;
        if let Some(byte) = bitmap.get_mut(at / 8) {
            *byte |= if whole { 0xff } else { 1 << (at % 8) };
        }
        at += if whole { 8 } else { 1 };
    }
}
