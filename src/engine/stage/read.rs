//! A directory that strangers changed, back into a tree.
//!
//! Follows no link and opens nothing but directories and, when they are read, regular files.
//! Invariants: setuid and setgid bits, capabilities and owners come from the journal alone, and
//! only for what has the contents that the journal knows; an inode is one node.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FileType};

use super::content::{Root, Staged, Sum};
use super::journal::{Entry, Journal, Stamp, What};
use super::look::{Look, enter, failed, list, look, open_up, refused, shown};
use super::rules::Rules;
use super::write::os;
use crate::engine::base::tree::{Attributes, Kind, Meta, Name, NodeId, Time, Tree};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin};

/// Attributes that are about a file's bytes.
const OF_CONTENTS: [&[u8]; 3] = [b"security.capability", b"security.ima", b"security.evm"];
/// The attribute that stands for the mode where it is there.
const ACL: &[u8] = b"system.posix_acl_access";

/// The journal's entry that a file is, and whether it has the contents that it had.
type Known<'a> = (Option<(&'a Entry, Stamp)>, bool);

/// A directory that is gone through.
struct Open {
    directory: OwnedFd,
    /// Without the first slash.
    path: Vec<u8>,
    node: NodeId,
    /// Names that are left, the first one last.
    names: Vec<Box<[u8]>>,
}

/// What a node is made of.
struct Found {
    kind: Kind,
    meta: Meta,
    attributes: Option<Box<Attributes>>,
    origin: Origin,
}

struct Reader<'a> {
    rules: &'a Rules,
    entries: &'a [Entry],
    root: Arc<Root>,
    by_path: HashMap<&'a [u8], usize>,
    by_inode: HashMap<u64, usize>,
    /// What has several names in the directory now.
    seen: HashMap<u64, NodeId>,
    /// Directories that are the journal's own.
    kept: HashMap<&'a [u8], NodeId>,
    tree: Tree,
    nodes: usize,
    bytes: u64,
    room: u64,
}

/// Reads what is in `directory`, which `journal` describes as it was.
pub fn read(directory: &Path, journal: &Journal, rules: &Rules) -> Result<Tree, Error> {
    let path = directory.as_os_str().as_bytes();
    let look = look(CWD, path).map_err(|e| failed(b"", e))?;
    if look.kind != FileType::Directory {
        return Err(refused(b"", "is no directory").at(&rules.origin));
    }
    if look.stamp.mode & 0o700 != 0o700 {
        open_up(CWD, path, look.stamp.mode | 0o700).map_err(|e| failed(b"", e))?;
    }
    let top = enter(CWD, path).map_err(|e| failed(b"", e))?;
    let entries = journal.entries.as_slice();
    let by_path = entries.iter().enumerate().map(|(at, entry)| (&*entry.path, at)).collect();
    let first = |(at, entry): (usize, &Entry)| {
        let own = matches!(entry.what, What::File(_));
        Some((entry.stamp.filter(|_| own)?.inode, at))
    };
    let by_inode = entries.iter().enumerate().filter_map(first).collect();
    let (seen, kept) = (HashMap::new(), HashMap::new());
    let tree = Tree::new(Meta::directory(rules.time), rules.origin.clone());
    let root = Arc::new(Root::open(directory)?);
    let (nodes, bytes, room) = (0, 0, 0);
    let mut reader =
        Reader { rules, entries, root, by_path, by_inode, seen, kept, tree, nodes, bytes, room };
    reader.all(top, &look).map_err(|e| e.at(&rules.origin))?;
    reader.specials()?;
    Ok(reader.tree)
}

impl<'a> Reader<'a> {
    fn all(&mut self, top: OwnedFd, look: &Look) -> Result<(), Error> {
        let found = self.directory(b"", look);
        let (meta, attributes) = self.tree.meta_mut(Tree::ROOT);
        (*meta, *attributes) = (found.meta, found.attributes);
        self.keep(b"", look, Tree::ROOT);
        let names = list(&top).map_err(|e| failed(b"", e))?;
        let mut open = vec![Open { directory: top, path: Vec::new(), node: Tree::ROOT, names }];
        while let Some(at) = open.last_mut() {
            let Some(name) = at.names.pop() else {
                open.pop();
                continue;
            };
            let mut path = at.path.clone();
            path.extend((!path.is_empty()).then_some(b'/').into_iter().chain(name.iter().copied()));
            let parent = at.node;
            let entered = self.one(at.directory.as_fd(), parent, &name, &path)?;
            let Some((node, directory)) = entered else { continue };
            if open.len() > self.rules.limits.depth {
                let most = self.rules.limits.depth;
                return Err(refused(&path, &format!("lies below more than {most} directories")));
            }
            let names = list(&directory).map_err(|e| failed(&path, e))?;
            open.push(Open { directory, path, node, names });
        }
        Ok(())
    }

    /// Puts one name into the tree; a directory is opened.
    fn one(
        &mut self,
        at: impl AsFd + Copy,
        parent: NodeId,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<(NodeId, OwnedFd)>, Error> {
        self.nodes += 1;
        if self.nodes > self.rules.limits.nodes {
            let message = format!("there are more than {} files", self.rules.limits.nodes);
            return Err(refused(path, &message));
        }
        let look = look(at, name).map_err(|e| failed(path, e))?;
        let key = Name::new(name)?;
        if let Some(node) = self.seen.get(&look.stamp.inode).copied() {
            self.tree.link(parent, key, node)?;
            return Ok(None);
        }
        let found = match look.kind {
            FileType::Directory => self.directory(path, &look),
            FileType::RegularFile => self.file(at, name, path, &look)?,
            FileType::Symlink => self.symlink(at, name, path)?,
            FileType::Fifo => self.new_node(Kind::Fifo, look.stamp.mode & 0o777),
            other => {
                let what = match other {
                    FileType::Socket => "socket",
                    FileType::CharacterDevice | FileType::BlockDevice => "device",
                    _ => "thing of an unknown kind",
                };
                return Err(refused(path, &format!("is a {what}, which no script may leave")));
            }
        };
        let Found { kind, meta, attributes, origin } = found;
        let is_directory = kind.is_directory();
        let node = self.tree.put(parent, key, kind, meta, &origin)?;
        *self.tree.meta_mut(node).1 = attributes;
        if !is_directory {
            if look.links > 1 {
                self.seen.insert(look.stamp.inode, node);
            }
            return Ok(None);
        }
        self.keep(path, &look, node);
        if look.stamp.mode & 0o700 != 0o700 {
            open_up(at, name, look.stamp.mode | 0o700).map_err(|e| failed(path, e))?;
        }
        let directory = enter(at, name).map_err(|e| failed(path, e))?;
        Ok(Some((node, directory)))
    }

    fn entry(&self, path: &[u8]) -> Option<&'a Entry> {
        let entry = self.entries.get(*self.by_path.get(path)?)?;
        match entry.what {
            What::Again(first) => self.entries.get(first),
            _ => Some(entry),
        }
    }

    /// Notes that the directory at `path` is the one that was there.
    fn keep(&mut self, path: &[u8], look: &Look, node: NodeId) {
        if let Some(entry) = self.entry(path)
            && entry.what == What::Directory
            && entry.stamp.is_some_and(|stamp| stamp.inode == look.stamp.inode)
        {
            self.kept.insert(&entry.path, node);
        }
    }

    fn new_node(&self, kind: Kind, mode: u16) -> Found {
        let meta = Meta { mode, uid: 0, gid: 0, modified: self.rules.time };
        Found { kind, meta, attributes: None, origin: self.rules.origin.clone() }
    }

    fn directory(&self, path: &[u8], look: &Look) -> Found {
        let now = &look.stamp;
        let entry = self.entry(path).filter(|entry| entry.what == What::Directory);
        let Some((entry, stamp)) = entry.and_then(|entry| Some((entry, entry.stamp?))) else {
            return self.new_node(Kind::directory(), now.mode & 0o1777);
        };
        let same_mode = stamp.mode == now.mode;
        let mode = if same_mode { entry.meta.mode } else { now.mode & 0o1777 };
        let modified = self.time(stamp.modified == now.modified, entry);
        let attributes = without(entry.attributes.as_deref(), |name| !same_mode && name == ACL);
        let meta = Meta { mode, modified, ..entry.meta };
        Found { kind: Kind::directory(), meta, attributes, origin: entry.origin.clone() }
    }

    fn symlink(&self, at: impl AsFd, name: &[u8], path: &[u8]) -> Result<Found, Error> {
        let target = rustix::fs::readlinkat(at, os(name), Vec::new());
        let target = target.map_err(|e| failed(path, e))?.into_bytes().into_boxed_slice();
        if let Some(entry) = self.entry(path)
            && entry.what == What::Symlink(target.clone())
        {
            let (meta, attributes) = (entry.meta, entry.attributes.clone());
            let origin = entry.origin.clone();
            return Ok(Found { kind: Kind::Symlink(target), meta, attributes, origin });
        }
        Ok(self.new_node(Kind::Symlink(target), 0o777))
    }

    fn file(
        &mut self,
        at: impl AsFd + Copy,
        name: &[u8],
        path: &[u8],
        look: &Look,
    ) -> Result<Found, Error> {
        let (now, limits) = (look.stamp, self.rules.limits);
        self.bytes = self.bytes.saturating_add(now.size);
        self.room = self.room.saturating_add(look.blocks);
        if now.size > limits.file || self.bytes > limits.total {
            let message = format!(
                "has {} bytes; {} are allowed in a file and {} in all",
                now.size, limits.file, limits.total
            );
            return Err(refused(path, &message));
        }
        if self.room > self.rules.budget {
            let message = format!(
                "does not fit: the trees that scripts change may take {} bytes of the disk",
                self.rules.budget
            );
            return Err(Error::new(ErrorKind::NoSpace, shown(path, &message)));
        }
        if now.mode & 0o400 == 0 {
            open_up(at, name, now.mode | 0o400).map_err(|e| failed(path, e))?;
        }
        let content = self.root.file(path, now.size);
        let (known, same) = self.known(path, &now, &content)?;
        let kind = Kind::File(Content::Sectors(Arc::new(content)));
        let Some((entry, stamp)) = known else {
            return Ok(self.new_node(kind, now.mode & 0o777));
        };
        let same_mode = stamp.mode == now.mode;
        let mode = match (same_mode, same) {
            (true, true) => entry.meta.mode,
            (true, false) => entry.meta.mode & 0o1777,
            (false, _) => now.mode & 0o777,
        };
        let lost =
            |name: &[u8]| (!same && OF_CONTENTS.contains(&name)) || (!same_mode && name == ACL);
        let attributes = without(entry.attributes.as_deref(), lost);
        let meta = Meta { mode, modified: self.time(same, entry), ..entry.meta };
        Ok(Found { kind, meta, attributes, origin: entry.origin.clone() })
    }

    /// The journal's entry that a file is, and whether it has the contents that it had.
    fn known(&self, path: &[u8], now: &Stamp, content: &Staged) -> Result<Known<'a>, Error> {
        let file = |entry: &'a Entry| match entry.what {
            What::File(sum) => entry.stamp.map(|stamp| (entry, stamp, sum)),
            _ => None,
        };
        let mut sum = None;
        let mut same = |stamp: &Stamp, known: &[u8; 32]| {
            let untouched = (stamp.inode, stamp.size, stamp.modified, stamp.changed)
                == (now.inode, now.size, now.modified, now.changed);
            if untouched || stamp.size != now.size {
                return Ok::<_, Error>(untouched);
            }
            let found = match sum {
                Some(sum) => sum,
                None => *sum.insert(Sum::of(content)?),
            };
            Ok(found == *known)
        };
        let here = self.entry(path).and_then(file);
        if let Some((entry, stamp, known)) = &here
            && same(stamp, known)?
        {
            return Ok((Some((*entry, *stamp)), true));
        }
        // Another name of it, or a new one. An inode alone proves nothing: it may be another file's
        // by now.
        let moved = self.by_inode.get(&now.inode).and_then(|at| self.entries.get(*at));
        if let Some((entry, stamp, known)) = moved.and_then(file)
            && stamp.born.is_some()
            && stamp.born == now.born
            && same(&stamp, &known)?
        {
            return Ok((Some((entry, stamp)), true));
        }
        Ok((here.map(|(entry, stamp, _)| (entry, stamp)), false))
    }

    const fn time(&self, same: bool, entry: &Entry) -> Time {
        if same { entry.meta.modified } else { self.rules.time }
    }

    /// What was not in the directory comes back where its own directory still is.
    fn specials(&mut self) -> Result<(), Error> {
        let mut back: HashMap<usize, NodeId> = HashMap::new();
        for (number, entry) in self.entries.iter().enumerate() {
            let first = match entry.what {
                What::Again(first) => first,
                _ => number,
            };
            let Some(kind) = self.entries.get(first).and_then(|entry| special(&entry.what)) else {
                continue;
            };
            let cut = entry.path.iter().rposition(|byte| *byte == b'/');
            let (parent, name) = match cut {
                Some(at) => entry.path.split_at(at),
                None => (&[][..], &*entry.path),
            };
            let name = Name::new(name.strip_prefix(b"/").unwrap_or(name))?;
            let Some(parent) = self.kept.get(parent).copied() else { continue };
            let taken = self.tree.node(parent).entries().is_some_and(|all| all.contains_key(&name));
            if taken {
                continue;
            }
            if let Some(node) = back.get(&first) {
                self.tree.link(parent, name, *node)?;
                continue;
            }
            let node = self.tree.put(parent, name, kind, entry.meta, &entry.origin)?;
            *self.tree.meta_mut(node).1 = entry.attributes.clone();
            back.insert(first, node);
        }
        Ok(())
    }
}

fn special(what: &What) -> Option<Kind> {
    match what {
        What::Char(device) => Some(Kind::CharDevice(*device)),
        What::Block(device) => Some(Kind::BlockDevice(*device)),
        What::Fifo => Some(Kind::Fifo),
        What::Socket => Some(Kind::Socket),
        _ => None,
    }
}

/// The attributes that are not `lost`.
fn without(given: Option<&Attributes>, lost: impl Fn(&[u8]) -> bool) -> Option<Box<Attributes>> {
    let left = given?.iter().filter(|(name, _)| !lost(name));
    let left: Attributes = left.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!left.is_empty()).then(|| Box::new(left))
}
