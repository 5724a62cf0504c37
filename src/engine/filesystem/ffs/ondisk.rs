//! Where the fields of an FFS lie, and how a field is written in either byte order.
//!
//! Decides nothing. Source: NetBSD, sys/ufs/ffs/fs.h (`struct fs`, `struct cg`), sys/ufs/ufs/dinode.h
//! and dir.h; offsets measured on what makefs(8) writes. The byte order is a property of the
//! volume, so fields are numbers here and not structures. Invariant: nothing is written outside of
//! a buffer.

/// A buffer with fields of one byte order.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) bytes: Vec<u8>,
    big: bool,
}

impl Fields {
    pub(super) fn new(len: usize, big: bool) -> Self {
        Self { bytes: vec![0; len], big }
    }

    pub(super) fn raw(&mut self, at: usize, what: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at.saturating_add(what.len())) {
            place.copy_from_slice(what);
        }
    }

    pub(super) fn u16(&mut self, at: usize, value: u16) {
        self.raw(at, &if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    pub(super) fn u32(&mut self, at: usize, value: u32) {
        self.raw(at, &if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    pub(super) fn u64(&mut self, at: usize, value: u64) {
        self.raw(at, &if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    /// A block's number: 32 bits in version 1, 64 in version 2.
    pub(super) fn number(&mut self, at: usize, wide: bool, value: u64) {
        if wide {
            self.u64(at, value);
        } else {
            self.u32(at, low(value));
        }
    }

    /// Several 32-bit fields.
    pub(super) fn all(&mut self, fields: &[(usize, u64)]) {
        fields.iter().for_each(|(at, value)| self.u32(*at, low(*value)));
    }
}

/// sys/syslimits.h, `LINK_MAX`.
pub(super) const LINK_MAX: u32 = 32767;

/// sys/types.h, `makedev`: 12 bits of a device's number.
pub(super) const MAJOR_MAX: u32 = 0xFFF;

/// 20 bits.
pub(super) const MINOR_MAX: u32 = 0xF_FFFF;

/// The lower half: of numbers that were checked to fit, and of masks.
pub(super) const fn low(value: u64) -> u32 {
    (value & 0xFFFF_FFFF) as u32
}

/// fs.h: `FS_UFS1_MAGIC` and `FS_UFS2_MAGIC`, at `FS_MAGIC`.
pub(super) const MAGICS: [u32; 2] = [0x0001_1954, 0x1954_0119];
pub(super) const FS_MAGIC: usize = 1372;
/// Bytes of `struct fs`, and of the room that is kept for it (fs.h: `SBLOCKSIZE`).
pub(super) const FS_SIZE: usize = 1376;
pub(super) const SUPERBLOCK: u64 = 8192;
/// fs.h: `SBLOCK_UFS1` and `SBLOCK_UFS2`.
pub(super) const PLACES: [u64; 2] = [8192, 65536];
/// fs.h: `CG_MAGIC`.
pub(super) const CG_MAGIC: u32 = 0x0009_0255;
/// fs.h: `struct cg` without its tables.
pub(super) const CG_SPACE: u64 = 168;
/// fs.h: bytes of `struct csum`.
pub(super) const CSUM: u64 = 16;
/// dinode.h: direct and indirect blocks.
pub(super) const DIRECT: u64 = 12;
pub(super) const INDIRECT: u32 = 3;
/// dinode.h: `UFS_ROOTINO`.
pub(super) const ROOT: u32 = 2;
/// dir.h: `DIRBLKSIZ`.
pub(super) const DIR_BLOCK: usize = 512;
/// fs.h: `FS_MAXCONTIG`-like bound of cluster sums as makefs has it.
pub(super) const CONTIG_SUMS: u64 = 8;
/// fs.h: `FS_FLAGS_UPDATED` in `fs_old_flags`, with `FS_ISCLEAN` in `fs_clean`.
pub(super) const CLEAN: [u8; 4] = [0, 1, 0, 0x80];
/// dinode.h: `UFS1_MAXSYMLINKLEN` and `UFS2_MAXSYMLINKLEN`.
pub(super) const LINKS: [u64; 2] = [60, 120];
