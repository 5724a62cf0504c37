//! The items of the tree of files, made from the tables one by one.
//!
//! Reads contents of small files only. Invariant: the order is that of the keys, and an item's
//! length is known without its data.

use std::ops::Range;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::constants::{
    DIR_INDEX, DIR_ITEM, ENTRY_BLOCK, ENTRY_CHAR, ENTRY_DIRECTORY, ENTRY_FIFO, ENTRY_FILE,
    ENTRY_SOCKET, ENTRY_SYMLINK, EXTENT_DATA, EXTENT_INLINE, EXTENT_REGULAR, FIRST_FREE,
    INODE_EXTREF, INODE_ITEM, INODE_REF, Key, XATTR_ITEM,
};
use super::ondisk::{
    DirItem, FileExtent, FileExtentPlace, InodeExtref, InodeItem, InodeRef, Timespec,
};
use super::packed::{Cursor, Item, Items, lost, put};
use super::shape::{Entry, Shape};
use super::write::GENERATION;
use crate::engine::base::tree::{Kind, Node, Time};
use crate::engine::base::{Content, Error, read_exact_at};

/// The items of the tree of files.
#[derive(Clone, Debug)]
pub(super) struct Files(pub(super) Arc<Shape>);

/// What the number of an item in its row means; each with what is left of it.
enum Part {
    Inode,
    /// References from this one on.
    Reference(u32),
    Extref(usize),
    Attribute(usize),
    /// Entries by hash from this one on.
    Hashed(u32),
    Indexed(u32),
    Piece(u32),
}

fn range(firsts: &[u32], row: u32) -> Range<u32> {
    let at = |row: usize| firsts.get(row).copied().unwrap_or(0);
    at(row as usize)..at(row as usize + 1)
}

impl Files {
    fn part(&self, cursor: Cursor) -> Option<Part> {
        let (shape, row) = (&self.0, cursor.row);
        if row as usize >= shape.order.len() {
            return None;
        }
        let Some(mut at) = cursor.item.checked_sub(1) else { return Some(Part::Inode) };
        // The root directory names itself.
        let refs = range(&shape.first_ref, row);
        let count = if row == 0 { 1 } else { refs.len() as u32 };
        if at < count {
            return Some(Part::Reference(refs.start + at));
        }
        at -= count;
        if !shape.extrefs.is_empty() {
            let first = shape.extrefs.partition_point(|extref| extref.row < row);
            let count = shape.extrefs.partition_point(|extref| extref.row <= row) - first;
            if (at as usize) < count {
                return Some(Part::Extref(first + at as usize));
            }
            at -= count as u32;
        }
        if shape.node(row)?.attributes.is_some() {
            let count = shape.attributes.of(row).len() as u32;
            if at < count {
                return Some(Part::Attribute(at as usize));
            }
            at -= count;
        }
        let entries = range(&shape.first_entry, row);
        for part in [Part::Hashed, Part::Indexed] {
            if at < entries.len() as u32 {
                return Some(part(entries.start + at));
            }
            at -= entries.len() as u32;
        }
        let pieces = range(&shape.first_piece, row);
        (at < pieces.len() as u32).then(|| Part::Piece(pieces.start + at))
    }

    fn entry(&self, entry: u32) -> Option<&Entry> {
        self.0.entries.get(entry as usize)
    }

    /// References of one directory to `row`, from the reference `first` on.
    fn same_parent(&self, row: u32, first: u32) -> impl Iterator<Item = (u32, &Entry)> {
        let end = range(&self.0.first_ref, row).end;
        let refs = self.0.refs.get(first as usize..end as usize).unwrap_or_default();
        let found = refs.iter().filter_map(|entry| Some((*entry, self.entry(*entry)?)));
        let parent = found.clone().next().map(|(_, entry)| entry.parent);
        found.take_while(move |(_, entry)| Some(entry.parent) == parent)
    }

    /// Entries of a directory with one hash, from the place `first` on.
    fn same_hash(&self, row: u32, first: u32) -> impl Iterator<Item = &Entry> {
        let end = range(&self.0.first_entry, row).end;
        let places = self.0.entries.get(first as usize..end as usize).unwrap_or_default();
        let found = places.iter().filter_map(|place| self.entry(place.hashed));
        let hash = found.clone().next().map(|entry| entry.hash);
        found.take_while(move |entry| Some(entry.hash) == hash)
    }

    fn same_extref(&self, first: usize) -> impl Iterator<Item = (u32, u32, &Entry)> {
        let rest = self.0.extrefs.get(first..).unwrap_or_default();
        let same = rest.chunk_by(|a, b| (a.row, a.hash) == (b.row, b.hash)).next();
        let found = same.unwrap_or_default().iter();
        found.filter_map(|extref| Some((extref.hash, extref.entry, self.entry(extref.entry)?)))
    }

    fn measure(&self, cursor: Cursor, part: &Part) -> Option<(u8, u64, usize, u32)> {
        let (shape, row) = (&self.0, cursor.row);
        let name = |entry: &Entry| shape.name(entry).len();
        Some(match *part {
            Part::Inode => (INODE_ITEM, 0, size_of::<InodeItem>(), 1),
            Part::Reference(_) if row == 0 => (INODE_REF, FIRST_FREE, size_of::<InodeRef>() + 2, 1),
            Part::Reference(first) => {
                let (mut len, mut count, mut parent) = (0, 0, 0);
                for (_, entry) in self.same_parent(row, first) {
                    len += size_of::<InodeRef>() + name(entry);
                    (count, parent) = (count + 1, entry.parent);
                }
                (INODE_REF, FIRST_FREE + u64::from(parent), len, count)
            }
            Part::Extref(first) => {
                let (mut len, mut count, mut hash) = (0, 0, 0);
                for (same, _, entry) in self.same_extref(first) {
                    len += size_of::<InodeExtref>() + name(entry);
                    (count, hash) = (count + 1, same);
                }
                (INODE_EXTREF, u64::from(hash), len, count)
            }
            Part::Attribute(at) => {
                let (hash, data) = shape.attributes.of(row).nth(at)?;
                (XATTR_ITEM, u64::from(hash), data.len(), 1)
            }
            Part::Hashed(first) => {
                let (mut len, mut count, mut hash) = (0, 0, 0);
                for entry in self.same_hash(row, first) {
                    len += size_of::<DirItem>() + name(entry);
                    (count, hash) = (count + 1, entry.hash);
                }
                (DIR_ITEM, u64::from(hash), len, count)
            }
            Part::Indexed(entry) => {
                let len = size_of::<DirItem>() + name(self.entry(entry)?);
                (DIR_INDEX, shape.index(entry), len, 1)
            }
            Part::Piece(piece) => {
                let piece = shape.pieces.get(piece as usize)?;
                let len = match piece.inline {
                    true => piece.len as usize,
                    false => size_of::<FileExtentPlace>(),
                };
                (EXTENT_DATA, piece.offset, size_of::<FileExtent>() + len, 1)
            }
        })
    }

    fn inode(&self, row: u32, node: &Node) -> InodeItem {
        let shape = &self.0;
        let entries = range(&shape.first_entry, row);
        let entries = shape.entries.get(entries.start as usize..entries.end as usize);
        let pieces = range(&shape.first_piece, row);
        let pieces = shape.pieces.get(pieces.start as usize..pieces.end as usize);
        let names = |list: &[Entry]| list.iter().map(|e| shape.name(e).len() as u64 * 2).sum();
        let (size, nlink) = match node.kind {
            Kind::Directory(_) => (entries.map_or(0, names), 1),
            _ => (node.len(), node.names()),
        };
        let rdev = match node.kind {
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                u64::from(device.major) << 20 | u64::from(device.minor)
            }
            _ => 0,
        };
        let time = timespec(node.meta.modified);
        InodeItem {
            generation: GENERATION.into(),
            transid: GENERATION.into(),
            size: size.into(),
            nbytes: pieces.unwrap_or_default().iter().map(|piece| piece.len).sum::<u64>().into(),
            nlink: nlink.into(),
            uid: node.meta.uid.into(),
            gid: node.meta.gid.into(),
            mode: (mode(&node.kind) | u32::from(node.meta.mode & 0o7777)).into(),
            rdev: rdev.into(),
            atime: time,
            ctime: time,
            mtime: time,
            otime: time,
            ..InodeItem::default()
        }
    }

    fn dir_item(&self, entry: &Entry) -> DirItem {
        let kind = self.0.node(entry.child).map_or(0, |node| entry_kind(&node.kind));
        DirItem {
            location: Key::new(FIRST_FREE + u64::from(entry.child), INODE_ITEM, 0).disk(),
            transid: GENERATION.into(),
            data_len: 0.into(),
            name_len: (self.0.name(entry).len() as u16).into(),
            kind,
        }
    }

    fn fill_piece(&self, row: u32, piece: u32, data: &mut [u8]) -> Result<(), Error> {
        let piece = self.0.pieces.get(piece as usize).ok_or_else(lost)?;
        let kind = if piece.inline { EXTENT_INLINE } else { EXTENT_REGULAR };
        let head = FileExtent {
            generation: GENERATION.into(),
            ram_bytes: piece.len.into(),
            kind,
            ..FileExtent::default()
        };
        let (front, rest) = data.split_at_mut_checked(size_of::<FileExtent>()).ok_or_else(lost)?;
        put(front, 0, head.as_bytes())?;
        if !piece.inline {
            let place = FileExtentPlace {
                disk_bytenr: piece.disk.into(),
                disk_num_bytes: piece.len.into(),
                offset: 0.into(),
                num_bytes: piece.len.into(),
            };
            return put(rest, 0, place.as_bytes());
        }
        match &self.0.node(row).ok_or_else(lost)?.kind {
            Kind::Symlink(target) => put(rest, 0, target),
            Kind::File(Content::Bytes(bytes)) => read_exact_at(bytes, 0, rest),
            Kind::File(Content::Sectors(source)) => source.read_at(0, rest),
            _ => Err(lost()),
        }
    }
}

impl Items for Files {
    fn at(&self, cursor: Cursor) -> Option<Item> {
        let part = self.part(cursor)?;
        let (kind, offset, len, count) = self.measure(cursor, &part)?;
        let key = Key::new(FIRST_FREE + u64::from(cursor.row), kind, offset);
        let mut next = Cursor { row: cursor.row, item: cursor.item + count };
        if self.part(next).is_none() {
            next = Cursor { row: cursor.row + 1, item: 0 };
        }
        Some(Item { key, len, next })
    }

    fn fill(&self, cursor: Cursor, data: &mut [u8]) -> Result<(), Error> {
        let (shape, row) = (&self.0, cursor.row);
        let mut into = data;
        let mut push = |bytes: &[u8]| {
            let (front, rest) = std::mem::take(&mut into).split_at_mut_checked(bytes.len())?;
            front.copy_from_slice(bytes);
            into = rest;
            Some(())
        };
        let name_len = |name: &[u8]| (name.len() as u16).into();
        let done = match self.part(cursor).ok_or_else(lost)? {
            Part::Inode => push(self.inode(row, shape.node(row).ok_or_else(lost)?).as_bytes()),
            Part::Reference(_) if row == 0 => {
                push(InodeRef { index: 0.into(), name_len: 2.into() }.as_bytes());
                push(b"..")
            }
            Part::Reference(first) => self.same_parent(row, first).try_for_each(|(at, entry)| {
                let name = shape.name(entry);
                let index = shape.index(at).into();
                push(InodeRef { index, name_len: name_len(name) }.as_bytes())?;
                push(name)
            }),
            Part::Extref(first) => self.same_extref(first).try_for_each(|(_, at, entry)| {
                let name = shape.name(entry);
                let parent = (FIRST_FREE + u64::from(entry.parent)).into();
                let index = shape.index(at).into();
                push(InodeExtref { parent, index, name_len: name_len(name) }.as_bytes())?;
                push(name)
            }),
            Part::Attribute(at) => {
                shape.attributes.of(row).nth(at).and_then(|(_, data)| push(data))
            }
            Part::Hashed(first) => self.same_hash(row, first).try_for_each(|entry| {
                push(self.dir_item(entry).as_bytes())?;
                push(shape.name(entry))
            }),
            Part::Indexed(entry) => self.entry(entry).and_then(|entry| {
                push(self.dir_item(entry).as_bytes())?;
                push(shape.name(entry))
            }),
            Part::Piece(piece) => return self.fill_piece(row, piece, into),
        };
        done.ok_or_else(lost)
    }
}

/// A time on disk: all of a `Time` has room.
pub(super) fn timespec(time: Time) -> Timespec {
    Timespec { seconds: time.seconds.cast_unsigned().into(), nanos: time.nanos.into() }
}

const fn mode(kind: &Kind) -> u32 {
    match kind {
        Kind::Directory(_) => 0o040_000,
        Kind::File(_) => 0o100_000,
        Kind::Symlink(_) => 0o120_000,
        Kind::CharDevice(_) => 0o020_000,
        Kind::BlockDevice(_) => 0o060_000,
        Kind::Fifo => 0o010_000,
        Kind::Socket => 0o140_000,
    }
}

const fn entry_kind(kind: &Kind) -> u8 {
    match kind {
        Kind::Directory(_) => ENTRY_DIRECTORY,
        Kind::File(_) => ENTRY_FILE,
        Kind::Symlink(_) => ENTRY_SYMLINK,
        Kind::CharDevice(_) => ENTRY_CHAR,
        Kind::BlockDevice(_) => ENTRY_BLOCK,
        Kind::Fifo => ENTRY_FIFO,
        Kind::Socket => ENTRY_SOCKET,
    }
}
