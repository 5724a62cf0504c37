//! `vmimage diff`: which files of two images differ.
//!
//! Writes nothing. Invariant: formats, tables and filesystems do not matter, files do.

use std::ffi::OsStr;

use serde_json::json;

use super::args::DiffArgs;
use super::compare::{Difference, Rules, nodes, trees};
use super::place::{Files, Place};
use crate::cli::DIFFERENT;
use crate::cli::failure::Failures;
use crate::cli::image::args::SourceFlags;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::engine::base::tree::{NodeId, Tree, TreePath};
use crate::engine::base::{Error, Origin};

/// Runs the verb and returns the exit code.
pub(in crate::cli) fn run(args: &DiffArgs, output: &Output) -> Result<u8, Failures> {
    let interrupt = Interrupt::listen()?;
    let open = |text: &OsStr, flags: &SourceFlags| {
        let place = Place::of(text)?;
        let files = place.open(flags, &interrupt)?;
        let node = files.node(&place, true)?;
        Ok::<_, Failures>((files, node))
    };
    let [a, b] = &args.images.both();
    let (a, b) = (open(&args.a, a)?, open(&args.b, b)?);
    let rules = Rules { times: args.times, ignore: args.ignore.clone() };
    let found = compared(&a, &b, &rules, &interrupt)?;
    for (files, _) in [&a, &b] {
        files.opened.unchanged().map_err(|e| files.opened.fail(&e))?;
    }
    if output.is_json() {
        let differences: Vec<_> = found.iter().map(Difference::json).collect();
        output.json(&json!({"same": found.is_empty(), "differences": differences}))?;
    } else if found.is_empty() {
        output.line(&format!("{} and {} hold the same files", a.0.name, b.0.name))?;
    } else {
        let text: String = found.iter().map(|one| one.line() + "\n").collect();
        output.bytes(text.as_bytes())?;
    }
    Ok(if found.is_empty() { 0 } else { DIFFERENT })
}

fn compared(
    (a, one): &(Files, NodeId),
    (b, other): &(Files, NodeId),
    rules: &Rules,
    interrupt: &Interrupt,
) -> Result<Vec<Difference>, Failures> {
    let is_directory = |files: &Files, id| files.tree.node(id).kind.is_directory();
    if is_directory(a, *one) && is_directory(b, *other) {
        let (a, b) = (below(&a.tree, *one)?, below(&b.tree, *other)?);
        return Ok(trees(&a, &b, rules, interrupt)?);
    }
    let fields = nodes((&a.tree, *one), (&b.tree, *other), rules, interrupt)?;
    let changed = (!fields.is_empty()).then(|| Difference::Changed(TreePath::default(), fields));
    Ok(changed.into_iter().collect())
}

/// The tree that begins at a directory. Names that lie elsewhere do not count.
fn below(tree: &Tree, at: NodeId) -> Result<Tree, Error> {
    let mut part = Tree::new(tree.node(at).meta, Origin::new("diff"));
    part.graft(tree, at, Tree::ROOT)?;
    Ok(part)
}
