//! Hard links whose target is not in the tree when they come.
//!
//! Invariants: a name that something else took meanwhile is left alone; a link that leads nowhere is
//! an error that names both; links in a circle end.

use std::collections::BTreeMap;

use super::archive::Archive;
use super::place::{Made, Placer, named};
use crate::engine::archive::Form;
use crate::engine::base::tree::{Name, NodeId, Tree, TreePath};
use crate::engine::base::{Error, Kind};

/// How often links to links that come later are tried.
const ROUNDS: usize = 8;

/// Links that wait, by their place.
#[derive(Debug, Default)]
pub(super) struct Pending(BTreeMap<(NodeId, Name), Waits>);

/// What a link waits for.
#[derive(Clone, Debug)]
struct Waits {
    /// Its place in order: links are made as the archive has them.
    order: usize,
    /// The target, as the archive names it.
    target: Box<[u8]>,
    /// Whether the target is not selected, so that its content is taken.
    content: bool,
}

impl Pending {
    /// Something else has the name now.
    pub(super) fn forget(&mut self, parent: NodeId, name: &Name) {
        if !self.0.is_empty() {
            self.0.remove(&(parent, name.clone()));
        }
    }

    /// Takes a link: it is made now if its target is there.
    pub(super) fn link(
        &mut self,
        placer: &mut Placer<'_>,
        place: &TreePath,
        target: &[u8],
    ) -> Result<(), Error> {
        let (path, selected) = placer.selects(target).map_err(|e| named(place, e))?;
        let Some((parent, name)) = place.split() else {
            return Err(Error::new(Kind::Input, "the root would be a hard link"));
        };
        let parent = placer.parent(&parent)?;
        self.forget(parent, name);
        let goal = placer.place(&path);
        if selected && goal == *place {
            return match placer.tree.find(place) {
                Some(_) => Ok(()),
                None => Err(Error::new(Kind::Input, format!("\"{place}\" is a link to itself"))),
            };
        }
        if selected && let Some(found) = placer.tree.find(&goal) {
            return join(placer, parent, name, found).map_err(|e| named(place, e));
        }
        let waits = Waits { order: self.0.len(), target: target.into(), content: !selected };
        // The name is taken: what stood there before is gone, as it would be later.
        placer.clear(parent, name)?;
        self.0.insert((parent, name.clone()), waits);
        Ok(())
    }

    /// Makes all links that wait.
    pub(super) fn resolve(self, placer: &mut Placer<'_>, archive: &Archive) -> Result<(), Error> {
        let mut waiting: Vec<_> = self.0.into_iter().collect();
        waiting.sort_by_key(|(_, waits)| waits.order);
        // A directory that was replaced took its links along.
        waiting.retain(|((parent, _), _)| placer.tree.node(*parent).kind.is_directory());
        let (contents, mut links): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, waits)| waits.content);
        take_contents(placer, archive, contents)?;
        for _ in 0..ROUNDS {
            let mut left = Vec::new();
            for ((parent, name), waits) in links {
                let goal = placer.place(&TreePath::new(&waits.target)?);
                match placer.tree.find(&goal) {
                    Some(found) => join(placer, parent, &name, found)?,
                    None => left.push(((parent, name), waits)),
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            // Links to links that come later are there when read backwards.
            left.reverse();
            links = left;
        }
        links.first().map_or(Ok(()), |((_, name), waits)| Err(lost(name, &waits.target)))
    }
}

fn lost(name: &Name, target: &[u8]) -> Error {
    let target = target.escape_ascii();
    let message = format!("\"{name}\" is a hard link to \"{target}\", which is not in the archive");
    Error::new(Kind::Input, message)
}

fn join(placer: &mut Placer<'_>, parent: NodeId, name: &Name, found: NodeId) -> Result<(), Error> {
    let before = placer.tree.node(parent).entries().and_then(|entries| entries.get(name)).copied();
    if before == Some(found) {
        return Ok(());
    }
    placer.clear(parent, name)?;
    Tree::link(placer.tree, parent, name.clone(), found)
}

/// Links whose target is not selected: the archive is gone through again for what they name.
fn take_contents(
    placer: &mut Placer<'_>,
    archive: &Archive,
    links: Vec<((NodeId, Name), Waits)>,
) -> Result<(), Error> {
    if links.is_empty() {
        return Ok(());
    }
    let mut wanted: BTreeMap<TreePath, Found> = BTreeMap::new();
    for (_, waits) in &links {
        wanted.insert(TreePath::new(&waits.target)?, Found::Nothing);
    }
    for _ in 0..ROUNDS {
        for entry in archive.entries()? {
            let entry = entry?;
            let Ok(path) = TreePath::new(&entry.path) else { continue };
            let Some(found) = wanted.get_mut(&path) else { continue };
            *found = match &entry.form {
                Form::HardLink(target) => Found::Link(TreePath::new(target)?),
                _ => Found::Made(Box::new(placer.make(entry).map_err(|e| named(&path, e))?)),
            };
        }
        let next: Vec<_> = wanted.values().filter_map(Found::target).cloned().collect();
        let before = wanted.len();
        for target in next {
            wanted.entry(target).or_insert(Found::Nothing);
        }
        if wanted.len() == before {
            break;
        }
    }
    let mut nodes: BTreeMap<TreePath, NodeId> = BTreeMap::new();
    for ((parent, name), waits) in links {
        let path = end_of(&wanted, TreePath::new(&waits.target)?);
        if let Some(node) = nodes.get(&path) {
            join(placer, parent, &name, *node)?;
            continue;
        }
        match wanted.insert(path.clone(), Found::Nothing) {
            Some(Found::Made(made)) if !made.kind.is_directory() => {
                nodes.insert(path, placer.put(parent, name, *made)?);
            }
            _ => return Err(lost(&name, &waits.target)),
        }
    }
    Ok(())
}

/// What was found for a path.
enum Found {
    Nothing,
    Link(TreePath),
    Made(Box<Made>),
}

impl Found {
    const fn target(&self) -> Option<&TreePath> {
        match self {
            Self::Link(target) => Some(target),
            _ => None,
        }
    }
}

/// Where a link to a link leads in the end.
fn end_of(wanted: &BTreeMap<TreePath, Found>, mut path: TreePath) -> TreePath {
    for _ in 0..ROUNDS {
        match wanted.get(&path).and_then(Found::target) {
            Some(next) => path = next.clone(),
            None => break,
        }
    }
    path
}
