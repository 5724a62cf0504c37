//! Which partition holds what lies at a path of the whole tree.
//!
//! Changes nothing. Invariant: a path is found where a running system finds it once all partitions
//! are mounted.

use crate::engine::base::tree::{Kind as NodeKind, NodeId, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind, Origin};
use crate::manifest::types::{Disk, FilesystemKind, Partition, Path};

/// The trees that a loader can read, and where they are mounted.
pub(super) struct Ground<'a> {
    /// With the index of its partition, its name and its mount path.
    volumes: Vec<(usize, &'a str, TreePath)>,
}

/// A file of one of the trees.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The index of the partition; 0 for an ISO.
    pub(super) partition: usize,
    /// The path in it.
    pub(super) path: TreePath,
}

impl<'a> Ground<'a> {
    /// Of a disk.
    pub(super) fn disk(disk: &'a Disk) -> Self {
        let trees = || disk.partitions.iter().enumerate().filter(|(_, p)| has_tree(p));
        let only = trees().count() == 1;
        let volume = |(index, partition): (usize, &'a Partition)| {
            let given = partition.mount_path.as_ref().map(|path| path.as_bytes());
            let path = given.or(only.then_some(b"/"))?;
            Some((index, partition.name.as_str(), TreePath::new(path).ok()?))
        };
        Self { volumes: trees().filter_map(volume).collect() }
    }

    /// Of an ISO.
    pub(super) fn iso() -> Self {
        Self { volumes: vec![(0, "iso", TreePath::from_names(&[]))] }
    }

    /// Where a path of the whole tree lies.
    pub(super) fn find(&self, path: &Path, origin: &Origin) -> Result<Found, Error> {
        let path = TreePath::new(path.as_bytes()).map_err(|e| e.at(origin))?;
        let holds = |mount: &TreePath| path.names().starts_with(mount.names());
        let found = self.volumes.iter().filter(|(_, _, mount)| holds(mount));
        let deepest = found.max_by_key(|(_, _, mount)| mount.names().len());
        let Some((partition, _, mount)) = deepest else {
            let known: Vec<_> =
                self.volumes.iter().map(|(_, name, mount)| format!("{name} at {mount}")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!(
                "{path} is on no partition: add mountPath to the one that it is for (mounted are: {known})"
            );
            return Err(Error::new(Kind::Document, message).at(origin));
        };
        let inner = path.names().get(mount.names().len()..).unwrap_or_default();
        Ok(Found { partition: *partition, path: TreePath::from_names(inner) })
    }
}

fn has_tree(partition: &Partition) -> bool {
    let filesystem = partition.filesystem.as_ref();
    filesystem.is_some_and(|filesystem| filesystem.kind != FilesystemKind::Swap)
}

/// The trees of a medium by index.
pub(super) struct Trees<'a>(pub(super) &'a mut [Option<Tree>]);

impl Trees<'_> {
    /// The tree of a partition.
    pub(super) fn at(&mut self, partition: usize) -> Result<&mut Tree, Error> {
        let tree = self.0.get_mut(partition).and_then(Option::as_mut);
        tree.ok_or_else(|| Error::new(Kind::Document, "the partition has no tree of files"))
    }

    /// The content of the file that lies there, links followed.
    pub(super) fn file(&self, found: &Found, origin: &Origin) -> Result<Content, Error> {
        let refused = |why: String| Err(Error::new(Kind::Document, why).at(origin));
        let Some(tree) = self.0.get(found.partition).and_then(Option::as_ref) else {
            return refused("the partition has no tree of files".to_owned());
        };
        let Some(node) = tree.resolve(&found.path) else {
            let near = neighbours(tree, &found.path);
            return refused(format!("{} is not in the tree{near}", found.path));
        };
        match &tree.node(node).kind {
            NodeKind::File(content) => Ok(content.clone()),
            other => refused(format!("{} is a {}, not a file", found.path, other.word())),
        }
    }
}

/// What lies beside a path that is not there.
fn neighbours(tree: &Tree, path: &TreePath) -> String {
    let parent = path.split().map(|(parent, _)| parent);
    let entries = |node: NodeId| tree.node(node).entries();
    let Some(entries) = parent.as_ref().and_then(|p| tree.resolve(p)).and_then(entries) else {
        return String::new();
    };
    let names: Vec<_> = entries
        .keys()
        .take(12)
        .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
        .collect();
    let directory = parent.map(|parent| parent.to_string()).unwrap_or_default();
    format!("; {directory} has: {}", names.join(", "))
}
