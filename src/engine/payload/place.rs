//! Puts entries at their places in the tree.
//!
//! Reads no archive. Invariants: an entry that is taken counts against the limits before anything
//! is stored for it; the way to a directory is remembered only until something on it may change.

use std::sync::Arc;

use super::archive::grow;
use super::links::Pending;
use super::{Summary, Unpack};
use crate::engine::archive::{Entry, Form, Part, zip};
use crate::engine::base::tree::{
    Attributes, Kind, Meta, Missing, Name, Node, NodeId, Tree, TreePath,
};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin, Scratch, Spool};

/// The longest text of a link: PATH_MAX without its zero.
const MOST_TARGET: usize = 4095;

/// What may replace what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// As tar does.
    Archive,
    /// As dpkg does: a directory does not replace a link to one.
    Package,
    /// As container runtimes do: everything replaces everything.
    Layer,
}

/// Puts entries into a tree.
pub(super) struct Placer<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) options: &'a Unpack,
    pub(super) origin: &'a Origin,
    rules: Rules,
    scratch: &'a Scratch,
    /// Which patterns named something.
    seen: Vec<bool>,
    /// The last directory that was looked for.
    last: Option<(TreePath, NodeId)>,
    /// Where files lie that were compressed by themselves.
    spool: Option<Arc<Spool>>,
    summary: Summary,
}

/// The parts of an entry that make a node.
pub(super) struct Made {
    pub(super) kind: Kind,
    pub(super) meta: Meta,
    pub(super) attributes: Option<Box<Attributes>>,
}

impl<'a> Placer<'a> {
    pub(super) fn new(
        tree: &'a mut Tree,
        options: &'a Unpack,
        rules: Rules,
        scratch: &'a Scratch,
        origin: &'a Origin,
    ) -> Self {
        let seen = vec![false; options.selection.include.len()];
        let summary = Summary::default();
        Self { tree, options, origin, rules, scratch, seen, last: None, spool: None, summary }
    }

    /// The path in the archive, and whether it is wanted.
    pub(super) fn selects(&mut self, path: &[u8]) -> Result<(TreePath, bool), Error> {
        let path = TreePath::new(path)?;
        let depth = path.names().len();
        if depth > self.options.limits.depth {
            let limit = self.options.limits.depth;
            let message = format!("\"{path}\" lies {depth} directories deep; {limit} are allowed");
            return Err(Error::new(ErrorKind::Input, message));
        }
        let takes = self.options.selection.takes(&path, &mut self.seen)
            && path.names().len() + usize::from(self.options.strip == 0) > self.options.strip;
        // AUFS kept its own files in images; nobody unpacks them.
        let aufs = self.rules == Rules::Layer
            && path.names().iter().any(|name| name.as_bytes().starts_with(b".wh."));
        Ok((path, takes && !aufs))
    }

    /// Where a path of the archive is in the tree.
    pub(super) fn place(&self, path: &TreePath) -> TreePath {
        let rest = path.without(self.options.strip).unwrap_or_default();
        self.options.target.append(&rest)
    }

    /// Takes an entry.
    pub(super) fn take(&mut self, entry: Entry, pending: &mut Pending) -> Result<(), Error> {
        let (path, takes) = self.selects(&entry.path)?;
        if !takes {
            return Ok(());
        }
        self.count()?;
        let place = self.place(&path);
        if let Form::HardLink(target) = &entry.form {
            self.summary.links += 1;
            return pending.link(self, &place, target);
        }
        let made = self.make(entry).map_err(|e| named(&path, e))?;
        let Some((parent, name)) = place.split() else {
            return self.root(made);
        };
        let parent = self.parent(&parent)?;
        pending.forget(parent, name);
        self.put(parent, name.clone(), made).map(|_| ())
    }

    /// One entry more.
    fn count(&mut self) -> Result<(), Error> {
        self.summary.entries += 1;
        let limit = self.options.limits.nodes;
        if self.summary.entries > limit {
            let message = format!("the archive has more than {limit} entries");
            return Err(Error::new(ErrorKind::Input, message));
        }
        Ok(())
    }

    /// The node that an entry describes.
    pub(super) fn make(&mut self, entry: Entry) -> Result<Made, Error> {
        let kind = match entry.form {
            Form::Directory => Kind::directory(),
            Form::File(content) => {
                self.weigh(content.len())?;
                Kind::File(content)
            }
            Form::Packed(packed) => {
                self.weigh(packed.len())?;
                Kind::File(self.spooled(&packed)?)
            }
            Form::Symlink(target) => {
                judge_target(&target)?;
                Kind::Symlink(target)
            }
            Form::CharDevice(device) => Kind::CharDevice(device),
            Form::BlockDevice(device) => Kind::BlockDevice(device),
            Form::Fifo => Kind::Fifo,
            Form::Socket => Kind::Socket,
            Form::HardLink(_) => {
                return Err(Error::new(ErrorKind::Input, "it is a hard link to a hard link"));
            }
        };
        let held = entry.attributes.as_ref().map_or(0, |attributes| {
            attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
        });
        let limit = self.options.limits.attributes;
        if held > limit {
            let message = format!("its attributes have {held} bytes; {limit} are allowed");
            return Err(Error::new(ErrorKind::Input, message));
        }
        let meta = self.meta(&kind, entry.meta);
        Ok(Made { kind, meta, attributes: entry.attributes })
    }

    fn meta(&self, kind: &Kind, meta: Meta) -> Meta {
        let options = self.options;
        let mode = match kind {
            Kind::Directory(_) => meta.mode & options.directory_mask,
            // Links have no mode of their own.
            Kind::Symlink(_) => 0o777,
            _ => meta.mode & options.file_mask,
        };
        let (uid, gid) = options.owner.unwrap_or((meta.uid, meta.gid));
        Meta { mode, uid, gid, modified: options.times.of(meta.modified) }
    }

    /// A file of `len` bytes more.
    fn weigh(&mut self, len: u64) -> Result<(), Error> {
        let limits = &self.options.limits;
        if len > limits.file {
            let message = format!("it has {len} bytes; {} are allowed", limits.file);
            return Err(Error::new(ErrorKind::Input, message));
        }
        self.summary.bytes = self.summary.bytes.saturating_add(len);
        if self.summary.bytes > limits.total {
            let message = format!("all files have more than the {} bytes allowed", limits.total);
            return Err(Error::new(ErrorKind::Input, message));
        }
        Ok(())
    }

    fn spooled(&mut self, packed: &zip::Packed) -> Result<Content, Error> {
        let spool = match &self.spool {
            Some(spool) => Arc::clone(spool),
            None => Arc::clone(self.spool.insert(Arc::new(self.scratch.spool()?))),
        };
        let at = grow(&spool, packed.len())?;
        packed.unpack(spool.as_ref(), at)?;
        Ok(Part::new(spool, at, packed.len())?.content())
    }

    /// The archive's own root: the target directory gets what is known about it.
    fn root(&mut self, made: Made) -> Result<(), Error> {
        if !made.kind.is_directory() {
            let message = format!("a {} has no name of its own", made.kind.word());
            return Err(Error::new(ErrorKind::Input, message));
        }
        let (meta, attributes) = self.tree.meta_mut(Tree::ROOT);
        (*meta, *attributes) = (made.meta, made.attributes);
        Ok(())
    }

    /// The directory at `path`, made where it is missing.
    pub(super) fn parent(&mut self, path: &TreePath) -> Result<NodeId, Error> {
        if let Some((last, id)) = &self.last
            && last == path
        {
            return Ok(*id);
        }
        let missing = Missing::Make(Meta::directory(self.options.implied));
        let id = self.tree.directory_at(path, missing, self.origin)?;
        self.last = Some((path.clone(), id));
        Ok(id)
    }

    /// Puts a node into a directory, by the rules.
    pub(super) fn put(&mut self, parent: NodeId, name: Name, made: Made) -> Result<NodeId, Error> {
        let before = self.tree.node(parent).entries().and_then(|entries| entries.get(&name));
        if let Some(before) = before.copied() {
            let node = self.tree.node(before);
            if made.kind.is_directory() && self.stays(node, parent) {
                return Ok(before);
            }
            if !made.kind.is_directory() {
                self.judge(node, &name, made.kind.word())?;
            }
            if !(node.kind.is_directory() && made.kind.is_directory()) {
                self.last = None;
            }
        }
        let id = self.tree.put(parent, name, made.kind, made.meta, self.origin)?;
        let (_, attributes) = self.tree.meta_mut(id);
        *attributes = made.attributes;
        Ok(id)
    }

    /// Whether a link stays where a package has a directory.
    fn stays(&self, node: &Node, parent: NodeId) -> bool {
        let Kind::Symlink(target) = &node.kind else { return false };
        if self.rules != Rules::Package {
            return false;
        }
        // dpkg asks whether the link leads to a directory. A path upwards is resolved by the tree
        // only from its root; links of packages are short ones beside their target.
        let Ok(target_path) = TreePath::new(target) else { return false };
        match target.starts_with(b"/") {
            true => self.tree.directory(&target_path).is_some(),
            false => below(self.tree, parent, &target_path),
        }
    }

    /// Whether what is no directory may replace a node.
    fn judge(&self, before: &Node, name: &Name, word: &str) -> Result<(), Error> {
        let holds = before.entries().is_some_and(|entries| !entries.is_empty());
        if self.rules == Rules::Layer || !holds {
            return Ok(());
        }
        let message = format!("a {word} \"{name}\" would replace a directory with entries");
        Err(Error::new(ErrorKind::Input, message))
    }

    /// Makes room for a hard link.
    pub(super) fn clear(&mut self, parent: NodeId, name: &Name) -> Result<(), Error> {
        let before = self.tree.node(parent).entries().and_then(|entries| entries.get(name));
        if let Some(before) = before.copied() {
            self.judge(self.tree.node(before), name, "hard link")?;
            self.tree.remove(parent, name);
            self.last = None;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Summary, Error> {
        self.options.selection.judge(&self.seen)?;
        Ok(self.summary)
    }
}

/// Whether there is a directory at `path` below `from`; links are not followed.
fn below(tree: &Tree, from: NodeId, path: &TreePath) -> bool {
    let found = path.names().iter().try_fold(from, |at, name| {
        tree.node(at).entries().and_then(|entries| entries.get(name)).copied()
    });
    found.is_some_and(|found| tree.node(found).kind.is_directory())
}

fn judge_target(target: &[u8]) -> Result<(), Error> {
    let why = match target {
        b"" => "it is a link to nothing".to_owned(),
        _ if target.len() > MOST_TARGET => {
            format!("it is a link to a path of {} bytes; 4095 are allowed", target.len())
        }
        _ if target.contains(&0) => "it is a link to a path with a zero byte".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Input, why))
}

/// The same failure, of this entry.
pub(super) fn named(path: &TreePath, e: Error) -> Error {
    Error::new(e.kind(), format!("\"{path}\": {e}"))
}
