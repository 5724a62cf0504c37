//! User namespaces: entered, with one user in each.
//!
//! Invariant: exactly one user and one group are mapped, so no other can be taken on.

use std::io::Write as _;

use nix::sched::{CloneFlags, unshare};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};

use crate::engine::base::{Error, Kind};

/// What is new beside the user.
pub(super) const ALL: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS);

/// `/proc`, to be used after it has gone.
pub(super) fn proc() -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open("/proc", flags, Mode::empty()).map_err(|e| {
        Error::io("opening /proc, which is needed to enter a user namespace", e.into())
    })
}

/// Enters a user namespace, and `more`, in which `outside` is called `inside`.
pub(super) fn enter(
    proc: impl AsFd,
    inside: u32,
    outside: (u32, u32),
    more: CloneFlags,
) -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWUSER | more).map_err(|errno| {
        let message = format!(
            "scripts run in a user namespace, which this system does not let user {} make ({}): \
             look at the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and \
             kernel.apparmor_restrict_unprivileged_userns; a container needs a seccomp profile \
             that allows unshare",
            outside.0,
            errno.desc()
        );
        Error::new(Kind::Unsupported, message)
    })?;
    let (uid, gid) = outside;
    set(proc.as_fd(), "self/setgroups", "deny")?;
    set(proc.as_fd(), "self/uid_map", &format!("{inside} {uid} 1"))?;
    set(proc.as_fd(), "self/gid_map", &format!("{inside} {gid} 1"))
}

/// Writes to a file below `/proc`.
pub(super) fn set(proc: impl AsFd, name: &str, text: &str) -> Result<(), Error> {
    let context = |e| Error::io(format!("writing {text:?} to /proc/{name}"), e);
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(proc, name, flags, Mode::empty()).map_err(|e| context(e.into()))?;
    std::fs::File::from(file).write_all(text.as_bytes()).map_err(context)
}
