//! `vmimage builder`: the process inside the build pod.
//!
//! Gives the builder its flags, its output and the wish to stop. Invariant: every end has the
//! exit code of its report.

use std::io;
use std::time::Duration;

use super::args::BuilderArgs;
use super::failure::Failures;
use super::interrupt::Interrupt;
use super::output;
use crate::builder::{self, Destination, Host, Looking, Params, Scripted};

/// Runs the verb and returns the exit code.
pub(super) fn run(args: BuilderArgs) -> Result<u8, Failures> {
    let BuilderArgs {
        document,
        resolve,
        target,
        volume,
        device,
        push,
        content_hash,
        target_hash,
        boot_asset_digest,
        timeout_seconds,
        sources,
        reach,
        stage,
        staged,
        termination_log,
    } = args;
    let timeout = timeout_seconds.map(Duration::from_secs);
    let sources = reach.in_pod(sources, timeout);
    let process = Process { interrupt: Interrupt::listen()? };
    if resolve {
        let looking = Looking { document, timeout, sources, termination_log };
        return Ok(builder::resolve(&looking, &process).exit());
    }
    let params = Params {
        document,
        // clap has made sure that what is needed is there.
        target: target.unwrap_or_default(),
        destination: match (device, push) {
            (Some(device), _) => Destination::Device(device),
            (None, Some(credentials)) => Destination::Registry(credentials),
            (None, None) => Destination::Volume(volume.unwrap_or_default()),
        },
        content_hash: content_hash.unwrap_or_default(),
        target_hash: target_hash.unwrap_or_default(),
        boot_assets: boot_asset_digest,
        timeout,
        sources,
        scripts: match (stage, staged) {
            (Some(directory), _) => Scripted::Stage(directory),
            (None, Some(directory)) => Scripted::Done(directory),
            (None, None) => Scripted::Refused,
        },
        termination_log,
    };
    Ok(builder::run(&params, &process).exit())
}

/// This process as the builder sees it.
#[derive(Debug)]
struct Process {
    interrupt: Interrupt,
}

impl Host for Process {
    fn log(&self, line: &str) {
        output::talk(line);
    }

    fn data(&self, line: &str) -> io::Result<()> {
        output::builder_data(line)
    }

    fn stopped(&self) -> bool {
        self.interrupt.asked()
    }
}
