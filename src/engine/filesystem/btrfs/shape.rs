//! Tables of what a tree becomes: which node is which inode, every name with its hash, where the
//! data lie.
//!
//! Reads no contents, only where their holes are. Invariants: the tables depend on the tree alone;
//! rows are in the order of inode numbers; whatever btrfs cannot hold was refused.

use std::sync::Arc;

use super::attributes;
use super::constants::{FIRST_FREE, LINKS, extref_hash, name_hash};
use super::ondisk::{DirItem, InodeExtref, InodeRef, ItemHead};
use crate::engine::base::tree::{Node, NodeId, Tree};
use crate::engine::base::{Error, Kind as ErrorKind};

/// What the tables are made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) node_size: usize,
    pub(super) sector: u64,
    /// Bytes of a file at most that lie in the tree.
    pub(super) max_inline: u64,
    /// Where data begin.
    pub(super) data: u64,
}

impl Rules {
    /// Bytes of an item's data at most.
    pub(super) const fn item(self) -> usize {
        super::constants::node_room(self.node_size) - size_of::<ItemHead>()
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Row of the directory.
    pub(super) parent: u32,
    /// Row of what has the name.
    pub(super) child: u32,
    pub(super) hash: u32,
    /// Of the directory's entries by their hashes, the one that comes at this place.
    pub(super) hashed: u32,
    name_at: u32,
    name_len: u8,
}

/// A piece of a file, or all of a small one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Where in the file.
    pub(super) offset: u64,
    /// Where on the medium; of small files, where the next data would lie.
    pub(super) disk: u64,
    /// Bytes: whole sectors, or those of the small file.
    pub(super) len: u64,
    /// Whether it lies in the tree.
    pub(super) inline: bool,
}

/// A name that had no room beside the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extref {
    pub(super) row: u32,
    pub(super) hash: u32,
    pub(super) entry: u32,
}

/// The tables.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) tree: Arc<Tree>,
    pub(super) rules: Rules,
    /// The node of each row; inode numbers are rows behind `FIRST_FREE`.
    pub(super) order: Vec<NodeId>,
    pub(super) entries: Vec<Entry>,
    /// For each row its first entry, and one more.
    pub(super) first_entry: Vec<u32>,
    names: Vec<u8>,
    /// Entries by the row they name, then by their directory.
    pub(super) refs: Vec<u32>,
    pub(super) first_ref: Vec<u32>,
    pub(super) extrefs: Vec<Extref>,
    pub(super) attributes: attributes::Table,
    pub(super) pieces: Vec<Piece>,
    pub(super) first_piece: Vec<u32>,
    /// Bytes from the beginning of the data region that are given out.
    pub(super) data_used: u64,
}

impl Shape {
    pub(super) fn new(tree: Arc<Tree>, rules: Rules) -> Result<Self, Error> {
        let (order, rows) = order(&tree);
        let mut shape = Self {
            tree,
            rules,
            order,
            entries: Vec::new(),
            first_entry: Vec::new(),
            names: Vec::new(),
            refs: Vec::new(),
            first_ref: Vec::new(),
            extrefs: Vec::new(),
            attributes: attributes::Table::default(),
            pieces: Vec::new(),
            first_piece: Vec::new(),
            data_used: 0,
        };
        shape.list_names(&rows)?;
        drop(rows);
        shape.list_references()?;
        for row in 0..shape.order.len() {
            shape.place(row).map_err(|e| shape.refused(row, e))?;
            let Some(id) = shape.order.get(row).copied() else { continue };
            let attributes = shape.tree.node(id).attributes.as_deref();
            let added = attributes.map(|list| shape.attributes.add(row as u32, list, rules.item()));
            added.unwrap_or(Ok(())).map_err(|e| shape.refused(row, e))?;
        }
        shape.first_piece.push(shape.pieces.len() as u32);
        shape.pieces.shrink_to_fit();
        Ok(shape)
    }

    /// The error with the path and the field of the node that it is about.
    fn refused(&self, row: usize, error: Error) -> Error {
        let Some(id) = self.order.get(row).copied() else { return error };
        let path = self.tree.walk().find(|step| step.node == id).map(|step| step.path);
        let message = format!("{}: {error}", path.unwrap_or_default());
        Error::new(error.kind(), message).at(self.tree.origin(id))
    }

    /// The node of a row.
    pub(super) fn node(&self, row: u32) -> Option<&Node> {
        self.order.get(row as usize).map(|id| self.tree.node(*id))
    }

    /// The name of an entry.
    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        let at = entry.name_at as usize;
        self.names.get(at..at + usize::from(entry.name_len)).unwrap_or_default()
    }

    /// The number in its directory that an entry has: 2 is the first.
    pub(super) fn index(&self, entry: u32) -> u64 {
        let parent = self.entries.get(entry as usize).map_or(0, |entry| entry.parent);
        let first = self.first_entry.get(parent as usize).copied().unwrap_or(0);
        u64::from(entry - first) + 2
    }

    /// The row that a piece belongs to.
    pub(super) fn row_of_piece(&self, piece: u32) -> u32 {
        (self.first_piece.partition_point(|first| *first <= piece) - 1) as u32
    }

    /// The piece that holds the byte at `disk`.
    pub(super) fn piece_at(&self, disk: u64) -> Option<(u32, &Piece)> {
        let mut behind = self.pieces.partition_point(|piece| piece.disk <= disk);
        // Small files stand between the others.
        while let Some(index) = behind.checked_sub(1) {
            let piece = self.pieces.get(index)?;
            if !piece.inline {
                return (disk - piece.disk < piece.len).then_some((index as u32, piece));
            }
            behind = index;
        }
        None
    }

    fn list_names(&mut self, rows: &[u32]) -> Result<(), Error> {
        for (row, id) in self.order.iter().enumerate() {
            let first = self.entries.len();
            self.first_entry.push(first as u32);
            let Some(entries) = self.tree.node(*id).entries() else { continue };
            for (name, child) in entries {
                let bytes = name.as_bytes();
                let name_at = u32::try_from(self.names.len()).map_err(|_| {
                    let message =
                        "all names of a btrfs tree together have at most 4294967295 bytes";
                    Error::new(ErrorKind::Document, message)
                })?;
                self.names.extend_from_slice(bytes);
                self.entries.push(Entry {
                    parent: row as u32,
                    child: rows.get(child.index()).copied().unwrap_or(0),
                    hash: name_hash(bytes),
                    hashed: 0,
                    name_at,
                    // OK to cast: a name has at most 255 bytes.
                    name_len: bytes.len() as u8,
                });
            }
            let group = self.entries.get_mut(first..).unwrap_or_default();
            let mut by_hash: Vec<(u32, u32)> =
                group.iter().enumerate().map(|(n, e)| (e.hash, (first + n) as u32)).collect();
            by_hash.sort_unstable();
            for (entry, (_, hashed)) in group.iter_mut().zip(by_hash) {
                entry.hashed = hashed;
            }
        }
        self.first_entry.push(self.entries.len() as u32);
        self.names.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.check_hashes()
    }

    /// Names of a directory with the same hash must have room in one item.
    fn check_hashes(&self) -> Result<(), Error> {
        let (mut last, mut bytes) = (None, 0);
        for entry in &self.entries {
            let Some(entry) = self.entries.get(entry.hashed as usize) else { continue };
            if last != Some((entry.parent, entry.hash)) {
                (last, bytes) = (Some((entry.parent, entry.hash)), 0);
            }
            bytes += size_of::<DirItem>() + usize::from(entry.name_len);
            if bytes > self.rules.item() {
                let message = format!(
                    "names with the hash {:#010x} take {bytes} bytes, but have room in one item of \
                     {} bytes only; one is \"{}\"",
                    entry.hash,
                    self.rules.item(),
                    self.name(entry).escape_ascii()
                );
                let error = Error::new(ErrorKind::Document, message);
                return Err(self.refused(entry.parent as usize, error));
            }
        }
        Ok(())
    }

    fn list_references(&mut self) -> Result<(), Error> {
        let mut refs: Vec<u32> = (0..self.entries.len() as u32).collect();
        let child = |entry: &u32| self.entries.get(*entry as usize).map_or(0, |entry| entry.child);
        // Entries are in the order of their directories.
        refs.sort_by_key(child);
        let (mut kept, mut at) = (Vec::with_capacity(refs.len()), 0);
        for row in 0..self.order.len() as u32 {
            self.first_ref.push(kept.len() as u32);
            let (mut parent, mut bytes, mut names) = (None, 0, 0);
            while let Some(entry) = refs.get(at).filter(|entry| child(entry) == row) {
                let Some(found) = self.entries.get(*entry as usize) else { break };
                if parent != Some(found.parent) {
                    (parent, bytes) = (Some(found.parent), 0);
                }
                bytes += size_of::<InodeRef>() + usize::from(found.name_len);
                if bytes <= self.rules.item() {
                    kept.push(*entry);
                } else {
                    let number = FIRST_FREE + u64::from(found.parent);
                    let hash = extref_hash(number, self.name(found));
                    self.extrefs.push(Extref { row, hash, entry: *entry });
                }
                (names, at) = (names + 1, at + 1);
            }
            if names > LINKS {
                let message = format!("{names} names, but a file of btrfs has at most {LINKS}");
                return Err(self.refused(row as usize, Error::new(ErrorKind::Document, message)));
            }
        }
        self.first_ref.push(kept.len() as u32);
        self.refs = kept;
        self.extrefs.sort_unstable_by_key(|extref| (extref.row, extref.hash, extref.entry));
        let room = self.rules.item() / (size_of::<InodeExtref>() + 255);
        let same = |a: &Extref, b: &Extref| (a.row, a.hash) == (b.row, b.hash);
        if let Some(many) = self.extrefs.chunk_by(same).find(|chunk| chunk.len() > room) {
            let message =
                format!("{} names with the same hash, at most {room} have room", many.len());
            let row = many.first().map_or(0, |extref| extref.row);
            return Err(self.refused(row as usize, Error::new(ErrorKind::Document, message)));
        }
        Ok(())
    }
}

/// The nodes in the order of their first names, directories before what lies in them, and the row of
/// each node.
fn order(tree: &Tree) -> (Vec<NodeId>, Vec<u32>) {
    let (mut order, mut rows) = (Vec::new(), vec![u32::MAX; tree.rows()]);
    let mut open = vec![Tree::ROOT];
    while let Some(id) = open.pop() {
        let Some(row) = rows.get_mut(id.index()).filter(|row| **row == u32::MAX) else { continue };
        *row = order.len() as u32;
        order.push(id);
        if let Some(entries) = tree.node(id).entries() {
            open.extend(entries.values().rev());
        }
    }
    order.shrink_to_fit();
    (order, rows)
}
