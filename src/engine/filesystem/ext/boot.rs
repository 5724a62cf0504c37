//! Boot code before the superblock, which ext leaves to others.
//!
//! Knows no boot loader. Source: Documentation/filesystems/ext4/blocks.rst of Linux 6.12, "Layout":
//! "the first 1024 bytes are unused, to allow for the installation of x86 boot sectors". Invariant:
//! what is returned ends before the superblock.

use super::plan::Plan;
use super::settle::placed;
use crate::engine::base::tree::TreePath;
use crate::engine::base::{Error, Kind, Placement};

/// Bytes before the superblock.
pub(super) const LEN: usize = 1024;

/// The code that was asked for, for a filesystem at `place`; without one no bytes.
pub(super) fn code(plan: &Plan, place: &Placement) -> Result<Vec<u8>, Error> {
    let Some(boot) = &plan.boot else { return Ok(Vec::new()) };
    let places = boot.files.iter().map(|path| file(plan, path, place));
    let code = (boot.make)(&places.collect::<Result<Vec<_>, _>>()?);
    if code.len() > LEN {
        let message =
            format!("ext: the boot code has {} bytes, before the superblock are {LEN}", code.len());
        return Err(Error::new(Kind::Document, message));
    }
    Ok(code)
}

fn file(plan: &Plan, path: &TreePath, place: &Placement) -> Result<Placement, Error> {
    let start = place.extents.first().map_or(0, |extent| extent.start());
    let node = plan.tree.find(path);
    let ino = node.and_then(|node| plan.rows.inos.get(node.index()).copied());
    let row = ino.and_then(|ino| plan.rows.rows.get((ino as usize).checked_sub(1)?));
    let (Some(node), Some(row)) = (node, row) else {
        let message = format!("the boot code needs {path}, which is not there");
        return Err(Error::new(Kind::Document, message));
    };
    Ok(placed(plan, row, start, plan.tree.node(node).len(), place.medium))
}
