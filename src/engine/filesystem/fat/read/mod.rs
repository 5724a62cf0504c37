//! Reads a FAT volume: its facts, and the tree in it.
//!
//! Untrusted bytes. Invariants: every cluster belongs to at most one chain, so neither a chain nor
//! a directory can run in a circle; no file is longer than its chain.

mod chain;
mod entries;
mod volume;

use std::sync::Arc;

use self::chain::Chains;
use self::entries::Found;
use self::volume::Volume;
use crate::engine::base::tree::{Kind as NodeKind, Limits, Meta, Name, NodeId, Time, Tree};
use crate::engine::base::{ByteSource, Content, Error, Kind, Origin, Pieced, SectorSource};
use crate::engine::filesystem::Facts;

/// What volume `medium` holds.
pub(super) fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    let Some(volume) = Volume::open(medium)? else { return Ok(None) };
    let mut chains = Chains::new(medium, &volume);
    let bytes = chains.root()?;
    let label = entries::parse(&bytes, &volume, "/")?.label.or_else(|| volume.label());
    Ok(Some(Facts {
        kind: "vfat",
        label: label.map(|label| entries::decoded(&label).trim_end().to_owned()),
        uuid: Some(volume.uuid()),
        block_size: volume.cluster,
        size: volume.size,
        free: chains.free()?,
        features: vec![format!("FAT{}", volume.bits)],
    }))
}

/// A directory that is still to be read.
struct Open {
    node: NodeId,
    start: u32,
    depth: usize,
    path: String,
}

/// The tree in `medium`.
pub(super) fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    let volume = Volume::open(medium.as_ref())?
        .ok_or_else(|| Error::new(Kind::Damaged, "there is no FAT volume"))?;
    let mut chains = Chains::new(medium.as_ref(), &volume);
    let origin = Origin::new("FAT");
    let mut tree = Tree::new(Meta::directory(Time::default()), origin.clone());
    let root = chains.root()?;
    let mut open = Vec::new();
    let mut left = Budget { nodes: limits.nodes, bytes: limits.total };
    let mut next = Some((Open { node: Tree::ROOT, start: 0, depth: 0, path: String::new() }, root));
    while let Some((directory, bytes)) = next {
        for found in entries::parse(&bytes, &volume, &directory.path)?.entries {
            let path = format!("{}/{}", directory.path, found.name);
            left.take(&found, &path, limits)?;
            let name = Name::new(found.name.as_bytes()).map_err(|error| {
                Error::new(Kind::Damaged, format!("in {}: {error}", directory.path))
            })?;
            let taken =
                tree.node(directory.node).entries().is_some_and(|all| all.contains_key(&name));
            if taken {
                return Err(Error::new(Kind::Damaged, format!("{path} is there twice")));
            }
            let kind = if found.directory {
                NodeKind::directory()
            } else {
                NodeKind::File(content(&medium, &mut chains, &found, &path)?)
            };
            let node = tree.put(directory.node, name, kind, found.meta(), &origin)?;
            if found.directory {
                let depth = directory.depth + 1;
                if depth > limits.depth {
                    let message = format!("{path} lies deeper than {} directories", limits.depth);
                    return Err(Error::new(Kind::Damaged, message));
                }
                open.push(Open { node, start: found.start, depth, path });
            }
        }
        next = match open.pop() {
            Some(directory) => {
                let bytes = chains.directory(directory.start, &directory.path)?;
                Some((directory, bytes))
            }
            None => None,
        };
    }
    Ok(tree)
}

/// What may still come.
struct Budget {
    nodes: usize,
    bytes: u64,
}

impl Budget {
    fn take(&mut self, found: &Found, path: &str, limits: &Limits) -> Result<(), Error> {
        let refused = |what: String| Error::new(Kind::Damaged, format!("{path}: {what}"));
        let nodes = self.nodes.checked_sub(1);
        self.nodes = nodes.ok_or_else(|| refused(format!("more than {} files", limits.nodes)))?;
        if found.len > limits.file {
            return Err(refused(format!("{} bytes, at most {} can be", found.len, limits.file)));
        }
        let bytes = self.bytes.checked_sub(found.len);
        let total = || refused(format!("all files together have more than {} bytes", limits.total));
        self.bytes = bytes.ok_or_else(total)?;
        Ok(())
    }
}

fn content(
    medium: &Arc<dyn SectorSource>,
    chains: &mut Chains<'_>,
    found: &Found,
    path: &str,
) -> Result<Content, Error> {
    if found.len == 0 {
        return Ok(Content::Sectors(Arc::new(ByteSource::new(Vec::new()))));
    }
    let runs = chains.file(found.start, found.len, path)?;
    Ok(Content::Sectors(Arc::new(Pieced::of_runs(Arc::clone(medium), found.len, &runs))))
}
