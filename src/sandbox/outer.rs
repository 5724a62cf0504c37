//! The outer child: gives up what root has, enters the namespaces, and keeps the inner one in time.
//!
//! Invariant: it kills the inner child, and so every process of the script, when the time is over
//! or when whoever started it is gone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, Uid};
use rustix::process::{DumpableBehavior, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::job::Job;
use super::names::{self, ALL};
use crate::engine::base::{Error, Kind};

/// How often the inner child is looked at.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Runs the outer child: the job is the first line of standard input, which stays open as long as
/// the script is wanted. Returns the line that says how it ended.
pub fn outer() -> Result<String, Error> {
    close_others()?;
    let mut stdin = BufReader::new(std::io::stdin().lock());
    let mut line = String::new();
    let context = |e| Error::io("reading what to run", e);
    stdin.read_line(&mut line).map_err(context)?;
    let job: Job = serde_json::from_str(&line)
        .map_err(|e| Error::new(Kind::Io, format!("what to run is no job: {e}")))?;
    give_up(&job)?;
    for path in [&job.root, &job.tree] {
        rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK)
            .map_err(|e| {
                let (user, path) = (geteuid().as_raw(), path.display());
                let message = format!(
                    "{path} cannot be reached by user {user}, which scripts run as: give --scratch \
                     with a directory that everybody can reach"
                );
                Error::io(message, e.into())
            })?;
    }
    let outside = (geteuid().as_raw(), getegid().as_raw());
    names::enter(names::proc()?, 0, outside, ALL)?;
    let mut child = inner(&line)?;
    wait(&mut child, &job, &mut stdin)
}

/// Closes what whoever started us left open: the script would have it, too.
fn close_others() -> Result<(), Error> {
    let context = |e| Error::io("listing open files", e);
    let mut open = Vec::new();
    for entry in fs_err::read_dir("/proc/self/fd").map_err(context)? {
        let name = entry.map_err(context)?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for number in open.into_iter().filter(|number| *number > 2) {
        // The list's own is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Root becomes an ordinary user, for good.
fn give_up(job: &Job) -> Result<(), Error> {
    let context = |e: rustix::io::Errno| Error::io("becoming an ordinary user", e.into());
    if let Some((uid, gid)) = job.owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        set_thread_groups(&[]).map_err(context)?;
        set_thread_res_gid(gid, gid, gid).map_err(context)?;
        set_thread_res_uid(uid, uid, uid).map_err(context)?;
        // A process that changed its user may not write its own maps otherwise.
        set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(context)?;
    }
    if geteuid().is_root() {
        return Err(Error::new(Kind::Refused, "scripts never run as root of the host"));
    }
    Ok(())
}

fn inner(line: &str) -> Result<Child, Error> {
    let context = |e| Error::io("starting the inner child", e);
    let mut command = Command::new("/proc/self/exe");
    command.args(["sandbox", "inner"]).env_clear().stdin(Stdio::piped());
    let mut child = command.spawn().map_err(context)?;
    let stdin = child.stdin.take();
    stdin.map_or(Ok(()), |mut stdin| stdin.write_all(line.as_bytes())).map_err(context)?;
    Ok(child)
}

fn wait(child: &mut Child, job: &Job, stdin: &mut impl std::io::Read) -> Result<String, Error> {
    let context = |e| Error::io("waiting for the script", e);
    let end = Instant::now() + Duration::from_secs(job.seconds);
    let mut why = None;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(context)? {
            break status;
        }
        if why.is_none() && Instant::now() >= end {
            why = Some("timeout");
        } else if why.is_none() && gone(stdin) {
            why = Some("stopped");
        }
        if why.is_some() {
            // It is our child, so its number is nobody else's.
            child.kill().map_err(context)?;
            break child.wait().map_err(context)?;
        }
    };
    Ok(match (why, status.code(), status.signal()) {
        (Some(why), ..) => why.to_owned(),
        (_, Some(code), _) => format!("exit {code}"),
        (_, _, signal) => format!("signal {}", signal.unwrap_or_default()),
    })
}

/// Whether whoever started us has closed our input; waits a moment for that.
fn gone(stdin: &mut impl std::io::Read) -> bool {
    let open = std::io::stdin();
    let mut list = [PollFd::new(&open, PollFlags::IN)];
    match poll(&mut list, Some(&TICK)) {
        Ok(0) | Err(_) => false,
        Ok(_) => stdin.by_ref().read(&mut [0; 64]).map_or(true, |count| count == 0),
    }
}
