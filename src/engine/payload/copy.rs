//! Copies a part of one tree into another: of an image that is there, of an archive, of a service.
//!
//! Reads no content. Invariant: a file with several names in what is copied is one file in the copy.

use super::{Selection, Summary};
use crate::engine::base::tree::{Kind, Meta, Missing, NodeId, Time, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin};

/// What of a tree is copied.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The directory or file; links on the way and at its end are followed.
    pub path: TreePath,
    /// What of it, by paths from there on.
    pub selection: Selection,
    /// The time of directories that are implied.
    pub implied: Time,
}

fn missing(path: &TreePath) -> Error {
    Error::new(ErrorKind::Input, format!("there is no \"{path}\""))
}

/// Copies `part` of `from` into `into`: a directory's entries into the directory at `at`, which gets
/// its mode, owner and time; what is no directory to `at` itself. What is there stays unless it has
/// the name of something that comes.
pub fn copy_tree(
    from: &Tree,
    part: &Part,
    into: &mut Tree,
    at: &TreePath,
    origin: &Origin,
) -> Result<Summary, Error> {
    let start = from.resolve(&part.path).ok_or_else(|| missing(&part.path).at(origin))?;
    let mut seen = vec![false; part.selection.include.len()];
    let mut copies: Vec<Option<NodeId>> = vec![None; from.rows()];
    let mut summary = Summary::default();
    let mut open = vec![(TreePath::default(), start)];
    while let Some((path, id)) = open.pop() {
        let node = from.node(id);
        if let Some(entries) = node.entries() {
            open.extend(entries.iter().rev().map(|(name, id)| (path.join(name), *id)));
        }
        if !part.selection.takes(&path, &mut seen) {
            continue;
        }
        let goal = at.append(&path);
        let implied = Missing::Make(Meta::directory(part.implied));
        let Some((parent, name)) = goal.split() else {
            if !node.kind.is_directory() {
                let message = format!("a {} cannot be the root of a tree", node.kind.word());
                return Err(Error::new(ErrorKind::Document, message).at(origin));
            }
            let (meta, attributes) = into.meta_mut(Tree::ROOT);
            (*meta, *attributes) = (node.meta, node.attributes.clone());
            continue;
        };
        let parent = into.directory_at(&parent, implied, origin)?;
        summary.entries += 1;
        if let Some(copy) = copies.get(id.index()).copied().flatten() {
            summary.links += 1;
            into.link(parent, name.clone(), copy).map_err(|e| e.at(origin))?;
            continue;
        }
        let kind = match &node.kind {
            Kind::Directory(_) => Kind::directory(),
            other => other.clone(),
        };
        if matches!(kind, Kind::File(_)) {
            summary.bytes = summary.bytes.saturating_add(node.len());
        }
        let copy = into.put(parent, name.clone(), kind, node.meta, origin)?;
        into.meta_mut(copy).1.clone_from(&node.attributes);
        if !node.kind.is_directory()
            && let Some(row) = copies.get_mut(id.index())
        {
            *row = Some(copy);
        }
    }
    part.selection.judge(&seen).map_err(|e| e.at(origin))?;
    Ok(summary)
}

/// The content of the file at `path`; links are followed.
pub fn member(tree: &Tree, path: &TreePath) -> Result<Content, Error> {
    let found = tree.resolve(path).ok_or_else(|| missing(path))?;
    match &tree.node(found).kind {
        Kind::File(content) => Ok(content.clone()),
        other => {
            let message = format!("\"{path}\" is a {}; a file is wanted", other.word());
            Err(Error::new(ErrorKind::Input, message))
        }
    }
}
