//! stub
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, Kind, SectorSource};
use std::sync::Arc;
pub(super) fn read(_: Arc<dyn SectorSource>, _: &Limits) -> Result<Tree, Error> {
    Err(Error::new(Kind::Unsupported, "not yet"))
}
