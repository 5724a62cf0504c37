//! `vmimage ls`: which files lie in an image.
//!
//! Reads no file's bytes. Invariant: the order is that of the names' bytes, for every filesystem.

use super::args::LsArgs;
use super::entry::{json, line, shown};
use super::place::Place;
use crate::cli::failure::Failures;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::engine::base::tree::{NodeId, Tree, TreePath};

/// Runs the verb.
pub(in crate::cli) fn run(args: &LsArgs, output: &Output) -> Result<(), Failures> {
    let interrupt = Interrupt::listen()?;
    let place = Place::of(&args.place)?;
    let files = place.open(&args.source, &interrupt)?;
    // As ls has it: with -l a link is shown, else what it leads to.
    let at = files.node(&place, !args.long)?;
    let found = listed(&files.tree, at, &place.path, args.recursive);
    files.opened.unchanged().map_err(|e| files.opened.fail(&e))?;
    if output.is_json() {
        let all: Vec<_> =
            found.iter().map(|(path, id)| json(files.tree.node(*id), &raw(path))).collect();
        return Ok(output.json(&all)?);
    }
    let mut text = String::new();
    for (path, id) in &found {
        let name = match path.names().last() {
            Some(name) if !args.recursive => shown(name.as_bytes()),
            _ => shown(&raw(path)),
        };
        match args.long {
            true => text.push_str(&line(files.tree.node(*id), &name)),
            false => text.push_str(&name),
        }
        text.push('\n');
    }
    Ok(output.bytes(text.as_bytes())?)
}

/// What is shown for the node at `path`: the entries of a directory, anything else itself.
fn listed(tree: &Tree, at: NodeId, path: &TreePath, recursive: bool) -> Vec<(TreePath, NodeId)> {
    if tree.node(at).entries().is_none() {
        return vec![(path.clone(), at)];
    }
    let mut found = Vec::new();
    let mut open = vec![(path.clone(), at)];
    while let Some((path, id)) = open.pop() {
        if id != at {
            found.push((path.clone(), id));
        }
        if id == at || recursive {
            let entries = tree.node(id).entries().into_iter().flatten().rev();
            open.extend(entries.map(|(name, child)| (path.join(name), *child)));
        }
    }
    found
}

/// The bytes of a path from the root.
pub(super) fn raw(path: &TreePath) -> Vec<u8> {
    if path.names().is_empty() {
        return b"/".to_vec();
    }
    path.names().iter().flat_map(|name| [b"/", name.as_bytes()].concat()).collect()
}
