//! `vmimage measure`: how long a converted file would be.
//!
//! Writes nothing. Invariant: `convert` with the same options makes a file of that length, or, where
//! the answer is not exact, a shorter one.

use std::sync::Arc;

use serde_json::json;

use super::args::MeasureArgs;
use super::convert::{label, padded};
use super::source::Opened;
use super::target::refused;
use crate::cli::failure::Failures;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::progress::Shown;
use crate::engine::base::{ByteSource, Padded, SectorSource, Work};
use crate::engine::format::{Measure, measure};
use crate::units::parse_size;

/// Runs the verb.
pub(in crate::cli) fn run(args: &MeasureArgs, output: &Output) -> Result<(), Failures> {
    let params = args.format.params(None)?;
    let interrupt = Interrupt::listen()?;
    let (name, medium) = match (&args.image, &args.size) {
        (Some(path), _) => {
            let opened = Opened::open(path, &args.source, &interrupt)?;
            (opened.name.clone(), opened.disk())
        }
        (None, size) => {
            let text = size.as_deref().unwrap_or_default();
            let len = parse_size(text).map_err(|e| refused(format!("--size: {e}")))?.get();
            let empty = Arc::new(ByteSource::new([]));
            let medium: Arc<dyn SectorSource> = Arc::new(Padded::new(empty, len)?);
            ("an empty disk".to_owned(), medium)
        }
    };
    let medium = padded(medium, &params, output)?;
    let shown = Shown::new(output, &interrupt, &name);
    let work = Work { threads: args.format.threads(), progress: &shown };
    let label = label("measured", None, medium.len());
    let Measure { required, exact } = measure(&*medium, &label, &params, args.exact, &work)?;
    shown.done();
    if output.is_json() {
        let virtual_size = medium.len();
        let answer = json!({"required": required, "exact": exact, "virtualSize": virtual_size});
        return Ok(output.json(&answer)?);
    }
    let how = if exact { "exactly" } else { "at most" };
    Ok(output.line(&format!("{} of {name}: {how} {required} bytes", params.format()))?)
}
