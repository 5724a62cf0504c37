//! Cylinder groups: how many, how large, and where the data blocks lie in them.
//!
//! Knows no file. Source: NetBSD, sys/ufs/ffs/fs.h. Data blocks have running numbers over all
//! groups, so that a file that follows another does so without knowing of groups. Invariant: every
//! group's tables fit in one block.

use super::Params;
use super::ondisk::{CG_SPACE, CONTIG_SUMS, CSUM, PLACES, SUPERBLOCK};
use crate::engine::base::{Error, Kind};

/// A volume's sizes; those of groups are in fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) wide: bool,
    pub(super) block: u64,
    pub(super) fragment: u64,
    /// Fragments of a block.
    pub(super) frag: u64,
    /// Fragments of the volume: whole blocks.
    pub(super) total: u64,
    pub(super) groups: u64,
    /// Of a group.
    pub(super) size: u64,
    pub(super) inodes: u64,
    pub(super) superblock: u64,
    pub(super) header: u64,
    pub(super) table: u64,
    pub(super) data: u64,
}

/// What lies in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the first group's superblock.
    Boot,
    Superblock,
    Header(u64),
    /// Block of the inode table, with the number of its first inode.
    Inodes(u64),
    /// Block of the summary.
    Summary(u64),
    /// Running number of a data block.
    Data(u64),
}

impl Geometry {
    pub(super) const fn inode_size(&self) -> u64 {
        if self.wide { 256 } else { 128 }
    }

    /// Inodes of a block, and block numbers of an indirect block.
    pub(super) const fn inodes_per_block(&self) -> u64 {
        self.block / self.inode_size()
    }

    pub(super) const fn pointers(&self) -> u64 {
        self.block / if self.wide { 8 } else { 4 }
    }

    /// Bytes of the summary of all groups, in whole fragments.
    pub(super) const fn summary(&self) -> u64 {
        (self.groups * CSUM).next_multiple_of(self.fragment)
    }

    const fn summary_blocks(&self) -> u64 {
        self.summary().div_ceil(self.block)
    }

    /// Fragments of a group; the last one may be smaller.
    pub(super) fn size_of(&self, group: u64) -> u64 {
        self.size.min(self.total.saturating_sub(group * self.size))
    }

    /// Offsets of a group header's tables: rotational totals and positions, used inodes, free
    /// fragments, sums of clusters, clusters, and the end.
    pub(super) const fn tables(&self) -> [u64; 7] {
        let totals = CG_SPACE;
        let (positions, used) = if self.wide { (totals, totals) } else { (totals + 4, totals + 6) };
        let free = used + self.inodes.div_ceil(8);
        let sums = (free + self.size.div_ceil(8)).next_multiple_of(4) - 4;
        let sums = if sums < free + self.size.div_ceil(8) { sums + 4 } else { sums };
        let clusters = sums + (CONTIG_SUMS + 1) * 4;
        let end = clusters + (self.size / self.frag).div_ceil(8);
        [totals, positions, used, free, sums, clusters, end]
    }

    /// Fragments of the summary's last block that it does not need.
    pub(super) const fn summary_left(&self) -> u64 {
        self.summary_blocks() * self.frag - self.summary() / self.fragment
    }

    /// Whether it is the summary's last block.
    pub(super) const fn summary_last(&self, block: u64) -> bool {
        block + 1 == self.data / self.frag + self.summary_blocks()
    }

    /// Running numbers of a group's data blocks.
    pub(super) fn range(&self, group: u64) -> std::ops::Range<u64> {
        let (data, before) = (self.data / self.frag, self.superblock / self.frag);
        let each = (self.size / self.frag).saturating_sub(data - before);
        let start = if group == 0 { 0 } else { self.blocks_of(0) + (group - 1) * each };
        start..start + self.blocks_of(group)
    }

    /// Data blocks of a group.
    fn blocks_of(&self, group: u64) -> u64 {
        let all = self.size_of(group) / self.frag;
        let data = self.data / self.frag;
        if group == 0 {
            all.saturating_sub(data + self.summary_blocks())
        } else {
            all.saturating_sub(data) + (self.superblock / self.frag).min(all)
        }
    }

    /// Data blocks of the volume.
    pub(super) fn blocks(&self) -> u64 {
        let full = self.blocks_of(1);
        let middle = self.groups.saturating_sub(2) * full;
        let last = if self.groups > 1 { self.blocks_of(self.groups - 1) } else { 0 };
        self.blocks_of(0) + middle + last
    }

    /// The block at which a data block lies.
    pub(super) fn block_at(&self, number: u64) -> u64 {
        let first = self.blocks_of(0);
        let (data, before) = (self.data / self.frag, self.superblock / self.frag);
        let Some(rest) = number.checked_sub(first) else {
            return data + self.summary_blocks() + number;
        };
        // All groups but the last have the same number of blocks.
        let each = (self.size / self.frag).saturating_sub(data - before).max(1);
        let (group, rest) = (1 + rest / each, rest % each);
        let inside = if rest < before { rest } else { rest - before + data };
        group * (self.size / self.frag) + inside
    }

    /// What lies in a block.
    pub(super) fn place(&self, block: u64) -> Place {
        let each = self.size / self.frag;
        let (group, inside) = (block / each, block % each);
        let at = inside * self.frag;
        let first = self.blocks_of(0);
        let (data, before) = (self.data / self.frag, self.superblock / self.frag);
        if at < self.superblock {
            if group == 0 {
                return Place::Boot;
            }
            return Place::Data(first + (group - 1) * (each - (data - before)) + inside);
        }
        if at < self.header {
            return Place::Superblock;
        }
        if at < self.table {
            return Place::Header(group);
        }
        if at < self.data {
            let within = (at - self.table) / self.frag * self.inodes_per_block();
            return Place::Inodes(group * self.inodes + within);
        }
        if group == 0 {
            let inside = inside - data;
            return match inside.checked_sub(self.summary_blocks()) {
                Some(number) => Place::Data(number),
                None => Place::Summary(inside),
            };
        }
        let number = inside - data + before;
        Place::Data(first + (group - 1) * (each - (data - before)) + number)
    }

    /// The volume of `total` fragments with so many inodes, the two reserved ones counted.
    pub(super) fn new(params: &Params, total: u64, inodes: u64) -> Result<Self, Error> {
        let refused = |why: String| {
            let bytes = total.saturating_mul(params.fragment_size);
            let message = format!("an FFS of {bytes} bytes and {inodes} inodes {why}");
            Err(Error::new(Kind::NoSpace, message))
        };
        checked(params)?;
        let frag = params.block_size / params.fragment_size;
        let wide = params.version == 2;
        let round = |bytes: u64| bytes.div_ceil(params.fragment_size).next_multiple_of(frag);
        let superblock = round(PLACES[usize::from(wide)] + SUPERBLOCK);
        let header = superblock + round(SUPERBLOCK);
        let mut found = Self {
            wide,
            block: params.block_size,
            fragment: params.fragment_size,
            frag,
            total: total / frag * frag,
            superblock,
            header,
            table: header + frag,
            ..Self::default()
        };
        // More groups mean fewer inodes in each, and so more room for the bitmap of fragments.
        for groups in 1.. {
            found.inodes = inodes.div_ceil(groups).next_multiple_of(found.inodes_per_block());
            found.data = found.table + found.inodes / found.inodes_per_block() * frag;
            found.groups = groups;
            found.size = found.total.div_ceil(groups).next_multiple_of(frag);
            if found.size <= found.data && groups > 1 || groups > found.total {
                return refused("cannot be divided into groups".to_owned());
            }
            if found.tables()[6] <= found.block {
                break;
            }
        }
        let last = found.size_of(found.groups - 1);
        let least = found.data + if found.groups == 1 { round(found.summary()) } else { frag };
        if last < least {
            return refused(format!("ends {} fragments too early", least - last));
        }
        if !wide && found.total > u64::from(i32::MAX.unsigned_abs()) {
            return refused("is larger than version 1 can be: 2^31 fragments".to_owned());
        }
        Ok(found)
    }
}

fn checked(params: &Params) -> Result<(), Error> {
    let refused = |message: String| Err(Error::new(Kind::Document, message));
    let (block, fragment) = (params.block_size, params.fragment_size);
    if !matches!(params.version, 1 | 2) {
        return refused(format!(
            "version {} of FFS is asked for, 1 and 2 are known",
            params.version
        ));
    }
    if !block.is_power_of_two() || !(4096..=65536).contains(&block) {
        return refused(format!("a block of FFS has {block} bytes, it must be 4096 to 65536"));
    }
    if !fragment.is_power_of_two() || fragment < 512 || fragment > block || block / fragment > 8 {
        return refused(format!("a fragment has {fragment} bytes, a block of {block} has 1 to 8"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_numbers_belong_together() {
        for (version, block_size, total, inodes) in
            [(1, 8192, 20480, 9), (1, 4096, 400_000, 5000), (2, 8192, 900_000, 70_000)]
        {
            let params =
                Params { version, block_size, fragment_size: block_size / 8, ..Params::default() };
            let found = Geometry::new(&params, total, inodes).unwrap();
            let mut count = 0;
            for block in 0..found.total / found.frag {
                if let Place::Data(number) = found.place(block) {
                    assert_eq!(found.block_at(number), block, "{found:?}");
                    count += 1;
                }
            }
            assert_eq!(count, found.blocks(), "{found:?}");
            assert!(found.groups * found.inodes >= inodes);
        }
    }
}
