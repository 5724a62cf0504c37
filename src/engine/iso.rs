//! The ISO image of a document.
//!
//! Invariant: its sectors follow from the document and its inputs.

use std::sync::Arc;

use super::base::{Error, Extent, Origin, Placement, SectorSource};
use super::filesystem::{self, Identity, Request, Room, iso9660};
use super::{Env, Given, contents};
use crate::manifest::types::Iso;

/// Bytes of a sector of a CD.
const SECTOR: u64 = 2048;

/// Builds `iso`.
pub(super) fn build(
    iso: &Iso,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Arc<dyn SectorSource>, Error> {
    let origin = Origin::new("spec.iso");
    let tree = contents::iso_tree(iso, given, env)?;
    let params = params(iso, given.name);
    let request = Request {
        tree: Arc::new(tree),
        identity: Identity { label: None, uuid: None, seed: given.seed.id("iso") },
        room: iso
            .size
            .map_or(Room::Fit { percent: 0, bytes: 0 }, |size| Room::Exactly(size.0.get())),
        time: env.time,
        sector: SECTOR,
        scratch: env.scratch,
        work: env.work,
    };
    let planned = filesystem::plan(&filesystem::Params::Iso9660(Box::new(params)), &request);
    let planned = planned.map_err(|e| e.at(&origin))?;
    let len = planned.len();
    let extents = Extent::new(0, len).into_iter().collect();
    planned.render(&Placement { extents, medium: len }).map_err(|e| e.at(&origin))
}

fn params(_iso: &Iso, _name: &str) -> iso9660::Params {
    iso9660::Params::default()
}
