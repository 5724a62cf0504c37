//! A tree of files before it is a filesystem: directories, files, links, devices and what is known
//! about each.
//!
//! Reads no disk and touches no host file: links are followed inside of the tree alone. Invariants:
//! entries are sorted by the bytes of their names; a node that is in two places is one file with
//! two names; every node can say which field of the document it came from.

mod edit;
mod graft;
mod path;
mod walk;

use std::collections::BTreeMap;

use super::{Content, Origin};

pub use edit::Missing;
pub use path::{MAX_NAME, Name, TreePath};
pub use walk::{Step, Walk};

/// A node of one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// Its place in a table with a row for each node, see `Tree::rows`.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a tree that comes out of untrusted bytes may have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files, directories, links and devices together.
    pub nodes: usize,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of all files together, holes counted.
    pub total: u64,
    /// Bytes of one node's extended attributes.
    pub attributes: usize,
    /// Directories above a node.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nodes: 4 << 20, file: 1 << 44, total: 1 << 46, attributes: 1 << 20, depth: 256 }
    }
}

/// What is known about a node beside its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permissions with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the contents were changed last.
    pub modified: Time,
}

/// Seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// A device by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Names of other nodes.
    Directory(BTreeMap<Name, NodeId>),
    /// Bytes; holes of the content stay holes.
    File(Content),
    /// Another path, as it was given.
    Symlink(Box<[u8]>),
    /// A device that is read in bytes.
    CharDevice(Device),
    /// A device that is read in blocks.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Extended attributes by their full name: `user.comment`, `security.capability`.
pub type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// What is known about it.
    pub meta: Meta,
    /// Its extended attributes; none is the common case.
    pub attributes: Option<Box<Attributes>>,
    /// The field it came from: a number in the tree's list.
    origin: u32,
    /// Names it has: of a directory the one in its parent.
    names: u32,
}

/// A tree. Nodes without a name are gone, though they keep their number.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    origins: Vec<Origin>,
}

impl Meta {
    /// What a directory has that nobody described: 0755, of root.
    #[must_use]
    pub const fn directory(modified: Time) -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, modified }
    }

    /// What a file has that nobody described: 0644, of root.
    #[must_use]
    pub const fn file(modified: Time) -> Self {
        Self { mode: 0o644, uid: 0, gid: 0, modified }
    }
}

impl Kind {
    /// An empty directory.
    #[must_use]
    pub const fn directory() -> Self {
        Self::Directory(BTreeMap::new())
    }

    /// What it is called in messages.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::File(_) => "file",
            Self::Symlink(_) => "symbolic link",
            Self::CharDevice(_) => "character device",
            Self::BlockDevice(_) => "block device",
            Self::Fifo => "FIFO",
            Self::Socket => "socket",
        }
    }

    /// Whether it holds other nodes.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

impl Node {
    /// Names that the node has; a directory has one.
    #[must_use]
    pub const fn names(&self) -> u32 {
        self.names
    }

    /// The entries, if it is a directory.
    #[must_use]
    pub const fn entries(&self) -> Option<&BTreeMap<Name, NodeId>> {
        match &self.kind {
            Kind::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    /// Bytes of the file, or of the link's text; 0 for what has none.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.len(),
            Kind::Symlink(target) => target.len() as u64,
            _ => 0,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tree {
    /// The root directory of every tree.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree with an empty root directory.
    #[must_use]
    pub fn new(root: Meta, origin: Origin) -> Self {
        let root =
            Node { kind: Kind::directory(), meta: root, attributes: None, origin: 0, names: 1 };
        Self { nodes: vec![root], origins: vec![origin] }
    }

    /// The node with this number.
    ///
    /// # Panics
    /// If the number is of another tree.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The same, to change what is known about it. Its kind is changed by `put` alone.
    #[must_use]
    pub fn meta_mut(&mut self, id: NodeId) -> (&mut Meta, &mut Option<Box<Attributes>>) {
        let node = &mut self.nodes[id.0 as usize];
        (&mut node.meta, &mut node.attributes)
    }

    /// The field that a node came from.
    #[must_use]
    pub fn origin(&self, id: NodeId) -> &Origin {
        &self.origins[self.node(id).origin as usize]
    }

    /// Rows of a table with one for each node, those without a name counted.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.nodes.len()
    }

    /// Nodes that have a name: what a filesystem needs inodes for.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.iter().filter(|node| node.names > 0).count()
    }
}
