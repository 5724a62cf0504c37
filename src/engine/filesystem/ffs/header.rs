//! Superblock, group headers and their sums.
//!
//! Source: NetBSD, sys/ufs/ffs/fs.h; which old fields are filled is what makefs(8) fills. Invariant:
//! the sums of the superblock are those of the groups.

use super::geometry::{Geometry, Place};
use super::ondisk::{
    CG_MAGIC, CLEAN, CONTIG_SUMS, CSUM, FS_MAGIC, FS_SIZE, Fields, LINKS, MAGICS, PLACES, ROOT, low,
};
use super::plan::Layout;

/// fs.h: `struct csum`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) directories: u64,
    pub(super) blocks: u64,
    pub(super) inodes: u64,
    pub(super) fragments: u64,
}

impl Sums {
    const fn all(&self) -> [u64; 4] {
        [self.directories, self.blocks, self.inodes, self.fragments]
    }
}

/// The sums of every group.
pub(super) fn sums(layout: &Layout) -> Vec<Sums> {
    let geometry = &layout.geometry;
    let end = layout.rows.len() as u64 + u64::from(ROOT);
    let group = |number: u64| {
        let data = geometry.range(number);
        let from = number * geometry.inodes;
        let taken = end.saturating_sub(from).min(geometry.inodes);
        Sums {
            directories: 0,
            blocks: data.end - data.end.min(layout.used.max(data.start)),
            inodes: geometry.inodes - taken,
            fragments: if number == 0 { geometry.summary_left() } else { 0 },
        }
    };
    let mut sums: Vec<Sums> = (0..geometry.groups).map(group).collect();
    for shared in &layout.shared {
        let group = geometry.block_at(shared.block) / (geometry.size / geometry.frag);
        if let Some(sums) = sums.get_mut(usize::try_from(group).unwrap_or(usize::MAX)) {
            sums.fragments += geometry.frag - shared.used;
        }
    }
    for (inode, row) in (u64::from(ROOT)..).zip(&layout.rows) {
        let group = usize::try_from(inode / geometry.inodes).unwrap_or(usize::MAX);
        if let Some(sums) = sums.get_mut(group)
            && layout.tree.node(row.node).kind.is_directory()
        {
            sums.directories += 1;
        }
    }
    sums
}

/// The summary of all groups.
pub(super) fn summary(layout: &Layout, sums: &[Sums]) -> Vec<u8> {
    let mut fields = Fields::new(sums.len() * CSUM as usize, layout.params.big_endian);
    for (number, sums) in sums.iter().enumerate() {
        for (field, value) in sums.all().into_iter().enumerate() {
            fields.u32(number * CSUM as usize + field * 4, low(value));
        }
    }
    fields.bytes
}

/// `struct fs`.
pub(super) fn superblock(layout: &Layout, sums: &[Sums]) -> Vec<u8> {
    let geometry = &layout.geometry;
    let mut fields = Fields::new(FS_SIZE, layout.params.big_endian);
    let pointers = geometry.pointers();
    let total = sums.iter().fold(Sums::default(), |sum, next| Sums {
        directories: sum.directories + next.directories,
        blocks: sum.blocks + next.blocks,
        inodes: sum.inodes + next.inodes,
        fragments: sum.fragments + next.fragments,
    });
    fields.all(&[
        (8, geometry.superblock),
        (12, geometry.header),
        (16, geometry.table),
        (20, geometry.data),
        (44, geometry.groups),
        (48, geometry.block),
        (52, geometry.fragment),
        (56, geometry.frag),
        (60, layout.params.minfree.into()),
        (72, !(geometry.block - 1)),
        (76, !(geometry.fragment - 1)),
        (80, geometry.block.ilog2().into()),
        (84, geometry.fragment.ilog2().into()),
        (88, CONTIG_SUMS),
        (92, pointers),
        (96, geometry.frag.ilog2().into()),
        (100, (geometry.fragment / 512).ilog2().into()),
        (104, (FS_SIZE as u64).next_multiple_of(geometry.fragment)),
        (116, pointers),
        (120, geometry.inodes_per_block()),
        (144, layout.id[0].into()),
        (148, layout.id[1].into()),
        (156, geometry.summary()),
        (160, geometry.tables()[6].next_multiple_of(geometry.fragment)),
        (184, geometry.inodes),
        (188, geometry.size),
    ]);
    fields.raw(208, &CLEAN);
    fields.raw(680, &layout.label);
    fields.u32(860, low(geometry.block));
    fields.u64(1000, PLACES[usize::from(geometry.wide)]);
    for (number, value) in total.all().into_iter().enumerate() {
        fields.u32(192 + number * 4, low(value));
        fields.u64(1008 + number * 8, value);
    }
    let taken = geometry.superblock
        + geometry.groups * (geometry.data - geometry.superblock)
        + geometry.summary() / geometry.fragment;
    let free = geometry.total.saturating_sub(taken);
    fields.u64(1072, layout.time.seconds.cast_unsigned());
    fields.u64(1080, geometry.total);
    fields.u64(1088, free);
    fields.u64(1096, geometry.data);
    // Of avgfilesize and avgfpdir on: what makefs takes.
    fields.all(&[(1196, 16384), (1200, 64), (1316, CONTIG_SUMS)]);
    fields.all(&[(1320, LINKS[usize::from(geometry.wide)]), (1324, 2)]);
    let blocks =
        (1..=3).fold(12u64, |sum, depth| sum.saturating_add(pointers.saturating_pow(depth)));
    fields.u64(1328, blocks.saturating_mul(geometry.block).saturating_sub(1).min(i64::MAX as u64));
    fields.u64(1336, geometry.block - 1);
    fields.u64(1344, geometry.fragment - 1);
    fields.u32(FS_MAGIC, MAGICS[usize::from(geometry.wide)]);
    if !geometry.wide {
        old(layout, free, &mut fields);
    }
    fields.bytes
}

/// What version 1 has at its older places.
fn old(layout: &Layout, free: u64, fields: &mut Fields) {
    let geometry = &layout.geometry;
    let sectors = geometry.fragment / 512;
    fields.all(&[
        (28, u64::from(u32::MAX)),
        (32, layout.time.seconds.cast_unsigned()),
        (36, geometry.total),
        (40, free),
        (68, 60),
        (124, sectors),
        // Cylinders as large as groups, of one track each.
        (132, geometry.size * sectors),
        (136, 1),
        (152, geometry.data),
        (168, geometry.size * sectors),
        (172, geometry.size * sectors),
        (176, geometry.groups),
        (180, 1),
        (1356, 1),
        (1360, 1),
    ]);
}

/// A group's header.
pub(super) fn group(layout: &Layout, number: u64, sums: &Sums) -> Vec<u8> {
    let geometry = &layout.geometry;
    // OK to cast: at most 64 KiB.
    let mut fields = Fields::new(geometry.block as usize, layout.params.big_endian);
    let [totals, positions, used, free, cluster_sums, clusters, end] = geometry.tables();
    let blocks = geometry.size_of(number) / geometry.frag;
    fields.all(&[(4, CG_MAGIC.into()), (12, number), (20, geometry.size_of(number))]);
    for (field, value) in sums.all().into_iter().enumerate() {
        fields.u32(24 + field * 4, low(value));
    }
    fields.all(&[
        (92, used),
        (96, free),
        (100, end),
        (104, cluster_sums),
        (108, clusters),
        (112, blocks),
    ]);
    fields.u64(136, layout.time.seconds.cast_unsigned());
    if geometry.wide {
        // All inodes are there: those not used are zero.
        fields.all(&[(116, geometry.inodes), (120, geometry.inodes)]);
    } else {
        fields.all(&[(8, layout.time.seconds.cast_unsigned()), (84, totals), (88, positions)]);
        fields.u16(16, 1);
        fields.u16(18, u16::try_from(geometry.inodes).unwrap_or(u16::MAX));
    }
    let taken =
        (layout.rows.len() as u64 + u64::from(ROOT)).saturating_sub(number * geometry.inodes);
    for inode in 0..taken.min(geometry.inodes) {
        set(&mut fields, used + inode / 8, inode % 8);
    }
    let mut runs = Runs::default();
    for block in 0..blocks {
        let from = first_free(layout, number * (geometry.size / geometry.frag) + block);
        for fragment in from..geometry.frag {
            let bit = block * geometry.frag + fragment;
            set(&mut fields, free + bit / 8, bit % 8);
        }
        if from == 0 {
            set(&mut fields, clusters + block / 8, block % 8);
        } else if from < geometry.frag {
            runs.fragments[(geometry.frag - from) as usize & 7] += 1;
        }
        runs.block(from == 0);
    }
    runs.block(false);
    for (length, (fragments, clusters)) in runs.fragments.into_iter().zip(runs.clusters).enumerate()
    {
        fields.u32(52 + length * 4, fragments);
        fields.u32(cluster_sums as usize + (length + 1) * 4, clusters);
    }
    fields.bytes
}

/// How many runs of free fragments and of free blocks there are, by their length.
#[derive(Default)]
struct Runs {
    fragments: [u32; 8],
    /// One less than the length; the last one is for all longer ones.
    clusters: [u32; 8],
    open: usize,
}

impl Runs {
    fn block(&mut self, free: bool) {
        if free {
            self.open += 1;
        } else if let Some(last) = self.open.checked_sub(1) {
            if let Some(count) = self.clusters.get_mut(last.min(7)) {
                *count += 1;
            }
            self.open = 0;
        }
    }
}

fn set(fields: &mut Fields, at: u64, bit: u64) {
    if let Some(byte) = fields.bytes.get_mut(at as usize) {
        *byte |= 1 << bit;
    }
}

/// The first fragment of a block that is free, with all behind it.
fn first_free(layout: &Layout, block: u64) -> u64 {
    let geometry: &Geometry = &layout.geometry;
    match geometry.place(block) {
        Place::Data(number) if number >= layout.used => 0,
        Place::Data(number) => {
            let found = layout.shared.binary_search_by_key(&number, |shared| shared.block);
            found.ok().and_then(|at| layout.shared.get(at)).map_or(geometry.frag, |s| s.used)
        }
        Place::Summary(_) if geometry.summary_last(block) => {
            geometry.frag - geometry.summary_left()
        }
        _ => geometry.frag,
    }
}
