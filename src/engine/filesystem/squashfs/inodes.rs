//! Inodes and directories on their way to the disk.
//!
//! Writes no contents. Invariants: inodes are numbered from 1 in the order in which they lie, what
//! is in a directory before the directory; the long form is used where the short one cannot hold it.

use std::collections::HashMap;

use zerocopy::IntoBytes as _;

use super::Params;
use super::attributes::Sets;
use super::data::Data;
use super::listing::{self, Listing, Target};
use super::meta::MetaWriter;
use super::ondisk::{
    BLOCK_DEVICE, CHAR_DEVICE, DIRECTORY, Device, Directory, FIFO, FILE, File, InodeHead, LONG,
    LongDirectory, LongFile, NONE32, SOCKET, SYMLINK, Symlink,
};
use crate::engine::base::tree::{self, Kind as NodeKind, Node, NodeId, Tree};
use crate::engine::base::{Error, Kind};

/// Owners and groups of one filesystem: they are counted in 16 bits.
const MAX_IDS: usize = 65_535;

/// Bytes of a link's text that Linux reads.
const MAX_LINK: usize = 4095;

/// Nodes in the order of their inodes, with a row for each node of the tree.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) nodes: Vec<NodeId>,
    /// Files among them, in the same order.
    pub(super) files: Vec<NodeId>,
    /// Inode numbers; 0 for what has no name.
    numbers: Vec<u32>,
    /// The directory that a directory lies in.
    parents: Vec<NodeId>,
}

impl Order {
    pub(super) fn new(tree: &Tree) -> Self {
        let mut order = Self {
            nodes: Vec::with_capacity(tree.rows()),
            files: Vec::new(),
            numbers: vec![0; tree.rows()],
            parents: vec![Tree::ROOT; tree.rows()],
        };
        let entries = |id: NodeId| tree.node(id).entries().into_iter().flatten();
        let mut open = vec![(Tree::ROOT, entries(Tree::ROOT))];
        while let Some((id, rest)) = open.last_mut() {
            let id = *id;
            let below = rest.find(|(_, child)| tree.node(**child).kind.is_directory());
            if let Some((_, child)) = below {
                if let Some(parent) = order.parents.get_mut(child.index()) {
                    *parent = id;
                }
                open.push((*child, entries(*child)));
                continue;
            }
            open.pop();
            for (_, child) in entries(id) {
                order.number(tree, *child);
            }
            order.number(tree, id);
        }
        order
    }

    fn number(&mut self, tree: &Tree, id: NodeId) {
        let next = self.nodes.len() as u32 + 1;
        if let Some(number) = self.numbers.get_mut(id.index())
            && *number == 0
        {
            *number = next;
            self.nodes.push(id);
            if matches!(tree.node(id).kind, NodeKind::File(_)) {
                self.files.push(id);
            }
        }
    }

    fn number_of(&self, id: NodeId) -> u32 {
        self.numbers.get(id.index()).copied().unwrap_or_default()
    }
}

/// The tables that inodes fill.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    tree: &'a Tree,
    order: &'a Order,
    data: &'a Data,
    block_size: u64,
    xattrs: bool,
    pub(super) inodes: MetaWriter,
    pub(super) directories: MetaWriter,
    pub(super) sets: Sets<'a>,
    /// Owners and groups in the order in which they were met.
    pub(super) ids: Vec<u32>,
    known_ids: HashMap<u32, u16>,
    /// Where the inode of each node of the tree lies.
    places: Vec<u64>,
}

impl<'a> Tables<'a> {
    pub(super) fn new(
        params: &Params,
        tree: &'a Tree,
        order: &'a Order,
        data: &'a Data,
        writer: impl Fn() -> Result<super::codec::Packer, Error>,
    ) -> Result<Self, Error> {
        Ok(Self {
            tree,
            order,
            data,
            block_size: params.block_size.into(),
            xattrs: params.xattrs,
            inodes: MetaWriter::new(writer()?),
            directories: MetaWriter::new(writer()?),
            sets: Sets::new(writer()?),
            ids: Vec::new(),
            known_ids: HashMap::new(),
            places: vec![0; tree.rows()],
        })
    }

    /// Writes all inodes and listings.
    pub(super) fn fill(&mut self) -> Result<(), Error> {
        let order = self.order;
        let mut file = 0;
        for id in &order.nodes {
            let at = |e: Error| e.at(self.tree.origin(*id));
            let place = self.inodes.reference()?;
            if let Some(slot) = self.places.get_mut(id.index()) {
                *slot = place;
            }
            self.inode(*id, file).map_err(at)?;
            file += usize::from(matches!(self.tree.node(*id).kind, NodeKind::File(_)));
        }
        Ok(())
    }

    pub(super) fn place(&self, id: NodeId) -> u64 {
        self.places.get(id.index()).copied().unwrap_or_default()
    }

    fn id(&mut self, id: u32) -> Result<u16, Error> {
        if let Some(known) = self.known_ids.get(&id) {
            return Ok(*known);
        }
        if self.ids.len() >= MAX_IDS {
            let message = format!("a squashfs has at most {MAX_IDS} owners and groups");
            return Err(Error::new(Kind::Document, message));
        }
        let number = self.ids.len() as u16;
        self.ids.push(id);
        self.known_ids.insert(id, number);
        Ok(number)
    }

    fn inode(&mut self, id: NodeId, file: usize) -> Result<(), Error> {
        let node = self.tree.node(id);
        let attributes = if self.xattrs { self.sets.number(node)? } else { NONE32 };
        let head = InodeHead {
            kind: 0.into(),
            mode: node.meta.mode.into(),
            uid: self.id(node.meta.uid)?.into(),
            gid: self.id(node.meta.gid)?.into(),
            modified: seconds(node.meta.modified).into(),
            number: self.order.number_of(id).into(),
        };
        match &node.kind {
            NodeKind::Directory(_) => self.directory(id, head, attributes),
            NodeKind::File(_) => self.file(node, head, attributes, file),
            NodeKind::Symlink(text) => self.symlink(node, head, attributes, text),
            NodeKind::CharDevice(device) | NodeKind::BlockDevice(device) => {
                let device = encode_device(*device)?;
                let links = node.names().into();
                self.short_or_long(head, kind_of(node), attributes)?;
                self.inodes.put(&Device { links, device: device.into() })?;
                self.number_if_any(attributes)
            }
            NodeKind::Fifo | NodeKind::Socket => {
                self.short_or_long(head, kind_of(node), attributes)?;
                self.inodes.put(&node.names().to_le_bytes())?;
                self.number_if_any(attributes)
            }
        }
    }

    fn short_or_long(&mut self, head: InodeHead, kind: u16, attributes: u32) -> Result<(), Error> {
        let long = if attributes == NONE32 { 0 } else { LONG };
        self.inodes.put(&InodeHead { kind: (kind + long).into(), ..head })
    }

    fn number_if_any(&mut self, attributes: u32) -> Result<(), Error> {
        if attributes == NONE32 {
            return Ok(());
        }
        self.inodes.put(&attributes.to_le_bytes())
    }

    fn symlink(
        &mut self,
        node: &Node,
        head: InodeHead,
        attributes: u32,
        text: &[u8],
    ) -> Result<(), Error> {
        if text.len() > MAX_LINK {
            let len = text.len();
            let message =
                format!("a symbolic link of {len} bytes: {MAX_LINK} are allowed in a squashfs");
            return Err(Error::new(Kind::Document, message));
        }
        self.short_or_long(head, SYMLINK, attributes)?;
        let size = (text.len() as u32).into();
        self.inodes.put(&Symlink { links: node.names().into(), size })?;
        self.inodes.put(text)?;
        self.number_if_any(attributes)
    }

    fn file(
        &mut self,
        node: &Node,
        head: InodeHead,
        attributes: u32,
        file: usize,
    ) -> Result<(), Error> {
        let size = node.len();
        let count = usize::try_from(size.div_ceil(self.block_size)).unwrap_or(usize::MAX);
        let (stored, blocks) = self
            .data
            .place(file, count)
            .ok_or_else(|| Error::new(Kind::Io, "a file changed its length while it was read"))?;
        let none = blocks.iter().all(|len| *len == 0);
        let start = if none { 0 } else { stored.start };
        let short = match (u32::try_from(start), u32::try_from(size)) {
            (Ok(start), Ok(size))
                if attributes == NONE32 && node.names() == 1 && stored.sparse == 0 =>
            {
                Some((start, size))
            }
            _ => None,
        };
        let (fragment, offset) = (stored.fragment.into(), stored.offset.into());
        match short {
            Some((start, size)) => {
                self.inodes.put(&InodeHead { kind: FILE.into(), ..head })?;
                let (start, size) = (start.into(), size.into());
                self.inodes.put(&File { start, fragment, offset, size })?;
            }
            None => {
                self.inodes.put(&InodeHead { kind: (FILE + LONG).into(), ..head })?;
                self.inodes.put(&LongFile {
                    start: start.into(),
                    size: size.into(),
                    // Linux takes it off the size: it must stay below.
                    sparse: stored.sparse.min(size.saturating_sub(1)).into(),
                    links: node.names().into(),
                    fragment,
                    offset,
                    attributes: attributes.into(),
                })?;
            }
        }
        for part in blocks.chunks(1024) {
            let lengths: Vec<u8> = part.iter().flat_map(|len| len.to_le_bytes()).collect();
            self.inodes.put(lengths.as_slice())?;
        }
        Ok(())
    }

    fn directory(&mut self, id: NodeId, head: InodeHead, attributes: u32) -> Result<(), Error> {
        let Some(entries) = self.tree.node(id).entries() else { return Ok(()) };
        let subdirectories =
            entries.values().filter(|child| self.tree.node(**child).kind.is_directory()).count();
        let links = (subdirectories as u32).saturating_add(2);
        let targets = entries.iter().map(|(name, child)| {
            let target = Target {
                reference: self.places.get(child.index()).copied().unwrap_or_default(),
                number: self.order.number_of(*child),
                kind: kind_of(self.tree.node(*child)),
            };
            (name, target)
        });
        let listing = listing::write(&mut self.directories, targets)?;
        let Listing { block, offset, len, index, indexes } = listing;
        // The root lies in no directory: a number that no inode has.
        let parent = match id {
            Tree::ROOT => self.order.nodes.len() as u32 + 1,
            _ => self.order.parents.get(id.index()).map_or(0, |id| self.order.number_of(*id)),
        };
        let (block, offset, parent) = (block.into(), offset.into(), parent.into());
        let short = u16::try_from(len + 3).ok().filter(|_| indexes == 0 && attributes == NONE32);
        if let Some(size) = short {
            self.inodes.put(&InodeHead { kind: DIRECTORY.into(), ..head })?;
            let size = size.into();
            return self.inodes.put(&Directory {
                block,
                links: links.into(),
                size,
                offset,
                parent,
            });
        }
        let size = u32::try_from(len + 3).map_err(|_| {
            let message = format!("a directory's listing takes {len} bytes: 4 GiB are allowed");
            Error::new(Kind::Document, message)
        })?;
        self.inodes.put(&InodeHead { kind: (DIRECTORY + LONG).into(), ..head })?;
        self.inodes.put(&LongDirectory {
            links: links.into(),
            size: size.into(),
            block,
            parent,
            indexes: indexes.into(),
            offset,
            attributes: attributes.into(),
        })?;
        self.inodes.put(index.as_slice())
    }

    /// Where the inode of each number lies, for the export table.
    pub(super) fn export(&self, table: &mut MetaWriter) -> Result<(), Error> {
        for part in self.order.nodes.chunks(1024) {
            let places: Vec<u64> = part.iter().map(|id| self.place(*id).to_le()).collect();
            table.put(places.as_bytes())?;
        }
        Ok(())
    }
}

/// Seconds since 1970 in 32 bits without sign: 1970 to 2106. What lies outside becomes the nearest.
pub(super) fn seconds(time: tree::Time) -> u32 {
    u32::try_from(time.seconds.max(0)).unwrap_or(u32::MAX)
}

fn kind_of(node: &Node) -> u16 {
    match node.kind {
        NodeKind::Directory(_) => DIRECTORY,
        NodeKind::File(_) => FILE,
        NodeKind::Symlink(_) => SYMLINK,
        NodeKind::BlockDevice(_) => BLOCK_DEVICE,
        NodeKind::CharDevice(_) => CHAR_DEVICE,
        NodeKind::Fifo => FIFO,
        NodeKind::Socket => SOCKET,
    }
}

/// Device numbers as Linux packs them into 32 bits (`new_encode_dev`).
fn encode_device(device: tree::Device) -> Result<u32, Error> {
    let tree::Device { major, minor } = device;
    if major > 0xfff || minor > 0xf_ffff {
        let message =
            format!("the device {major}:{minor} cannot be stored: 4095:1048575 is the last one");
        return Err(Error::new(Kind::Document, message));
    }
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}
