//! `vmimage extract`: files out of an image, into a directory or a tar.
//!
//! Invariant: of one image the same tree is written, whatever its filesystem is.

use std::path::Path;

use serde_json::json;

use super::args::ExtractArgs;
use super::host::{Counts, Host};
use super::place::{Files, Place};
use super::tar;
use crate::cli::failure::{Failure, Failures};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::engine::archive::tar::own_name;
use crate::engine::base::tree::{Meta, NodeId, Time, Tree, TreePath};
use crate::engine::base::{Error, Kind, Origin};
use crate::engine::payload::{Glob, Part, Selection, copy_tree};
use crate::report::Code;

/// Runs the verb.
pub(in crate::cli) fn run(args: &ExtractArgs, output: &Output) -> Result<(), Failures> {
    let interrupt = Interrupt::listen()?;
    let place = Place::of(&args.place)?;
    let stdout = args.as_tar.as_deref() == Some(Path::new("-"));
    if stdout && output.is_json() {
        let message = "an archive and --json do not go to standard output together";
        return Err(Failure::new(Code::InvalidDocument, message).into());
    }
    let files = place.open(&args.source, &interrupt)?;
    let at = files.node(&place, true)?;
    let selected = selected(args, &files, &place, at)?;
    let (tree, at) = selected.as_ref().map_or((&files.tree, at), |tree| (tree, Tree::ROOT));
    if let Some(target) = &args.as_tar {
        let name = own_name(&place.path);
        let written = tar::write(tree, (at, name), target, &files, &interrupt)?;
        let (members, sockets) = (written.members, written.sockets);
        if output.is_json() {
            return Ok(output.json(&json!({"members": members, "leftOut": sockets}))?);
        }
        if sockets > 0 {
            output.say(&format!("left out: {sockets} sockets, which no tar holds"));
        }
        return Ok(());
    }
    let check = || match interrupt.asked() {
        true => Err(Error::new(Kind::Cancelled, "interrupted; what was written stays")),
        false => Ok(()),
    };
    let limit = args.source.limit.get();
    let host = Host::new(tree, &args.directory, args.force, limit, &check)?;
    let counts = host.write(at, place.path.names().last());
    let counts = counts.map_err(|e| files.opened.fail(&e))?;
    files.opened.unchanged().map_err(|e| files.opened.fail(&e))?;
    if output.is_json() {
        return Ok(output.json(&counts)?);
    }
    output.say(&told(&counts));
    Ok(())
}

/// The tree with only what the globs want; none if there are no globs.
fn selected(
    args: &ExtractArgs,
    files: &Files,
    place: &Place,
    at: NodeId,
) -> Result<Option<Tree>, Failures> {
    if args.include.is_empty() && args.exclude.is_empty() {
        return Ok(None);
    }
    let globs = |texts: &[String]| {
        texts.iter().map(|text| Glob::new(text)).collect::<Result<Vec<_>, Error>>()
    };
    let selection = Selection { include: globs(&args.include)?, exclude: globs(&args.exclude)? };
    if !files.tree.node(at).kind.is_directory() {
        let message = "--include and --exclude are for directories";
        return Err(Failure::new(Code::InvalidDocument, message).into());
    }
    let origin = Origin::new("extract");
    let mut tree = Tree::new(Meta::directory(Time::default()), origin.clone());
    let part = Part { path: place.path.clone(), selection, implied: Time::default() };
    copy_tree(&files.tree, &part, &mut tree, &TreePath::default(), &origin)
        .map_err(|e| Failure::new(Code::InvalidInput, e.to_string()))?;
    Ok(Some(tree))
}

fn told(counts: &Counts) -> String {
    let Counts { files, directories, symlinks, hard_links, bytes, left_out } = counts;
    let mut text = format!(
        "{files} files with {bytes} bytes, {directories} directories, {symlinks} symbolic links, \
         {hard_links} hard links"
    );
    if *left_out > 0 {
        text.push_str(&format!("; left out: {left_out} devices, FIFOs and sockets (see --as-tar)"));
    }
    text
}
