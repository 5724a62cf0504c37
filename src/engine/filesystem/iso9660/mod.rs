//! iso9660.

use std::sync::Arc;

use super::{Facts, Planned, Request};
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, Kind, SectorSource};

/// Parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {}

/// Plans.
pub fn plan(_: &Params, _: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    Err(Error::new(Kind::Unsupported, "not yet"))
}

/// What it is.
pub fn look(_: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    Ok(None)
}

/// The tree.
pub fn read(_: Arc<dyn SectorSource>, _: &Limits) -> Result<Tree, Error> {
    Err(Error::new(Kind::Unsupported, "not yet"))
}
