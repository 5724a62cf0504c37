//! One step: which of its members is given, and what that does to a tree.
//!
//! Invariant: a step that cannot be applied whole is an error; there is no half a step.

use super::{Context, disk, nodes, sets, tables};
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
    let at = |member: &str| path.member(member);
    match step {
        Step { archive: Some(it), .. } => sets::archive(tree, it, &at("archive"), context),
        Step { image: Some(it), .. } => sets::image(tree, it, &at("image"), context),
        Step { from_image: Some(it), .. } => disk::from_image(tree, it, &at("fromImage"), context),
        Step { service: Some(it), .. } => sets::service(tree, it, &at("service"), context),
        Step { remove: Some(it), .. } => sets::remove(tree, it, &at("remove")),
        Step { file: Some(it), .. } => nodes::file(tree, it, &at("file"), context),
        Step { directory: Some(it), .. } => nodes::directory(tree, it, &at("directory"), context),
        Step { symlink: Some(it), .. } => nodes::symlink(tree, it, &at("symlink"), context),
        Step { hardlink: Some(it), .. } => nodes::hardlink(tree, it, &at("hardlink"), context),
        Step { device: Some(it), .. } => nodes::device(tree, it, &at("device"), context),
        Step { device_set: Some(it), .. } => tables::devices(tree, it, &at("deviceSet"), context),
        Step { fstab: Some(it), .. } => tables::fstab(tree, it, &at("fstab"), context),
        Step { hosts: Some(it), .. } => tables::hosts(tree, it, &at("hosts"), context),
        Step { hostname: Some(it), .. } => {
            tables::hostname(tree, &it.name, &at("hostname"), context)
        }
        _ => Err(Error::new(Kind::Document, "a step needs exactly one member")),
    }
}
