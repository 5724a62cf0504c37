//! The superblock, descriptors and inodes of a filesystem that is read.
//!
//! Knows no tree. Invariants: every number was checked before it leads anywhere; what has a
//! checksum was compared with it.

use std::sync::{Arc, Mutex, PoisonError};

use zerocopy::{FromZeros as _, IntoBytes as _};

use super::super::super::Facts;
use super::super::bytes::{put, take};
use super::super::features::{B64, CSUM, Features, JOURNAL, META_BG, SPARSE_SUPER};
use super::super::hash::{crc, crc_of_inode, crc_of_uuid};
use super::super::ondisk::{
    DESC_SIZE, DESC_SIZE_64, EXTENTS_FL, EXTRA_ISIZE, GroupDesc, Inode, MAGIC, OLD_INODE,
    REV_DYNAMIC, SUPER_OFFSET, SuperBlock, compat, incompat, ro_compat,
};
use super::super::shape::is_sparse_group;
use crate::engine::base::{Error, Kind, SectorSource};

/// Blocks of metadata that are kept.
const KEPT: usize = 64;

/// Features that are read, or that do not matter to a reader.
const READ: Features = Features {
    compat: u32::MAX,
    incompat: incompat::FILETYPE
        | incompat::META_BG
        | incompat::EXTENTS
        | incompat::B64
        | incompat::MMP
        | incompat::FLEX_BG
        | incompat::EA_INODE
        | incompat::CSUM_SEED
        | incompat::LARGEDIR
        | incompat::INLINE_DATA
        | incompat::ENCRYPT
        | incompat::CASEFOLD,
    ro: !ro_compat::BIGALLOC,
};
/// Those of ext2 and ext3, by which `blkid` tells the three apart.
const EXT3: Features = Features {
    compat: u32::MAX,
    incompat: incompat::FILETYPE | incompat::RECOVER | incompat::META_BG,
    ro: ro_compat::SPARSE_SUPER | ro_compat::LARGE_FILE | 0x4,
};

/// A filesystem.
pub(super) struct Volume {
    medium: Arc<dyn SectorSource>,
    pub(super) features: Features,
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    first: u64,
    per_group: u64,
    inodes: u32,
    inodes_per_group: u32,
    inode_size: usize,
    desc_size: usize,
    first_meta_bg: u64,
    /// Groups with copies under sparse_super2.
    backups: Option<[u32; 2]>,
    /// What checksums go on from.
    pub(super) seed: Option<u32>,
    kept: Mutex<Vec<(u64, Arc<[u8]>)>>,
}

/// An inode with its bytes.
pub(super) struct Loaded {
    pub(super) ino: u32,
    pub(super) fields: Inode,
    pub(super) bytes: Vec<u8>,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ext Volume({} blocks of {})", self.blocks, self.block_size)
    }
}

fn damaged(message: String) -> Error {
    Error::new(Kind::Damaged, message)
}

/// What a wrong checksum is told as.
pub(super) fn mismatch(what: &str) -> Error {
    damaged(format!("the checksum of {what} is wrong"))
}

/// The superblock, if the magic number is there.
fn superblock(medium: &dyn SectorSource) -> Result<Option<SuperBlock>, Error> {
    let mut block = SuperBlock::new_zeroed();
    if medium.len() < SUPER_OFFSET + size_of::<SuperBlock>() as u64 {
        return Ok(None);
    }
    medium.read_at(SUPER_OFFSET, block.as_mut_bytes())?;
    if block.magic != MAGIC {
        return Ok(None);
    }
    check(&block, medium.len()).map_err(|why| damaged(format!("ext superblock: {why}")))?;
    Ok(Some(block))
}

fn features(block: &SuperBlock) -> Features {
    Features {
        compat: block.feature_compat.get(),
        incompat: block.feature_incompat.get(),
        ro: block.feature_ro_compat.get(),
    }
}

fn blocks(block: &SuperBlock) -> u64 {
    let high = if features(block).has(B64) { block.blocks_count_hi.get() } else { 0 };
    u64::from(high) << 32 | u64::from(block.blocks_count_lo.get())
}

fn inode_size(block: &SuperBlock) -> u16 {
    if block.rev_level.get() < REV_DYNAMIC { 128 } else { block.inode_size.get() }
}

fn check(block: &SuperBlock, len: u64) -> Result<(), String> {
    let log = block.log_block_size.get();
    if log > 6 {
        return Err(format!("log_block_size {log}, at most 6"));
    }
    if block.rev_level.get() > REV_DYNAMIC {
        return Err(format!("rev_level {}, at most 1", block.rev_level));
    }
    let size = 1024u64 << log;
    let bytes = blocks(block).checked_mul(size);
    if blocks(block) == 0 || bytes.is_none_or(|bytes| bytes > len) {
        return Err(format!("{} blocks of {size} bytes on a medium of {len} bytes", blocks(block)));
    }
    let first = u64::from(block.first_data_block.get());
    if first != u64::from(size == 1024) && !(first == 0 && size == 1024) {
        return Err(format!("first_data_block {first} with blocks of {size} bytes"));
    }
    let inode = u64::from(inode_size(block));
    if !inode.is_power_of_two() || !(128..=size).contains(&inode) {
        return Err(format!("inode_size {inode}, allowed are powers of two from 128 to {size}"));
    }
    for (name, count) in [
        ("inodes_per_group", block.inodes_per_group.get()),
        ("blocks_per_group", block.blocks_per_group.get()),
    ] {
        let bigalloc = features(block).ro & ro_compat::BIGALLOC != 0;
        if count == 0 || (u64::from(count) > size * 8 && !bigalloc) {
            return Err(format!("{name} {count}, allowed are 1 to {}", size * 8));
        }
    }
    let groups = blocks(block).saturating_sub(first).div_ceil(block.blocks_per_group.get().into());
    let inodes = u64::from(block.inodes_count.get());
    if inodes < 11 || inodes > groups * u64::from(block.inodes_per_group.get()) {
        return Err(format!("{inodes} inodes in {groups} groups"));
    }
    let desc = u64::from(block.desc_size.get());
    if features(block).has(B64) && (!desc.is_power_of_two() || !(64..=1024).contains(&desc)) {
        return Err(format!("desc_size {desc}, allowed are powers of two from 64 to 1024"));
    }
    let summed = block.as_bytes();
    let sum = crc(!0, summed.get(..summed.len() - 4).unwrap_or_default());
    if features(block).has(CSUM) && sum != block.checksum.get() {
        return Err("its checksum is wrong".to_owned());
    }
    Ok(())
}

/// What the superblock says.
pub(super) fn facts(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    let Some(block) = superblock(medium)? else { return Ok(None) };
    let features = features(&block);
    let size = 1024u64 << block.log_block_size.get();
    let high = if features.has(B64) { block.free_blocks_count_hi.get() } else { 0 };
    let free = u64::from(high) << 32 | u64::from(block.free_blocks_count_lo.get());
    let label = block.volume_name.split(|byte| *byte == 0).next().unwrap_or_default();
    let kind = match features.without(EXT3) {
        Features { compat: 0, incompat: 0, ro: 0 } if features.has(JOURNAL) => "ext3",
        Features { compat: 0, incompat: 0, ro: 0 } => "ext2",
        _ => "ext4",
    };
    let uuid = uuid::Uuid::from_bytes(block.uuid);
    Ok(Some(Facts {
        kind,
        label: (!label.is_empty()).then(|| String::from_utf8_lossy(label).into_owned()),
        uuid: (!uuid.is_nil()).then(|| uuid.hyphenated().to_string()),
        block_size: size,
        size: blocks(&block) * size,
        free: free.checked_mul(size),
        features: features.names(),
    }))
}

impl Volume {
    pub(super) fn open(medium: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let block = superblock(medium.as_ref())?
            .ok_or_else(|| damaged("ext: the magic number is not there".to_owned()))?;
        let features = features(&block);
        let unknown = features.without(READ);
        if unknown.incompat & incompat::RECOVER != 0 {
            let message = "ext: the journal holds changes that are not in their place yet: mount \
                           the filesystem once, or run e2fsck";
            return Err(Error::new(Kind::Unsupported, message));
        }
        if unknown != Features::default() {
            let message = format!("ext: not supported: {}", unknown.names().join(", "));
            return Err(Error::new(Kind::Unsupported, message));
        }
        let seed = if features.incompat & incompat::CSUM_SEED != 0 {
            block.checksum_seed.get()
        } else {
            crc_of_uuid(&block.uuid)
        };
        let two = features.compat & compat::SPARSE_SUPER2 != 0;
        Ok(Self {
            features,
            block_size: 1024 << block.log_block_size.get(),
            blocks: blocks(&block),
            first: block.first_data_block.get().into(),
            per_group: block.blocks_per_group.get().into(),
            inodes: block.inodes_count.get(),
            inodes_per_group: block.inodes_per_group.get(),
            inode_size: inode_size(&block).into(),
            desc_size: if features.has(B64) { block.desc_size.get().into() } else { DESC_SIZE },
            first_meta_bg: block.first_meta_bg.get().into(),
            backups: two.then(|| block.backup_bgs.map(zerocopy::little_endian::U32::get)),
            seed: features.has(CSUM).then_some(seed),
            medium,
            kept: Mutex::new(Vec::new()),
        })
    }

    /// Bytes of the filesystem.
    pub(super) const fn bytes(&self) -> u64 {
        self.blocks * self.block_size
    }

    pub(super) fn medium(&self) -> &dyn SectorSource {
        self.medium.as_ref()
    }

    /// Whether blocks of contents may lie there.
    pub(super) fn holds(&self, block: u64, len: u64) -> bool {
        block > self.first && block.checked_add(len).is_some_and(|end| end <= self.blocks)
    }

    /// A block of metadata.
    pub(super) fn block(&self, block: u64) -> Result<Arc<[u8]>, Error> {
        if !self.holds(block, 1) {
            return Err(damaged(format!("block {block} of {}", self.blocks)));
        }
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = kept().iter().find(|(at, _)| *at == block) {
            return Ok(Arc::clone(bytes));
        }
        // OK to cast: a block has at most 65536 bytes.
        let mut bytes = vec![0; self.block_size as usize];
        self.medium.read_at(block * self.block_size, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((block, Arc::clone(&bytes)));
        Ok(bytes)
    }

    /// The block with the `n`th block of descriptors.
    fn descriptors_at(&self, n: u64) -> u64 {
        let in_block = self.block_size / self.desc_size as u64;
        if !self.features.has(META_BG) || n < self.first_meta_bg {
            // With blocks of 1024 bytes and no block before the superblock's.
            return self.first.max(u64::from(self.block_size == 1024)) + 1 + n;
        }
        let group = n * in_block;
        let copied = match self.backups {
            Some(groups) => group == 0 || groups.iter().any(|own| u64::from(*own) == group),
            None => !self.features.has(SPARSE_SUPER) || is_sparse_group(group),
        };
        self.first + group * self.per_group + u64::from(copied)
    }

    fn descriptor(&self, group: u64) -> Result<GroupDesc, Error> {
        let in_block = self.block_size / self.desc_size as u64;
        let block = self.block(self.descriptors_at(group / in_block))?;
        let at = (group % in_block) as usize * self.desc_size;
        let mut bytes = block.get(at..at + self.desc_size).unwrap_or_default().to_vec();
        let stored = take::<[u8; 2]>(&bytes, 0x1e).unwrap_or_default();
        if let Some(seed) = self.seed {
            put(&mut bytes, 0x1e, &[0; 2]);
            let sum = crc(crc(seed, &(group as u32).to_le_bytes()), &bytes);
            if (sum as u16).to_le_bytes() != stored {
                return Err(mismatch(&format!("the descriptor of group {group}")));
            }
        }
        bytes.resize(DESC_SIZE_64.max(bytes.len()), 0);
        take(&bytes, 0).ok_or_else(|| damaged(format!("no descriptor of group {group}")))
    }

    /// An inode, compared with its checksum.
    pub(super) fn inode(&self, ino: u32) -> Result<Loaded, Error> {
        if ino == 0 || ino > self.inodes {
            return Err(damaged(format!("inode {ino}, there are 1 to {}", self.inodes)));
        }
        let desc = self.descriptor(u64::from((ino - 1) / self.inodes_per_group))?;
        let high = if self.features.has(B64) { desc.inode_table_hi.get() } else { 0 };
        let table = u64::from(high) << 32 | u64::from(desc.inode_table_lo.get());
        let at = u64::from((ino - 1) % self.inodes_per_group) * self.inode_size as u64;
        let place = table.saturating_add(at / self.block_size);
        let block = self
            .block(place)
            .map_err(|_| damaged(format!("inode {ino} in block {place} of {}", self.blocks)))?;
        let from = (at % self.block_size) as usize;
        let bytes = block.get(from..from + self.inode_size).unwrap_or_default().to_vec();
        let mut whole = bytes.clone();
        whole.resize(whole.len().max(OLD_INODE + EXTRA_ISIZE), 0);
        let fields = take(&whole, 0).ok_or_else(|| damaged(format!("inode {ino} is cut off")))?;
        let loaded = Loaded { ino, fields, bytes };
        if let Some(seed) = self.seed {
            self.compare(&loaded, seed)?;
        }
        if loaded.extra() + OLD_INODE > loaded.bytes.len() || !loaded.extra().is_multiple_of(4) {
            return Err(damaged(format!("inode {ino} has extra_isize {}", loaded.extra())));
        }
        Ok(loaded)
    }

    fn compare(&self, inode: &Loaded, seed: u32) -> Result<(), Error> {
        let mut bytes = inode.bytes.clone();
        let whole = inode.extra() >= 4;
        put(&mut bytes, 0x7c, &[0; 2]);
        if whole {
            put(&mut bytes, 0x82, &[0; 2]);
        }
        let sum = crc(crc_of_inode(seed, inode.ino, inode.fields.generation.get()), &bytes);
        let low = inode.fields.checksum_lo.get() == sum as u16;
        let high = !whole || inode.fields.checksum_hi.get() == (sum >> 16) as u16;
        if low && high { Ok(()) } else { Err(mismatch(&format!("inode {}", inode.ino))) }
    }
}

impl Loaded {
    pub(super) const fn mode(&self) -> u16 {
        self.fields.mode.get()
    }

    pub(super) const fn size(&self) -> u64 {
        (self.fields.size_hi.get() as u64) << 32 | self.fields.size_lo.get() as u64
    }

    /// Bytes of fields behind the first 128.
    pub(super) fn extra(&self) -> usize {
        if self.bytes.len() > OLD_INODE { self.fields.extra_isize.get().into() } else { 0 }
    }

    /// The block with further attributes.
    pub(super) fn attributes_block(&self) -> Option<u64> {
        let fields = &self.fields;
        let block = u64::from(fields.file_acl_hi.get()) << 32 | u64::from(fields.file_acl_lo.get());
        (block != 0).then_some(block)
    }

    pub(super) fn seed(&self, seed: u32) -> u32 {
        crc_of_inode(seed, self.ino, self.fields.generation.get())
    }

    pub(super) const fn has_extents(&self) -> bool {
        self.fields.flags.get() & EXTENTS_FL != 0
    }
}
