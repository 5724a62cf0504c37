//! What a script sees of the filesystem: its image, read-only, the directory it may change, and
//! small empty ones.
//!
//! Invariant: after `build` nothing else of the host can be named.

use std::ffi::CString;
use std::path::Path;

use fs_err as fs;
use rustix::fs::StatVfsMountFlags as Held;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};

use super::job::Job;
use crate::engine::base::Error;

/// Devices that keep nothing and tell nothing.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Links that shells and tools look for.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// Bytes and files of `/tmp`, which is memory.
const TMP: &str = "size=64m,nr_inodes=16384,mode=1777";
const DEV: &str = "size=64k,nr_inodes=64,mode=0755";

const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

fn failed(what: &str, path: &Path, errno: Errno) -> Error {
    Error::io(format!("{what} {} for a script", path.display()), errno.into())
}

/// Makes the job's root the root of this process.
pub(super) fn build(job: &Job) -> Result<(), Error> {
    let root = &job.root;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|e| failed("leaving", Path::new("/"), e))?;
    bind(root, root)?;
    bind(&job.tree, &root.join("tree"))?;
    again(&root.join("tree"), PLAIN)?;
    temporary(&root.join("tmp"), TMP)?;
    devices(&root.join("dev"))?;
    let proc = root.join("proc");
    let flags = PLAIN | MountFlags::NOEXEC;
    match mount("proc", &proc, "proc", flags, None) {
        // In a container that hides parts of its own /proc there is none.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(failed("mounting", &proc, errno)),
    }
    again(root, PLAIN | MountFlags::RDONLY)?;
    rustix::process::chdir(root).map_err(|e| failed("entering", root, e))?;
    rustix::process::pivot_root(".", ".").map_err(|e| failed("turning to", root, e))?;
    unmount(".", UnmountFlags::DETACH).map_err(|e| failed("leaving what is around", root, e))?;
    rustix::process::chdir("/tree").map_err(|e| failed("entering", Path::new("/tree"), e))
}

fn bind(from: &Path, to: &Path) -> Result<(), Error> {
    mount_bind(from, to).map_err(|e| failed("binding", from, e))
}

/// Adds flags to a mount. What the mount below has already must stay: the kernel insists.
fn again(path: &Path, flags: MountFlags) -> Result<(), Error> {
    let held = rustix::fs::statvfs(path).map_err(|e| failed("looking at", path, e))?.f_flag;
    let kept = [
        (Held::RDONLY, MountFlags::RDONLY),
        (Held::NOSUID, MountFlags::NOSUID),
        (Held::NODEV, MountFlags::NODEV),
        (Held::NOEXEC, MountFlags::NOEXEC),
        (Held::NOATIME, MountFlags::NOATIME),
        (Held::NODIRATIME, MountFlags::NODIRATIME),
        (Held::RELATIME, MountFlags::RELATIME),
    ];
    let kept = kept.into_iter().filter(|(had, _)| held.contains(*had));
    let flags = kept.fold(flags | MountFlags::BIND, |all, (_, flag)| all | flag);
    mount_remount(path, flags, "").map_err(|e| failed("restricting", path, e))
}

fn temporary(path: &Path, options: &str) -> Result<(), Error> {
    let options = CString::new(options).unwrap_or_default();
    mount("tmpfs", path, "tmpfs", PLAIN, Some(options.as_c_str()))
        .map_err(|e| failed("mounting", path, e))
}

fn devices(path: &Path) -> Result<(), Error> {
    temporary(path, DEV)?;
    let context = |e| Error::io(format!("filling {} for a script", path.display()), e);
    for name in DEVICES {
        let place = path.join(name);
        fs::File::create(&place).map_err(context)?;
        bind(&Path::new("/dev").join(name), &place)?;
    }
    for (name, target) in LINKS {
        fs_err::os::unix::fs::symlink(target, path.join(name)).map_err(context)?;
    }
    again(path, PLAIN | MountFlags::NOEXEC | MountFlags::RDONLY)
}
