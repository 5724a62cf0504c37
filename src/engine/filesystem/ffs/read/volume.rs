//! The superblock of a volume, checked, and its inodes.
//!
//! Source: NetBSD, sys/ufs/ffs/fs.h and sys/ufs/ufs/dinode.h. Invariant: all groups of a volume that
//! was opened lie on the medium.

use super::super::ondisk::{FS_MAGIC, FS_SIZE, MAGICS};
use crate::engine::base::tree::{Meta, Time};
use crate::engine::base::{Error, Kind, SectorSource, within};

/// fs.h: `SBLOCKSEARCH`.
const SEARCH: [u64; 4] = [65536, 8192, 0, 262_144];

/// What is needed of a superblock.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) big: bool,
    pub(super) wide: bool,
    pub(super) block: u64,
    pub(super) fragment: u64,
    /// Fragments of a block.
    pub(super) frag: u64,
    /// Fragments of the volume.
    pub(super) total: u64,
    /// Links shorter than this lie in their inodes.
    pub(super) links: u64,
    /// Directory entries tell the type.
    pub(super) typed: bool,
    groups: u64,
    size: u64,
    inodes: u64,
    table: u64,
    /// Version 1: how groups are shifted against each other.
    shift: u64,
    mask: u64,
    bytes: Vec<u8>,
}

/// An inode.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    mode: u16,
    uid: u32,
    gid: u32,
    modified: Time,
    pub(super) size: u64,
    /// Twelve direct and three indirect blocks.
    pub(super) blocks: Vec<u64>,
    /// The same bytes as a link's text.
    pub(super) inline: Vec<u8>,
    pub(super) device: u32,
}

impl Inode {
    pub(super) const fn format(&self) -> u16 {
        self.mode & 0o170_000
    }

    pub(super) const fn meta(&self) -> Meta {
        Meta { mode: self.mode & 0o7777, uid: self.uid, gid: self.gid, modified: self.modified }
    }
}

impl Volume {
    /// The volume on `medium`, if there is one.
    pub(super) fn open(medium: &dyn SectorSource) -> Result<Option<Self>, Error> {
        for at in SEARCH {
            if within(medium.len(), at, FS_SIZE, Kind::Damaged).is_err() {
                continue;
            }
            let mut bytes = vec![0; FS_SIZE];
            medium.read_at(at, &mut bytes)?;
            let magic = bytes.get(FS_MAGIC..).and_then(|rest| rest.first_chunk::<4>());
            let Some(magic) = magic.copied() else { continue };
            let one = |magic: u32| MAGICS.iter().position(|known| *known == magic);
            let (version, big) =
                match (one(u32::from_le_bytes(magic)), one(u32::from_be_bytes(magic))) {
                    (Some(version), _) => (version, false),
                    (_, Some(version)) => (version, true),
                    _ => continue,
                };
            // What looks like version 1 there is a copy inside of one with large blocks.
            if version == 0 && at == 65536 {
                continue;
            }
            return Self::of(bytes, version == 1, big, medium.len()).map(Some);
        }
        Ok(None)
    }

    fn of(bytes: Vec<u8>, wide: bool, big: bool, len: u64) -> Result<Self, Error> {
        let mut volume = Self {
            big,
            wide,
            block: 0,
            fragment: 0,
            frag: 0,
            total: 0,
            links: 0,
            typed: true,
            groups: 0,
            size: 0,
            inodes: 0,
            table: 0,
            shift: 0,
            mask: u64::MAX,
            bytes,
        };
        let field = |at| u64::from(volume.u32(&volume.bytes, at));
        let updated = volume.bytes.get(211).is_some_and(|flags| flags & 0x80 != 0);
        let total = if wide || updated { volume.u64(&volume.bytes, 1080) } else { field(36) };
        let (block, fragment, frag) = (field(48), field(52), field(56));
        let (groups, size, inodes, table) = (field(44), field(188), field(184), field(16));
        let (links, typed) = (field(1320), wide || field(1324) >= 2);
        let (shift, mask) = if wide { (0, u64::MAX) } else { (field(24), field(28)) };
        let sound = block.is_power_of_two()
            && (4096..=65536).contains(&block)
            && fragment.is_power_of_two()
            && fragment >= 512
            && frag.checked_mul(fragment) == Some(block)
            && (1..=8).contains(&frag)
            && (1..=1 << 24).contains(&groups)
            && total.checked_mul(fragment).is_some_and(|bytes| bytes <= len)
            && size > table
            && inodes > 0
            && groups.saturating_sub(1).saturating_mul(size) < total;
        if !sound {
            let message = format!(
                "the superblock of an FFS: blocks of {block} and {frag} fragments of {fragment} bytes, \
                 {groups} groups of {size}, {total} fragments on {len} bytes"
            );
            return Err(Error::new(Kind::Damaged, message));
        }
        (volume.block, volume.fragment, volume.frag, volume.total) = (block, fragment, frag, total);
        (volume.groups, volume.size, volume.inodes, volume.table) = (groups, size, inodes, table);
        (volume.links, volume.typed, volume.shift, volume.mask) = (links, typed, shift, mask);
        Ok(volume)
    }

    pub(super) fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let two =
            bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).copied().unwrap_or_default();
        if self.big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) }
    }

    pub(super) fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let four =
            bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }

    pub(super) fn u64(&self, bytes: &[u8], at: usize) -> u64 {
        let eight =
            bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied().unwrap_or_default();
        if self.big { u64::from_be_bytes(eight) } else { u64::from_le_bytes(eight) }
    }

    /// A block's number.
    pub(super) fn number(&self, bytes: &[u8], index: usize) -> u64 {
        if self.wide { self.u64(bytes, index * 8) } else { self.u32(bytes, index * 4).into() }
    }

    pub(super) fn label(&self) -> Option<String> {
        let label = self.bytes.get(680..712)?.split(|byte| *byte == 0).next()?;
        (!label.is_empty()).then(|| String::from_utf8_lossy(label).into_owned())
    }

    pub(super) fn uuid(&self) -> Option<String> {
        let [high, low] = [144, 148].map(|at| self.u32(&self.bytes, at));
        ((high, low) != (0, 0)).then(|| format!("{high:08x}{low:08x}"))
    }

    /// Free bytes, if what the superblock says can be.
    pub(super) fn free(&self) -> Option<u64> {
        let blocks = self.u64(&self.bytes, 1016).checked_mul(self.frag)?;
        let free = blocks.checked_add(self.u64(&self.bytes, 1032))?;
        (free <= self.total).then(|| free * self.fragment)
    }

    /// The inode with a number.
    pub(super) fn inode(&self, medium: &dyn SectorSource, number: u64) -> Result<Inode, Error> {
        let (group, inside) = (number / self.inodes, number % self.inodes);
        let len = if self.wide { 256 } else { 128 };
        let mut bytes = vec![0; len];
        let start = group * self.size + self.shift.saturating_mul(group & !self.mask);
        let at = start
            .checked_add(self.table)
            .and_then(|at| at.checked_mul(self.fragment))
            .and_then(|at| at.checked_add(inside * len as u64));
        let end = self.total * self.fragment;
        let Some(at) = at.filter(|at| group < self.groups && at + len as u64 <= end) else {
            let most = self.groups.saturating_mul(self.inodes);
            let message = format!("the inode {number} is named, there are {most}");
            return Err(Error::new(Kind::Damaged, message));
        };
        medium.read_at(at, &mut bytes)?;
        Ok(self.decoded(&bytes))
    }

    fn decoded(&self, bytes: &[u8]) -> Inode {
        let word = |at| self.u32(bytes, at);
        let old = i64::from(word(24).cast_signed());
        let (uid, gid, size, seconds, nanos, blocks) = if self.wide {
            (
                word(4),
                word(8),
                self.u64(bytes, 16),
                self.u64(bytes, 40).cast_signed(),
                word(64),
                112,
            )
        } else if self.typed {
            (word(112), word(116), self.u64(bytes, 8), old, word(28), 40)
        } else {
            let id = |at| u32::from(self.u16(bytes, at));
            (id(4), id(6), self.u64(bytes, 8), old, word(28), 40)
        };
        let width = if self.wide { 8 } else { 4 };
        let inline = bytes.get(blocks..blocks + 15 * width).unwrap_or_default();
        Inode {
            mode: self.u16(bytes, 0),
            uid,
            gid,
            modified: Time { seconds, nanos: if nanos < 1_000_000_000 { nanos } else { 0 } },
            size,
            blocks: (0..15).map(|index| self.number(inline, index)).collect(),
            inline: inline.to_vec(),
            // OK to cast: device numbers have 32 bits.
            device: (self.number(inline, 0) & 0xFFFF_FFFF) as u32,
        }
    }
}
