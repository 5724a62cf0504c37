//! ext read: its facts, and the tree.
//!
//! Repairs nothing and replays no journal. Invariants: every inode is read once for each name; a
//! directory has one name; no more bytes of directories are read than the medium has.

mod directory;
mod file;
mod map;
mod volume;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use self::directory::Listed;
use self::file::File;
use self::volume::{Loaded, Volume};
use super::super::Facts;
use super::bytes::take;
use super::ondisk::{
    CASEFOLD_FL, EA_INODE_FL, ENCRYPT_FL, INLINE_DATA_FL, OLD_INODE, ROOT_INO, S_IFBLK, S_IFCHR,
    S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, VERITY_FL, XATTR_HEADER, XATTR_MAGIC,
    XattrHeader,
};
use super::rows::FAST_LINK;
use super::xattr;
use crate::engine::base::tree::{
    Attributes, Device, Kind, Limits, Meta, NodeId, Time, Tree, TreePath,
};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin, SectorSource};

/// Longer links no kernel follows.
const MAX_LINK: u64 = 4096;
/// The attribute that holds what does not fit into the inode of an inline file.
const INLINE_NAME: &[u8] = b"system.data";

/// What is there; none where the magic number is not.
pub(in super::super) fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    volume::facts(medium)
}

/// The tree.
pub(in super::super) fn read(
    medium: Arc<dyn SectorSource>,
    limits: &Limits,
) -> Result<Tree, Error> {
    let volume = Arc::new(Volume::open(medium)?);
    let root = volume.inode(ROOT_INO)?;
    if root.mode() & S_IFMT != S_IFDIR {
        return Err(damaged("inode 2 is no directory".to_owned()));
    }
    let origin = Origin::new("ext");
    let mut reader = Reader {
        tree: Tree::new(root.meta(), origin.clone()),
        origin,
        limits: *limits,
        nodes: 1,
        bytes: 0,
        directories: HashSet::from([ROOT_INO]),
        others: HashMap::new(),
        listed: 0,
        volume,
    };
    let attributes = reader.attributes(&root)?.0;
    *reader.tree.meta_mut(Tree::ROOT).1 = attributes;
    let mut open =
        vec![Open { node: Tree::ROOT, ino: ROOT_INO, parent: ROOT_INO, path: TreePath::default() }];
    while let Some(next) = open.pop() {
        reader.directory(&next, &mut open).map_err(|e| with_path(&next.path, &e))?;
    }
    Ok(reader.tree)
}

/// A directory whose entries are not read yet.
struct Open {
    node: NodeId,
    ino: u32,
    parent: u32,
    path: TreePath,
}

struct Reader {
    volume: Arc<Volume>,
    tree: Tree,
    origin: Origin,
    limits: Limits,
    nodes: usize,
    /// Bytes of all files.
    bytes: u64,
    directories: HashSet<u32>,
    /// Inodes that may have further names.
    others: HashMap<u32, NodeId>,
    /// Bytes of all directories.
    listed: u64,
}

impl Reader {
    fn directory(&mut self, open: &Open, more: &mut Vec<Open>) -> Result<(), Error> {
        let inode = self.volume.inode(open.ino)?;
        self.listed = self.listed.saturating_add(inode.size());
        if self.listed > self.volume.bytes() {
            let message = format!("directories of {} bytes on the whole", self.listed);
            return Err(damaged(message));
        }
        let (_, inline) = self.attributes(&inode)?;
        let list = directory::list(&self.volume, &inode, open.parent, inline.as_deref())?;
        for entry in list {
            let path = open.path.join(&entry.name);
            if path.names().len() > self.limits.depth {
                let message = format!("deeper than {} directories", self.limits.depth);
                return Err(with_path(&path, &damaged(message)));
            }
            self.entry(open, entry, &path, more).map_err(|e| with_path(&path, &e))?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        open: &Open,
        entry: Listed,
        path: &TreePath,
        more: &mut Vec<Open>,
    ) -> Result<(), Error> {
        let taken = self.tree.node(open.node).entries();
        if taken.is_some_and(|entries| entries.contains_key(&entry.name)) {
            return Err(damaged("the name is there twice".to_owned()));
        }
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let message = format!("more than {} files", self.limits.nodes);
            return Err(damaged(message));
        }
        if let Some(node) = self.others.get(&entry.ino) {
            return self.tree.link(open.node, entry.name, *node);
        }
        let inode = self.volume.inode(entry.ino)?;
        if inode.fields.links_count.get() == 0 {
            return Err(damaged(format!("inode {} has no name by its own count", entry.ino)));
        }
        if entry.kind.is_some_and(|kind| kind != kind_of(inode.mode())) {
            let message = format!("inode {} is not what the directory says", entry.ino);
            return Err(damaged(message));
        }
        let (attributes, inline) = self.attributes(&inode)?;
        let kind = self.kind(&inode, inline)?;
        let is_directory = kind.is_directory();
        let name = entry.name;
        let node = self.tree.put(open.node, name, kind, inode.meta(), &self.origin)?;
        *self.tree.meta_mut(node).1 = attributes;
        if is_directory {
            if !self.directories.insert(entry.ino) {
                return Err(damaged(format!("directory {} has two names", entry.ino)));
            }
            let path = path.clone();
            more.push(Open { node, ino: entry.ino, parent: open.ino, path });
        } else if inode.fields.links_count.get() > 1 {
            self.others.insert(entry.ino, node);
        }
        Ok(())
    }

    fn kind(&mut self, inode: &Loaded, inline: Option<Vec<u8>>) -> Result<Kind, Error> {
        let flags = inode.fields.flags.get();
        for (flag, name) in [
            (ENCRYPT_FL, "encrypt"),
            (VERITY_FL, "verity"),
            (CASEFOLD_FL, "casefold"),
            (EA_INODE_FL, "ea_inode"),
        ] {
            if flags & flag != 0 {
                let message = format!("inode {} uses {name}: not supported", inode.ino);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        }
        Ok(match inode.mode() & S_IFMT {
            S_IFDIR => Kind::directory(),
            S_IFREG => Kind::File(self.file(inode, inline)?),
            S_IFLNK => Kind::Symlink(self.link(inode, inline)?),
            S_IFCHR => Kind::CharDevice(device(&inode.fields.block)),
            S_IFBLK => Kind::BlockDevice(device(&inode.fields.block)),
            S_IFIFO => Kind::Fifo,
            S_IFSOCK => Kind::Socket,
            other => {
                let message = format!("inode {} has the mode {other:#x}", inode.ino);
                return Err(damaged(message));
            }
        })
    }

    fn file(&mut self, inode: &Loaded, inline: Option<Vec<u8>>) -> Result<Content, Error> {
        let size = inode.size();
        self.bytes = self.bytes.saturating_add(size);
        if size > self.limits.file || self.bytes > self.limits.total {
            let message = format!(
                "a file of {size} bytes, at most {} and {} on the whole",
                self.limits.file, self.limits.total
            );
            return Err(damaged(message));
        }
        if let Some(bytes) = inline {
            return Ok(Content::Bytes(inline_bytes(bytes, size)?.into()));
        }
        if size == 0 {
            return Ok(Content::Bytes([].into()));
        }
        let file = File::new(Arc::clone(&self.volume), inode)?;
        Ok(Content::Sectors(Arc::new(file)))
    }

    fn link(&self, inode: &Loaded, inline: Option<Vec<u8>>) -> Result<Box<[u8]>, Error> {
        let size = inode.size();
        if size == 0 || size > MAX_LINK {
            return Err(damaged(format!("a link of {size} bytes, allowed are 1 to {MAX_LINK}")));
        }
        let text = if let Some(bytes) = inline {
            inline_bytes(bytes, size)?
        } else if size < FAST_LINK as u64 {
            inode.fields.block.get(..size as usize).unwrap_or_default().to_vec()
        } else {
            let mut text = vec![0; size as usize];
            File::new(Arc::clone(&self.volume), inode)?.read_at(0, &mut text)?;
            text
        };
        if text.contains(&0) {
            return Err(damaged("a link with a zero byte".to_owned()));
        }
        Ok(text.into())
    }

    /// Extended attributes, and the bytes of an inline file, which are kept as if they were one.
    #[expect(clippy::type_complexity, reason = "the form in which a node keeps its attributes")]
    fn attributes(
        &self,
        inode: &Loaded,
    ) -> Result<(Option<Box<Attributes>>, Option<Vec<u8>>), Error> {
        let mut all = Attributes::new();
        let from = OLD_INODE + inode.extra();
        let body = inode.bytes.get(from..).unwrap_or_default();
        let most = self.limits.attributes;
        if inode.bytes.len() > OLD_INODE && take(body, 0) == Some(XATTR_MAGIC.to_le_bytes()) {
            xattr::parse(body, 4, 4, most, &mut all)?;
        }
        if let Some(place) = inode.attributes_block() {
            let block = self.volume.block(place)?;
            let header: Option<XattrHeader> = take(&block, 0);
            let header = header.filter(|h| h.magic == XATTR_MAGIC && h.blocks == 1);
            let header = header
                .ok_or_else(|| damaged(format!("block {place} holds no extended attributes")))?;
            if let Some(seed) = self.volume.seed
                && xattr::checksum(&block, seed, place) != header.checksum.get()
            {
                return Err(volume::mismatch(&format!("the attributes in block {place}")));
            }
            xattr::parse(&block, XATTR_HEADER, 0, most, &mut all)?;
        }
        let inline = (inode.fields.flags.get() & INLINE_DATA_FL != 0).then(|| {
            let rest = all.remove(INLINE_NAME).unwrap_or_default();
            [&inode.fields.block[..], &rest].concat()
        });
        Ok(((!all.is_empty()).then(|| Box::new(all)), inline))
    }
}

impl Loaded {
    fn meta(&self) -> Meta {
        let fields = &self.fields;
        // Whether the bits beside the seconds are there.
        let extra = if self.extra() >= 12 { fields.mtime_extra.get() } else { 0 };
        let seconds = i64::from(fields.mtime.get().cast_signed());
        let time = Time {
            seconds: seconds + (i64::from(extra & 3) << 32),
            nanos: (extra >> 2).min(999_999_999),
        };
        let wide = |low: u16, high: u16| u32::from(high) << 16 | u32::from(low);
        Meta {
            mode: self.mode() & 0o7777,
            uid: wide(fields.uid.get(), fields.uid_hi.get()),
            gid: wide(fields.gid.get(), fields.gid_hi.get()),
            modified: time,
        }
    }
}

fn inline_bytes(mut bytes: Vec<u8>, size: u64) -> Result<Vec<u8>, Error> {
    let len = usize::try_from(size).ok().filter(|len| *len <= bytes.len());
    let Some(len) = len else {
        let message = format!("{size} bytes inline, there are {}", bytes.len());
        return Err(damaged(message));
    };
    bytes.truncate(len);
    Ok(bytes)
}

/// Device numbers in either encoding.
fn device(block: &[u8; 60]) -> Device {
    let word = |at| take::<[u8; 4]>(block, at).map_or(0, u32::from_le_bytes);
    match (word(0), word(4)) {
        (0, new) => Device { major: new >> 8 & 0xfff, minor: new & 0xff | new >> 12 & 0xf_ff00 },
        (old, _) => Device { major: old >> 8 & 0xff, minor: old & 0xff },
    }
}

/// The kind that a directory says of a mode.
const fn kind_of(mode: u16) -> u8 {
    match mode & S_IFMT {
        S_IFREG => 1,
        S_IFDIR => 2,
        S_IFCHR => 3,
        S_IFBLK => 4,
        S_IFIFO => 5,
        S_IFSOCK => 6,
        S_IFLNK => 7,
        _ => 0,
    }
}

fn damaged(message: String) -> Error {
    Error::new(ErrorKind::Damaged, message)
}

/// The same error with the path; the innermost one stays.
fn with_path(path: &TreePath, error: &Error) -> Error {
    let message = error.to_string();
    if message.starts_with("ext: /") {
        return Error::new(error.kind(), message);
    }
    Error::new(error.kind(), format!("ext: {path}: {message}"))
}
