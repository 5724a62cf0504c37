//! What `fsck_ffs` compares: bitmaps with inodes, sums with bitmaps.
//!
//! Written from NetBSD's fs.h and dinode.h, of none of our code. Invariant: every fragment is
//! either free in its group's bitmap, or metadata, or named by exactly one inode.

/// A volume as bytes.
pub(crate) struct Check<'a> {
    pub(crate) image: &'a [u8],
    pub(crate) big: bool,
    pub(crate) wide: bool,
}

impl Check<'_> {
    fn u32(&self, at: u64) -> u64 {
        let four = self.image[at as usize..at as usize + 4].try_into().unwrap();
        u64::from(if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    fn u64(&self, at: u64) -> u64 {
        let eight = self.image[at as usize..at as usize + 8].try_into().unwrap();
        if self.big { u64::from_be_bytes(eight) } else { u64::from_le_bytes(eight) }
    }

    fn number(&self, at: u64, index: u64) -> u64 {
        if self.wide { self.u64(at + index * 8) } else { self.u32(at + index * 4) }
    }

    fn bit(&self, at: u64, bit: u64) -> bool {
        self.image[(at + bit / 8) as usize] >> (bit % 8) & 1 == 1
    }

    /// Fails where anything differs; how many fragments are free.
    pub(crate) fn run(&self) -> u64 {
        let sb = if self.wide { 65536 } else { 8192 };
        let [superblock, header, table, data] = [8, 12, 16, 20].map(|at| self.u32(sb + at));
        let [groups, block, fragment, frag] = [44, 48, 52, 56].map(|at| self.u32(sb + at));
        let (inodes, size, total) = (self.u32(sb + 184), self.u32(sb + 188), self.u64(sb + 1080));
        let (summary, summary_len) = (self.u64(sb + 1096), self.u32(sb + 156));
        let mut owners = vec![0u8; total as usize];
        let mut mark = |from: u64, count: u64| {
            (from..from + count).for_each(|at| owners[at as usize] += 1);
        };
        mark(0, superblock);
        mark(summary, summary_len / fragment);
        let mut sums = [0; 4];
        for group in 0..groups {
            let start = group * size;
            mark(start + superblock, data - superblock);
            let copy = ((start + superblock) * fragment) as usize;
            assert_eq!(self.image[copy..copy + 1376], self.image[sb as usize..sb as usize + 1376]);
            let cg = (start + header) * fragment;
            assert_eq!((self.u32(cg + 4), self.u32(cg + 12)), (0x90255, group));
            let used = cg + self.u32(cg + 92);
            let (mut free, mut directories) = (inodes, 0);
            for inode in 0..inodes {
                let at = (start + table) * fragment + inode * if self.wide { 256 } else { 128 };
                let reserved = group == 0 && inode < 2;
                let mode = &self.image[at as usize..at as usize + 2];
                let mode = if self.big { [mode[0], mode[1]] } else { [mode[1], mode[0]] };
                let mode = u16::from_be_bytes(mode) & 0o170_000;
                assert_eq!(
                    self.bit(used, inode),
                    reserved || mode != 0,
                    "inode {inode} of {group}"
                );
                free -= u64::from(self.bit(used, inode));
                directories += u64::from(mode == 0o040_000);
                self.inode(at, mode, (block, fragment, frag), &mut mark);
            }
            let counted = [24, 28, 32, 36].map(|at| self.u32(cg + at));
            assert_eq!((counted[0], counted[2]), (directories, free), "group {group}");
            let place = summary * fragment + group * 16;
            assert_eq!([0, 4, 8, 12].map(|at| self.u32(place + at)), counted);
            (0..4).for_each(|at| sums[at] += counted[at]);
        }
        assert_eq!([0, 8, 16, 24].map(|at| self.u64(sb + 1008 + at)), sums);
        self.bitmaps((sb, header, size), (groups, fragment, frag), &owners);
        sums[1] * frag + sums[3]
    }

    fn bitmaps(
        &self,
        (_, header, size): (u64, u64, u64),
        (groups, fragment, frag): (u64, u64, u64),
        owners: &[u8],
    ) {
        for group in 0..groups {
            let cg = (group * size + header) * fragment;
            let free = cg + self.u32(cg + 96);
            let clusters = cg + self.u32(cg + 108);
            let (mut blocks, mut fragments) = (0, 0);
            let (mut runs, mut sums, mut open) = ([0; 8], [0; 9], 0);
            for block in 0..self.u32(cg + 20) / frag {
                let bits: Vec<bool> =
                    (0..frag).map(|at| self.bit(free, block * frag + at)).collect();
                for (at, bit) in (0..).zip(&bits) {
                    let owner = owners[(group * size + block * frag + at) as usize];
                    assert_eq!(owner, u8::from(!bit), "fragment {at} of block {block} of {group}");
                }
                let whole = bits.iter().all(|bit| *bit);
                assert_eq!(self.bit(clusters, block), whole);
                blocks += u64::from(whole);
                if whole {
                    open += 1;
                    continue;
                }
                sums[std::mem::take(&mut open).min(8)] += 1;
                fragments += bits.iter().filter(|bit| **bit).count() as u64;
                for run in bits.split(|bit| !bit).filter(|run| !run.is_empty()) {
                    runs[run.len()] += 1;
                }
            }
            sums[open.min(8)] += 1;
            assert_eq!(
                (self.u32(cg + 28), self.u32(cg + 36)),
                (blocks, fragments),
                "group {group}"
            );
            assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|at| self.u32(cg + 52 + at * 4)), runs);
            let stored =
                [1, 2, 3, 4, 5, 6, 7, 8].map(|at| self.u32(cg + self.u32(cg + 104) + at * 4));
            assert_eq!(stored, sums[1..], "group {group}");
        }
    }

    fn inode(&self, at: u64, mode: u16, shape: (u64, u64, u64), mark: &mut impl FnMut(u64, u64)) {
        let (block, fragment, frag) = shape;
        let (size, sectors, pointers) = if self.wide {
            (self.u64(at + 16), self.u64(at + 24), at + 112)
        } else {
            (self.u64(at + 8), self.u32(at + 104), at + 40)
        };
        let short = mode == 0o120_000 && size < if self.wide { 120 } else { 60 };
        if !matches!(mode, 0o040_000 | 0o100_000 | 0o120_000) || short {
            assert_eq!(sectors, 0);
            return;
        }
        let mut count = 0;
        let mut take = |number: u64, fragments: u64| {
            mark(number, fragments);
            count += fragments;
        };
        for index in 0..12 {
            let number = self.number(pointers, index);
            if number != 0 {
                let left = size - index * block;
                let last = left < block && size <= 12 * block;
                take(number, if last { left.div_ceil(fragment) } else { frag });
            }
        }
        let mut open: Vec<(u64, u64)> =
            (12..15).map(|index| (self.number(pointers, index), index - 11)).collect();
        while let Some((number, depth)) = open.pop() {
            if number == 0 {
                continue;
            }
            take(number, frag);
            if depth > 0 {
                let width = if self.wide { 8 } else { 4 };
                let below = (0..block / width).map(|at| self.number(number * fragment, at));
                open.extend(below.map(|number| (number, depth - 1)));
            }
        }
        assert_eq!(sectors, count * fragment / 512, "sectors of the inode at {at}");
    }
}
