//! The app: started with its environment, asked to stop, started again after a pause.
//!
//! Does not wait for it: the loop reaps every process. Invariant: at most one app runs.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::guest::Config;

/// The first pause before another start, and the longest; it doubles in between.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// An app that ran this long has worked: the next pause is the first again.
const WORKED: Duration = Duration::from_secs(60);

/// The app.
#[derive(Debug)]
pub(crate) struct App {
    config: Config,
    extra: Vec<(&'static str, String)>,
    running: Option<Pid>,
    started: Duration,
    pause: Duration,
    /// How often it was started.
    pub(crate) starts: u32,
}

impl App {
    pub(crate) fn new(config: &Config, extra: Vec<(&'static str, String)>) -> Self {
        let config = config.clone();
        Self { config, extra, running: None, started: Duration::ZERO, pause: PAUSE.0, starts: 0 }
    }

    pub(crate) fn path(&self) -> &str {
        &self.config.app
    }

    pub(crate) fn running(&self) -> Option<Pid> {
        self.running
    }

    pub(crate) fn start(&mut self, now: Duration) -> io::Result<Pid> {
        let config = &self.config;
        if config.app.is_empty() {
            return Err(io::Error::other("no app is configured"));
        }
        let mut command = Command::new(&config.app);
        // Its own process group lets a stop reach what it started, too.
        command.args(&config.arg).env_clear().current_dir(&config.directory).process_group(0);
        command.envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")]);
        command.envs([("HOME", "/"), ("TERM", "linux")]);
        command.envs(self.extra.iter().map(|(name, value)| (*name, value)));
        command.envs(config.env.iter().filter_map(|variable| variable.split_once('=')));
        if config.user.uid != 0 || config.user.gid != 0 {
            command.uid(config.user.uid).gid(config.user.gid);
        }
        self.starts += 1;
        self.started = now;
        let child = crate::sys::unmask(&mut command).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        self.running = pid;
        pid.ok_or_else(|| io::Error::other("a process without a number"))
    }

    /// The app has ended, or could not be started. Returns the pause before the next start.
    pub(crate) fn ended(&mut self, now: Duration) -> Duration {
        self.running = None;
        if now.saturating_sub(self.started) >= WORKED {
            self.pause = PAUSE.0;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        pause
    }

    /// Hands a signal to the app alone, which knows what to do with its children.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.running {
            // It may have ended a moment ago.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends the app and what it started.
    pub(crate) fn kill(&self) {
        if let Some(pid) = self.running {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_begin_again_after_a_good_run() {
        let mut app = App::new(&Config::default(), Vec::new());
        let seconds: Vec<u64> = (0..8).map(|_| app.ended(Duration::ZERO).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(app.ended(WORKED), PAUSE.0);
        assert!(app.start(Duration::ZERO).unwrap_err().to_string().contains("no app"));
    }
}
