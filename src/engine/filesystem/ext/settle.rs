//! Late contents, computed for the places of their files on the whole medium.
//!
//! Places nothing. Invariant: a late content lies at a multiple of what it asks for.

use std::collections::HashMap;

use super::plan::Plan;
use super::rows::{Row, Who};
use super::runs::{Run, pieces};
use crate::engine::base::tree::{Kind, NodeId};
use crate::engine::base::{Content, Error, Extent, Kind as ErrorKind, Placement};

/// The late contents of the tree, for a filesystem at `place`.
pub(super) fn contents(plan: &Plan, place: &Placement) -> Result<HashMap<NodeId, Content>, Error> {
    let start = place.extents.first().map_or(0, |extent| extent.start());
    let mut settled = HashMap::new();
    let nodes = plan.rows.rows.iter().filter_map(|row| match row.who {
        Who::Node(node) => Some((node, row)),
        _ => None,
    });
    for (node, row) in nodes {
        let Kind::File(content @ Content::Late(late)) = &plan.tree.node(node).kind else {
            continue;
        };
        let placement = placed(plan, row, start, late.len, place.medium);
        let origin = plan.tree.origin(node);
        let first = placement.extents.first().map_or(0, |extent| extent.start());
        if !first.is_multiple_of(content.align()) {
            let message = format!(
                "ext: it must lie at a multiple of {} bytes and came to lie at {first}",
                content.align()
            );
            return Err(Error::new(ErrorKind::Document, message).at(origin));
        }
        let content = content.clone().settle(&placement).map_err(|e| e.at(origin))?;
        settled.insert(node, content);
    }
    Ok(settled)
}

/// Where a row's contents lie on the whole medium.
pub(super) fn placed(plan: &Plan, row: &Row, start: u64, len: u64, medium: u64) -> Placement {
    let size = plan.geometry.shape.bytes();
    let mut one = [Run { logical: 0, len: 0, before: 0 }];
    let mut extents = Vec::new();
    let mut left = len;
    pieces(&plan.geometry, row.first, plan.rows.runs(row, &mut one), |piece| {
        let from = start + piece.physical * size;
        let bytes = (piece.len * size).min(left);
        left -= bytes;
        extents.extend(Extent::new(from, from + bytes));
    });
    Placement { extents, medium, volume: start }
}
