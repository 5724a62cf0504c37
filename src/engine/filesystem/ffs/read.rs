//! stub

use std::sync::Arc;

use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, Kind, SectorSource};
use crate::engine::filesystem::Facts;

pub(super) fn look(_: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    Ok(None)
}

pub(super) fn read(_: Arc<dyn SectorSource>, _: &Limits) -> Result<Tree, Error> {
    Err(Error::new(Kind::Unsupported, "not yet"))
}
