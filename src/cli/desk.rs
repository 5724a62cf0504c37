//! What a build on the desk has around it: a place for temporary files and a time.
//!
//! Writes nothing. Invariant: without `SOURCE_DATE_EPOCH` the desk builds what a cluster builds.

use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Failures};
use crate::engine::Env;
use crate::engine::base::tree::Time;
use crate::engine::base::{Scratch, Silent, Work};
use crate::report::Code;
use crate::units::{ByteSize, parse_size};

/// The variable that reproducible builds agree on: seconds since 1970.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Options of verbs that build.
#[derive(Args, Debug)]
pub(super) struct Desk {
    /// Directory for temporary files, which have no name and are gone with the process [default:
    /// TMPDIR, else /tmp]
    #[arg(long = "scratch", value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Bytes that temporary files may take together
    #[arg(long, value_name = "SIZE", default_value = "64Gi", value_parser = size)]
    scratch_limit: ByteSize,
}

fn size(text: &str) -> Result<ByteSize, String> {
    parse_size(text).map_err(|e| e.to_string())
}

impl Desk {
    /// Room for temporary files.
    pub(super) fn scratch(&self) -> Scratch {
        let directory = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
        Scratch::new(&directory, self.scratch_limit.get())
    }

    /// What builds are done with.
    pub(super) fn env<'a>(
        &self,
        scratch: &'a Scratch,
        threads: usize,
    ) -> Result<Env<'a>, Failures> {
        Ok(Env { scratch, time: time()?, work: Work { threads, progress: &Silent } })
    }
}

/// The time of what has none of its own.
fn time() -> Result<Time, Failure> {
    let Some(text) = std::env::var_os(EPOCH) else { return Ok(Time::default()) };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let seconds = seconds.ok_or_else(|| {
        let message = format!("{EPOCH} is {text:?}; it must be whole seconds since 1970");
        Failure::new(Code::InvalidInput, message)
    })?;
    Ok(Time { seconds, nanos: 0 })
}
