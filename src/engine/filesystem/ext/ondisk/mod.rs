//! The structures of ext2, ext3 and ext4 as they lie on disk.
//!
//! Decides nothing. Names and places are those of the Linux kernel's documentation
//! (Documentation/filesystems/ext4; each structure names its page). Invariant: numbers are
//! little-endian, but for the journal's, which are big-endian.

mod bits;
mod entries;

use std::mem::{offset_of, size_of};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) use bits::{compat, incompat, ro_compat};
pub(super) use entries::*;

/// Where the superblock of group 0 lies, whatever the block size.
pub(super) const SUPER_OFFSET: u64 = 1024;
/// `SuperBlock::magic`.
pub(super) const MAGIC: u16 = 0xef53;

/// The superblock (globals.rst, super.rst).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SuperBlock {
    pub(super) inodes_count: U32,
    pub(super) blocks_count_lo: U32,
    pub(super) r_blocks_count_lo: U32,
    pub(super) free_blocks_count_lo: U32,
    pub(super) free_inodes_count: U32,
    /// 1 where a block has 1024 bytes, else 0.
    pub(super) first_data_block: U32,
    /// A block has `1024 << log_block_size` bytes.
    pub(super) log_block_size: U32,
    pub(super) log_cluster_size: U32,
    pub(super) blocks_per_group: U32,
    pub(super) clusters_per_group: U32,
    pub(super) inodes_per_group: U32,
    pub(super) mtime: U32,
    pub(super) wtime: U32,
    pub(super) mnt_count: U16,
    pub(super) max_mnt_count: U16,
    pub(super) magic: U16,
    pub(super) state: U16,
    pub(super) errors: U16,
    pub(super) minor_rev_level: U16,
    pub(super) lastcheck: U32,
    pub(super) checkinterval: U32,
    pub(super) creator_os: U32,
    pub(super) rev_level: U32,
    pub(super) def_resuid: U16,
    pub(super) def_resgid: U16,
    pub(super) first_ino: U32,
    pub(super) inode_size: U16,
    /// The group that this copy lies in.
    pub(super) block_group_nr: U16,
    pub(super) feature_compat: U32,
    pub(super) feature_incompat: U32,
    pub(super) feature_ro_compat: U32,
    pub(super) uuid: [u8; 16],
    pub(super) volume_name: [u8; 16],
    pub(super) last_mounted: [u8; 64],
    pub(super) algorithm_usage_bitmap: U32,
    pub(super) prealloc_blocks: u8,
    pub(super) prealloc_dir_blocks: u8,
    pub(super) reserved_gdt_blocks: U16,
    pub(super) journal_uuid: [u8; 16],
    pub(super) journal_inum: U32,
    pub(super) journal_dev: U32,
    pub(super) last_orphan: U32,
    pub(super) hash_seed: [u8; 16],
    pub(super) def_hash_version: u8,
    /// 1: `jnl_blocks` holds the journal's `i_block` and size.
    pub(super) jnl_backup_type: u8,
    pub(super) desc_size: U16,
    pub(super) default_mount_opts: U32,
    pub(super) first_meta_bg: U32,
    pub(super) mkfs_time: U32,
    pub(super) jnl_blocks: [U32; 17],
    pub(super) blocks_count_hi: U32,
    pub(super) r_blocks_count_hi: U32,
    pub(super) free_blocks_count_hi: U32,
    pub(super) min_extra_isize: U16,
    pub(super) want_extra_isize: U16,
    pub(super) flags: U32,
    pub(super) raid_stride: U16,
    pub(super) mmp_interval: U16,
    pub(super) mmp_block: U64,
    pub(super) raid_stripe_width: U32,
    pub(super) log_groups_per_flex: u8,
    pub(super) checksum_type: u8,
    pub(super) reserved_pad: U16,
    pub(super) kbytes_written: U64,
    pub(super) snapshots: [u8; 24],
    /// What the kernel remembers of errors.
    pub(super) error_log: [u8; 104],
    pub(super) mount_opts: [u8; 64],
    pub(super) usr_quota_inum: U32,
    pub(super) grp_quota_inum: U32,
    pub(super) overhead_blocks: U32,
    pub(super) backup_bgs: [U32; 2],
    pub(super) encrypt_algos: [u8; 4],
    pub(super) encrypt_pw_salt: [u8; 16],
    pub(super) lpf_ino: U32,
    pub(super) prj_quota_inum: U32,
    pub(super) checksum_seed: U32,
    pub(super) times_hi: [u8; 8],
    pub(super) encoding: U16,
    pub(super) encoding_flags: U16,
    pub(super) orphan_file_inum: U32,
    pub(super) reserved: [u8; 376],
    /// CRC-32C of all before it.
    pub(super) checksum: U32,
}

const _: () = assert!(offset_of!(SuperBlock, magic) == 0x38);
const _: () = assert!(offset_of!(SuperBlock, uuid) == 0x68);
const _: () = assert!(offset_of!(SuperBlock, hash_seed) == 0xec);
const _: () = assert!(offset_of!(SuperBlock, desc_size) == 0xfe);
const _: () = assert!(offset_of!(SuperBlock, blocks_count_hi) == 0x150);
const _: () = assert!(offset_of!(SuperBlock, flags) == 0x160);
const _: () = assert!(offset_of!(SuperBlock, log_groups_per_flex) == 0x174);
const _: () = assert!(offset_of!(SuperBlock, usr_quota_inum) == 0x240);
const _: () = assert!(offset_of!(SuperBlock, checksum_seed) == 0x270);
const _: () = assert!(offset_of!(SuperBlock, orphan_file_inum) == 0x280);
const _: () = assert!(offset_of!(SuperBlock, checksum) == 0x3fc);
const _: () = assert!(size_of::<SuperBlock>() == 1024);

// Values of the superblock (super.rst).
pub(super) const STATE_CLEAN: u16 = 1;
pub(super) const ERRORS_CONTINUE: u16 = 1;
pub(super) const REV_DYNAMIC: u32 = 1;
pub(super) const FLAG_SIGNED_HASH: u32 = 1;
pub(super) const FLAG_UNSIGNED_HASH: u32 = 2;
pub(super) const HASH_HALF_MD4: u8 = 1;
pub(super) const CHECKSUM_CRC32C: u8 = 1;
/// User attributes and ACLs, as mke2fs sets them.
pub(super) const MOUNT_XATTR_ACL: u32 = 0x0c;
pub(super) const JOURNAL_BACKUP: u8 = 1;

/// A group descriptor (group_descr.rst). Without `64bit` it ends before `block_bitmap_hi`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GroupDesc {
    pub(super) block_bitmap_lo: U32,
    pub(super) inode_bitmap_lo: U32,
    pub(super) inode_table_lo: U32,
    pub(super) free_blocks_count_lo: U16,
    pub(super) free_inodes_count_lo: U16,
    pub(super) used_dirs_count_lo: U16,
    pub(super) flags: U16,
    pub(super) exclude_bitmap_lo: U32,
    pub(super) block_bitmap_csum_lo: U16,
    pub(super) inode_bitmap_csum_lo: U16,
    pub(super) itable_unused_lo: U16,
    pub(super) checksum: U16,
    pub(super) block_bitmap_hi: U32,
    pub(super) inode_bitmap_hi: U32,
    pub(super) inode_table_hi: U32,
    pub(super) free_blocks_count_hi: U16,
    pub(super) free_inodes_count_hi: U16,
    pub(super) used_dirs_count_hi: U16,
    pub(super) itable_unused_hi: U16,
    pub(super) exclude_bitmap_hi: U32,
    pub(super) block_bitmap_csum_hi: U16,
    pub(super) inode_bitmap_csum_hi: U16,
    pub(super) reserved: U32,
}

const _: () = assert!(offset_of!(GroupDesc, checksum) == 0x1e);
const _: () = assert!(offset_of!(GroupDesc, block_bitmap_hi) == DESC_SIZE);
const _: () = assert!(size_of::<GroupDesc>() == DESC_SIZE_64);

/// Bytes of a group descriptor without `64bit`.
pub(super) const DESC_SIZE: usize = 32;
/// And with it.
pub(super) const DESC_SIZE_64: usize = 64;

// `GroupDesc::flags`.
pub(super) const BG_INODE_UNINIT: u16 = 1;
pub(super) const BG_BLOCK_UNINIT: u16 = 2;
pub(super) const BG_INODE_ZEROED: u16 = 4;

/// An inode (inodes.rst). With 128 bytes it ends before `extra_isize`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Inode {
    pub(super) mode: U16,
    pub(super) uid: U16,
    pub(super) size_lo: U32,
    pub(super) atime: U32,
    pub(super) ctime: U32,
    pub(super) mtime: U32,
    pub(super) dtime: U32,
    pub(super) gid: U16,
    pub(super) links_count: U16,
    /// In units of 512 bytes, or of blocks with `HUGE_FILE_FL`.
    pub(super) blocks_lo: U32,
    pub(super) flags: U32,
    pub(super) version: U32,
    /// Block map, extent tree, device numbers or a short link's text.
    pub(super) block: [u8; 60],
    pub(super) generation: U32,
    pub(super) file_acl_lo: U32,
    pub(super) size_hi: U32,
    pub(super) obso_faddr: U32,
    pub(super) blocks_hi: U16,
    pub(super) file_acl_hi: U16,
    pub(super) uid_hi: U16,
    pub(super) gid_hi: U16,
    pub(super) checksum_lo: U16,
    pub(super) reserved: U16,
    /// Bytes behind the first 128 that are fields.
    pub(super) extra_isize: U16,
    pub(super) checksum_hi: U16,
    pub(super) ctime_extra: U32,
    pub(super) mtime_extra: U32,
    pub(super) atime_extra: U32,
    pub(super) crtime: U32,
    pub(super) crtime_extra: U32,
    pub(super) version_hi: U32,
    pub(super) projid: U32,
}

const _: () = assert!(offset_of!(Inode, block) == 0x28);
const _: () = assert!(offset_of!(Inode, checksum_lo) == 0x7c);
const _: () = assert!(offset_of!(Inode, extra_isize) == OLD_INODE);
const _: () = assert!(size_of::<Inode>() == OLD_INODE + EXTRA_ISIZE);

/// Bytes of an inode of old.
pub(super) const OLD_INODE: usize = 128;
/// Bytes of the fields behind them.
pub(super) const EXTRA_ISIZE: usize = 32;

// `Inode::flags` (inodes.rst).
pub(super) const ENCRYPT_FL: u32 = 0x800;
pub(super) const INDEX_FL: u32 = 0x1000;
pub(super) const HUGE_FILE_FL: u32 = 0x4_0000;
pub(super) const EXTENTS_FL: u32 = 0x8_0000;
pub(super) const VERITY_FL: u32 = 0x10_0000;
pub(super) const EA_INODE_FL: u32 = 0x20_0000;
pub(super) const INLINE_DATA_FL: u32 = 0x1000_0000;
pub(super) const CASEFOLD_FL: u32 = 0x4000_0000;

// File types in `Inode::mode`.
pub(super) const S_IFMT: u16 = 0xf000;
pub(super) const S_IFIFO: u16 = 0x1000;
pub(super) const S_IFCHR: u16 = 0x2000;
pub(super) const S_IFDIR: u16 = 0x4000;
pub(super) const S_IFBLK: u16 = 0x6000;
pub(super) const S_IFREG: u16 = 0x8000;
pub(super) const S_IFLNK: u16 = 0xa000;
pub(super) const S_IFSOCK: u16 = 0xc000;

// Inodes with a meaning (special_inodes.rst).
pub(super) const ROOT_INO: u32 = 2;
pub(super) const RESIZE_INO: u32 = 7;
pub(super) const JOURNAL_INO: u32 = 8;
/// The first that is not reserved; by custom that of `/lost+found`.
pub(super) const FIRST_INO: u32 = 11;

/// The head of a node of an extent tree (ifork.rst, "Extent Tree").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExtentHeader {
    pub(super) magic: U16,
    pub(super) entries: U16,
    pub(super) max: U16,
    /// 0: entries are extents, else they name nodes.
    pub(super) depth: U16,
    pub(super) generation: U32,
}

/// `ExtentHeader::magic`.
pub(super) const EXTENT_MAGIC: u16 = 0xf30a;
/// Blocks of one extent; more in `ExtentLeaf::len` mark an extent that is allocated and reads as
/// zeros.
pub(super) const MAX_EXTENT: u64 = 32768;

/// An extent (ifork.rst).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExtentLeaf {
    pub(super) block: U32,
    pub(super) len: U16,
    pub(super) start_hi: U16,
    pub(super) start_lo: U32,
}

/// A pointer to a node below (ifork.rst).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExtentIndex {
    pub(super) block: U32,
    pub(super) leaf_lo: U32,
    pub(super) leaf_hi: U16,
    pub(super) unused: U16,
}

/// Bytes of a header, an extent and a pointer alike.
pub(super) const EXTENT_ENTRY: usize = 12;
const _: () = assert!(size_of::<ExtentHeader>() == EXTENT_ENTRY);
const _: () = assert!(size_of::<ExtentLeaf>() == EXTENT_ENTRY);
const _: () = assert!(size_of::<ExtentIndex>() == EXTENT_ENTRY);
