//! What an image holds, and its tree.
//!
//! Writes nothing. Invariants: every place is checked against the medium before it is read; a
//! directory is read once, so no loop of directories goes on; memory and time are bounded by the
//! limits and the medium's length.

mod directory;
mod rock;
mod span;
mod tree;
mod volume;

use std::sync::Arc;

use self::tree::Reader;
use self::volume::Descriptors;
use super::ondisk::SECTOR;
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, SectorSource};
use crate::engine::filesystem::Facts;

/// What the image holds; none where there is no ISO 9660.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    let Some(found) = Descriptors::find(medium)? else { return Ok(None) };
    let mut features = Vec::new();
    if rock::prefix(medium, &found.primary)?.is_some() {
        features.push("Rock Ridge".to_owned());
    }
    if found.joliet.is_some() {
        features.push("Joliet".to_owned());
    }
    features.extend(volume::boot_features(medium, found.catalog)?);
    Ok(Some(Facts {
        kind: "iso9660",
        label: Some(found.label()).filter(|label| !label.is_empty()),
        uuid: found.primary.modified.text().or_else(|| found.primary.created.text()),
        block_size: SECTOR,
        size: u64::from(found.primary.space.get()) * SECTOR,
        free: None,
        features,
    }))
}

/// The tree: that of Rock Ridge, else that of Joliet, else the plain one.
pub fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    Reader::new(medium, *limits)?.tree()
}
