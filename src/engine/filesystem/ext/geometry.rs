//! Where superblocks, descriptors, bitmaps and inode tables lie, and how the blocks between them
//! are numbered.
//!
//! Knows no tree. Invariants: fixed pieces are in order and do not overlap; block `n` for contents
//! is the n-th that no fixed piece takes.

use super::features::FLEX_BG;
use super::shape::Shape;

/// Groups whose bitmaps and tables lie together under `flex_bg`: 2 to this power, as mke2fs does.
pub(super) const LOG_FLEX: u8 = 4;
/// What the last group must hold beside its own metadata, or it is left out: as mke2fs does.
const LEAST_LAST: u64 = 50;

/// What a fixed piece is; each names its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Super(u32),
    Descriptors,
    /// Room for descriptors of groups to come.
    Reserved(u32),
    BlockBitmap(u32),
    InodeBitmap(u32),
    InodeTable(u32),
}

/// Blocks that are not for contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) what: What,
    /// Blocks of fixed pieces before this one.
    before: u64,
}

/// Where a group's own pieces lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
}

/// All places.
#[derive(Debug)]
pub(super) struct Geometry {
    pub(super) shape: Shape,
    /// The first block of group 0.
    pub(super) first: u64,
    pub(super) blocks: u64,
    pub(super) per_group: u64,
    pub(super) inodes_per_group: u32,
    pub(super) desc_size: usize,
    pub(super) desc_blocks: u64,
    pub(super) reserved: u64,
    pub(super) groups: Vec<Group>,
    fixed: Vec<Fixed>,
}

impl Geometry {
    /// The places for a shape; none if its blocks cannot hold even the metadata.
    pub(super) fn new(shape: Shape) -> Option<Self> {
        let (first, per_group) = (shape.first(), shape.per_group());
        let mut blocks = shape.blocks;
        let groups = loop {
            if blocks <= first + LEAST_LAST {
                return None;
            }
            let groups = (blocks - first).div_ceil(per_group);
            let last = blocks - first - (groups - 1) * per_group;
            if last >= Self::own(&shape, blocks, groups)? + LEAST_LAST {
                break groups;
            }
            if groups == 1 {
                return None;
            }
            blocks -= last;
        };
        let desc_blocks = shape.desc_blocks(groups);
        let mut geometry = Self {
            shape,
            first,
            blocks,
            per_group,
            inodes_per_group: shape.inodes_per_group(groups)?,
            desc_size: shape.desc_size(),
            desc_blocks,
            reserved: shape.reserved(blocks, desc_blocks),
            groups: vec![Group::default(); usize::try_from(groups).unwrap_or(0)],
            fixed: Vec::new(),
        };
        geometry.place().then_some(geometry)
    }

    /// Blocks that the last of `groups` needs for itself.
    fn own(shape: &Shape, blocks: u64, groups: u64) -> Option<u64> {
        let desc_blocks = shape.desc_blocks(groups);
        let mut own = 0;
        if shape.has_super(groups - 1) {
            own += 1 + desc_blocks + shape.reserved(blocks, desc_blocks);
        }
        let table = u64::from(shape.inodes_per_group(groups)?) * u64::from(shape.inode_size);
        Some(own + 2 + table / shape.bytes())
    }

    /// Places everything. Whether there was room.
    fn place(&mut self) -> bool {
        for group in 0..self.group_count() {
            if self.shape.has_super(group) {
                // OK to cast: there are less than 2^32 groups.
                let number = group as u32;
                let start = self.group_start(group);
                self.put(start, 1, What::Super(number));
                self.put(start + 1, self.desc_blocks, What::Descriptors);
                self.put(start + 1 + self.desc_blocks, self.reserved, What::Reserved(number));
            }
        }
        let copies = self.fixed.clone();
        let flex = if self.shape.features.has(FLEX_BG) { 1 << LOG_FLEX } else { 1 };
        let mut room = Room { taken: &copies, next: 0, at: self.first, end: self.blocks };
        let mut placed = Vec::new();
        for from in (0..self.group_count()).step_by(flex) {
            let to = (from + flex as u64).min(self.group_count());
            room.go_to(self.group_start(from));
            if !self.place_flex(from..to, &mut room, &mut placed) {
                return false;
            }
        }
        self.fixed.extend(placed);
        self.fixed.sort_unstable_by_key(|fixed| fixed.start);
        let mut before = 0;
        for fixed in &mut self.fixed {
            fixed.before = before;
            before += fixed.len;
        }
        true
    }

    fn place_flex(
        &mut self,
        groups: std::ops::Range<u64>,
        room: &mut Room<'_>,
        placed: &mut Vec<Fixed>,
    ) -> bool {
        let table = self.table_blocks();
        for piece in 0..3 {
            for group in groups.clone() {
                let number = group as u32;
                let (len, what) = match piece {
                    0 => (1, What::BlockBitmap(number)),
                    1 => (1, What::InodeBitmap(number)),
                    _ => (table, What::InodeTable(number)),
                };
                let Some(start) = room.take(len) else { return false };
                placed.push(Fixed { start, len, what, before: 0 });
                let Some(own) = self.groups.get_mut(group as usize) else { return false };
                match piece {
                    0 => own.block_bitmap = start,
                    1 => own.inode_bitmap = start,
                    _ => own.inode_table = start,
                }
            }
        }
        true
    }

    fn put(&mut self, start: u64, len: u64, what: What) {
        if len > 0 {
            self.fixed.push(Fixed { start, len, what, before: 0 });
        }
    }

    pub(super) fn group_count(&self) -> u64 {
        self.groups.len() as u64
    }

    pub(super) fn group_start(&self, group: u64) -> u64 {
        self.first + group * self.per_group
    }

    pub(super) fn group_end(&self, group: u64) -> u64 {
        self.group_start(group + 1).min(self.blocks)
    }

    pub(super) fn has_super(&self, group: u64) -> bool {
        self.shape.has_super(group)
    }

    /// Blocks of a group's inode table.
    pub(super) fn table_blocks(&self) -> u64 {
        u64::from(self.inodes_per_group) * u64::from(self.shape.inode_size) / self.shape.bytes()
    }

    /// All inodes.
    pub(super) fn inodes(&self) -> u64 {
        u64::from(self.inodes_per_group) * self.group_count()
    }

    /// Fixed pieces, in order.
    pub(super) fn fixed(&self) -> &[Fixed] {
        &self.fixed
    }

    /// The piece that `block` lies in, or else the next one.
    pub(super) fn fixed_at(&self, block: u64) -> Option<&Fixed> {
        let at = self.fixed.partition_point(|fixed| fixed.start + fixed.len <= block);
        self.fixed.get(at)
    }

    /// Blocks for contents that lie before `block`.
    pub(super) fn contents_before(&self, block: u64) -> u64 {
        let block = block.clamp(self.first, self.blocks);
        let at = self.fixed.partition_point(|fixed| fixed.start < block);
        let taken = at
            .checked_sub(1)
            .and_then(|at| self.fixed.get(at))
            .map_or(0, |fixed| fixed.before + fixed.len.min(block - fixed.start));
        block - self.first - taken
    }

    /// Blocks for contents.
    pub(super) fn contents(&self) -> u64 {
        self.contents_before(self.blocks)
    }

    /// Where the content's block `n` lies, and how many from it on lie in one piece.
    pub(super) fn content_at(&self, n: u64) -> (u64, u64) {
        // A piece lies before block n if no more than n blocks for contents lie before it.
        let before = |fixed: &Fixed| fixed.start - self.first - fixed.before <= n;
        let at = self.fixed.partition_point(before);
        let taken = at.checked_sub(1).and_then(|at| self.fixed.get(at));
        let start = self.first + n + taken.map_or(0, |fixed| fixed.before + fixed.len);
        let end = self.fixed.get(at).map_or(self.blocks, |fixed| fixed.start);
        (start, end.saturating_sub(start))
    }
}

/// Gives out blocks around those that are taken.
struct Room<'a> {
    taken: &'a [Fixed],
    /// The first of them that ends behind `at`.
    next: usize,
    at: u64,
    end: u64,
}

impl Room<'_> {
    /// Nothing before `block` is given out from now on.
    const fn go_to(&mut self, block: u64) {
        if block > self.at {
            self.at = block;
        }
    }

    /// The next `len` blocks in one piece.
    fn take(&mut self, len: u64) -> Option<u64> {
        while let Some(taken) = self.taken.get(self.next) {
            if self.at + len <= taken.start {
                break;
            }
            self.at = self.at.max(taken.start + taken.len);
            self.next += 1;
        }
        let start = self.at;
        self.at += len;
        (self.at <= self.end).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::Features;
    use super::super::shape::is_sparse_group;
    use super::super::{Params, Variant};
    use super::*;

    fn shape(variant: Variant, block_size: u32, blocks: u64, inodes: u64) -> Shape {
        let params = Params { variant, ..Params::default() };
        let features = Features::of(&params, 256).unwrap();
        Shape { features, block_size, inode_size: 256, inodes, blocks }
    }

    #[test]
    fn pieces_do_not_overlap_and_the_numbering_goes_both_ways() {
        for variant in [Variant::Ext2, Variant::Ext4] {
            for blocks in [300, 2000, 8193, 8250, 65536, 300_001] {
                let shape = shape(variant, 1024, blocks, blocks / 8);
                let Some(geometry) = Geometry::new(shape) else { continue };
                let mut end = geometry.first;
                for fixed in geometry.fixed() {
                    assert!(fixed.start >= end, "{variant:?} {blocks}: {fixed:?}");
                    end = fixed.start + fixed.len;
                }
                assert!(end <= geometry.blocks);
                let mut n = 0;
                for block in geometry.first..geometry.blocks {
                    assert_eq!(geometry.contents_before(block), n, "before {block}");
                    let fixed = geometry.fixed_at(block).is_some_and(|f| f.start <= block);
                    if !fixed {
                        assert_eq!(geometry.content_at(n).0, block);
                        n += 1;
                    }
                }
                assert_eq!(geometry.contents(), n);
            }
        }
    }

    /// What mke2fs 1.47 makes of 64 MiB: `dumpe2fs` says 256 reserved blocks, 2048 inodes a group.
    #[test]
    fn numbers_are_those_of_mke2fs() {
        let geometry = Geometry::new(shape(Variant::Ext4, 1024, 65536, 16384)).unwrap();
        assert_eq!((geometry.group_count(), geometry.desc_blocks, geometry.reserved), (8, 1, 256));
        assert_eq!(geometry.inodes_per_group, 2048);
        let places = [259, 267, 275].map(Some);
        let group = geometry.groups.first().unwrap();
        assert_eq!([group.block_bitmap, group.inode_bitmap, group.inode_table].map(Some), places);
        let second = geometry.groups.get(1).unwrap();
        assert_eq!([second.block_bitmap, second.inode_bitmap, second.inode_table], [260, 268, 787]);
    }

    #[test]
    fn copies_lie_in_groups_0_1_and_powers() {
        let groups: Vec<_> = (0..130).filter(|group| is_sparse_group(*group)).collect();
        assert_eq!(groups, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }
}
