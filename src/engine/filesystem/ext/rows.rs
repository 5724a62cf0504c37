//! One row for each inode: what it is, how many blocks it takes, and from which on.
//!
//! Reads no content and knows no place on the medium but through the geometry. Invariants: the row
//! of inode `n` is the `n - 1`th; blocks are given out in the order of inodes: data, what maps it,
//! attributes.

use std::collections::BTreeMap;

use super::blockmap::{self, BlockMap};
use super::dir::Style;
use super::features::{DIR_NLINK, EXT_ATTR, EXTENTS, Features, HUGE_FILE, LARGE_FILE};
use super::geometry::Geometry;
use super::ondisk::{EXTRA_ISIZE, FIRST_INO, JOURNAL_INO, OLD_INODE, RESIZE_INO, ROOT_INO};
use super::runs::{Run, extents, sparse};
use super::{extents as tree_of, xattr};
use crate::engine::base::tree::{Device, Kind, Name, NodeId, Tree};
use crate::engine::base::{Error, Kind as ErrorKind};

/// Text of a link that lies in the inode has less bytes than this.
pub(super) const FAST_LINK: usize = 60;
/// The name that e2fsck puts what it finds under.
pub(super) const LOST_FOUND: &[u8] = b"lost+found";

/// Whose inode it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Nobody,
    Node(NodeId),
    /// The empty directory, where the tree has none.
    LostFound,
    Resize,
    Journal,
}

/// An inode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) who: Who,
    /// Of a directory.
    pub(super) indexed: bool,
    /// Whether attributes have a block.
    pub(super) xattr: bool,
    /// Of a directory its parent's inode.
    pub(super) parent: u32,
    /// Of a file with holes its place in the list, from 1 on.
    holes: u32,
    /// Blocks that map data.
    pub(super) maps: u32,
    /// Blocks of data.
    pub(super) data: u64,
    /// The number of its first block.
    pub(super) first: u64,
}

/// What shapes rows, beside the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) features: Features,
    pub(super) style: Style,
    pub(super) inode_size: u16,
}

/// All inodes in use.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// The inode of each node.
    pub(super) inos: Vec<u32>,
    sparse: Vec<Box<[Run]>>,
}

impl Row {
    const fn new(who: Who) -> Self {
        Self { who, indexed: false, xattr: false, parent: 0, holes: 0, maps: 0, data: 0, first: 0 }
    }

    /// Blocks of all kinds.
    pub(super) fn blocks(&self) -> u64 {
        self.data + u64::from(self.maps) + u64::from(self.xattr)
    }

    /// The number of the first block that maps data.
    pub(super) const fn first_map(&self) -> u64 {
        self.first + self.data
    }
}

impl Rules {
    fn block(&self) -> u64 {
        self.style.block_size as u64
    }

    /// Bytes of an inode behind its fields.
    pub(super) fn room(&self) -> usize {
        usize::from(self.inode_size).saturating_sub(OLD_INODE + EXTRA_ISIZE)
    }

    fn max_links(&self) -> u32 {
        // ext4 counts to 65000, ext2 and ext3 to 32000 (inodes.rst, i_links_count).
        if self.features.has(EXTENTS) { 65000 } else { 32000 }
    }

    /// The largest file.
    fn max_file(&self) -> u64 {
        let mapped = if self.features.has(EXTENTS) {
            u64::from(u32::MAX)
        } else {
            blockmap::most(self.block()).min(u64::from(u32::MAX))
        };
        let mapped = mapped * self.block();
        // Without huge_file, 512-byte sectors are counted in 32 bits; what maps a file counts, too.
        let counted = if self.features.has(HUGE_FILE) {
            mapped
        } else {
            mapped.min((u64::from(u32::MAX) * 512 / 100) * 99)
        };
        if self.features.has(LARGE_FILE) { counted } else { counted.min((1 << 31) - 1) }
    }
}

impl Rows {
    /// The rows of a tree; nothing is placed yet.
    pub(super) fn new(tree: &Tree, rules: &Rules) -> Result<Self, Error> {
        let mut all = Self {
            rows: vec![Row::new(Who::Nobody); FIRST_INO as usize],
            inos: vec![0; tree.rows()],
            sparse: Vec::new(),
        };
        all.give(Tree::ROOT, ROOT_INO);
        all.set(RESIZE_INO, Who::Resize);
        all.set(JOURNAL_INO, Who::Journal);
        all.set(FIRST_INO, Who::LostFound);
        let root = tree.node(Tree::ROOT).entries();
        if let Some(node) = root.and_then(lost_found) {
            if !tree.node(node).kind.is_directory() {
                let message = "ext: /lost+found must be a directory: e2fsck needs it";
                return Err(Error::new(ErrorKind::Input, message).at(tree.origin(node)));
            }
            all.give(node, FIRST_INO);
        }
        let mut open = vec![(Tree::ROOT, ROOT_INO)];
        while let Some((directory, parent)) = open.pop() {
            all.directory(tree, directory, parent, rules, &mut open)?;
        }
        Ok(all)
    }

    fn give(&mut self, node: NodeId, ino: u32) {
        if let Some(place) = self.inos.get_mut(node.index()) {
            *place = ino;
        }
        self.set(ino, Who::Node(node));
    }

    fn set(&mut self, ino: u32, who: Who) {
        if let Some(row) = self.row_mut(ino) {
            row.who = who;
        }
    }

    /// Inodes for what lies in a directory, and its own row.
    fn directory(
        &mut self,
        tree: &Tree,
        directory: NodeId,
        parent: u32,
        rules: &Rules,
        open: &mut Vec<(NodeId, u32)>,
    ) -> Result<(), Error> {
        let own = self.ino(directory);
        let Some(entries) = tree.node(directory).entries() else { return Ok(()) };
        let below = open.len();
        let mut subdirectories = 0u32;
        for node in entries.values() {
            let is_directory = tree.node(*node).kind.is_directory();
            if self.ino(*node) == 0 {
                // OK to cast: a tree has at most 2^24 nodes.
                self.rows.push(Row::new(Who::Nobody));
                self.give(*node, self.rows.len() as u32);
                if !is_directory {
                    self.node(tree, *node, rules).map_err(|e| about(tree, *node, &e))?;
                }
            }
            if is_directory {
                subdirectories += 1;
                open.push((*node, own));
            }
        }
        // What was put last is taken first: keep the order of names.
        open.get_mut(below..).unwrap_or_default().reverse();
        if subdirectories + 2 > rules.max_links() && !rules.features.has(DIR_NLINK) {
            let message = format!(
                "{subdirectories} directories in one: at most {} without dir_nlink",
                rules.max_links() - 2
            );
            return Err(about(tree, directory, &Error::new(ErrorKind::Input, message)));
        }
        let extra = (own == ROOT_INO && lost_found(entries).is_none()).then_some(LOST_FOUND);
        let names = entries.keys().map(|name| name.as_bytes()).chain(extra);
        let (data, indexed) = rules.style.blocks(names);
        let xattr = xattr_block(tree, directory, rules).map_err(|e| about(tree, directory, &e))?;
        if let Some(row) = self.row_mut(own) {
            (row.data, row.indexed, row.xattr, row.parent) = (data, indexed, xattr, parent);
        }
        Ok(())
    }

    /// The row of what is no directory.
    fn node(&mut self, tree: &Tree, id: NodeId, rules: &Rules) -> Result<(), Error> {
        let node = tree.node(id);
        let refused = |message: String| Err(Error::new(ErrorKind::Input, message));
        if node.names() > rules.max_links() {
            return refused(format!("{} names, at most {}", node.names(), rules.max_links()));
        }
        let (mut data, mut holes) = (0, 0);
        match &node.kind {
            Kind::File(content) => {
                if content.len() > rules.max_file() {
                    let most = rules.max_file();
                    let len = content.len();
                    return refused(format!("{len} bytes, with these features at most {most}"));
                }
                data = content.len().div_ceil(rules.block());
                if let Some(runs) = sparse(content, rules.block()) {
                    data = runs.last().map_or(0, |run| run.before + run.len);
                    self.sparse.push(runs);
                    holes = self.sparse.len() as u32;
                }
            }
            Kind::Symlink(target) if target.len() as u64 >= rules.block() => {
                let most = rules.block() - 1;
                return refused(format!("a link of {} bytes, at most {most}", target.len()));
            }
            Kind::Symlink(target) if target.is_empty() => {
                return refused("a link without text".to_owned());
            }
            Kind::Symlink(target) => data = u64::from(target.len() >= FAST_LINK),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => check_device(*device)?,
            Kind::Directory(_) | Kind::Fifo | Kind::Socket => {}
        }
        let xattr = xattr_block(tree, id, rules)?;
        let ino = self.ino(id);
        if let Some(row) = self.row_mut(ino) {
            (row.data, row.holes, row.xattr) = (data, holes, xattr);
        }
        Ok(())
    }

    /// The inode of a node; 0: none.
    pub(super) fn ino(&self, node: NodeId) -> u32 {
        self.inos.get(node.index()).copied().unwrap_or(0)
    }

    /// Inodes in use.
    pub(super) fn count(&self) -> u64 {
        self.rows.len() as u64
    }

    pub(super) fn row(&self, ino: u32) -> Option<&Row> {
        self.rows.get((ino as usize).checked_sub(1)?)
    }

    fn row_mut(&mut self, ino: u32) -> Option<&mut Row> {
        self.rows.get_mut((ino as usize).checked_sub(1)?)
    }

    /// The runs of a row; `one` is where a single one is kept.
    pub(super) fn runs<'a>(&'a self, row: &Row, one: &'a mut [Run; 1]) -> &'a [Run] {
        runs(&self.sparse, row, one)
    }

    /// Blocks that data of all rows take, without those that map it: less is never needed.
    pub(super) fn least(&self) -> u64 {
        self.rows.iter().map(Row::blocks).sum()
    }

    /// Gives out all blocks, with a journal of so many. How many it were.
    pub(super) fn place(&mut self, geometry: &Geometry, journal: u64) -> u64 {
        let mut at = 0;
        let sparse = &self.sparse;
        for row in &mut self.rows {
            match row.who {
                Who::Resize => row.data = u64::from(geometry.reserved > 0),
                Who::Journal => row.data = journal,
                Who::LostFound => row.data = 1,
                Who::Nobody | Who::Node(_) => {}
            }
            row.first = at;
            // OK to cast: less than one block for each 84 of a file.
            row.maps = maps(geometry, row, sparse) as u32;
            at += row.blocks();
        }
        at
    }
}

/// Blocks that map a row's data.
fn maps(geometry: &Geometry, row: &Row, sparse: &[Box<[Run]>]) -> u64 {
    if row.data == 0 || row.who == Who::Resize {
        return 0;
    }
    let mut one = [Run { logical: 0, len: 0, before: 0 }];
    let runs = runs(sparse, row, &mut one);
    let size = geometry.shape.bytes();
    if !geometry.shape.features.has(EXTENTS) {
        let small = runs.last().is_none_or(|run| run.logical + run.len <= 12);
        return if small { 0 } else { BlockMap::new(runs, size).blocks() };
    }
    let mut count = 0;
    extents(geometry, row.first, runs, |_| count += 1);
    tree_of::blocks(count, size)
}

fn runs<'a>(sparse: &'a [Box<[Run]>], row: &Row, one: &'a mut [Run; 1]) -> &'a [Run] {
    let list = (row.holes as usize).checked_sub(1).and_then(|at| sparse.get(at));
    list.map_or_else(
        || {
            *one = [Run { logical: 0, len: row.data, before: 0 }];
            &one[..]
        },
        AsRef::as_ref,
    )
}

fn lost_found(entries: &BTreeMap<Name, NodeId>) -> Option<NodeId> {
    entries.get(&Name::new(LOST_FOUND).ok()?).copied()
}

/// Whether a node's attributes need a block; an error where they have no place at all.
fn xattr_block(tree: &Tree, id: NodeId, rules: &Rules) -> Result<bool, Error> {
    let Some(attributes) = tree.node(id).attributes.as_deref().filter(|all| !all.is_empty()) else {
        return Ok(false);
    };
    if !rules.features.has(EXT_ATTR) {
        let message = "extended attributes need the feature ext_attr";
        return Err(Error::new(ErrorKind::Input, message));
    }
    let split = xattr::split(attributes, rules.room(), rules.style.block_size)?;
    Ok(split.block.is_some())
}

fn check_device(device: Device) -> Result<(), Error> {
    if device.major < 1 << 12 && device.minor < 1 << 20 {
        return Ok(());
    }
    let message = format!(
        "device {}:{}, major numbers end at 4095 and minor ones at 1048575",
        device.major, device.minor
    );
    Err(Error::new(ErrorKind::Input, message))
}

/// The same error with the path and the origin of what it is about.
fn about(tree: &Tree, node: NodeId, error: &Error) -> Error {
    let step = tree.walk().find(|step| step.node == node);
    let path = step.map_or_else(String::new, |step| step.path.to_string());
    Error::new(error.kind(), format!("ext: {path}: {error}")).at(tree.origin(node))
}
