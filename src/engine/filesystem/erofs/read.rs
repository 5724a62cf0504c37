//! The tree of an untrusted erofs.
//!
//! Invariants: a directory is in one place; names are counted, so that many directories in one place
//! come to an end; contents stay in the image until they are read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use zerocopy::FromBytes as _;

use super::file::FileOf;
use super::image::{Image, Inode, damaged};
use super::ondisk::{
    Attribute, AttributesHead, BLOCK, BLOCK_LEN, DIRECTORY, Entry, FIFO, FILE, PREFIXES, SOCKET,
    SYMLINK,
};
use crate::engine::base::tree::{Attributes, Kind as NodeKind, Limits, Name, NodeId, Tree};
use crate::engine::base::{ByteSource, Content, Error, Kind, Origin, SectorSource};

/// All attributes of a tree may be this many times those of one node.
const ATTRIBUTES: usize = 256;

/// Bytes of a link's text: more than Linux reads are not accepted.
const MAX_LINK: u64 = 65_535;

pub(super) fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    let image = Arc::new(Image::open(medium)?);
    let slot = u64::from(image.head.root.get());
    let root = image.inode(slot)?;
    if root.kind != DIRECTORY {
        return Err(damaged("the root is no directory"));
    }
    let mut reader = Reader {
        tree: Tree::new(root.meta, Origin::new("erofs")),
        origin: Origin::new("erofs"),
        known: HashMap::new(),
        directories: HashSet::from([slot]),
        names: 0,
        total: 0,
        attributes: 0,
        limits: *limits,
        image,
    };
    reader.attributes(Tree::ROOT, &root)?;
    let mut open = vec![Open { node: Tree::ROOT, depth: 0, inode: root }];
    while let Some(directory) = open.pop() {
        reader.directory(&directory, &mut open)?;
    }
    Ok(reader.tree)
}

/// A directory whose entries are still to be read.
struct Open {
    node: NodeId,
    depth: usize,
    inode: Inode,
}

struct Reader {
    image: Arc<Image>,
    limits: Limits,
    tree: Tree,
    origin: Origin,
    /// Nodes by their inodes' slots.
    known: HashMap<u64, NodeId>,
    directories: HashSet<u64>,
    names: usize,
    /// Bytes of all files and of all attributes.
    total: u64,
    attributes: usize,
}

fn over(what: &str, most: impl std::fmt::Display) -> Error {
    Error::new(Kind::Input, format!("the erofs holds more than {most} {what}"))
}

impl Reader {
    fn directory(&mut self, directory: &Open, open: &mut Vec<Open>) -> Result<(), Error> {
        let source = FileOf::new(&self.image, &directory.inode)?;
        let mut block = vec![0; BLOCK_LEN];
        let mut at = 0;
        while at < source.len() {
            // OK to cast: at most a block.
            let len = (source.len() - at).min(BLOCK) as usize;
            let block = block.get_mut(..len).unwrap_or_default();
            source.read_at(at, block)?;
            self.block(directory, block, open)?;
            at += BLOCK;
        }
        Ok(())
    }

    fn block(&mut self, directory: &Open, block: &[u8], open: &mut Vec<Open>) -> Result<(), Error> {
        let short = || damaged("a directory's block is too short for its entries");
        let entry = |n: usize| {
            let from = block.get(n * size_of::<Entry>()..)?;
            Some(Entry::read_from_prefix(from).ok()?.0)
        };
        let first = usize::from(entry(0).ok_or_else(short)?.name.get());
        let count = first / size_of::<Entry>();
        if count == 0 || first % size_of::<Entry>() != 0 {
            return Err(damaged(format!("a directory's block has {first} bytes of entries")));
        }
        for n in 0..count {
            let this = entry(n).ok_or_else(short)?;
            let start = usize::from(this.name.get());
            let end = match n + 1 {
                next if next == count => block.len(),
                next => entry(next).ok_or_else(short)?.name.get().into(),
            };
            let mut name = block.get(start..end).ok_or_else(short)?;
            if n + 1 == count {
                name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            }
            self.names += 1;
            if self.names > self.limits.nodes.saturating_mul(3) {
                return Err(over("names", self.limits.nodes));
            }
            if !matches!(name, b"." | b"..") {
                self.entry(directory, name, this.slot.get(), open)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &Open,
        name: &[u8],
        slot: u64,
        open: &mut Vec<Open>,
    ) -> Result<(), Error> {
        let name = Name::new(name).map_err(|e| damaged(e.to_string()))?;
        if self.tree.rows() > self.limits.nodes {
            return Err(over("names", self.limits.nodes));
        }
        let entries = self.tree.node(directory.node).entries();
        if entries.is_some_and(|entries| entries.contains_key(&name)) {
            return Err(damaged(format!("\"{name}\" is twice in a directory")));
        }
        if let Some(node) = self.known.get(&slot) {
            return self.tree.link(directory.node, name, *node);
        }
        let about = |e: Error| Error::new(e.kind(), format!("\"{name}\": {e}"));
        let inode = self.image.inode(slot).map_err(about)?;
        let kind = self.kind(&inode).map_err(about)?;
        let is_directory = kind.is_directory();
        if is_directory {
            if !self.directories.insert(slot) {
                return Err(damaged(format!("the directory \"{name}\" is in two places")));
            }
            if directory.depth >= self.limits.depth {
                return Err(over("directories in one another", self.limits.depth));
            }
        }
        let node = self.tree.put(directory.node, name, kind, inode.meta, &self.origin)?;
        if is_directory {
            open.push(Open { node, depth: directory.depth + 1, inode });
        } else {
            self.known.insert(slot, node);
        }
        self.attributes(node, &inode)
    }

    fn kind(&mut self, inode: &Inode) -> Result<NodeKind, Error> {
        Ok(match (inode.kind, inode.device()) {
            (DIRECTORY, _) => NodeKind::directory(),
            (FILE, _) => {
                self.total = self.total.saturating_add(inode.size);
                if inode.size > self.limits.file || self.total > self.limits.total {
                    return Err(over("bytes", self.limits.file.min(self.limits.total)));
                }
                if inode.size == 0 {
                    NodeKind::File(Content::Sectors(Arc::new(ByteSource::new([]))))
                } else {
                    let file = FileOf::new(&self.image, inode)?;
                    NodeKind::File(Content::Sectors(Arc::new(file)))
                }
            }
            (SYMLINK, _) => {
                let len = inode.size;
                if len == 0 || len > MAX_LINK {
                    let message = format!("a link of {len} bytes: 1 to {MAX_LINK} are allowed");
                    return Err(damaged(message));
                }
                let mut text = vec![0; len as usize];
                FileOf::new(&self.image, inode)?.read_at(0, &mut text)?;
                NodeKind::Symlink(text.into())
            }
            (FIFO, _) => NodeKind::Fifo,
            (SOCKET, _) => NodeKind::Socket,
            (super::ondisk::CHAR_DEVICE, Some(device)) => NodeKind::CharDevice(device),
            (_, Some(device)) => NodeKind::BlockDevice(device),
            (other, None) => return Err(damaged(format!("an inode is of type {other}"))),
        })
    }

    fn attributes(&mut self, node: NodeId, inode: &Inode) -> Result<(), Error> {
        let (start, len) = inode.attributes;
        if len == 0 {
            return Ok(());
        }
        let most = self.limits.attributes;
        if len > most as u64 {
            return Err(over("bytes of attributes", most));
        }
        let head: AttributesHead = self.image.item(start)?;
        let mut found = Attributes::new();
        let mut at = start + size_of::<AttributesHead>() as u64;
        let mut size = 0;
        for _ in 0..head.shared {
            let number: [u8; 4] = self.image.item(at)?;
            let shared = u64::from(self.image.head.attributes.get()) * BLOCK;
            self.attribute(
                shared + u64::from(u32::from_le_bytes(number)) * 4,
                &mut found,
                &mut size,
            )?;
            at += 4;
        }
        while at + (size_of::<Attribute>() as u64) <= start + len {
            at = self.attribute(at, &mut found, &mut size)?;
        }
        if at > start + len {
            return Err(damaged(format!("attributes go on to {at}, behind {}", start + len)));
        }
        self.attributes = self.attributes.saturating_add(size);
        if self.attributes > most.saturating_mul(ATTRIBUTES) {
            return Err(over("bytes of attributes", most.saturating_mul(ATTRIBUTES)));
        }
        if !found.is_empty() {
            *self.tree.meta_mut(node).1 = Some(Box::new(found));
        }
        Ok(())
    }

    /// Reads one attribute; where the next one begins.
    fn attribute(&self, at: u64, found: &mut Attributes, size: &mut usize) -> Result<u64, Error> {
        let head: Attribute = self.image.item(at)?;
        let prefix = PREFIXES.iter().find(|(number, _)| *number == head.prefix);
        let (_, prefix) = prefix.ok_or_else(|| {
            damaged(format!(
                "an attribute's name has prefix {}: 1 to 4 and 6 are known",
                head.prefix
            ))
        })?;
        let (rest, len) = (usize::from(head.name), usize::from(head.value.get()));
        *size += prefix.len() + rest + len;
        if *size > self.limits.attributes {
            return Err(over("bytes of attributes", self.limits.attributes));
        }
        let mut bytes = vec![0; rest + len];
        let behind = at + size_of::<Attribute>() as u64;
        self.image.bytes(behind, &mut bytes)?;
        let (rest, value) = bytes.split_at(rest);
        found.insert([prefix, rest].concat().into(), value.into());
        Ok((behind + bytes.len() as u64).next_multiple_of(4))
    }
}
