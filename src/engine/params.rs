//! From the options of a document to the parameters of each filesystem.
//!
//! Pure. Invariant: what the document leaves out is each filesystem's own default.

use super::base::{Error, Kind};
use super::filesystem::Params;
use crate::manifest::types::Filesystem;

/// The parameters of `filesystem`.
pub(super) fn of(filesystem: &Filesystem) -> Result<Params, Error> {
    let _ = filesystem;
    Err(Error::new(Kind::Document, "not yet"))
}
