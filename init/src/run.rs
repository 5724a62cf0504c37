//! The course of a machine: set up, wait shortly for addresses and the time, run the app, end.
//!
//! One loop over `poll`; what is awaited has a deadline. Invariant: the app starts whatever the
//! network does.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions, WaitStatus, getpid, wait};

use crate::app::App;
use crate::clock::now;
use crate::guest::{Config, Ending, OnExit};
use crate::net::Net;
use crate::power::{Buttons, End};
use crate::timesync::TimeSync;
use crate::{console, disks, log, modules, mounts, power, root, seed, settings, stop, sys};

/// What is awaited.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Network { until: Duration },
    Clock { until: Duration },
    Running,
    Paused { until: Duration },
    Stopping { until: Duration, end: End, killed: bool },
}

/// Whose file is readable.
#[derive(Clone, Copy, Debug)]
enum Source {
    Signals,
    Button,
    Net(usize),
    Time,
}

struct Run {
    config: Config,
    began: Duration,
    /// How long the modules took.
    loading: Duration,
    signals: OwnedFd,
    net: Net,
    time: TimeSync,
    buttons: Buttons,
    app: App,
    phase: Phase,
}

/// Does all of it.
pub(crate) fn main() {
    let began = now();
    if getpid().as_raw_nonzero().get() != 1 {
        log::error("start", &[("error", &"this program is the first process of a machine")]);
        return;
    }
    mounts::kernel();
    console::open();
    log::info("start", &[("version", &env!("CARGO_PKG_VERSION"))]);
    let signals = match sys::signals() {
        Ok(signals) => signals,
        Err(error) => {
            log::error("signals", &[("error", &error)]);
            power::end(End::Reboot);
        }
    };
    power::catch_keys();
    let first = settings::first();
    let loading = modules::load(&first.modules);
    let config = settings::all(first);
    let seed = if config.seed { seed::read() } else { seed::Seed::default() };
    let hostname = match config.hostname.as_str() {
        "" => seed.hostname,
        name => name.to_owned(),
    };
    if !config.root.is_empty() {
        root::change(&config);
        stop::machine(None, End::Reboot);
    }
    // DHCP is on its way while disks are looked for.
    let net = Net::start(&config, &hostname);
    disks::mount(&config);
    let app = App::new(&config, seed.environment);
    let until = now() + Duration::from_secs(config.dhcp_wait.into());
    let time = TimeSync::new(Vec::new(), config.ntp_interval);
    let (buttons, phase) = (Buttons::default(), Phase::Network { until });
    let mut run = Run { config, began, loading, signals, net, time, buttons, app, phase };
    run.buttons.rescan();
    if run.buttons.count() == 0 && run.config.power_button != Ending::Ignore {
        log::warn("no-power-button", &[("hint", &"the modules button and evdev")]);
    }
    loop {
        run.step();
    }
}

impl Run {
    /// One turn: what is due, then what comes.
    fn step(&mut self) {
        self.net.tick();
        self.time.tick();
        self.advance();
        let mut files = vec![(Source::Signals, self.signals.as_fd())];
        files.extend(self.buttons.files().map(|file| (Source::Button, file)));
        files.extend(self.net.files().into_iter().map(|(which, file)| (Source::Net(which), file)));
        files.extend(self.time.file().map(|file| (Source::Time, file)));
        let mut polled: Vec<PollFd<'_>> =
            files.iter().map(|(_, file)| PollFd::from_borrowed_fd(*file, PollFlags::IN)).collect();
        let limit = self.deadline().map(|deadline| pause(deadline.saturating_sub(now())));
        // EINTR, for one: the next turn looks again.
        let _ = poll(&mut polled, limit.as_ref());
        let ready: Vec<Source> = files
            .iter()
            .zip(&polled)
            .filter(|(_, polled)| !polled.revents().is_empty())
            .map(|((source, _), _)| *source)
            .collect();
        for source in ready {
            match source {
                Source::Signals => self.signalled(),
                Source::Button => self.pressed(),
                Source::Net(which) => self.net.readable(which),
                Source::Time => self.time.readable(),
            }
        }
    }

    fn deadline(&self) -> Option<Duration> {
        let own = match self.phase {
            Phase::Running => None,
            Phase::Network { until } | Phase::Clock { until } | Phase::Paused { until } => {
                Some(until)
            }
            Phase::Stopping { until, .. } => Some(until),
        };
        [own, self.net.deadline(), self.time.deadline()].into_iter().flatten().min()
    }

    /// Goes on to the next phase where this one is over.
    fn advance(&mut self) {
        if let Phase::Network { until } = self.phase {
            let settled = self.net.settled();
            if !settled && now() < until {
                return;
            }
            if !settled {
                log::warn("network-late", &[("waited-s", &self.config.dhcp_wait)]);
            }
            self.ask_the_time();
            let until = now() + Duration::from_secs(self.config.ntp_wait.into());
            self.phase = Phase::Clock { until };
            self.time.tick();
        }
        match self.phase {
            Phase::Clock { until } if self.time.settled() || now() >= until => {
                if !self.time.settled() {
                    log::warn("clock-late", &[("waited-s", &self.config.ntp_wait)]);
                }
                self.start();
            }
            Phase::Paused { until } if now() >= until => self.start(),
            Phase::Stopping { until, end, killed } if now() >= until => {
                if killed {
                    log::error("app-stays", &[("end", &end.name())]);
                    stop::machine(Some(&mut self.net), end);
                }
                log::warn("app-killed", &[("after-s", &self.config.stop_wait)]);
                self.app.kill();
                let until = now() + Duration::from_secs(2);
                self.phase = Phase::Stopping { until, end, killed: true };
            }
            _ => {}
        }
    }

    fn ask_the_time(&mut self) {
        if !self.config.sntp {
            return;
        }
        let given =
            || self.net.time_servers().into_iter().map(|server| SocketAddrV4::new(server, 123));
        let own = self.config.ntp.clone();
        let servers = if own.is_empty() { given().collect() } else { own };
        self.time = TimeSync::new(servers, self.config.ntp_interval);
    }

    fn start(&mut self) {
        self.phase = Phase::Running;
        match self.app.start(now()) {
            Ok(pid) => {
                let since = (now() - self.began).as_millis();
                log::info(
                    "ready",
                    &[
                        ("ms", &since),
                        ("modules-ms", &self.loading.as_millis()),
                        ("uptime-ms", &now().as_millis()),
                        ("rss-kib", &console::memory()),
                        ("app", &self.app.path()),
                        ("pid", &pid.as_raw_nonzero()),
                        ("start", &self.app.starts),
                    ],
                );
            }
            Err(error) => {
                log::error("app-start", &[("app", &self.app.path()), ("error", &error)]);
                self.over();
            }
        }
    }

    /// The app has ended by itself, or did not start.
    fn over(&mut self) {
        let pause = self.app.ended(now());
        let end = match self.config.on_exit {
            OnExit::Restart => {
                log::info("restart", &[("in-ms", &pause.as_millis())]);
                self.phase = Phase::Paused { until: now() + pause };
                return;
            }
            OnExit::Reboot => End::Reboot,
            OnExit::PowerOff => End::PowerOff,
            OnExit::Halt => End::Halt,
        };
        stop::machine(Some(&mut self.net), end);
    }

    /// Asks the app to stop; the machine ends when it has.
    fn stop(&mut self, why: &str, end: End) {
        log::info("stop", &[("why", &why), ("end", &end.name())]);
        if self.app.running().is_none() {
            stop::machine(Some(&mut self.net), end);
        }
        self.app.signal(Signal::TERM);
        let until = now() + Duration::from_secs(self.config.stop_wait.into());
        self.phase = Phase::Stopping { until, end, killed: false };
    }

    fn pressed(&mut self) {
        if self.buttons.pressed() {
            self.ask(self.config.power_button, "power-button");
        }
    }

    fn ask(&mut self, ending: Ending, why: &str) {
        // Once is enough: a second press does not begin the wait again.
        if matches!(self.phase, Phase::Stopping { .. }) {
            return;
        }
        match ending {
            Ending::PowerOff => self.stop(why, End::PowerOff),
            Ending::Reboot => self.stop(why, End::Reboot),
            Ending::Ignore => log::info("ignored", &[("why", &why)]),
        }
    }

    fn signalled(&mut self) {
        for signal in sys::pending(&self.signals) {
            match signal {
                Signal::CHILD => self.reap(),
                Signal::INT => self.ask(self.config.ctrl_alt_del, "ctrl-alt-del"),
                // What the `reboot` of busybox sends to the first process.
                Signal::TERM => self.ask(Ending::Reboot, "terminated"),
                other => self.app.signal(other),
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if Some(pid) != self.app.running() {
                continue;
            }
            tell(status);
            match self.phase {
                Phase::Stopping { end, .. } => {
                    self.app.ended(now());
                    stop::machine(Some(&mut self.net), end);
                }
                _ => self.over(),
            }
        }
    }
}

fn tell(status: WaitStatus) {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => log::info("app-exit", &[("code", &0)]),
        (Some(code), _) => log::error("app-exit", &[("code", &code)]),
        (_, Some(signal)) => log::error("app-exit", &[("signal", &signal)]),
        _ => log::error("app-exit", &[("status", &status.as_raw())]),
    }
}

fn pause(time: Duration) -> Timespec {
    // A little more than asked, lest the next turn comes a moment too early and again at once.
    let time = time + Duration::from_millis(1);
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
