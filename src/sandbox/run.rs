//! Starting a script and watching it: what it prints, how much it writes, how it ends.
//!
//! Invariant: when this returns, no process of the script is left.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::job::Job;
use crate::engine::base::{Error, Kind};

/// Bytes of what a script prints that are shown.
const SHOWN: usize = 256 << 10;
/// Bytes of one line that are shown.
const LINE: usize = 4096;
/// How often a script is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often its tree is counted in any case.
const SELDOM: Duration = Duration::from_secs(2);
/// Files that a script's tree may have on the disk while it runs.
const FILES: u64 = 4 << 20;
/// Root of the host becomes this user and group: nobody else is it.
const ORDINARY: u32 = 2_000_000_107;
/// What root becomes where that number is not mapped: nobody.
const NOBODY: u32 = 65_534;

/// Whoever waits for a script.
pub trait Watch: fmt::Debug + Sync {
    /// Takes one line that the script printed.
    fn line(&self, text: &str);

    /// Whether it is not wanted any more.
    fn stopped(&self) -> bool;
}

/// How a script ended that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Its time was over.
    Timeout,
    /// It wrote more than it may.
    TooMuch,
    /// Nobody wanted it any more.
    Stopped,
}

/// The user and group that files must belong to so that scripts reach them, if that is not the
/// caller.
#[must_use]
pub fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mapped = map.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|text| text.parse::<u64>().ok());
        let (first, _, count) = (numbers.next(), numbers.next(), numbers.next());
        let range = first.zip(count);
        range.is_some_and(|(first, count)| (first..first + count).contains(&u64::from(ORDINARY)))
    });
    let user = if mapped { ORDINARY } else { NOBODY };
    Some((user, user))
}

/// Runs `job` to its end.
pub fn run(job: &Job, watch: &dyn Watch) -> Result<Ended, Error> {
    let context = |e| Error::io("starting a script's sandbox", e);
    let mut command = Command::new("/proc/self/exe");
    command.args(["sandbox", "outer"]).env_clear().process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(context)?;
    let line = serde_json::to_string(job)
        .map_err(|e| Error::new(Kind::Io, format!("a job is no JSON: {e}")))?;
    // Open as long as the script is wanted.
    let mut wanted = child.stdin.take();
    if let Some(stdin) = &mut wanted {
        stdin.write_all(format!("{line}\n").as_bytes()).map_err(context)?;
    }
    let printed = child.stderr.take();
    let why = std::thread::scope(|scope| {
        scope.spawn(|| printed.map(|printed| show(printed, watch)));
        let (mut why, mut meter) = (None, Meter { last: None });
        while matches!(child.try_wait(), Ok(None)) {
            if why.is_none() && watch.stopped() {
                why = Some(Ended::Stopped);
            } else if why.is_none() && meter.too_much(job) {
                why = Some(Ended::TooMuch);
            }
            if why.is_some() {
                drop(wanted.take());
            }
            std::thread::sleep(TICK);
        }
        why
    });
    let said = said(&mut child)?;
    why.map_or_else(|| ended(&said), Ok)
}

/// What the sandbox says about how it ended.
fn said(child: &mut Child) -> Result<String, Error> {
    let context = |e| Error::io("hearing how a script ended", e);
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(64 << 10).read_to_string(&mut text).map_err(context)?;
    }
    child.wait().map_err(context)?;
    Ok(text)
}

fn ended(said: &str) -> Result<Ended, Error> {
    let failed = said.lines().find_map(|line| line.strip_prefix("failed "));
    if let Some(why) = failed {
        return Err(Error::new(Kind::Unsupported, why.to_owned()));
    }
    let last = said.lines().last().unwrap_or_default();
    let number = |text: &str| text.parse().unwrap_or(-1);
    match last.split_once(' ') {
        Some(("exit", code)) => Ok(Ended::Code(number(code))),
        Some(("signal", signal)) => Ok(Ended::Signal(number(signal))),
        None if last == "timeout" => Ok(Ended::Timeout),
        None if last == "stopped" => Ok(Ended::Stopped),
        _ => Err(Error::new(Kind::Io, "the sandbox of a script ended without a word")),
    }
}

/// Shows what is printed, as far as it is not too much; reads all of it, so that nobody waits.
fn show(mut printed: ChildStderr, watch: &dyn Watch) {
    let (mut left, mut line) = (Some(SHOWN), Vec::new());
    let mut buffer = [0; 8192];
    while let Ok(count) = printed.read(&mut buffer) {
        if count == 0 {
            break;
        }
        for byte in buffer.get(..count).unwrap_or_default() {
            let full = line.len() >= LINE;
            if *byte != b'\n' && !full {
                line.push(*byte);
                continue;
            }
            tell(&mut line, &mut left, watch);
            line.extend((*byte != b'\n').then_some(*byte));
        }
    }
    if !line.is_empty() {
        tell(&mut line, &mut left, watch);
    }
}

fn tell(line: &mut Vec<u8>, left: &mut Option<usize>, watch: &dyn Watch) {
    if let Some(before) = *left {
        *left = before.checked_sub(line.len() + 1);
        match left {
            Some(_) => watch.line(&String::from_utf8_lossy(line)),
            None => watch.line("… (the script prints more than is shown)"),
        }
    }
    line.clear();
}

/// How much a script's tree takes of the disk.
struct Meter {
    /// Free bytes of the disk, and when, at the last count.
    last: Option<(u64, Instant)>,
}

impl Meter {
    /// Whether the tree takes more than it may. Counting is slow: it is done when the disk got
    /// fuller, and now and then.
    fn too_much(&mut self, job: &Job) -> bool {
        let Ok(found) = rustix::fs::statvfs(&job.tree) else { return false };
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        if free == 0 || (found.f_files > 0 && found.f_favail == 0) {
            return true;
        }
        let step = (job.budget / 16).max(1 << 20);
        let due = self.last.is_none_or(|(before, when)| {
            before.saturating_sub(free) >= step || when.elapsed() >= SELDOM
        });
        if !due {
            return false;
        }
        let fits = Count { bytes: 0, files: 0, most: (job.budget, FILES) }.below(&job.tree, 0);
        self.last = Some((free, Instant::now()));
        !fits
    }
}

struct Count {
    bytes: u64,
    files: u64,
    most: (u64, u64),
}

impl Count {
    /// Whether what lies below `path` fits.
    fn below(&mut self, path: &Path, depth: usize) -> bool {
        let Ok(entries) = fs::read_dir(path) else { return true };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            self.files += 1;
            self.bytes = self.bytes.saturating_add(metadata.blocks().saturating_mul(512));
            if self.bytes > self.most.0 || self.files > self.most.1 {
                return false;
            }
            if metadata.is_dir() && depth < 256 && !self.below(&entry.path(), depth + 1) {
                return false;
            }
        }
        true
    }
}

/// Removes a directory that scripts had, whatever modes they left in it.
pub fn clear(directory: &Path) {
    open_up(directory, 0);
    // What is left says by its name what it is.
    let _ = fs::remove_dir_all(directory);
}

fn open_up(directory: &Path, depth: usize) {
    let is_directory = fs::symlink_metadata(directory).is_ok_and(|found| found.is_dir());
    if !is_directory || depth > 512 {
        return;
    }
    let _ = fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path(), depth + 1);
        }
    }
}
