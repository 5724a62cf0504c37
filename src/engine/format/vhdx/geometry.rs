//! The numbers that follow from a block size and a virtual size.
//!
//! Reads and writes nothing. Invariant: the block size is a power of two from 1 MiB to 256 MiB and
//! the disk has at most 64 TiB of whole sectors, so nothing here overflows.

use super::ondisk::{MAX_BLOCK, MAX_VIRTUAL_SIZE, MIB, MIN_BLOCK, SECTORS_PER_BITMAP};
use crate::units::SECTOR;

/// Bytes of a BAT entry.
pub(super) const ENTRY: u64 = 8;

/// The largest block that is chosen for a disk: what Hyper-V chooses for every disk.
const MOST_CHOSEN: u64 = 32 << 20;

/// A block size and a virtual size that fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    block: u64,
    virtual_size: u64,
}

/// A block size or a virtual size that the format does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Impossible {
    #[error("VHDX blocks are a power of two from 1 MiB to 256 MiB, not {0} bytes")]
    Block(u64),
    #[error("a disk of {0} bytes is not whole sectors of {SECTOR} bytes")]
    Sectors(u64),
    #[error("a disk of {0} bytes is too large for VHDX: it ends at {MAX_VIRTUAL_SIZE}")]
    TooLarge(u64),
}

impl Geometry {
    pub(super) const fn new(block: u64, virtual_size: u64) -> Result<Self, Impossible> {
        if !block.is_power_of_two() || block < MIN_BLOCK || block > MAX_BLOCK {
            return Err(Impossible::Block(block));
        }
        if !virtual_size.is_multiple_of(SECTOR) {
            return Err(Impossible::Sectors(virtual_size));
        }
        if virtual_size > MAX_VIRTUAL_SIZE {
            return Err(Impossible::TooLarge(virtual_size));
        }
        Ok(Self { block, virtual_size })
    }

    /// The geometry of a disk for which no block size is asked for: the smallest one with which
    /// the BAT fits 1 MiB, up to the 32 MiB of Hyper-V.
    ///
    /// A block is in the file as a whole, so the file is shorter with small blocks, which counts
    /// where it is copied with its holes; and Linux guests touch blocks here and there, for which
    /// Microsoft asks for 1 MiB. The BAT has an entry for each block, hence larger ones for disks
    /// above 127 GiB.
    pub(super) fn chosen(virtual_size: u64) -> Result<Self, Impossible> {
        let mut geometry = Self::new(MIN_BLOCK, virtual_size)?;
        while geometry.bat_bytes() > MIB && geometry.block < MOST_CHOSEN {
            geometry.block *= 2;
        }
        Ok(geometry)
    }

    /// Bytes of a block.
    pub(super) const fn block(self) -> u64 {
        self.block
    }

    pub(super) const fn virtual_size(self) -> u64 {
        self.virtual_size
    }

    /// Payload blocks of the disk (section 2.5).
    pub(super) const fn blocks(self) -> u64 {
        self.virtual_size.div_ceil(self.block)
    }

    /// Payload blocks that share a sector bitmap block (section 2.4).
    pub(super) const fn chunk_ratio(self) -> u64 {
        SECTORS_PER_BITMAP * SECTOR / self.block
    }

    /// Entries of the BAT of a disk without parent (section 2.5): the last one is that of the last
    /// payload block.
    pub(super) const fn bat_entries(self) -> u64 {
        match self.blocks() {
            0 => 0,
            blocks => self.bat_index(blocks - 1) + 1,
        }
    }

    /// Bytes of the BAT.
    pub(super) const fn bat_bytes(self) -> u64 {
        self.bat_entries() * ENTRY
    }

    /// The index in the BAT of a payload block: the entry of a chunk's sector bitmap block stands
    /// behind those of its payload blocks.
    pub(super) const fn bat_index(self, block: u64) -> u64 {
        block + block / self.chunk_ratio()
    }

    /// The payload block of an entry of the BAT; None if it is a sector bitmap block's.
    pub(super) const fn block_of(self, index: u64) -> Option<u64> {
        let stride = self.chunk_ratio() + 1;
        if index % stride == stride - 1 { None } else { Some(index - index / stride) }
    }

    /// Bytes of the virtual disk in this block: less than a block for the last one.
    pub(super) fn len_of(self, block: u64) -> u64 {
        self.block.min(self.virtual_size.saturating_sub(block * self.block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_specification() {
        // 2^23 sectors of 512 bytes are 4 GiB: 4096 blocks of 1 MiB, 16 of 256 MiB.
        let geometry = Geometry::new(1 << 20, 64 << 40).unwrap();
        assert_eq!(geometry.chunk_ratio(), 4096);
        assert_eq!(geometry.blocks(), 64 << 20);
        assert_eq!(geometry.bat_entries(), (64 << 20) + (64 << 20) / 4096 - 1);
        let geometry = Geometry::new(256 << 20, (4 << 30) + 512).unwrap();
        assert_eq!((geometry.chunk_ratio(), geometry.blocks()), (16, 17));
        assert_eq!(geometry.bat_entries(), 18);
        assert_eq!((geometry.bat_index(15), geometry.bat_index(16)), (15, 17));
        assert_eq!((geometry.len_of(15), geometry.len_of(16)), (256 << 20, 512));
        assert_eq!(Geometry::new(1 << 20, 4 << 30).unwrap().bat_entries(), 4096);
        assert_eq!(Geometry::new(1 << 20, 0).unwrap().bat_entries(), 0);
    }

    #[test]
    fn every_entry_of_the_bat_is_one_block_or_a_bitmap() {
        let geometry = Geometry::new(256 << 20, 13 << 30).unwrap();
        let mut blocks = 0;
        for index in 0..geometry.bat_entries() {
            match geometry.block_of(index) {
                None => assert_eq!(index % 17, 16),
                Some(block) => {
                    assert_eq!((block, geometry.bat_index(block)), (blocks, index));
                    blocks += 1;
                }
            }
        }
        assert_eq!(blocks, geometry.blocks());
    }

    #[test]
    fn what_the_format_does_not_know_is_refused() {
        for block in [0, 1, 512 << 10, 3 << 20, (1 << 20) + 1, 512 << 20, 1 << 63] {
            assert_eq!(Geometry::new(block, 512), Err(Impossible::Block(block)), "{block}");
        }
        assert_eq!(Geometry::new(1 << 20, 513), Err(Impossible::Sectors(513)));
        assert_eq!(
            Geometry::chosen((64 << 40) + 512).unwrap_err().to_string(),
            "a disk of 70368744178176 bytes is too large for VHDX: it ends at 70368744177664"
        );
    }

    #[test]
    fn blocks_grow_with_the_disk() {
        for (size, block) in [
            (512, 1u64 << 20),
            (127 << 30, 1 << 20),
            (128 << 30, 2 << 20),
            (1 << 40, 16 << 20),
            (5 << 40, 32 << 20),
            (64 << 40, 32 << 20),
        ] {
            assert_eq!(Geometry::chosen(size).unwrap().block(), block, "{size}");
        }
    }
}
