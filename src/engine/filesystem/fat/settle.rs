//! Where the files of a planned volume lie on a whole medium, for contents and boot code that must
//! know it.
//!
//! Places nothing. Invariant: a late content lies at a multiple of what it asks for, in one piece.

use std::collections::HashMap;

use super::plan::{Directory, Item, Layout, index};
use crate::engine::base::tree::{Kind as NodeKind, TreePath};
use crate::engine::base::{Content, Error, Extent, Kind, Placement};

impl Layout {
    /// Where the bytes of an item lie on a medium where the volume begins at `from`.
    pub(super) fn place(&self, item: &Item, place: &Placement, from: u64) -> Placement {
        let at = from + self.geometry.cluster_at(u64::from(item.start.max(2)));
        let extent = Extent::new(at, at + self.tree.node(item.node).len());
        Placement { extents: extent.into_iter().collect(), medium: place.medium, volume: from }
    }

    /// The item with a path.
    pub(super) fn item(&self, path: &TreePath) -> Option<&Item> {
        let mut number = 0;
        let mut found = None;
        for name in path.names() {
            let directory = self.directories.get(number)?;
            let entries = self.tree.node(directory.node).entries()?;
            let at = directory.first as usize + entries.keys().position(|own| own == name)?;
            found = self.items.get(at);
            let is = |directory: &Directory| directory.item as usize == at;
            number = self.directories.iter().skip(1).position(is).map_or(usize::MAX, |at| at + 1);
        }
        found
    }

    /// The late contents, settled, by the number of their items.
    pub(super) fn settle(
        &self,
        place: &Placement,
        from: u64,
    ) -> Result<HashMap<u32, Content>, Error> {
        let mut settled = HashMap::new();
        for (number, item) in self.items.iter().enumerate() {
            let NodeKind::File(content @ Content::Late(_)) = &self.tree.node(item.node).kind else {
                continue;
            };
            let own = self.place(item, place, from);
            let at = own.extents.first().map_or(0, |extent| extent.start());
            if !at.is_multiple_of(content.align()) {
                let message = format!("it would lie at {at}, no multiple of {}", content.align());
                return Err(Error::new(Kind::Document, message).at(self.tree.origin(item.node)));
            }
            let content = content.clone().settle(&own);
            let content = content.map_err(|error| error.at(self.tree.origin(item.node)))?;
            settled.insert(index(number)?, content);
        }
        Ok(settled)
    }
}
