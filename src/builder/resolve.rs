//! The run that looks at inputs without digest before a build, and reports what they have now.
//!
//! Builds nothing and writes to no volume. Invariant: the digests are in the order of the document,
//! and as many as it has such inputs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::watch::Watch;
use super::{Error, Host, accept, leave, panic_message};
use crate::engine::Inputs;
use crate::manifest::source;
use crate::report::{Code, Report};
use crate::sources::Settings;

/// What such a run is asked to do.
#[derive(Clone, Debug)]
pub struct Looking {
    /// The file that holds the document.
    pub document: PathBuf,
    /// How long the run may take.
    pub timeout: Option<Duration>,
    /// Where inputs lie, and which servers may be reached.
    pub sources: Settings,
    /// The file that takes the report.
    pub termination_log: PathBuf,
}

/// Looks at the inputs; leaves a report and returns its code.
pub fn resolve(looking: &Looking, host: &dyn Host) -> Code {
    let watch = Watch::new(host, Instant::now(), looking.timeout);
    let report = catch_unwind(AssertUnwindSafe(|| look(looking, &watch)))
        .unwrap_or_else(|panic| Err(Error::Panic { message: panic_message(&*panic) }));
    leave(report, &looking.termination_log, &watch)
}

fn look(looking: &Looking, watch: &Watch<'_>) -> Result<Report, Error> {
    let image = watch.stage("read", || accept::read(&looking.document))?;
    let sources = looking.sources.open(None)?;
    let found = watch.stage("inputs", || Ok(Inputs::look(&image.spec, &sources, watch)?))?;
    let mutable = source::mutable(&image.spec).into_iter();
    let digests: Vec<_> = mutable.filter_map(|(path, _)| found.get(&path).cloned()).collect();
    Ok(Report::resolved(&digests))
}
