//! From the steps of a document to trees of files, one for each filesystem.
//!
//! ```text
//! partitions[].contents ──steps, in order──▶ a tree for each ──split by mountPath──▶ final trees
//! ```
//!
//! Writes no filesystem. Invariants: later steps win; what is put below another partition's
//! mountPath lies in that partition alone; owner and mode never come from the user who builds.

mod disk;
mod nodes;
mod sets;
mod step;
mod tables;

use super::base::tree::{Limits, Meta, Missing, Tree, TreePath};
use super::base::{Error, Kind, Origin};
use super::ids::Ids;
use super::{Env, Given};
use crate::manifest::FieldPath;
use crate::manifest::types::{Disk, Iso, Partition, Step};

/// The trees of all partitions; none for a partition without filesystem.
#[derive(Debug)]
pub(super) struct Trees(pub(super) Vec<Option<Tree>>);

/// What steps are applied with.
#[derive(Clone, Copy, Debug)]
struct Context<'a> {
    given: &'a Given<'a>,
    env: &'a Env<'a>,
    ids: Option<&'a Ids>,
    limits: Limits,
}

impl Context<'_> {
    /// `text` with the ids that it names.
    fn fill(&self, text: &str) -> Result<String, Error> {
        self.ids.map_or_else(|| Ok(text.to_owned()), |ids| ids.fill(text))
    }

    /// What directories have that are made on the way.
    const fn missing(&self) -> Missing {
        Missing::Make(Meta::directory(self.env.time))
    }
}

/// The trees of a disk.
pub(super) fn trees(
    disk: &Disk,
    ids: &Ids,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Trees, Error> {
    let context = Context { given, env, ids: Some(ids), limits: Limits::default() };
    let mut trees: Vec<Option<Tree>> = disk.partitions.iter().map(|_| None).collect();
    // A partition takes its part out of what is mounted above it, so that comes first.
    let mut order: Vec<usize> = (0..disk.partitions.len()).collect();
    order.sort_by_key(|index| mount(disk, *index).map_or(0, |path| path.names().len()));
    for index in order {
        let Some(partition) = disk.partitions.get(index) else { continue };
        if partition.filesystem.is_none() {
            continue;
        }
        let path = FieldPath::new("spec.disk.partitions").index(index);
        let mut tree = Tree::new(Meta::directory(env.time), Origin::new(path.as_str()));
        if let Some(at) = mount(disk, index) {
            take(&mut tree, &at, disk, &mut trees, &context, &path)?;
        }
        apply(&mut tree, &partition.contents, &path, &context)?;
        if let Some(place) = trees.get_mut(index) {
            *place = Some(tree);
        }
    }
    Ok(Trees(trees))
}

/// The tree of an ISO image.
pub(super) fn iso_tree(iso: &Iso, given: &Given<'_>, env: &Env<'_>) -> Result<Tree, Error> {
    tree_of(&iso.contents, &FieldPath::new("spec.iso"), None, given, env)
}

/// The tree that the steps at `path` make.
pub(super) fn tree_of(
    steps: &[Step],
    path: &FieldPath,
    ids: Option<&Ids>,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Tree, Error> {
    let context = Context { given, env, ids, limits: Limits::default() };
    let mut tree = Tree::new(Meta::directory(env.time), Origin::new(path.as_str()));
    apply(&mut tree, steps, path, &context)?;
    Ok(tree)
}

fn apply(
    tree: &mut Tree,
    steps: &[Step],
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let path = path.member("contents");
    for (index, step) in steps.iter().enumerate() {
        let path = path.index(index);
        let origin = Origin::new(path.as_str());
        step::apply(tree, step, &path, context).map_err(|e| e.at(&origin))?;
    }
    Ok(())
}

/// Where the partition with this index is mounted; the only one that has a filesystem is at the
/// root unless it says otherwise.
fn mount(disk: &Disk, index: usize) -> Option<TreePath> {
    let partition = disk.partitions.get(index)?;
    let of = |partition: &Partition| {
        let path = partition.mount_path.as_ref()?;
        TreePath::new(path.as_bytes()).ok()
    };
    of(partition).filter(|_| partition.filesystem.is_some())
}

/// Moves what lies at `at` in the partition that is mounted above into `tree`; an empty directory
/// stays, on which it is mounted.
fn take(
    tree: &mut Tree,
    at: &TreePath,
    disk: &Disk,
    trees: &mut [Option<Tree>],
    context: &Context<'_>,
    path: &FieldPath,
) -> Result<(), Error> {
    let above = (0..disk.partitions.len())
        .filter_map(|index| Some((mount(disk, index)?, index)))
        .filter(|(other, _)| other.names().len() < at.names().len())
        .filter(|(other, _)| at.names().starts_with(other.names()))
        .max_by_key(|(other, _)| other.names().len());
    let Some((mounted, index)) = above else { return Ok(()) };
    let Some(Some(from)) = trees.get_mut(index) else { return Ok(()) };
    let origin = Origin::new(path.member("mountPath").as_str());
    let inner = TreePath::from_names(at.names().get(mounted.names().len()..).unwrap_or_default());
    let Some((parent, name)) = inner.split() else { return Ok(()) };
    let parent = from.directory_at(&parent, context.missing(), &origin)?;
    if let Some(found) = from.node(parent).entries().and_then(|e| e.get(name)).copied() {
        if !from.node(found).kind.is_directory() {
            let word = from.node(found).kind.word();
            let message = format!("{at} is a {word} in {}; nothing can be mounted there", mounted);
            return Err(Error::new(Kind::Document, message).at(&origin));
        }
        tree.graft(from, found, Tree::ROOT)?;
        from.remove(parent, name);
    }
    let kind = super::base::tree::Kind::directory();
    from.put(parent, name.clone(), kind, Meta::directory(context.env.time), &origin)?;
    Ok(())
}
