//! An FFS' sectors, made when they are read.
//!
//! Holds the sums of the groups, one directory and one file's map in memory. Invariant: what is read
//! does not depend on how it is cut into reads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::encode;
use super::geometry::Place;
use super::header::{self, Sums};
use super::map::{Holds, Map};
use super::ondisk::{FS_SIZE, Fields, PLACES, ROOT};
use super::plan::{Layout, Row};
use crate::engine::base::tree::Kind as NodeKind;
use crate::engine::base::{
    Content, Error, Extent, Kind, SectorSource, copy_held, read_exact_at, within,
};

/// A volume.
#[derive(Debug)]
pub(super) struct Image {
    layout: Layout,
    len: u64,
    sums: Vec<Sums>,
    superblock: Vec<u8>,
    summary: Vec<u8>,
    /// The file or directory that was read last.
    last: Mutex<Option<(u32, Arc<Opened>)>>,
}

/// A node whose blocks are being read.
#[derive(Debug)]
struct Opened {
    map: Map,
    /// All bytes of what is no file.
    bytes: Vec<u8>,
}

/// Blocks of one file that follow each other on the volume, too.
struct Stretch {
    inode: u32,
    /// Where in the file's content they begin.
    from: u64,
    /// Bytes.
    len: u64,
}

impl Image {
    pub(super) fn new(layout: Layout, len: u64) -> Self {
        let sums = header::sums(&layout);
        let superblock = header::superblock(&layout, &sums);
        let summary = header::summary(&layout, &sums);
        Self { layout, len, sums, superblock, summary, last: Mutex::new(None) }
    }

    fn open(&self, inode: u32, row: &Row) -> Arc<Opened> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, opened)) = &*last
            && *number == inode
        {
            return Arc::clone(opened);
        }
        let bytes = match &self.layout.tree.node(row.node).kind {
            NodeKind::Directory(_) => encode::directory(&self.layout, row),
            NodeKind::Symlink(target) => target.to_vec(),
            _ => Vec::new(),
        };
        let opened = Arc::new(Opened { map: self.layout.map(row), bytes });
        *last = Some((inode, Arc::clone(&opened)));
        opened
    }

    /// The node that a data block belongs to, with its inode.
    fn owner(&self, number: u64) -> Option<(u32, &Row)> {
        let rows = &self.layout.rows;
        let at = rows.partition_point(|row| row.start <= number).checked_sub(1)?;
        let row = rows.get(at).filter(|row| number < row.start + row.count)?;
        Some((u32::try_from(at).ok()? + ROOT, row))
    }

    /// The file data that lies from a data block on.
    fn stretch(&self, number: u64) -> Option<Stretch> {
        let (inode, row) = self.owner(number)?;
        let opened = self.open(inode, row);
        let own = number - row.start;
        let at = opened.map.runs.partition_point(|run| run.from + run.count <= own);
        let run = opened.map.runs.get(at)?;
        let Holds::Data(first) = run.holds else { return None };
        let block = self.layout.geometry.block_at(number);
        let most = run.from + run.count - own;
        // Groups are seldom on the way: halving finds the one that is.
        let together =
            |count: u64| self.layout.geometry.block_at(number + count - 1) == block + count - 1;
        let (mut low, mut high) = (1, most);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if together(middle) { low = middle } else { high = middle - 1 }
        }
        let size = self.layout.geometry.block;
        Some(Stretch { inode, from: (first + own - run.from) * size, len: low * size })
    }

    /// Bytes of a node from `from` on; what it has not is left as it is.
    fn node(&self, inode: u32, from: u64, into: &mut [u8]) -> Result<(), Error> {
        let Some(row) = self.layout.row(inode.into()) else { return Ok(()) };
        let Some(content) = self.layout.content(row) else {
            copy_held(&self.open(inode, row).bytes, from, into);
            return Ok(());
        };
        let held = content.len().saturating_sub(from).min(into.len() as u64);
        // OK to cast: at most the length of the buffer.
        let Some(part) = into.get_mut(..held as usize).filter(|part| !part.is_empty()) else {
            return Ok(());
        };
        let read = match content {
            Content::Bytes(bytes) => read_exact_at(bytes, from, part),
            Content::Sectors(source) => source.read_at(from, part),
            Content::Late(_) => Err(Error::new(Kind::Document, "a late content is not settled")),
        };
        read.map_err(|error| error.at(self.layout.tree.origin(row.node)))
    }

    /// A block that is not a file's data.
    fn block(&self, block: u64) -> Result<Vec<u8>, Error> {
        let geometry = &self.layout.geometry;
        // OK to cast: at most 64 KiB.
        let mut bytes = vec![0; geometry.block as usize];
        let begin = block * geometry.block;
        match geometry.place(block) {
            Place::Boot => {
                let at = PLACES[usize::from(geometry.wide)];
                if let Some(skip) = at.checked_sub(begin).filter(|skip| *skip < geometry.block) {
                    copy_held(
                        &self.superblock,
                        0,
                        bytes.get_mut(skip as usize..).unwrap_or_default(),
                    );
                }
            }
            Place::Superblock => {
                let inside = block % (geometry.size / geometry.frag) * geometry.frag;
                copy_held(
                    &self.superblock,
                    (inside - geometry.superblock) * geometry.fragment,
                    &mut bytes,
                );
            }
            Place::Header(group) => {
                let sums = usize::try_from(group).ok().and_then(|at| self.sums.get(at));
                bytes = header::group(&self.layout, group, sums.unwrap_or(&Sums::default()));
            }
            Place::Inodes(first) => {
                let size = geometry.inode_size() as usize;
                for (inode, place) in (first..).zip(bytes.chunks_mut(size)) {
                    if let Some(row) = self.layout.row(inode) {
                        place.copy_from_slice(&encode::inode(&self.layout, row));
                    }
                }
            }
            Place::Summary(number) => copy_held(&self.summary, number * geometry.block, &mut bytes),
            Place::Data(number) => self.data(number, &mut bytes)?,
        }
        Ok(bytes)
    }

    /// A data block with an indirect block, tails, or a directory.
    fn data(&self, number: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let geometry = &self.layout.geometry;
        if let Ok(at) = self.layout.shared.binary_search_by_key(&number, |shared| shared.block) {
            let shared = self.layout.shared.get(at).into_iter().flat_map(|shared| &shared.tails);
            for (fragment, inode) in shared {
                let Some(row) = self.layout.row((*inode).into()) else { continue };
                let from = self.layout.stored(row) / geometry.block * geometry.block;
                let at = (fragment * geometry.fragment) as usize;
                self.node(*inode, from, bytes.get_mut(at..).unwrap_or_default())?;
            }
            return Ok(());
        }
        let Some((inode, row)) = self.owner(number) else { return Ok(()) };
        let opened = self.open(inode, row);
        let own = number - row.start;
        let run =
            opened.map.runs.iter().find(|run| (run.from..run.from + run.count).contains(&own));
        match run.map(|run| (run.holds, own - run.from)) {
            Some((Holds::Data(first), more)) => {
                self.node(inode, (first + more) * geometry.block, bytes)
            }
            Some((Holds::Indirect(depth, begin), _)) => {
                let width = if geometry.wide { 8 } else { 4 };
                let mut fields = Fields::new(bytes.len(), self.layout.params.big_endian);
                let pointers = opened.map.pointers(geometry, depth, begin);
                for (number, own) in pointers.into_iter().enumerate() {
                    let at =
                        own.map_or(0, |own| geometry.block_at(row.start + own) * geometry.frag);
                    fields.number(number * width, geometry.wide, at);
                }
                copy_held(&fields.bytes, 0, bytes);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether a block can hold something, or the next one that can.
    fn held(&self, block: u64) -> Result<(), u64> {
        let geometry = &self.layout.geometry;
        let each = geometry.size / geometry.frag;
        match geometry.place(block) {
            Place::Data(number) if number >= self.layout.used => {
                let (group, inside) = (block / each, block % each);
                let before = geometry.superblock / geometry.frag;
                Err(group * each + if inside < before { before } else { each })
            }
            Place::Inodes(first) if self.layout.row(first.max(ROOT.into())).is_none() => {
                Err(block + 1)
            }
            Place::Boot => {
                let at = PLACES[usize::from(geometry.wide)];
                let here = at / geometry.block == block && FS_SIZE > 0;
                if here { Ok(()) } else { Err(block + 1) }
            }
            _ => Ok(()),
        }
    }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Io)?;
        buffer.fill(0);
        let geometry = &self.layout.geometry;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let (block, inside) = (at / geometry.block, at % geometry.block);
            if block * geometry.frag >= geometry.total {
                break;
            }
            let stretch = match geometry.place(block) {
                Place::Data(number) => self.stretch(number),
                _ => None,
            };
            let len = stretch.as_ref().map_or(geometry.block, |stretch| stretch.len) - inside;
            // OK to cast: at most the length of the buffer.
            let (now, behind) = rest.split_at_mut(len.min(rest.len() as u64) as usize);
            match stretch {
                Some(stretch) => self.node(stretch.inode, stretch.from + inside, now)?,
                None if self.held(block).is_ok() => copy_held(&self.block(block)?, inside, now),
                None => {}
            }
            at += now.len() as u64;
            rest = behind;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let geometry = &self.layout.geometry;
        let end = geometry.total / geometry.frag;
        let mut block = offset / geometry.block;
        while block < end {
            match self.held(block) {
                Err(next) => block = next,
                Ok(()) => {
                    let mut last = block + 1;
                    while last < end && last - block < 4096 && self.held(last).is_ok() {
                        last += 1;
                    }
                    let from = (block * geometry.block).max(offset);
                    return Extent::new(from, last * geometry.block);
                }
            }
        }
        None
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let geometry = &self.layout.geometry;
        let (block, inside) = (offset / geometry.block, offset % geometry.block);
        let Place::Data(number) = geometry.place(block) else { return None };
        let stretch = self.stretch(number)?;
        let row = self.layout.row(stretch.inode.into())?;
        let Some(Content::Sectors(source)) = self.layout.content(row) else { return None };
        if stretch.from + inside >= source.len() {
            return None;
        }
        let (path, at, len) = source.file_range_at(stretch.from + inside)?;
        Some((path, at, len.min(stretch.len - inside)))
    }
}
