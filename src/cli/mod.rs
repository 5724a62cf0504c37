//! The desk program: one verb per file, one place that prints.
//!
//! ```text
//! args ──▶ verb ──▶ Ok, or Failures with places ──▶ output ──▶ exit code
//! ```
//!
//! Knows no Kubernetes client. Invariant: results go to standard output, talk to standard error,
//! and the exit code is one of those in `docs/reference/exit-codes.md`.

mod args;
mod build;
mod check;
mod completions;
mod desk;
mod document;
mod excerpt;
mod explain;
mod failure;
mod image;
mod inspect;
mod interrupt;
mod output;
mod pod;
mod progress;
mod push;
mod run;
mod schema;
mod scripts;
mod sources;
mod tree;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};

use args::{Cli, Verb};
use output::Output;

/// The exit code after Ctrl-C: 128 and the signal's number, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// The exit code of a command line that is not understood.
pub const USAGE: u8 = 2;

/// The exit code of `compare` and `diff` for images that are not equal.
pub const DIFFERENT: u8 = 3;

/// The exit code of `check` for images that are sound but lose room.
pub const LEAKS: u8 = 4;

/// The exit code of `run` for a machine that did not show in time what was expected.
pub const TIMED_OUT: u8 = 5;

/// The exit code of `run` for a machine that went off before it showed what was expected.
pub const ENDED: u8 = 6;

/// Runs the program with this command line and returns its exit code.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = Cli::command().color(color_of_help(&arguments));
    let parsed = command.try_get_matches_from(&arguments);
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => ExitCode::from(dispatch(cli)),
        Err(error) => {
            output::usage(&error);
            ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
        }
    }
}

fn dispatch(cli: Cli) -> u8 {
    let Cli { global, verb } = cli;
    let output = Output::new(global);
    let result = match verb {
        Verb::Build(args) => build::run(&args, &output).map(|()| 0),
        Verb::Check(args) => check::run(&args, &output),
        Verb::Inspect(args) => inspect::run(&args, &output).map(|()| 0),
        Verb::Convert(args) => image::convert::run(&args, &output).map(|()| 0),
        Verb::Compare(args) => image::compare::run(&args, &output),
        Verb::Measure(args) => image::measure::run(&args, &output).map(|()| 0),
        Verb::Resize(args) => image::resize::run(&args, &output).map(|()| 0),
        Verb::Digest(args) => image::digest::run(&args, &output).map(|()| 0),
        Verb::Ls(args) => tree::ls::run(&args, &output).map(|()| 0),
        Verb::Cat(args) => tree::cat::run(&args, &output).map(|()| 0),
        Verb::Extract(args) => tree::extract::run(&args, &output).map(|()| 0),
        Verb::Diff(args) => tree::diff::run(&args, &output),
        Verb::Push(args) => push::run(&args, &output).map(|()| 0),
        Verb::Run(args) => run::run(&args, &output),
        Verb::Explain(args) => explain::run(&args, &output).map(|()| 0),
        Verb::Completions(args) => completions::run(&args, &output).map(|()| 0),
        Verb::Builder(args) => pod::run(args),
        Verb::Leash(args) => Ok(run::leash(&args)),
        Verb::Sandbox(args) => Ok(scripts::sandbox(args.stage)),
    };
    result.unwrap_or_else(|failures| {
        output.failures(&failures);
        failures.exit()
    })
}

/// What `--color` says about help and usage errors, which are printed before it is parsed.
fn color_of_help(arguments: &[OsString]) -> ColorChoice {
    let has = |word: &str| {
        let pair =
            |two: &[OsString]| matches!(two, [flag, value] if flag == "--color" && value == word);
        let joined = format!("--color={word}");
        arguments.windows(2).any(pair) || arguments.iter().any(|a| a == joined.as_str())
    };
    match (has("never"), has("always")) {
        (true, _) => ColorChoice::Never,
        (false, true) => ColorChoice::Always,
        (false, false) => ColorChoice::Auto,
    }
}
