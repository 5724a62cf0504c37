//! The medium: every block is made when it is read.
//!
//! Holds no image. Invariant: what is read twice is the same both times; late contents were
//! settled before.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use zerocopy::IntoBytes as _;

use super::blockmap::BlockMap;
use super::bytes::{copy, cut, put};
use super::extents;
use super::features::EXTENTS;
use super::geometry::{Fixed, What};
use super::hash::crc_of_inode;
use super::plan::Plan;
use super::rows::{Row, Who};
use super::runs::Run;
use super::settle;
use crate::engine::base::tree::{Kind, NodeId};
use crate::engine::base::{Content, Error, Extent, Kind as ErrorKind, Placement, SectorSource};
use crate::engine::base::{read_exact_at, within};

/// Directories and trees that are kept once they were made: one for each of a few readers.
const KEPT: usize = 4;
/// An extent is not made longer than this by what follows it.
const LONG: u64 = 4 << 20;

/// Blocks of a directory, or those that map a file.
type Made = Arc<Vec<u8>>;

/// The medium.
pub(super) struct Image {
    plan: Box<Plan>,
    descriptors: Vec<u8>,
    settled: HashMap<NodeId, Content>,
    /// The first bytes, before the superblock.
    boot: Vec<u8>,
    made: Mutex<Vec<(u32, Made)>>,
}

/// Where a number of a block for contents leads.
struct Found<'a> {
    ino: u32,
    row: &'a Row,
    /// Blocks of the row before it.
    at: u64,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ext Image({} bytes, {} inodes)", self.plan.len, self.plan.rows.count())
    }
}

impl Image {
    /// The medium at a place; late contents of the tree are computed now.
    pub(super) fn new(plan: Box<Plan>, place: &Placement) -> Result<Self, Error> {
        let settled = settle::contents(&plan, place)?;
        let descriptors = plan.descriptors();
        let boot = super::boot::code(&plan, place)?;
        Ok(Self { plan, descriptors, settled, boot, made: Mutex::new(Vec::new()) })
    }

    fn block(&self) -> u64 {
        self.plan.geometry.shape.bytes()
    }

    /// Fills as much of `buffer` as lies in one piece from `offset` on. How much that was.
    fn read_piece(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let size = self.block();
        let block = offset / size;
        let geometry = &self.plan.geometry;
        let fixed = geometry.fixed_at(block);
        if let Some(fixed) = fixed.filter(|fixed| fixed.start <= block) {
            let end = (fixed.start + fixed.len) * size;
            let len = cut(buffer, end - offset);
            self.read_fixed(fixed, offset - fixed.start * size, len);
            return Ok(len.len());
        }
        let number = geometry.contents_before(block);
        if block < geometry.first || number >= self.plan.used {
            // Before the first block, and all that is free.
            let end = fixed.map_or(self.plan.len, |fixed| fixed.start * size);
            let part = cut(buffer, end.max(offset + 1) - offset);
            part.fill(0);
            return Ok(part.len());
        }
        let contiguous = geometry.content_at(number).1;
        let part = cut(buffer, contiguous * size - offset % size);
        self.read_contents(number, offset % size, part)
    }

    fn read_fixed(&self, fixed: &Fixed, at: u64, part: &mut [u8]) {
        let plan = &self.plan;
        let size = self.block() as usize;
        let whole = |part: &mut [u8], bytes: &[u8]| copy(bytes, at, part);
        match fixed.what {
            What::Super(group) => {
                let mut block = vec![0; size];
                // Group 0's copy lies behind the boot block, whatever the size of a block.
                let from = if group == 0 && size > 1024 { 1024 } else { 0 };
                put(&mut block, from, plan.superblock(group).as_bytes());
                whole(part, &block);
            }
            What::Descriptors => whole(part, &self.descriptors),
            What::Reserved(group) => self.blockwise(at, part, |n| {
                if group == 0 { plan.reserved_block(n) } else { vec![0; size] }
            }),
            What::BlockBitmap(group) if plan.blocks_unwritten(group.into()) => part.fill(0),
            What::BlockBitmap(group) => whole(part, &plan.block_bitmap(group.into())),
            What::InodeBitmap(group) if plan.inodes_unwritten(group.into()) => part.fill(0),
            What::InodeBitmap(group) => whole(part, &plan.inode_bitmap(group.into())),
            What::InodeTable(group) => self.blockwise(at, part, |n| plan.table_block(group, n)),
        }
    }

    /// Fills `part` block by block.
    fn blockwise(&self, at: u64, part: &mut [u8], make: impl Fn(u64) -> Vec<u8>) {
        let size = self.block();
        let mut done = 0;
        while done < part.len() {
            let from = at + done as u64;
            let rest = part.get_mut(done..).unwrap_or_default();
            let now = cut(rest, size - from % size);
            copy(&make(from / size), from % size, now);
            done += now.len();
        }
    }

    /// Which row a block for contents belongs to.
    fn find(&self, number: u64) -> Option<Found<'_>> {
        let rows = &self.plan.rows.rows;
        // Rows without a block share their number with the next one: the last has the block.
        let at = rows.partition_point(|row| row.first <= number).checked_sub(1)?;
        let row = rows.get(at)?;
        Some(Found { ino: at as u32 + 1, row, at: number - row.first })
    }

    fn read_contents(&self, number: u64, skip: u64, part: &mut [u8]) -> Result<usize, Error> {
        let size = self.block();
        let Some(Found { ino, row, at }) = self.find(number) else {
            return Err(Error::new(ErrorKind::Io, format!("no file has block {number}")));
        };
        let left = |end: u64| (end - at) * size - skip;
        if at >= row.first_map() - row.first + u64::from(row.maps) {
            let part = cut(part, left(row.blocks()));
            copy(&self.plan.xattr_block(row), skip, part);
            return Ok(part.len());
        }
        if at >= row.data {
            let part = cut(part, left(row.data + u64::from(row.maps)));
            return self.read_maps(ino, row, (at - row.data) * size + skip, part);
        }
        let part = cut(part, left(row.data));
        let offset = at * size + skip;
        let node = match row.who {
            Who::Node(node) => node,
            Who::LostFound => {
                copy(&self.directory(ino, row), offset, part);
                return Ok(part.len());
            }
            Who::Journal => {
                copy(&self.plan.journal_super(), offset, part);
                return Ok(part.len());
            }
            Who::Resize => {
                copy(&self.plan.resize_map(), offset, part);
                return Ok(part.len());
            }
            Who::Nobody => return Ok(part.len()),
        };
        match &self.plan.tree.node(node).kind {
            Kind::Directory(_) => copy(&self.directory(ino, row), offset, part),
            Kind::Symlink(text) => copy(text, offset, part),
            Kind::File(content) => {
                let mut one = [Run { logical: 0, len: 0, before: 0 }];
                let (from, most) = self.in_file(row, at, &mut one);
                let part = cut(part, most * size - skip);
                let content = self.settled.get(&node).unwrap_or(content);
                let origin = self.plan.tree.origin(node);
                read_file(content, from * size + skip, part).map_err(|e| e.at(origin))?;
                return Ok(part.len());
            }
            _ => part.fill(0),
        }
        Ok(part.len())
    }

    /// Where a row's allocated block `at` lies in its file, and how many follow without a hole.
    fn in_file(&self, row: &Row, at: u64, one: &mut [Run; 1]) -> (u64, u64) {
        let runs = self.plan.rows.runs(row, one);
        let found = runs.partition_point(|run| run.before <= at).checked_sub(1);
        let Some(run) = found.and_then(|found| runs.get(found)) else { return (at, 1) };
        (run.logical + at - run.before, (run.before + run.len).saturating_sub(at).max(1))
    }

    fn read_maps(&self, ino: u32, row: &Row, at: u64, part: &mut [u8]) -> Result<usize, Error> {
        let plan = &self.plan;
        let places = (row.first, row.first_map());
        let mut one = [Run { logical: 0, len: 0, before: 0 }];
        let runs = plan.rows.runs(row, &mut one);
        if plan.geometry.shape.features.has(EXTENTS) {
            let made = self.kept(ino, || {
                let seed = plan.seed().map(|seed| crc_of_inode(seed, ino, 0));
                extents::build(&plan.geometry, places, runs, seed).blocks
            });
            copy(&made, at, part);
        } else {
            let map = BlockMap::new(runs, self.block());
            self.blockwise(at, part, |n| map.block(n, &plan.geometry, places, runs));
        }
        Ok(part.len())
    }

    fn directory(&self, ino: u32, row: &Row) -> Made {
        self.kept(ino, || self.plan.directory(ino, row))
    }

    /// What was made for an inode, made now if it is not kept.
    fn kept(&self, ino: u32, make: impl FnOnce() -> Vec<u8>) -> Made {
        let kept = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, made)) = kept().iter().find(|(of, _)| *of == ino) {
            return Arc::clone(made);
        }
        let made = Arc::new(make());
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((ino, Arc::clone(&made)));
        made
    }

    /// The first blocks from `block` on that may be something else than zeros.
    fn next_blocks(&self, block: u64) -> Option<(u64, u64)> {
        let geometry = &self.plan.geometry;
        let mut block = block.max(geometry.first);
        while block < geometry.blocks {
            let fixed = geometry.fixed_at(block);
            if let Some(fixed) = fixed.filter(|fixed| fixed.start <= block) {
                let end = fixed.start + self.used_of(fixed);
                if block < end {
                    return Some((block, end));
                }
                block = fixed.start + fixed.len;
                continue;
            }
            let number = geometry.contents_before(block);
            if number >= self.plan.used {
                block = fixed?.start;
                continue;
            }
            let end = (number + geometry.content_at(number).1).min(self.plan.used);
            let (from, to) = self.without_log(number, end);
            if from < to {
                return Some((block + from - number, block + to - number));
            }
            block += end - number;
        }
        None
    }

    /// The part of numbers of blocks that comes first and is not the journal's empty log.
    fn without_log(&self, from: u64, to: u64) -> (u64, u64) {
        let journal = self.plan.rows.rows.iter().take(16).find(|row| row.who == Who::Journal);
        let Some(row) = journal.filter(|row| row.data > 1) else { return (from, to) };
        let (start, end) = (row.first + 1, row.first + row.data);
        if from < start { (from, to.min(start)) } else { (from.max(end), to) }
    }

    /// Blocks of a fixed piece that may be something else than zeros: the first ones.
    fn used_of(&self, fixed: &Fixed) -> u64 {
        let plan = &self.plan;
        match fixed.what {
            What::Super(_) | What::Descriptors => fixed.len,
            What::Reserved(group) => {
                let copies = (1..plan.geometry.group_count().min(2)).count();
                if group == 0 && copies > 0 { fixed.len } else { 0 }
            }
            What::BlockBitmap(group) => u64::from(!plan.blocks_unwritten(group.into())),
            What::InodeBitmap(group) => u64::from(!plan.inodes_unwritten(group.into())),
            What::InodeTable(group) => {
                let bytes = plan.inodes_in(group.into()) * u64::from(plan.rules.inode_size);
                bytes.div_ceil(self.block())
            }
        }
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.plan.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.plan.len, offset, buffer.len(), ErrorKind::Io)?;
        let mut done = 0;
        while done < buffer.len() {
            let rest = buffer.get_mut(done..).unwrap_or_default();
            done += self.read_piece(offset + done as u64, rest)?.max(1);
        }
        // Nothing else lies there: the superblock begins at 1024.
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (to, from) in buffer.iter_mut().zip(self.boot.iter().skip(skip)) {
            *to = *from;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let size = self.block();
        if size == super::boot::LEN as u64 && offset < self.boot.len() as u64 {
            // Larger blocks have it in the superblock's.
            return Extent::new(offset, size);
        }
        let (start, mut end) = self.next_blocks(offset / size)?;
        let wanted = LONG / size;
        while end - start < wanted {
            match self.next_blocks(end) {
                Some((next, next_end)) if next == end => end = next_end,
                _ => break,
            }
        }
        Extent::new((start * size).max(offset), (end * size).min(self.plan.len))
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let size = self.block();
        let block = offset / size;
        let geometry = &self.plan.geometry;
        if block < geometry.first || geometry.fixed_at(block).is_some_and(|f| f.start <= block) {
            return None;
        }
        let number = geometry.contents_before(block);
        if number >= self.plan.used {
            return None;
        }
        let Found { row, at, .. } = self.find(number)?;
        let Who::Node(node) = row.who else { return None };
        let Kind::File(Content::Sectors(source)) = &self.plan.tree.node(node).kind else {
            return None;
        };
        if at >= row.data {
            return None;
        }
        let mut one = [Run { logical: 0, len: 0, before: 0 }];
        let (from, most) = self.in_file(row, at, &mut one);
        let inside = from * size + offset % size;
        let (path, start, len) = source.file_range_at(inside)?;
        let blocks = most.min(geometry.content_at(number).1);
        let len = len.min(blocks * size - offset % size).min(source.len().checked_sub(inside)?);
        (len > 0).then_some((path, start, len))
    }
}

/// A file's bytes from `at` on, then zeros.
fn read_file(content: &Content, at: u64, part: &mut [u8]) -> Result<(), Error> {
    let held = content.len().saturating_sub(at).min(part.len() as u64);
    // OK to cast: at most the length of the buffer.
    let (front, behind) = part.split_at_mut(held as usize);
    behind.fill(0);
    if front.is_empty() {
        return Ok(());
    }
    match content {
        Content::Bytes(bytes) => read_exact_at(bytes, at, front),
        Content::Sectors(source) => source.read_at(at, front),
        Content::Late(_) => Err(Error::new(ErrorKind::Io, "late contents were not settled")),
    }
}
