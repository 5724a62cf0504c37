//! The records of one directory, made when they are measured and again when they are read.
//!
//! Holds nothing between two calls. Invariants: no record crosses a sector; what is made has the same
//! length whatever the places are.

use zerocopy::IntoBytes as _;

use super::geometry::{Directory, Hierarchy};
use super::names::{Namer, order};
use super::ondisk::{
    Both16, Both32, Date7, FLAG_DIRECTORY, FLAG_MULTI_EXTENT, MAX_RECORD, RECORD, Record, S_IFDIR,
    SECTOR,
};
use super::susp::{Entries, Overflow, type_bits};
use crate::engine::base::tree::{Kind, Meta, NodeId, Tree, TreePath};

/// Bytes of a file section that is followed by another one: the most whole sectors that its 32 bits
/// can tell.
const SECTION: u64 = (1 << 32) - SECTOR;

/// The name of the directory that relocated ones are put into; readers of Rock Ridge do not show it.
const MOVED: &[u8] = b"rr_moved";

/// What an item of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// What the tree has there.
    Entry,
    /// A directory of the tree that lies elsewhere.
    Elsewhere,
    /// A directory that belongs elsewhere.
    Relocated,
    /// The directory that those are put into.
    Moved,
}

/// An item of a directory.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) id: Vec<u8>,
    pub(super) name: &'a [u8],
    pub(super) node: Option<NodeId>,
    pub(super) role: Role,
}

/// All that records are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Books<'a> {
    pub(super) tree: &'a Tree,
    pub(super) hierarchy: &'a Hierarchy,
    /// The first sector of each node's content.
    pub(super) starts: &'a [u32],
    /// The serial number of each node.
    pub(super) serials: &'a [u32],
}

/// A directory's bytes.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) records: Vec<u8>,
    pub(super) overflow: Vec<u8>,
}

/// The path of a node, for messages.
pub(super) fn path(tree: &Tree, node: NodeId) -> TreePath {
    tree.walk().find(|step| step.node == node).map(|step| step.path).unwrap_or_default()
}

/// What lies in the directory `node` (none: the one of relocated directories), sorted.
pub(super) fn listing<'a>(
    tree: &'a Tree,
    hierarchy: &'a Hierarchy,
    node: Option<NodeId>,
) -> Vec<Item<'a>> {
    let mut namer = Namer::new(hierarchy.naming);
    let moved = &hierarchy.relocations;
    let mut items = Vec::new();
    let mut add = |name: &'a [u8], node: Option<NodeId>, role: Role| {
        let directory = match role {
            Role::Entry => node.is_some_and(|node| tree.node(node).kind.is_directory()),
            Role::Elsewhere => false,
            Role::Relocated | Role::Moved => true,
        };
        items.push(Item { id: namer.name(name, directory), name, node, role });
    };
    match node {
        None => {
            moved.list.iter().for_each(|(node, name)| add(name, Some(*node), Role::Relocated));
        }
        Some(directory) => {
            for (name, node) in tree.node(directory).entries().into_iter().flatten() {
                let away = !moved.list.is_empty() && moved.parents.contains_key(node);
                let role = if away { Role::Elsewhere } else { Role::Entry };
                add(name.as_bytes(), Some(*node), role);
            }
            if directory == Tree::ROOT && !moved.list.is_empty() {
                add(MOVED, None, Role::Moved);
            }
        }
    }
    items.sort_by(|one, other| order(hierarchy.naming, &one.id, &other.id));
    items
}

/// Makes the directory with this number.
pub(super) fn build(books: &Books<'_>, index: u32, items: &[Item<'_>]) -> Built {
    let here = books.hierarchy.get(index);
    let overflow = Overflow { sector: here.map_or(0, Directory::overflow_at), bytes: Vec::new() };
    let mut maker = Maker { books, records: Vec::with_capacity(2048), overflow };
    if let Some(here) = here {
        maker.itself(index, here);
        maker.above(index, here);
    }
    items.iter().for_each(|item| maker.item(item));
    maker.records.resize(maker.records.len().next_multiple_of(SECTOR as usize), 0);
    Built { records: maker.records, overflow: maker.overflow.bytes }
}

struct Maker<'a> {
    books: &'a Books<'a>,
    records: Vec<u8>,
    overflow: Overflow,
}

/// A record without its system use field.
struct Plain<'a> {
    id: &'a [u8],
    extent: (u32, u32),
    flags: u8,
    meta: Meta,
}

impl Maker<'_> {
    const fn rock_ridge(&self) -> bool {
        self.books.hierarchy.rock_ridge
    }

    /// What is known about a directory; of the one for relocated ones what is known about the root.
    fn meta(&self, directory: &Directory) -> Meta {
        self.books.tree.node(directory.node.unwrap_or(Tree::ROOT)).meta
    }

    fn serial(&self, node: Option<NodeId>) -> u32 {
        let row = node.and_then(|node| self.books.serials.get(node.index()));
        row.copied().unwrap_or_default()
    }

    fn of_directory(&self, entries: &mut Entries, directory: &Directory) {
        let meta = self.meta(directory);
        let links = directory.children.saturating_add(2);
        entries.posix(S_IFDIR, &meta, links, self.serial(directory.node));
        entries.times(Date7::new(meta.modified));
    }

    /// ECMA-119 7.8.2.2: the record of the directory itself.
    fn itself(&mut self, index: u32, here: &Directory) {
        let mut entries = Entries::default();
        if self.rock_ridge() {
            if index == 0 {
                entries.sharing();
            }
            self.of_directory(&mut entries, here);
            if index == 0 {
                entries.extension();
            }
        }
        self.directory(&[0], here, &entries);
    }

    /// The record of the directory that holds it. RRIP 4.1.5.2: if it belongs elsewhere, with the
    /// place of the directory where it does.
    fn above(&mut self, index: u32, here: &Directory) {
        let hierarchy = self.books.hierarchy;
        let (Some(holder), Some(parent)) = (hierarchy.get(here.holder), hierarchy.get(here.parent))
        else {
            return;
        };
        let mut entries = Entries::default();
        if self.rock_ridge() {
            self.of_directory(&mut entries, parent);
            let moved =
                here.node.is_some_and(|node| hierarchy.relocations.parents.contains_key(&node));
            if index != 0 && moved {
                entries.parent(if here.relocated() { parent.sector } else { 0 });
            }
        }
        self.directory(&[1], holder, &entries);
    }

    fn directory(&mut self, id: &[u8], directory: &Directory, entries: &Entries) {
        let extent = (directory.sector, directory.len);
        let meta = self.meta(directory);
        self.record(&Plain { id, extent, flags: FLAG_DIRECTORY, meta }, entries);
    }

    fn item(&mut self, item: &Item<'_>) {
        let hierarchy = self.books.hierarchy;
        let directory = match item.node {
            Some(node) => hierarchy.of(node).map(|(_, directory)| directory),
            None => hierarchy.moved(),
        };
        let node = item.node.unwrap_or(Tree::ROOT);
        let entries = self.entries(item, node, directory);
        let meta = self.books.tree.node(node).meta;
        let mut plain = Plain { id: &item.id, extent: (0, 0), flags: 0, meta };
        match (item.role, &self.books.tree.node(node).kind) {
            (Role::Elsewhere, _) => {}
            (Role::Relocated | Role::Moved, _) | (Role::Entry, Kind::Directory(_)) => {
                plain.flags = FLAG_DIRECTORY;
                plain.extent = directory.map_or((0, 0), |found| (found.sector, found.len));
            }
            (Role::Entry, Kind::File(content)) => {
                return self.sections(plain, content.len(), node, &entries);
            }
            (Role::Entry, _) => {}
        }
        self.record(&plain, &entries);
    }

    /// ECMA-119 7.5.1: a record for each section of a file.
    fn sections(&mut self, mut plain: Plain<'_>, len: u64, node: NodeId, entries: &Entries) {
        let start = self.books.starts.get(node.index()).copied().unwrap_or_default();
        let mut done = 0;
        loop {
            let left = len - done;
            let now = if left > u64::from(u32::MAX) { SECTION } else { left };
            let sectors = u32::try_from(done / SECTOR).unwrap_or(u32::MAX);
            let start = if len == 0 { 0 } else { start.saturating_add(sectors) };
            plain.extent = (start, u32::try_from(now).unwrap_or(u32::MAX));
            plain.flags = if now < left { FLAG_MULTI_EXTENT } else { 0 };
            self.record(&plain, entries);
            done += now;
            if done == len {
                break;
            }
        }
    }

    fn entries(&self, item: &Item<'_>, id: NodeId, directory: Option<&Directory>) -> Entries {
        let mut entries = Entries::default();
        if !self.rock_ridge() {
            return entries;
        }
        let node = self.books.tree.node(id);
        if let Some(directory) = directory {
            self.of_directory(&mut entries, directory);
        } else if node.kind.is_directory() {
            // Its length is all that counts before it has a place.
            entries.posix(S_IFDIR, &node.meta, 2, 0);
            entries.times(Date7::new(node.meta.modified));
        } else {
            entries.posix(type_bits(&node.kind), &node.meta, node.names(), self.serial(Some(id)));
            entries.times(Date7::new(node.meta.modified));
        }
        match item.role {
            Role::Elsewhere => entries.child(directory.map_or(0, |found| found.sector)),
            // Hides the directory from readers of Rock Ridge.
            Role::Relocated | Role::Moved => entries.relocated(),
            Role::Entry => match &node.kind {
                Kind::Symlink(target) => entries.link(target),
                Kind::CharDevice(device) | Kind::BlockDevice(device) => entries.device(*device),
                _ => {}
            },
        }
        entries.name(item.name);
        entries
    }

    fn record(&mut self, plain: &Plain<'_>, entries: &Entries) {
        // ECMA-119 10.1.12: a byte follows the identifier where its length is even.
        let head = (RECORD + plain.id.len()).next_multiple_of(2);
        let field = self.overflow.pack(entries, MAX_RECORD - head);
        let len = (head + field.len()).next_multiple_of(2);
        let left = SECTOR as usize - self.records.len() % SECTOR as usize;
        if len > left {
            self.records.resize(self.records.len() + left, 0);
        }
        let end = self.records.len() + len;
        let record = Record {
            // Both are less than 256: see MAX_RECORD, and the namer's limits.
            len: len.to_le_bytes()[0],
            extent: Both32::new(plain.extent.0),
            data_len: Both32::new(plain.extent.1),
            date: Date7::new(plain.meta.modified),
            flags: plain.flags,
            volume: Both16::new(1),
            id_len: plain.id.len().to_le_bytes()[0],
            ..Record::default()
        };
        self.records.extend(record.as_bytes());
        self.records.extend(plain.id);
        self.records.resize(end - len + head, 0);
        self.records.extend(field);
        self.records.resize(end, 0);
    }
}

/// Whether a file needs more than one section.
pub(super) const fn is_split(len: u64) -> bool {
    len > u32::MAX as u64
}

/// The records of the root in a volume descriptor: ECMA-119 9.4.18.
pub(super) fn root(tree: &Tree, hierarchy: &Hierarchy) -> Record {
    let directory = hierarchy.get(0);
    Record {
        len: 34,
        extent: Both32::new(directory.map_or(0, |root| root.sector)),
        data_len: Both32::new(directory.map_or(0, |root| root.len)),
        date: Date7::new(tree.node(Tree::ROOT).meta.modified),
        flags: FLAG_DIRECTORY,
        volume: Both16::new(1),
        id_len: 1,
        ..Record::default()
    }
}
