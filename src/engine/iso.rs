//! The ISO image of a document.
//!
//! Invariant: its sectors follow from the document and its inputs.

use std::sync::Arc;

use super::base::tree::{Meta, Tree};
use super::base::{Error, Extent, Origin, Placement, SectorSource};
use super::filesystem::{self, Identity, Request, Room, iso9660};
use super::{Env, Given, boot, contents};
use crate::manifest::types::Iso;

/// Bytes of a sector of a CD.
const SECTOR: u64 = 2048;

/// A built ISO.
pub(super) struct Made {
    /// Its bytes.
    pub(super) source: Arc<dyn SectorSource>,
    /// What lies beside it.
    pub(super) direct: Option<boot::Direct>,
}

/// Builds `iso`, beside the document's disk if it has one.
pub(super) fn build(
    iso: &Iso,
    disk: Option<&Arc<dyn SectorSource>>,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Made, Error> {
    let origin = Origin::new("spec.iso");
    let mut one = [Some(contents::iso_tree(iso, given, env)?)];
    let direct =
        if given.spec.has_disk() { None } else { boot::direct(None, None, &mut one, given, env)? };
    let [tree] = one;
    let mut tree = tree.unwrap_or_else(|| Tree::new(Meta::directory(env.time), origin.clone()));
    let mut params = params(iso);
    boot::on_iso(&mut tree, &mut params, disk, given, env)?;
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
    let placement = Placement { extents, medium: len, volume: 0 };
    let source = planned.render(&placement).map_err(|e| e.at(&origin))?;
    Ok(Made { source, direct })
}

fn params(iso: &Iso) -> iso9660::Params {
    let text = |given: &Option<String>, usual: String| given.clone().unwrap_or(usual);
    let usual = iso9660::Params::default();
    iso9660::Params {
        volume_id: text(&iso.volume_id, usual.volume_id),
        system_id: text(&iso.system_id, usual.system_id),
        publisher: text(&iso.publisher, usual.publisher),
        preparer: text(&iso.preparer, usual.preparer),
        application: text(&iso.application, usual.application),
        level: match iso.level.0 {
            1 => iso9660::Level::One,
            2 => iso9660::Level::Two,
            _ => iso9660::Level::Three,
        },
        rock_ridge: iso.rock_ridge,
        joliet: iso.joliet,
        ..usual
    }
}
