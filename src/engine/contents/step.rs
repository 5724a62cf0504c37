//! One step: which of its members is given, and what that does to a tree.
//!
//! Invariant: a step that cannot be applied whole is an error; there is no half a step.

use super::{Context, disk, nodes, sets};
use crate::engine::base::tree::Tree;
use crate::engine::base::{Error, Kind};
use crate::manifest::FieldPath;
use crate::manifest::types::Step;

/// Applies `step`, the one at `path`.
pub(super) fn apply(
    tree: &mut Tree,
    step: &Step,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let Step { archive, remove, file, directory, symlink, hardlink, device, .. } = step;
    let field = |name: &str| path.member(name);
    if let Some(archive) = archive {
        return sets::archive(tree, archive, &field("archive"), context);
    }
    if let Some(image) = &step.from_image {
        return disk::from_image(tree, image, &field("fromImage"), context);
    }
    if let Some(remove) = remove {
        return sets::remove(tree, remove, &field("remove"));
    }
    if let Some(file) = file {
        return nodes::file(tree, file, &field("file"), context);
    }
    if let Some(directory) = directory {
        return nodes::directory(tree, directory, &field("directory"), context);
    }
    if let Some(link) = symlink {
        return nodes::symlink(tree, link, &field("symlink"), context);
    }
    if let Some(link) = hardlink {
        return nodes::hardlink(tree, link, &field("hardlink"), context);
    }
    if let Some(device) = device {
        return nodes::device(tree, device, &field("device"), context);
    }
    Err(Error::new(Kind::Document, "a step needs exactly one member"))
}
