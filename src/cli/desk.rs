//! What a build on the desk has around it: where sources come from, a time, threads.
//!
//! Writes nothing. Invariant: without `SOURCE_DATE_EPOCH` the desk builds what a cluster builds.

use super::failure::{Failure, Failures};
use super::scripts::Scripts;
use crate::engine::base::tree::Time;
use crate::report::Code;
use crate::sources::Settings;

/// The variable that reproducible builds agree on: seconds since 1970.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What a build has around it.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    /// Where sources come from, and temporary files go.
    pub(super) sources: Settings,
    /// The time of what has none of its own.
    pub(super) time: Time,
    /// Threads; 0 means as many as the machine offers.
    pub(super) threads: usize,
    /// What becomes of scripts.
    pub(super) scripts: Scripts,
}

impl Desk {
    /// The desk of these settings, at the time that the environment says.
    pub(super) fn new(
        sources: Settings,
        threads: usize,
        scripts: Scripts,
    ) -> Result<Self, Failures> {
        Ok(Self { sources, time: time()?, threads, scripts })
    }
}

fn time() -> Result<Time, Failure> {
    let Some(text) = std::env::var_os(EPOCH) else { return Ok(Time::default()) };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let seconds = seconds.ok_or_else(|| {
        let message = format!("{EPOCH} is {text:?}; it must be whole seconds since 1970");
        Failure::new(Code::InvalidInput, message)
    })?;
    Ok(Time { seconds, nanos: 0 })
}
