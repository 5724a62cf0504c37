//! The bytes of an image, made when they are read.
//!
//! Holds no directory but the large ones that were read last. Invariants: files are in the order of
//! their places, and so are the other contents; what lies in none is zero.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::geometry::{Directory, Hierarchy};
use super::ondisk::SECTOR;
use super::records::{self, Books};
use crate::engine::base::tree::{Kind, NodeId, Tree};
use crate::engine::base::{
    Content, Error, Extent, Kind as ErrorKind, SectorSource, read_exact_at, within,
};

/// Directories of so many bytes are kept: others are made again when a second part of them is read.
const LARGE: u64 = 64 << 10;

/// How many of them.
const KEPT: usize = 2;

/// A large directory that was made: its sector and its bytes.
type Kept = (u32, Arc<[u8]>);

/// An image whose contents have no place to wait for.
pub(super) struct Image {
    pub(super) len: u64,
    pub(super) tree: Arc<Tree>,
    pub(super) trees: Vec<Hierarchy>,
    pub(super) starts: Vec<u32>,
    pub(super) serials: Vec<u32>,
    /// Nodes with bytes, in the order of their places.
    pub(super) files: Vec<NodeId>,
    /// What the tree's own content is replaced by.
    pub(super) replaced: HashMap<NodeId, Content>,
    /// Descriptors and path tables, boot images without a name, what is appended: by offset.
    pub(super) others: Vec<(u64, Content)>,
    pub(super) kept: Mutex<Vec<Kept>>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iso9660({} bytes, {} files)", self.len, self.files.len())
    }
}

impl Image {
    fn file(&self, node: NodeId) -> (u64, Option<&Content>) {
        let start = self.starts.get(node.index()).copied().unwrap_or_default();
        let own = match &self.tree.node(node).kind {
            Kind::File(content) => Some(content),
            _ => None,
        };
        let content = if self.replaced.is_empty() { None } else { self.replaced.get(&node) };
        (u64::from(start) * SECTOR, content.or(own))
    }

    /// The files that end behind `offset`, in order.
    fn files_behind(&self, offset: u64) -> &[NodeId] {
        let first = self.files.partition_point(|node| {
            let (start, content) = self.file(*node);
            start + content.map_or(0, Content::len) <= offset
        });
        self.files.get(first..).unwrap_or_default()
    }

    fn others_behind(&self, offset: u64) -> &[(u64, Content)] {
        let first = self.others.partition_point(|(start, content)| start + content.len() <= offset);
        self.others.get(first..).unwrap_or_default()
    }

    /// A directory's records and continuation areas.
    fn directory(&self, tree: &Hierarchy, index: u32, directory: &Directory) -> Arc<[u8]> {
        let large = u64::from(directory.sectors()) * SECTOR >= LARGE;
        if !large {
            return self.make(tree, index, directory);
        }
        // Held while it is made: others that want it wait instead of making it, too.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = kept.iter().find(|(sector, _)| *sector == directory.sector) {
            return Arc::clone(bytes);
        }
        let bytes = self.make(tree, index, directory);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((directory.sector, Arc::clone(&bytes)));
        bytes
    }

    fn make(&self, tree: &Hierarchy, index: u32, directory: &Directory) -> Arc<[u8]> {
        let items = records::listing(&self.tree, tree, directory.node);
        let books = Books {
            tree: &self.tree,
            hierarchy: tree,
            starts: &self.starts,
            serials: &self.serials,
        };
        let mut built = records::build(&books, index, &items);
        built.records.append(&mut built.overflow);
        built.records.into()
    }

    fn read_directories(&self, wanted: Extent, buffer: &mut [u8]) -> Result<(), Error> {
        for tree in &self.trees {
            let directory = |index: &u32| tree.get(*index);
            let ends_before = |index: &u32| {
                directory(index).is_some_and(|directory| {
                    let end = u64::from(directory.sector) + u64::from(directory.sectors());
                    end * SECTOR <= wanted.start()
                })
            };
            let first = tree.order.partition_point(ends_before);
            for index in tree.order.iter().skip(first) {
                let Some(directory) = directory(index) else { continue };
                let start = u64::from(directory.sector) * SECTOR;
                if start >= wanted.end() {
                    break;
                }
                let bytes = self.directory(tree, *index, directory);
                copy(&Content::Bytes(bytes), start, wanted, buffer)?;
            }
        }
        Ok(())
    }
}

/// Copies what `content`, which begins at `start`, has of `wanted`, whose bytes `buffer` holds.
fn copy(content: &Content, start: u64, wanted: Extent, buffer: &mut [u8]) -> Result<(), Error> {
    let Some(both) =
        Extent::new(start, start + content.len()).and_then(|extent| extent.intersect(wanted))
    else {
        return Ok(());
    };
    let range = (both.start() - wanted.start()) as usize..(both.end() - wanted.start()) as usize;
    let part = buffer.get_mut(range).unwrap_or_default();
    match content {
        Content::Bytes(bytes) => read_exact_at(bytes, both.start() - start, part),
        Content::Sectors(source) => source.read_at(both.start() - start, part),
        Content::Late(_) => Err(Error::new(ErrorKind::Document, "a content has no place yet")),
    }
}

/// The first extent of `content`, which begins at `start`, that ends behind `offset`.
fn extent_of(content: &Content, start: u64, offset: u64) -> Option<Extent> {
    let from = offset.saturating_sub(start);
    let inner = match content {
        Content::Sectors(source) => source.next_extent(from),
        Content::Bytes(_) | Content::Late(_) => Extent::new(from, content.len()),
    }?;
    Extent::new((start + inner.start()).max(offset), start + inner.end())
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = within(self.len, offset, buffer.len(), ErrorKind::Io)?;
        buffer.fill(0);
        let Some(wanted) = Extent::new(offset, end) else { return Ok(()) };
        for (start, content) in self.others_behind(offset) {
            if *start >= end {
                break;
            }
            copy(content, *start, wanted, buffer)?;
        }
        self.read_directories(wanted, buffer)?;
        for node in self.files_behind(offset) {
            let (start, content) = self.file(*node);
            if start >= end {
                break;
            }
            if let Some(content) = content {
                copy(content, start, wanted, buffer).map_err(|e| e.at(self.tree.origin(*node)))?;
            }
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let directories = self.trees.iter().filter_map(|tree| {
            let first = u64::from(tree.get(0)?.sector) * SECTOR;
            let end = first + u64::from(tree.sectors) * SECTOR;
            Extent::new(first.max(offset), end)
        });
        let others = self.others_behind(offset).iter();
        let other = others.filter_map(|(start, content)| extent_of(content, *start, offset)).next();
        let files = self.files_behind(offset).iter().filter_map(|node| {
            let (start, content) = self.file(*node);
            extent_of(content?, start, offset)
        });
        directories.chain(other).chain(files.take(1)).min_by_key(|extent| extent.start())
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let (start, content) = self.file(*self.files_behind(offset).first()?);
        let Content::Sectors(source) = content? else { return None };
        source.file_range_at(offset.checked_sub(start)?)
    }
}
