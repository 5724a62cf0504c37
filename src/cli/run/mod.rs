//! `vmimage run`: boots an image or a document in QEMU.
//!
//! The only verb that starts another program. Invariant: what was not asked to be kept is gone when the
//! verb ends: the process, the built image, the socket.

pub(super) mod args;
mod choose;
mod subject;

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use self::args::{LeashArgs, RunArgs};
use self::choose::Chosen;
use self::subject::{Around, Subject};
use super::document::Prepared;
use super::failure::{Failure, Failures};
use super::interrupt::Interrupt;
use super::output::{Output, talk};
use crate::builder::chain;
use crate::engine::base::Error;
use crate::report::Code;
use crate::run::{self, Outcome, Plan, Report, Step, Temporary, Watch};

/// How long a run with expectations may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The verb that this program becomes QEMU by.
const LEASH: &str = "leash";

/// Runs the verb.
pub(super) fn run(args: &RunArgs, output: &Output) -> Result<u8, Failures> {
    let interrupt = Interrupt::listen()?;
    let directory = Temporary::create()?;
    let only_print = args.watch.print;
    let around = Around { directory: &directory, only_print, output, interrupt: &interrupt };
    let steps = steps(args, output.is_json());
    let chosen = Chosen::new(args, &steps, &directory)?;
    let subject = args.file.as_deref().map(|file| Subject::of(file, args, &around)).transpose()?;
    let machine = chosen.machine(subject.as_ref(), output)?;
    let command = run::command(&machine)?;
    if only_print {
        return printed(&command, output).map(|()| 0);
    }
    interrupt.check()?;
    let line = run::shell(&command);
    output.say(&line);
    let plan = Plan {
        command,
        leash: [LEASH.into(), std::process::id().to_string().into(), "--".into()].into(),
        timeout: args.watch.timeout.or((!args.watch.expect.is_empty()).then_some(PATIENCE)),
        // What is behind --, nobody knows.
        writes: args.machine.write || !args.more.is_empty(),
        log: args.watch.serial.clone(),
        monitor: machine.monitor.clone(),
        screenshot: args.watch.screenshot.clone().map(|path| (path, directory.file("screen.ppm"))),
        steps,
    };
    let report = run::session(&plan, &Shown { output, interrupt: &interrupt })?;
    told(&report, &plan, output)
}

/// The command that starts what a document with a kernel beside its disk becomes in `directory`, as
/// `--print` has it; none for other documents.
pub(super) fn direct(
    prepared: &Prepared,
    directory: &Path,
    output: &Output,
) -> Result<Option<String>, Failures> {
    if prepared.media.beside.is_empty() {
        return Ok(None);
    }
    let args = RunArgs::usual().map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
    let chosen = subject::chosen(prepared, None)?;
    let subject = Subject::built(prepared, chosen, &|name| directory.join(name))?;
    let machine = Chosen::shown(&args).machine(Some(&subject), output)?;
    Ok(Some(run::shell(&run::command(&machine)?)))
}

/// What is waited for and done, in order.
fn steps(args: &RunArgs, watched: bool) -> Vec<Step> {
    let (mut expect, mut keys) = (args.watch.expect.iter(), args.watch.keys.iter());
    let mut steps = Vec::new();
    loop {
        let (pattern, chords) = (expect.next(), keys.next());
        steps.extend(pattern.map(|pattern| Step::Expect(pattern.clone())));
        steps.extend(chords.map(|chords| Step::Press(chords.0.clone())));
        if pattern.is_none() && chords.is_none() {
            break;
        }
    }
    let to_the_end = matches!(steps.last(), Some(Step::Press(_)));
    if to_the_end || (steps.is_empty() && watched) {
        steps.push(Step::Off);
    }
    steps
}

fn printed(command: &[std::ffi::OsString], output: &Output) -> Result<(), Failures> {
    if output.is_json() {
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        return Ok(output.json(&json!({"command": words}))?);
    }
    Ok(output.line(&run::shell(command))?)
}

/// Shows the serial line.
struct Shown<'a> {
    output: &'a Output,
    interrupt: &'a Interrupt,
}

impl Watch for Shown<'_> {
    fn serial(&self, bytes: &[u8]) -> Result<(), Error> {
        if self.output.is_json() {
            return Ok(());
        }
        // A reader that went away is no failure; others are told at the end of the verb.
        self.output
            .bytes(bytes)
            .map_err(|failure| Error::new(crate::engine::base::Kind::Io, failure.message))
    }

    fn stopped(&self) -> bool {
        self.interrupt.asked()
    }
}

/// Tells how it ended; the exit code.
fn told(report: &Report, plan: &Plan, output: &Output) -> Result<u8, Failures> {
    let Report { outcome, done, last, pictured } = report;
    let waited = plan.timeout.map_or(0.0, |timeout| timeout.as_secs_f64());
    let (word, code, text) = match outcome {
        Outcome::Done => ("done", 0, String::new()),
        Outcome::TimedOut => {
            ("timedOut", super::TIMED_OUT, format!("time was over after {waited} s"))
        }
        Outcome::Ended => ("ended", super::ENDED, "the machine went off".to_owned()),
        Outcome::Failed(status) => {
            let message = format!("QEMU failed: {status}");
            return Err(Failure::new(Code::Io, message).into());
        }
        Outcome::Stopped => {
            return Err(Failure::new(Code::Stopped, "interrupted; QEMU was stopped").into());
        }
    };
    let picture = plan.screenshot.as_ref().filter(|_| *pictured).map(|(path, _)| path.display());
    if output.is_json() {
        let screenshot = picture.map(|path| path.to_string());
        let value = json!({
            "outcome": word, "steps": done, "serial": last, "screenshot": screenshot,
            "command": plan.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
        });
        output.json(&value)?;
        return Ok(code);
    }
    if code != 0 {
        let step = match plan.steps.get(*done) {
            Some(Step::Expect(pattern)) => {
                format!(" before the serial line had {:?}", pattern.as_str())
            }
            Some(Step::Off) => " before the machine went off".to_owned(),
            _ => String::new(),
        };
        talk(&format!("{text}{step}; the last lines were:"));
        for line in last {
            let line: String = line.chars().map(super::excerpt::visible).collect();
            talk(&format!("  {line}"));
        }
    }
    if plan.screenshot.is_some() && picture.is_none() {
        talk("there is no picture of the screen: the machine had gone off");
    }
    Ok(code)
}

/// Becomes QEMU, which ends with the process that asked.
pub(super) fn leash(args: &LeashArgs) -> u8 {
    let error = run::leash(args.parent, &args.words);
    talk(&format!("error: {}", chain(&error)));
    Code::Io.exit()
}
