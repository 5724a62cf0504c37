//! `vmimage completions`: a completion script for a shell.
//!
//! Invariant: the script is made from the same definition as the command line itself.

use clap::CommandFactory as _;

use super::args::{Cli, CompletionsArgs};
use super::failure::Failures;
use super::output::Output;

/// Runs the verb.
pub(super) fn run(args: &CompletionsArgs, output: &Output) -> Result<(), Failures> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vmimage", &mut script);
    Ok(output.bytes(&script)?)
}
