//! Container images into a tree: layers in order, with what they take away.
//!
//! OCI Image Format Specification 1.1, "Representing Changes". Fetches nothing. Invariants: what is
//! in a layer has the digest that the configuration names; a whiteout takes away what lower layers
//! have, wherever it stands in its layer, and never what its own layer has.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::archive::{Archive, unwrapped};
use super::place::Rules;
use super::{Summary, Unpack};
use crate::engine::archive::{Form, Format};
use crate::engine::base::tree::{Kind, Limits, Meta, Name, Tree, TreePath};
use crate::engine::base::{Error, Kind as ErrorKind, Origin, Scratch, SectorSource};
use crate::oci::{Blobs, Image};

/// What whiteouts and files of AUFS begin with, and the one of whole directories.
const WHITEOUT: &[u8] = b".wh.";
const OWN: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The tree of an image. Of `options`, the limits, the ratio and the time of implied directories
/// count: what of the tree is wanted, is said when it is copied.
pub fn image_tree(
    image: &Image,
    blobs: &dyn Blobs,
    options: &Unpack,
    scratch: &Scratch,
    origin: &Origin,
) -> Result<Tree, Error> {
    let mut tree = Tree::new(Meta::directory(options.implied), origin.clone());
    let mut left = options.limits;
    for (number, layer) in image.layers.iter().enumerate() {
        let mut work = || {
            let mut source = layer.open(blobs)?;
            if let Some(wrap) = layer.wrap {
                source = unwrapped(wrap, source, options, scratch)?;
            }
            layer.judge(source.as_ref())?;
            let options = Unpack {
                limits: left,
                implied: options.implied,
                format: Some(Format::Tar),
                ..Unpack::default()
            };
            apply_layer(&mut tree, source, &options, scratch, origin)
        };
        let summary = work().map_err(|e| {
            let message = format!("layer {} of {}: {e}", number + 1, image.layers.len());
            Error::new(e.kind(), message).at(origin)
        })?;
        // All layers together have the limits of one archive.
        left = Limits {
            nodes: left.nodes.saturating_sub(summary.entries),
            total: left.total.saturating_sub(summary.bytes),
            ..left
        };
    }
    Ok(tree)
}

/// Applies one layer, a plain tar, to what lower layers made.
pub fn apply_layer(
    tree: &mut Tree,
    layer: Arc<dyn SectorSource>,
    options: &Unpack,
    scratch: &Scratch,
    origin: &Origin,
) -> Result<Summary, Error> {
    let archive = Archive::tar(layer);
    take_away(tree, &archive, options)?;
    archive.unpack(tree, options, Rules::Layer, scratch, origin)
}

/// What a layer takes away.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gone {
    /// All that is in the directory.
    All(TreePath),
    /// This name in the directory.
    One(TreePath, Name),
}

fn take_away(tree: &mut Tree, archive: &Archive, options: &Unpack) -> Result<(), Error> {
    let mut gone = BTreeSet::new();
    // Links of lower layers that are something else in this one: a whiteout behind such a path is
    // about the new directory, not about where the link led.
    let mut replaced = BTreeSet::new();
    for entry in archive.entries()? {
        let entry = entry?;
        let path = TreePath::new(&entry.path)?;
        let Some((parent, name)) = path.split() else { continue };
        let of_aufs = |name: &Name| name.as_bytes().starts_with(WHITEOUT);
        if parent.names().iter().any(of_aufs) {
            continue;
        }
        let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) else {
            let before = tree.find(&path).map(|id| &tree.node(id).kind);
            if let Some(Kind::Symlink(before)) = before
                && !matches!(&entry.form, Form::Symlink(now) if now == before)
            {
                replaced.insert(path);
            }
            continue;
        };
        if name.as_bytes() == OPAQUE {
            gone.insert(Gone::All(parent));
        } else if !name.as_bytes().starts_with(OWN) {
            let hidden = Name::new(hidden).map_err(|e| {
                Error::new(ErrorKind::Damaged, format!("\"{path}\" is no whiteout: {e}"))
            })?;
            gone.insert(Gone::One(parent, hidden));
        }
        if gone.len() > options.limits.nodes {
            let message = format!("there are more than {} whiteouts", options.limits.nodes);
            return Err(Error::new(ErrorKind::Input, message));
        }
    }
    // A name goes before the directory it is in may be emptied: the order changes nothing.
    for gone in gone {
        let (Gone::All(parent) | Gone::One(parent, _)) = &gone;
        if leads_elsewhere(parent, &replaced) {
            continue;
        }
        let Some(directory) = tree.directory(parent) else { continue };
        match gone {
            Gone::One(_, name) => {
                tree.remove(directory, &name);
            }
            Gone::All(_) => {
                let names = tree.node(directory).entries().into_iter().flatten();
                let names: Vec<Name> = names.map(|(name, _)| name.clone()).collect();
                for name in names {
                    tree.remove(directory, &name);
                }
            }
        }
    }
    Ok(())
}

/// Whether a link on the way is replaced.
fn leads_elsewhere(path: &TreePath, replaced: &BTreeSet<TreePath>) -> bool {
    let mut at = path.clone();
    while !replaced.is_empty() {
        if replaced.contains(&at) {
            return true;
        }
        match at.split() {
            Some((parent, _)) => at = parent,
            None => break,
        }
    }
    false
}
