//! A tree out of the inodes of subvolumes.
//!
//! Invariants: a directory has one name and a subvolume is read once, so that building ends; a file
//! with several names is one node.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::constants::{FIRST_FREE, INODE_ITEM, Key, ROOT_ITEM};
use super::file::File;
use super::inodes::{Inode, Inodes, collect};
use super::volume::Volume;
use super::{Roots, damaged};
use crate::engine::base::tree::{Device, Kind, Limits, Meta, Name, NodeId, Time, Tree};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin};

/// A subvolume of which nodes are made.
#[derive(Debug)]
struct Subvolume {
    number: u64,
    inodes: Inodes,
    made: BTreeMap<u64, NodeId>,
}

/// A directory whose entries are to be made.
#[derive(Clone, Copy, Debug)]
struct Open {
    subvolume: usize,
    inode: u64,
    node: NodeId,
    depth: usize,
}

/// Makes the tree.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    volume: Arc<Volume>,
    roots: Roots,
    limits: &'a Limits,
    origin: Origin,
    subvolumes: Vec<Subvolume>,
    open: Vec<Open>,
    total: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(volume: Arc<Volume>, roots: Roots, limits: &'a Limits) -> Self {
        let (subvolumes, open) = (Vec::new(), Vec::new());
        Self { volume, roots, limits, origin: Origin::new("image"), subvolumes, open, total: 0 }
    }

    pub(super) fn build(mut self) -> Result<Tree, Error> {
        let (subvolume, meta) = self.load(self.roots.default)?;
        let mut tree = Tree::new(meta, self.origin.clone());
        self.adopt(subvolume, FIRST_FREE, &mut tree, Tree::ROOT);
        self.open.push(Open { subvolume, inode: FIRST_FREE, node: Tree::ROOT, depth: 0 });
        while let Some(open) = self.open.pop() {
            let subvolume = self.subvolumes.get_mut(open.subvolume);
            let inode = subvolume.and_then(|subvolume| subvolume.inodes.get_mut(&open.inode));
            let entries = inode.map(|inode| std::mem::take(&mut inode.entries));
            for (name, place) in entries.unwrap_or_default() {
                let shown = name.to_string();
                self.enter(&mut tree, open, name, place).map_err(|e| {
                    let message = format!("\"{shown}\" in inode {}: {e}", open.inode);
                    Error::new(e.kind(), message)
                })?;
            }
        }
        Ok(tree)
    }

    /// Reads a subvolume: its number in the list, and what is known about its root directory.
    fn load(&mut self, number: u64) -> Result<(usize, Meta), Error> {
        if self.subvolumes.iter().any(|known| known.number == number) {
            return Err(damaged(format!("the subvolume {number} has two names")));
        }
        let Some(root) = self.roots.trees.get(&number) else {
            return Err(damaged(format!("the subvolume {number} is not there")));
        };
        let inodes = collect(&self.volume, *root, self.limits)?;
        let directory = |inode: &&Inode| inode.mode & 0o170_000 == 0o040_000;
        let root = inodes.get(&FIRST_FREE).filter(directory);
        let meta = root
            .map(|inode| inode.meta)
            .ok_or_else(|| damaged(format!("the subvolume {number} has no root directory")))?;
        self.subvolumes.push(Subvolume { number, inodes, made: BTreeMap::new() });
        Ok((self.subvolumes.len() - 1, meta))
    }

    /// An inode is this node from now on.
    fn adopt(&mut self, subvolume: usize, number: u64, tree: &mut Tree, node: NodeId) {
        let Some(subvolume) = self.subvolumes.get_mut(subvolume) else { return };
        subvolume.made.insert(number, node);
        let Some(inode) = subvolume.inodes.get_mut(&number) else { return };
        if !inode.attributes.is_empty() {
            *tree.meta_mut(node).1 = Some(Box::new(std::mem::take(&mut inode.attributes)));
        }
    }

    /// Makes one entry of a directory.
    fn enter(&mut self, tree: &mut Tree, open: Open, name: Name, place: Key) -> Result<(), Error> {
        if tree.node(open.node).entries().is_some_and(|entries| entries.contains_key(&name)) {
            return Err(damaged("the name is there twice".to_owned()));
        }
        if tree.rows() >= self.limits.nodes || open.depth >= self.limits.depth {
            let message = format!(
                "more than {} nodes, or {} directories above each other, which is the limit",
                self.limits.nodes, self.limits.depth
            );
            return Err(Error::new(ErrorKind::Input, message));
        }
        let (subvolume, number) = match place.kind {
            INODE_ITEM => (open.subvolume, place.objectid),
            ROOT_ITEM => {
                let parent = self.subvolumes.get(open.subvolume).map_or(0, |known| known.number);
                if !self.roots.nested.contains(&(parent, place.objectid)) {
                    // Where a snapshot was made of the directory around it: Linux shows it empty.
                    let meta = Meta::directory(Time::default());
                    let origin = &self.origin;
                    return tree.put(open.node, name, Kind::directory(), meta, origin).map(|_| ());
                }
                (self.load(place.objectid)?.0, FIRST_FREE)
            }
            _ => return Err(damaged(format!("it names {place:?}, no inode"))),
        };
        let known = self.subvolumes.get(subvolume);
        if let Some(made) = known.and_then(|known| known.made.get(&number)).copied() {
            if tree.node(made).kind.is_directory() {
                return Err(damaged(format!("the directory {number} has two names")));
            }
            return tree.link(open.node, name, made);
        }
        let (kind, meta) = self.kind(subvolume, number)?;
        let directory = kind.is_directory();
        let node = tree.put(open.node, name, kind, meta, &self.origin)?;
        self.adopt(subvolume, number, tree, node);
        if directory {
            self.open.push(Open { subvolume, inode: number, node, depth: open.depth + 1 });
        }
        Ok(())
    }

    /// What an inode is.
    fn kind(&mut self, subvolume: usize, number: u64) -> Result<(Kind, Meta), Error> {
        let known = self.subvolumes.get_mut(subvolume);
        let inode = known.and_then(|known| known.inodes.get_mut(&number));
        let inode = inode.ok_or_else(|| damaged(format!("there is no inode {number}")))?;
        let device = || Device {
            // As Linux numbers devices: 12 bits above 20.
            major: (inode.rdev >> 20) as u32,
            minor: (inode.rdev & 0xf_ffff) as u32,
        };
        let kind =
            match inode.mode & 0o170_000 {
                0o040_000 => Kind::directory(),
                0o020_000 => Kind::CharDevice(device()),
                0o060_000 => Kind::BlockDevice(device()),
                0o010_000 => Kind::Fifo,
                0o140_000 => Kind::Socket,
                0o120_000 => {
                    let text = inode.pieces.first().and_then(|piece| piece.inline());
                    let size = usize::try_from(inode.size).ok();
                    let text = text.zip(size).and_then(|(text, size)| text.get(..size));
                    let text = text.filter(|text| !text.is_empty());
                    Kind::Symlink(text.map(Box::from).ok_or_else(|| {
                        damaged(format!("the symbolic link {number} has no text"))
                    })?)
                }
                0o100_000 => {
                    self.total = self.total.saturating_add(inode.size);
                    if inode.size > self.limits.file || self.total > self.limits.total {
                        let message = format!(
                            "{} bytes, together {}; the limits are {} and {}",
                            inode.size, self.total, self.limits.file, self.limits.total
                        );
                        return Err(Error::new(ErrorKind::Input, message));
                    }
                    let pieces = std::mem::take(&mut inode.pieces);
                    let file = File::new(Arc::clone(&self.volume), inode.size, pieces)?;
                    Kind::File(Content::Sectors(Arc::new(file)))
                }
                other => return Err(damaged(format!("inode {number} is of type {other:#o}"))),
            };
        Ok((kind, inode.meta))
    }
}
