//! Settles the late contents of a layout and renders its filesystems: a disk that can be read.
//!
//! Holds no whole image. Invariant: late contents are settled before the first read.

use super::base::{Composed, Content, Error, Placement, Region};
use super::layout::{Layout, Placed, Thing};

/// A finished disk.
pub(super) type Medium = Composed;

/// Settles late contents and composes the disk.
pub(super) fn make(layout: Layout) -> Result<Medium, Error> {
    let Layout { len, regions } = layout;
    let mut settled = Vec::with_capacity(regions.len());
    for Placed { extent, thing, origin } in regions {
        let placement = Placement { extents: vec![extent], medium: len, volume: 0 };
        let content = match thing {
            Thing::Content(content) => content.settle(&placement),
            Thing::Filesystem(planned) => planned.render(&placement).map(Content::Sectors),
        };
        let content = content.map_err(|e| e.at(&origin))?;
        settled.push(Region { extent, content, origin });
    }
    Ok(Composed::new(len, settled))
}
