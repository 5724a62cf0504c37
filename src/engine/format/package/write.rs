//! Writes packages.
//!
//! Being built.

use std::path::Path;

use super::Recipe;
use crate::engine::base::{Error, Kind, SectorSource, StreamSink, Work};
use crate::engine::format::{Label, Output};

/// Writes `source` as a file. Where a part must be written before its size is known, a temporary
/// file in the directory `scratch` takes it.
pub fn write(
    _source: &dyn SectorSource,
    _output: &Output<'_>,
    recipe: &Recipe,
    _scratch: &Path,
    _work: &Work<'_>,
) -> Result<(), Error> {
    recipe.check()?;
    Err(Error::new(Kind::Unsupported, "packages are being built"))
}

/// Writes `source` as a file to a pipe. Without a directory for temporary files, what needs one is
/// refused.
pub fn stream(
    _source: &dyn SectorSource,
    _label: &Label<'_>,
    _sink: &mut dyn StreamSink,
    recipe: &Recipe,
    _scratch: Option<&Path>,
    _work: &Work<'_>,
) -> Result<(), Error> {
    recipe.check()?;
    Err(Error::new(Kind::Unsupported, "packages are being built"))
}
