//! How far a long step is, told to whoever shows it.
//!
//! Does not print. Invariant: reporting never changes what is written; cancelling leaves no output.

use std::fmt;
use std::num::NonZero;
use std::thread::available_parallelism;

use super::Error;

/// Hears how far a step is. Called from any thread.
pub trait Progress: Send + Sync + fmt::Debug {
    /// A step begins that will handle `total` bytes.
    fn begin(&self, step: &str, total: u64);

    /// `bytes` more of the step are done. An error stops the step (see `Kind::Cancelled`).
    fn advance(&self, bytes: u64) -> Result<(), Error>;
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}

/// How a step is worked off. Changes no byte.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// Threads that compress or decompress; 0 means as many as the machine offers.
    pub threads: usize,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
}

impl Work<'_> {
    /// The number of threads, at least 1.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => available_parallelism().map_or(1, NonZero::get),
            wanted => wanted,
        }
    }
}
