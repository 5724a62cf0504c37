//! Shows how far a build is, and ends it when the user asks.
//!
//! Writes only through `output`. Invariant: on a terminal a bar that is gone in the end, elsewhere
//! one line per step.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;

use super::interrupt::Interrupt;
use super::output::Output;
use crate::engine::base::{Error, Progress};

/// The progress of one file.
pub(super) struct Shown<'a> {
    output: &'a Output,
    interrupt: &'a Interrupt,
    file: String,
    step: Mutex<Step>,
}

#[derive(Default)]
struct Step {
    name: String,
    bar: Option<ProgressBar>,
}

impl<'a> Shown<'a> {
    /// Shows the progress of the file with this name.
    #[must_use]
    pub(super) fn new(output: &'a Output, interrupt: &'a Interrupt, file: &str) -> Self {
        Self { output, interrupt, file: file.to_owned(), step: Mutex::default() }
    }

    /// The last step is done.
    pub(super) fn done(&self) {
        self.end(&mut self.step());
    }

    fn step(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, step: &mut Step) {
        let Step { name, bar } = std::mem::take(step);
        match bar {
            Some(bar) => bar.finish_and_clear(),
            None if name.is_empty() => {}
            None => self.output.say(&format!("{}: {name}: done", self.file)),
        }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.file)
    }
}

impl Progress for Shown<'_> {
    fn begin(&self, name: &str, total: u64) {
        let mut step = self.step();
        self.end(&mut step);
        let text = format!("{}: {name}", self.file);
        *step = Step { name: name.to_owned(), bar: self.output.bar(&text, total) };
        if step.bar.is_none() {
            self.output.say(&text);
        }
    }

    fn advance(&self, bytes: u64) -> Result<(), Error> {
        if let Some(bar) = &self.step().bar {
            bar.inc(bytes);
        }
        self.interrupt.check()
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.step().bar.take() {
            bar.finish_and_clear();
        }
    }
}
