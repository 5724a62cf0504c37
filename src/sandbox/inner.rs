//! The inner child, the first process of its namespace: mounts, limits, no privilege; then it is
//! the script's shell.
//!
//! Invariant: what it gives up last is what the script could otherwise use: capabilities of both
//! user namespaces, the way to new ones, and programs that change their user.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::job::Job;
use super::{USER, mounts, names};
use crate::engine::base::{Error, Kind};

/// What a shell looks for programs in.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of data that one process may have.
const DATA: u64 = 4 << 30;
/// Files that one process may have open.
const FILES: u64 = 1024;

/// Runs the inner child: the job is all of standard input. Returns only if the script did not begin.
pub fn inner() -> Result<std::convert::Infallible, Error> {
    let context = |e| Error::io("reading what to run", e);
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map_err(context)?;
    let job: Job = serde_json::from_str(&text)
        .map_err(|e| Error::new(Kind::Io, format!("what to run is no job: {e}")))?;
    die_with_parent()?;
    let step = |e: rustix::io::Errno| Error::io("making the sandbox of a script", e.into());
    rustix::process::setsid().map_err(step)?;
    rustix::system::sethostname(b"vmimage").map_err(step)?;
    let proc = names::proc()?;
    mounts::build(&job)?;
    limits(&job).map_err(step)?;
    // The script's own user namespace owns nothing: not the mounts, not the network.
    names::enter(&proc, USER, (0, 0), nix::sched::CloneFlags::empty())?;
    // No further ones. Where /proc is read-only this stays as it is; what they would offer is
    // bounded by the limits all the same.
    let _ = names::set(&proc, "sys/user/max_user_namespaces", "0");
    drop(proc);
    set_no_new_privs(true).map_err(step)?;
    for capability in CapabilitySet::all().iter() {
        // The kernel knows fewer than we do, or more: those it does not know it cannot give.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).map_err(step)?;
    die_with_parent()?;
    Err(become_shell(&job))
}

fn die_with_parent() -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| Error::io("asking to end with the parent", e.into()))
}

fn limits(job: &Job) -> Result<(), rustix::io::Errno> {
    for (resource, most) in [
        (Resource::Nproc, job.processes),
        (Resource::Fsize, job.budget),
        (Resource::Data, DATA),
        (Resource::Nofile, FILES),
        (Resource::Core, 0),
    ] {
        let held = rustix::process::getrlimit(resource).maximum;
        let most = Some(held.map_or(most, |held| held.min(most)));
        setrlimit(resource, Rlimit { current: most, maximum: most })?;
    }
    Ok(())
}

/// The shell in our place. What it prints goes to standard error: the standard output that we had
/// is for how it ended.
fn become_shell(job: &Job) -> Error {
    let printed = || std::io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
    let (out, err) = match (printed(), printed()) {
        (Ok(out), Ok(err)) => (out, err),
        (Err(e), _) | (_, Err(e)) => return Error::io("giving the script an output", e),
    };
    let mut command = Command::new(&job.shell);
    command.args(["-c", &job.text]).env_clear();
    command.env("PATH", PATH).env("HOME", "/tmp").env("LANG", "C.UTF-8").envs(&job.env);
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    Error::io(format!("starting {} of the script's image", job.shell), command.exec())
}
