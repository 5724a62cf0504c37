//! Settles the late contents of a layout: a disk that can be read.
//!
//! Pure; holds no whole image. Invariant: late contents are settled before the first read.

use super::base::{Composed, Error, Placement, Region};
use super::layout::Layout;

/// A finished disk.
pub type Medium = Composed;

/// Settles late contents and composes the disk.
pub fn make(layout: Layout) -> Result<Medium, Error> {
    let Layout { len, regions } = layout;
    let mut settled = Vec::with_capacity(regions.len());
    for Region { extent, content, origin } in regions {
        let placement = Placement { extents: vec![extent], medium: len };
        let content = content.settle(&placement).map_err(|e| e.at(&origin))?;
        settled.push(Region { extent, content, origin });
    }
    Ok(Composed::new(len, settled))
}
