//! A machine from its start to what is expected of it.
//!
//! Judges nothing but the serial text. Invariants: when `session` returns, however it does, QEMU has
//! ended and been waited for, and the terminal is as it was.

use std::ffi::OsString;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use regex_lite::Regex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::console::Console;
use super::keys::Chord;
use super::picture;
use super::qmp::Qmp;
use crate::engine::base::{Error, Kind};

/// How often is looked for signals and the end of QEMU.
const TICK: Duration = Duration::from_millis(20);

/// How long QEMU has to end by itself, and to make its socket.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lines of the serial text that are told when it is not what was expected.
const LINES: usize = 15;

/// One thing after the other.
#[derive(Clone, Debug)]
pub enum Step {
    /// Wait until the serial text has a match.
    Expect(Regex),
    /// Press keys.
    Press(Vec<Chord>),
    /// Wait until the machine goes off.
    Off,
}

/// What is done with a machine.
#[derive(Clone, Debug)]
pub struct Plan {
    /// QEMU's command.
    pub command: Vec<OsString>,
    /// The arguments that make this program `leash` itself, the words of the command behind them.
    pub leash: Vec<OsString>,
    /// What happens in this order; nothing: until QEMU ends, with the serial line on the terminal.
    pub steps: Vec<Step>,
    /// How long all of it may take.
    pub timeout: Option<Duration>,
    /// A file that takes what was read of the serial line: QEMU's own copy may lag behind it.
    pub log: Option<PathBuf>,
    /// Whether the machine may write to files that stay: then QEMU is asked to end and closes them.
    pub writes: bool,
    /// The socket that the command names.
    pub monitor: Option<PathBuf>,
    /// A file for a picture of the screen, and one for the pixmap it is made of. It is taken when the
    /// last text was seen, or when time is over.
    pub screenshot: Option<(PathBuf, PathBuf)>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were done.
    Done,
    /// The machine went off before.
    Ended,
    /// QEMU failed, with this exit status.
    Failed(String),
    /// Time was over.
    TimedOut,
    /// The user asked to stop.
    Stopped,
}

/// Who looks on.
pub trait Watch {
    /// More bytes of the serial line.
    fn serial(&self, bytes: &[u8]) -> Result<(), Error>;
    /// Whether to stop.
    fn stopped(&self) -> bool;
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Steps that were done.
    pub done: usize,
    /// The last lines of the serial text.
    pub last: Vec<String>,
    /// Whether the picture was taken.
    pub pictured: bool,
}

/// Starts the machine and goes through the steps.
pub fn session(plan: &Plan, watch: &dyn Watch) -> Result<Report, Error> {
    let log = log(plan)?;
    let mut session = Session {
        plan,
        watch,
        terminal: Terminal::kept(),
        qemu: Qemu::start(plan)?,
        console: Console::default(),
        log,
        end: plan.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        monitor: None,
        pictured: false,
    };
    let mut done = 0;
    let mut outcome = Outcome::Done;
    let last_seen = plan.steps.iter().rposition(|step| matches!(step, Step::Expect(_)));
    let off = [Step::Off];
    let steps = if plan.steps.is_empty() { &off[..] } else { &plan.steps };
    for (at, step) in steps.iter().enumerate() {
        outcome = session.step(step)?;
        let picture =
            outcome == Outcome::TimedOut || (outcome == Outcome::Done && last_seen == Some(at));
        if picture {
            session.picture()?;
        }
        if outcome != Outcome::Done {
            break;
        }
        done += 1;
    }
    session.qemu.stop(plan.writes)?;
    let (last, pictured) = (session.console.last_lines(LINES), session.pictured);
    Ok(Report { outcome, done, last, pictured })
}

struct Session<'a> {
    plan: &'a Plan,
    watch: &'a dyn Watch,
    qemu: Qemu,
    /// Put back after QEMU has ended.
    #[expect(dead_code, reason = "it acts when it is dropped")]
    terminal: Option<Terminal>,
    console: Console,
    log: Option<fs::File>,
    end: Option<Instant>,
    monitor: Option<Qmp>,
    pictured: bool,
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Session<'_> {
    fn step(&mut self, step: &Step) -> Result<Outcome, Error> {
        if let Step::Press(chords) = step {
            self.connect()?;
            if let Some(monitor) = &mut self.monitor {
                monitor.press(chords)?;
            }
            return Ok(Outcome::Done);
        }
        loop {
            if let Step::Expect(pattern) = step
                && self.console.take(pattern)
            {
                return Ok(Outcome::Done);
            }
            if self.watch.stopped() {
                return Ok(Outcome::Stopped);
            }
            if self.end.is_some_and(|end| Instant::now() >= end) {
                return Ok(Outcome::TimedOut);
            }
            if let Some(status) = self.qemu.ended()? {
                while self.read()? {}
                return Ok(self.at_end(step, status));
            }
            self.read()?;
        }
    }

    /// What it means that QEMU ended.
    fn at_end(&mut self, step: &Step, status: ExitStatus) -> Outcome {
        match step {
            // The last words may be the ones.
            Step::Expect(pattern) if self.console.take(pattern) => Outcome::Done,
            _ if !status.success() => Outcome::Failed(status.to_string()),
            Step::Off => Outcome::Done,
            _ => Outcome::Ended,
        }
    }

    /// Takes what the serial line has, and waits for it a little; whether there may be more.
    fn read(&mut self) -> Result<bool, Error> {
        let Some(stdout) = &mut self.qemu.stdout else {
            std::thread::sleep(TICK);
            return Ok(false);
        };
        let context = |e| Error::io("reading the serial line", e);
        let wait = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        let mut fds = [PollFd::new(&*stdout, PollFlags::IN)];
        match poll(&mut fds, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(e) => return Err(context(e.into())),
        }
        let mut buffer = [0; 16 << 10];
        let read = stdout.read(&mut buffer).map_err(context)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            // QEMU is about to end, and its end is waited for.
            self.qemu.stdout = None;
            return Ok(false);
        }
        self.console.push(bytes);
        if let Some(log) = &mut self.log {
            log.write_all(bytes)
                .map_err(|e| Error::io("writing what the serial line carries", e))?;
        }
        self.watch.serial(bytes)?;
        Ok(true)
    }

    /// Connects to the monitor, unless it is.
    fn connect(&mut self) -> Result<(), Error> {
        let Some(path) = self.plan.monitor.as_deref().filter(|_| self.monitor.is_none()) else {
            return Ok(());
        };
        let start = Instant::now();
        while self.monitor.is_none() && !self.watch.stopped() {
            self.monitor = Qmp::connect(path)?;
            if self.qemu.ended()?.is_some() {
                return Err(Error::new(Kind::Io, "QEMU has ended"));
            }
            if start.elapsed() > PATIENCE {
                let message = format!("QEMU makes no socket {}", path.display());
                return Err(Error::new(Kind::Io, message));
            }
            self.read()?;
        }
        Ok(())
    }

    /// Takes the picture, if one is wanted.
    fn picture(&mut self) -> Result<(), Error> {
        let Some((path, pixmap)) = &self.plan.screenshot else { return Ok(()) };
        if self.qemu.ended()?.is_some() {
            return Ok(());
        }
        self.connect()?;
        if let Some(monitor) = &mut self.monitor {
            monitor.screen(pixmap)?;
            let read = |e| Error::io("reading the picture of the screen", e);
            let png = picture::png(&fs::read(pixmap).map_err(read)?)?;
            written(path, &png)?;
            self.pictured = true;
        }
        Ok(())
    }
}

/// The file for the serial line; on the terminal QEMU writes it.
fn log(plan: &Plan) -> Result<Option<fs::File>, Error> {
    let path = plan.log.as_ref().filter(|_| !plan.steps.is_empty());
    let create = |path| fs::File::create(path).map_err(|e| Error::io("--serial", e));
    path.map(create).transpose()
}

fn written(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|e| Error::io(format!("writing {}", path.display()), e))
}

/// The process.
struct Qemu {
    child: Child,
    stdout: Option<ChildStdout>,
}

impl Qemu {
    fn start(plan: &Plan) -> Result<Self, Error> {
        let watched = !plan.steps.is_empty();
        let mut command = Command::new("/proc/self/exe");
        command.args(&plan.leash).args(&plan.command);
        if watched {
            command.stdin(Stdio::null()).stdout(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|e| Error::io("starting QEMU", e))?;
        let stdout = child.stdout.take();
        Ok(Self { child, stdout })
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(|e| Error::io("waiting for QEMU", e))
    }

    /// Ends it; where files stay, it is asked first and closes them.
    fn stop(&mut self, gently: bool) -> Result<(), Error> {
        if !gently {
            // Fails where it has ended.
            let _ = self.child.kill();
        } else if self.ended()?.is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // It may have ended in between.
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = Instant::now();
        while self.ended()?.is_none() && start.elapsed() < PATIENCE {
            // What it still has to say must not hold it up.
            if let Some(stdout) = &mut self.stdout {
                let wait = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                let mut fds = [PollFd::new(&*stdout, PollFlags::IN)];
                if poll(&mut fds, Some(&wait)).is_ok_and(|ready| ready > 0)
                    && stdout.read(&mut [0; 4096]).is_ok_and(|read| read == 0)
                {
                    self.stdout = None;
                }
            } else {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Both fail where it has ended, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The settings of the terminal, put back at the end: a killed QEMU leaves it raw.
struct Terminal(Termios);

impl Terminal {
    fn kept() -> Option<Self> {
        tcgetattr(std::io::stdin().as_fd()).ok().map(Self)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There may be no terminal any more.
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.0);
    }
}
