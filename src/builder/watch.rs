//! The builder's clock: stages in the log, the deadline, and the wish to stop.
//!
//! Does not print. Invariant: once the deadline passed or a stop was asked for, no further stage
//! begins and the running one ends at its next report of progress.

use std::time::{Duration, Instant};

use super::{Error, Host};
use crate::engine::base::{self, Kind, Progress};

/// Watches one run.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    host: &'a dyn Host,
    start: Instant,
    timeout: Option<Duration>,
}

impl<'a> Watch<'a> {
    /// Watches the run that began at `start`.
    pub(super) const fn new(host: &'a dyn Host, start: Instant, timeout: Option<Duration>) -> Self {
        Self { host, start, timeout }
    }

    /// The process around the builder.
    pub(super) const fn host(&self) -> &'a dyn Host {
        self.host
    }

    /// Milliseconds since the start.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Logs a line with the time since the start.
    pub(super) fn log(&self, text: &str) {
        self.host.log(&format!("{:>7} ms  {text}", self.millis()));
    }

    /// Runs one stage, and logs that it is done.
    pub(super) fn stage<T>(
        &self,
        name: &str,
        run: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.may_go_on()?;
        let result = run()?;
        self.log(&format!("{name}: done"));
        Ok(result)
    }

    fn may_go_on(&self) -> Result<(), base::Error> {
        if self.host.stopped() {
            return Err(base::Error::new(Kind::Cancelled, "the build was told to stop"));
        }
        match self.timeout {
            Some(timeout) if self.start.elapsed() >= timeout => Err(base::Error::new(
                Kind::Cancelled,
                format!("the build took longer than the {} seconds allowed", timeout.as_secs()),
            )),
            _ => Ok(()),
        }
    }
}

impl Progress for Watch<'_> {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, _: u64) -> Result<(), base::Error> {
        self.may_go_on()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Quiet(AtomicBool);

    impl Host for Quiet {
        fn log(&self, _: &str) {}
        fn data(&self, _: &str) -> io::Result<()> {
            Ok(())
        }
        fn stopped(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_stop_or_a_deadline_ends_the_run() {
        let host = Quiet::default();
        let watch = Watch::new(&host, Instant::now(), Some(Duration::from_secs(3600)));
        assert!(watch.advance(1).is_ok());
        let late = Watch::new(&host, Instant::now(), Some(Duration::ZERO));
        let error = late.advance(1).unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled);
        assert_eq!(error.to_string(), "the build took longer than the 0 seconds allowed");
        host.0.store(true, Ordering::Relaxed);
        assert_eq!(watch.advance(1).unwrap_err().kind(), Kind::Cancelled);
        assert!(watch.stage("next", || Ok(())).is_err(), "no stage begins after a stop");
    }
}
