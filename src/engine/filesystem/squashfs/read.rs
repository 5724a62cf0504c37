//! The tree of an untrusted squashfs.
//!
//! Invariants: a directory is in one place; names are counted, so that many directories with one
//! listing come to an end; contents stay in the image until they are read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::codec::Codec;
use super::file::FileOf;
use super::image::{Image, damaged, superblock};
use super::inode::{self, Inode, What};
use super::ondisk::{
    AttributeName, AttributeSet, AttributeTable, ELSEWHERE, EXPORTABLE, Entry, Header, NONE32,
    NONE64, PREFIXES,
};
use crate::engine::base::tree::{
    Attributes, Kind as NodeKind, Limits, Meta, Name, NodeId, Time, Tree,
};
use crate::engine::base::{ByteSource, Content, Error, Kind, Origin, SectorSource};
use crate::engine::filesystem::Facts;

/// All attributes of a tree may be this many times those of one node.
const ATTRIBUTES: usize = 256;

pub(super) fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    let Some(head) = superblock(medium)? else { return Ok(None) };
    let number = head.compressor.get();
    let codec =
        Codec::of(number).map_or_else(|_| format!("compressor {number}"), |c| c.as_str().into());
    let flags = [
        (head.fragments.get() > 0, "fragments"),
        (head.flags.get() & EXPORTABLE != 0, "export"),
        (head.attribute_table.get() != NONE64, "xattrs"),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).map(|(_, name)| (*name).to_owned());
    Ok(Some(Facts {
        kind: "squashfs",
        block_size: head.block_size.get().into(),
        size: head.bytes_used.get(),
        features: std::iter::once(codec).chain(flags).collect(),
        ..Facts::default()
    }))
}

pub(super) fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    let image = Arc::new(Image::open(medium)?);
    let ids = image.ids()?;
    let reference = image.head.root.get();
    let root = inode::read(image.inode(reference))?;
    let What::Directory { block, offset, len } = root.what else {
        return Err(damaged("the root is no directory"));
    };
    let mut reader = Reader {
        tree: Tree::new(meta(&root, &ids)?, Origin::new("squashfs")),
        origin: Origin::new("squashfs"),
        known: HashMap::new(),
        directories: HashSet::from([reference]),
        names: 0,
        total: 0,
        attributes: 0,
        ids,
        limits: *limits,
        image,
    };
    reader.attributes(Tree::ROOT, root.attributes)?;
    let mut open = vec![Open { node: Tree::ROOT, depth: 0, block, offset, len }];
    while let Some(directory) = open.pop() {
        reader.directory(&directory, &mut open)?;
    }
    Ok(reader.tree)
}

/// A directory whose listing is still to be read.
struct Open {
    node: NodeId,
    depth: usize,
    block: u32,
    offset: u16,
    len: u32,
}

struct Reader {
    image: Arc<Image>,
    ids: Vec<u32>,
    limits: Limits,
    tree: Tree,
    origin: Origin,
    /// Nodes by their inodes' places.
    known: HashMap<u64, NodeId>,
    directories: HashSet<u64>,
    names: usize,
    /// Bytes of all files and of all attributes.
    total: u64,
    attributes: usize,
}

fn meta(inode: &Inode, ids: &[u32]) -> Result<Meta, Error> {
    let id = |number: u16| {
        let count = ids.len();
        let missing = || damaged(format!("owner {number} is named, there are {count}"));
        ids.get(usize::from(number)).copied().ok_or_else(missing)
    };
    let head = &inode.head;
    Ok(Meta {
        mode: head.mode.get() & 0o7777,
        uid: id(head.uid.get())?,
        gid: id(head.gid.get())?,
        modified: Time { seconds: head.modified.get().into(), nanos: 0 },
    })
}

fn over(what: &str, most: impl std::fmt::Display) -> Error {
    Error::new(Kind::Input, format!("the squashfs holds more than {most} {what}"))
}

impl Reader {
    fn directory(&mut self, directory: &Open, open: &mut Vec<Open>) -> Result<(), Error> {
        let image = Arc::clone(&self.image);
        let mut at = image.listing(directory.block, directory.offset);
        let mut left = directory.len as usize;
        let mut take = |len: usize| {
            left = left.checked_sub(len)?;
            Some(left)
        };
        let short = || damaged("a directory's listing ends within an entry");
        loop {
            match take(0) {
                Some(0) | None => return Ok(()),
                Some(_) => {}
            }
            take(size_of::<Header>()).ok_or_else(short)?;
            let header: Header = at.item()?;
            let count = header.count.get();
            if count >= 256 {
                let message = format!("{count} more entries share a header: 255 are allowed");
                return Err(damaged(message));
            }
            for _ in 0..=count {
                take(size_of::<Entry>()).ok_or_else(short)?;
                let entry: Entry = at.item()?;
                let len = usize::from(entry.name.get()) + 1;
                take(len).ok_or_else(short)?;
                if len > 256 {
                    return Err(damaged(format!("a name has {len} bytes: 255 are allowed")));
                }
                let name = Name::new(&at.bytes(len)?).map_err(|e| damaged(e.to_string()))?;
                let place = u64::from(header.block.get()) << 16 | u64::from(entry.offset.get());
                self.entry(directory, name, place, open)?;
            }
        }
    }

    fn entry(
        &mut self,
        directory: &Open,
        name: Name,
        place: u64,
        open: &mut Vec<Open>,
    ) -> Result<(), Error> {
        self.names += 1;
        if self.names > self.limits.nodes {
            return Err(over("names", self.limits.nodes));
        }
        let entries = self.tree.node(directory.node).entries();
        if entries.is_some_and(|entries| entries.contains_key(&name)) {
            return Err(damaged(format!("\"{name}\" is twice in a directory")));
        }
        if let Some(node) = self.known.get(&place) {
            return self.tree.link(directory.node, name, *node);
        }
        let about = |e: Error| Error::new(e.kind(), format!("\"{name}\": {e}"));
        let inode = inode::read(self.image.inode(place)).map_err(about)?;
        let meta = meta(&inode, &self.ids).map_err(about)?;
        let mut listing = None;
        let kind = match inode.what {
            What::Directory { block, offset, len } => {
                if !self.directories.insert(place) {
                    return Err(damaged(format!("the directory \"{name}\" is in two places")));
                }
                if directory.depth >= self.limits.depth {
                    return Err(over("directories in one another", self.limits.depth));
                }
                listing = Some((block, offset, len));
                NodeKind::directory()
            }
            What::File(bytes) => {
                self.total = self.total.saturating_add(bytes.size);
                if bytes.size > self.limits.file || self.total > self.limits.total {
                    return Err(about(over("bytes", self.limits.file.min(self.limits.total))));
                }
                if bytes.size == 0 {
                    NodeKind::File(Content::Sectors(Arc::new(ByteSource::new([]))))
                } else {
                    let file = FileOf::new(&self.image, bytes).map_err(about)?;
                    NodeKind::File(Content::Sectors(Arc::new(file)))
                }
            }
            What::Symlink(text) => NodeKind::Symlink(text.into()),
            What::CharDevice(device) => NodeKind::CharDevice(device),
            What::BlockDevice(device) => NodeKind::BlockDevice(device),
            What::Fifo => NodeKind::Fifo,
            What::Socket => NodeKind::Socket,
        };
        let node = self.tree.put(directory.node, name, kind, meta, &self.origin)?;
        match listing {
            None => {
                self.known.insert(place, node);
            }
            Some((block, offset, len)) => {
                open.push(Open { node, depth: directory.depth + 1, block, offset, len });
            }
        }
        self.attributes(node, inode.attributes)
    }

    fn attributes(&mut self, node: NodeId, number: u32) -> Result<(), Error> {
        if number == NONE32 {
            return Ok(());
        }
        let list = self.image.head.attribute_table.get();
        if list == NONE64 {
            return Err(damaged("attributes are named, there is no table of them"));
        }
        let table: AttributeTable = self.image.item(list)?;
        if number >= table.sets.get() {
            let sets = table.sets.get();
            return Err(damaged(format!("attributes {number} are named, there are {sets}")));
        }
        let set: AttributeSet =
            self.image.entry(list + size_of::<AttributeTable>() as u64, number)?;
        let bounds = (table.start.get(), self.image.head.bytes_used.get());
        let mut at = self.image.cursor(bounds, set.place.get());
        let mut found = Attributes::new();
        let mut size = 0;
        for _ in 0..set.count.get() {
            let head: AttributeName = at.item()?;
            let kind = head.kind.get();
            let prefix = PREFIXES.get(usize::from(kind & 0xff)).ok_or_else(|| {
                damaged(format!("an attribute's name has prefix {kind}: 0 to 2 are known"))
            })?;
            let mut name = prefix.to_vec();
            name.extend_from_slice(&at.bytes(head.size.get().into())?);
            let mut len = at.number()?;
            let mut from = at;
            if kind & ELSEWHERE != 0 {
                let place: [u8; 8] = at.item()?;
                from = self.image.cursor(bounds, u64::from_le_bytes(place));
                len = from.number()?;
            }
            size += name.len() + len as usize + 16;
            if size > self.limits.attributes {
                return Err(over("bytes of attributes", self.limits.attributes));
            }
            let value = from.bytes(len as usize)?;
            if kind & ELSEWHERE == 0 {
                at = from;
            }
            found.insert(name.into(), value.into());
        }
        self.attributes = self.attributes.saturating_add(size);
        if self.attributes > self.limits.attributes.saturating_mul(ATTRIBUTES) {
            return Err(over("bytes of attributes", self.limits.attributes * ATTRIBUTES));
        }
        if !found.is_empty() {
            *self.tree.meta_mut(node).1 = Some(Box::new(found));
        }
        Ok(())
    }
}
