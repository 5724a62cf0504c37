//! Ctrl-C and SIGTERM: a flag that long steps look at.
//!
//! Ends nothing by itself. Invariant: once asked, every later `check` fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::Failure;
use crate::engine::base::{Error, Kind, Progress};
use crate::report::Code;

/// Whether the user asked to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. Before this, and so while input is read from a terminal, a signal
    /// ends the process at once.
    pub(super) fn listen() -> Result<Self, Failure> {
        let interrupt = Self::default();
        let flag = Arc::clone(&interrupt.0);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
            .map_err(|e| Failure::new(Code::Io, format!("listening for signals: {e}")))?;
        Ok(interrupt)
    }

    /// Whether it was asked.
    #[must_use]
    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails once it was asked.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.asked() {
            return Err(Error::new(Kind::Cancelled, "interrupted; nothing was changed"));
        }
        Ok(())
    }
}

/// A step that is not shown, but ends when the user asks.
impl Progress for Interrupt {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, _: u64) -> Result<(), Error> {
        self.check()
    }
}
