//! The directories of one tree in an image: which there are, in which order, how long each is.
//!
//! Reads no content. Invariants: directories are in the order of the path table (ECMA-119 7.9.1); the
//! length of a directory is measured by making it.

use std::collections::HashMap;

use super::names::Naming;
use super::ondisk::SECTOR;
use super::records::{self, Books, Role};
use crate::engine::base::tree::{NodeId, Tree};
use crate::engine::base::{Error, Kind};

/// Levels of directories, the root counted: ECMA-119 7.8.2.
const MAX_LEVEL: u32 = 8;

/// No directory, no place.
pub(super) const NONE: u32 = u32::MAX;

/// A directory of one of the two trees.
#[derive(Debug)]
pub(super) struct Directory {
    /// None: the directory that relocated ones are put into.
    pub(super) node: Option<NodeId>,
    /// Its identifier, for the path table.
    pub(super) id: Box<[u8]>,
    /// The directory that holds its record.
    pub(super) holder: u32,
    /// The directory that it belongs to: another one, if it was relocated.
    pub(super) parent: u32,
    pub(super) sector: u32,
    /// Bytes of the records, a multiple of the sector: what its own record says.
    pub(super) len: u32,
    /// Sectors with continuation areas behind them.
    pub(super) overflow: u32,
    /// Directories that belong to it.
    pub(super) children: u32,
}

impl Directory {
    /// Sectors of records and continuation areas.
    pub(super) const fn sectors(&self) -> u32 {
        self.len / SECTOR as u32 + self.overflow
    }

    /// The sector of its first continuation area.
    pub(super) const fn overflow_at(&self) -> u32 {
        self.sector.saturating_add(self.len / SECTOR as u32)
    }

    pub(super) const fn relocated(&self) -> bool {
        self.holder != self.parent
    }
}

/// Directories that lie too deep, and where they belong.
#[derive(Debug, Default)]
pub(super) struct Relocations {
    /// In the order of the tree, with their names.
    pub(super) list: Vec<(NodeId, Box<[u8]>)>,
    /// The directory that each belongs to.
    pub(super) parents: HashMap<NodeId, NodeId>,
}

/// One tree of directories.
#[derive(Debug)]
pub(super) struct Hierarchy {
    pub(super) naming: Naming,
    pub(super) rock_ridge: bool,
    /// In the order of the path table.
    pub(super) directories: Vec<Directory>,
    /// The directory that a node is.
    index: Vec<u32>,
    /// Their numbers in the order of their places.
    pub(super) order: Vec<u32>,
    pub(super) relocations: Relocations,
    /// Bytes of a path table.
    pub(super) path_table: u32,
    /// Sectors of all directories.
    pub(super) sectors: u32,
}

impl Hierarchy {
    /// The directories of `tree` with their lengths; `place` gives them sectors.
    pub(super) fn new(naming: Naming, rock_ridge: bool, tree: &Tree) -> Result<Self, Error> {
        let mut made = Self {
            naming,
            rock_ridge,
            directories: Vec::new(),
            index: vec![NONE; tree.rows()],
            order: Vec::new(),
            relocations: Relocations::default(),
            path_table: 0,
            sectors: 0,
        };
        if matches!(naming, Naming::Primary(_)) {
            made.relocations = relocations(tree, rock_ridge)?;
        }
        made.arrange(tree)?;
        made.adopt();
        made.sum()?;
        Ok(made)
    }

    /// The directory of a node; none of a node that is no directory.
    pub(super) fn of(&self, node: NodeId) -> Option<(u32, &Directory)> {
        let index = self.index.get(node.index()).copied().filter(|index| *index != NONE)?;
        Some((index, self.get(index)?))
    }

    pub(super) fn get(&self, index: u32) -> Option<&Directory> {
        self.directories.get(index as usize)
    }

    /// The directory that relocated ones are put into.
    pub(super) fn moved(&self) -> Option<&Directory> {
        let one = |directory: &&Directory| directory.node.is_none();
        if self.relocations.list.is_empty() { None } else { self.directories.iter().find(one) }
    }

    /// Puts every directory into the list behind the one that holds it: level by level.
    fn arrange(&mut self, tree: &Tree) -> Result<(), Error> {
        self.push(Some(Tree::ROOT), [0].into(), 0);
        let mut at = 0;
        while let Some(directory) = self.directories.get(at) {
            let here = u32::try_from(at).unwrap_or(NONE);
            let items = records::listing(tree, self, directory.node);
            let books = Books { tree, hierarchy: self, starts: &[], serials: &[] };
            let built = records::build(&books, here, &items);
            let bytes = built.records.len();
            let refused =
                |_| Error::new(Kind::Document, format!("a directory would have {bytes} bytes"));
            let len = u32::try_from(built.records.len()).map_err(refused)?;
            let overflow = built.overflow.len().div_ceil(SECTOR as usize);
            let inside = |item: &records::Item<'_>| match item.role {
                Role::Entry => item.node.is_some_and(|id| tree.node(id).kind.is_directory()),
                Role::Moved | Role::Relocated => true,
                Role::Elsewhere => false,
            };
            let found: Vec<(Option<NodeId>, Box<[u8]>)> = items
                .into_iter()
                .filter(inside)
                .map(|item| (item.node, item.id.into_boxed_slice()))
                .collect();
            if let Some(directory) = self.directories.get_mut(at) {
                directory.len = len;
                directory.overflow = u32::try_from(overflow).map_err(refused)?;
            }
            found.into_iter().for_each(|(node, id)| self.push(node, id, here));
            at += 1;
        }
        Ok(())
    }

    fn push(&mut self, node: Option<NodeId>, id: Box<[u8]>, holder: u32) {
        let index = u32::try_from(self.directories.len()).unwrap_or(NONE);
        if let Some(row) = node.and_then(|node| self.index.get_mut(node.index())) {
            *row = index;
        }
        self.directories.push(Directory {
            node,
            id,
            holder,
            parent: holder,
            sector: 0,
            len: 0,
            overflow: 0,
            children: 0,
        });
    }

    /// Says where relocated directories belong, and counts.
    fn adopt(&mut self) {
        for (child, parent) in &self.relocations.parents {
            let parent = self.index.get(parent.index()).copied().unwrap_or(NONE);
            let child = self.index.get(child.index()).copied().unwrap_or(NONE);
            if let Some(directory) = self.directories.get_mut(child as usize) {
                directory.parent = parent;
            }
        }
        for at in 1..self.directories.len() {
            // The one for relocated directories is not seen, so nobody counts it.
            let seen = self.directories.get(at).filter(|directory| directory.node.is_some());
            let parent = seen.map_or(NONE, |directory| directory.parent);
            if let Some(directory) = self.directories.get_mut(parent as usize) {
                directory.children += 1;
            }
        }
    }

    fn sum(&mut self) -> Result<(), Error> {
        let count = self.directories.len();
        if count > usize::from(u16::MAX) {
            let message =
                format!("the tree has {count} directories, an ISO 9660 path table holds 65535");
            return Err(Error::new(Kind::Document, message));
        }
        let lens =
            self.directories.iter().map(|directory| 8 + directory.id.len().next_multiple_of(2));
        self.path_table = u32::try_from(lens.sum::<usize>()).unwrap_or(NONE);
        let sectors = self.directories.iter().map(|directory| u64::from(directory.sectors()));
        self.sectors = u32::try_from(sectors.sum::<u64>())
            .map_err(|_| Error::new(Kind::Document, "directories of more than 8 TiB"))?;
        Ok(())
    }

    /// Gives the directories their sectors, from `first` on; they fit (see `sectors`). Each is
    /// followed by those that it holds, and relocated ones come before all others: libarchive reads
    /// an image from front to back, and finds them in no other order.
    pub(super) fn place(&mut self, first: u32) {
        // Those of one holder follow each other in the list.
        let mut held = vec![(0, 0); self.directories.len()];
        for (at, directory) in self.directories.iter().enumerate().skip(1) {
            if let Some((from, to)) = held.get_mut(directory.holder as usize) {
                *from = if *to == 0 { at } else { *from };
                *to = at + 1;
            }
        }
        let mut sector = first;
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            let Some(directory) = self.directories.get_mut(at) else { continue };
            directory.sector = sector;
            sector = sector.saturating_add(directory.sectors());
            self.order.push(u32::try_from(at).unwrap_or(NONE));
            let (from, to) = held.get(at).copied().unwrap_or_default();
            open.extend((from..to).rev());
            let moved = |at: &usize| {
                self.directories.get(*at).is_some_and(|directory| directory.node.is_none())
            };
            if at == 0
                && let Some(moved) = (from..to).find(moved)
            {
                open.retain(|at| *at != moved);
                open.push(moved);
            }
        }
    }
}

/// What lies too deep in `tree`: a directory whose level would be nine is put into one that lies in
/// the root, where it is on level three.
fn relocations(tree: &Tree, rock_ridge: bool) -> Result<Relocations, Error> {
    let mut found = Relocations::default();
    let mut open = vec![(Tree::ROOT, 1)];
    while let Some((parent, level)) = open.pop() {
        // Backwards: what is put last is taken first, so the order is that of the tree.
        for (name, node) in tree.node(parent).entries().into_iter().flatten().rev() {
            if !tree.node(*node).kind.is_directory() {
                continue;
            }
            if level < MAX_LEVEL {
                open.push((*node, level + 1));
                continue;
            }
            if !rock_ridge {
                let message = format!(
                    "\"{}\" lies {MAX_LEVEL} directories deep: without Rock Ridge an ISO 9660 image \
                     has {MAX_LEVEL} levels, the root counted",
                    records::path(tree, *node)
                );
                return Err(Error::new(Kind::Document, message).at(tree.origin(*node)));
            }
            found.list.push((*node, name.as_bytes().into()));
            found.parents.insert(*node, parent);
            open.push((*node, 3));
        }
    }
    Ok(found)
}
