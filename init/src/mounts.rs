//! The filesystems of the kernel, mounted at the start, and everything unmounted at the end.
//!
//! Invariant: at the end no filesystem of a disk is left mounted for writing.

use fs_err as fs;
use std::os::unix::fs::symlink;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::log;

/// Where, what, flags, options.
const KERNEL: [(&str, &str, MountFlags, &str); 6] = [
    ("/proc", "proc", SAFE, ""),
    ("/sys", "sysfs", SAFE, ""),
    ("/dev", "devtmpfs", MountFlags::NOSUID, "mode=0755"),
    (
        "/dev/pts",
        "devpts",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        "gid=5,mode=0620,ptmxmode=0666",
    ),
    ("/run", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=0755"),
    ("/tmp", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=1777"),
];
const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Mounts what every program expects. What fails is logged, and the machine goes on.
pub(crate) fn kernel() {
    for (path, kind, flags, options) in KERNEL {
        if let Err(error) = at(kind, kind, path, flags, options) {
            log::error("mount", &[("path", &path), ("type", &kind), ("error", &error)]);
        }
    }
    // What devtmpfs does not have, though programs use it.
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        // There already on some systems, which is fine.
        let _ = symlink(target, link);
    }
}

/// Mounts one filesystem; the directory is made where it is missing.
pub(crate) fn at(
    source: &str,
    kind: &str,
    path: &str,
    flags: MountFlags,
    options: &str,
) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    let options = std::ffi::CString::new(options).map_err(std::io::Error::other)?;
    match mount(source, path, kind, flags, &*options) {
        // A kernel with CONFIG_DEVTMPFS_MOUNT, or an init before us.
        Err(rustix::io::Errno::BUSY) => Ok(()),
        result => Ok(result?),
    }
}

/// Unmounts everything, last first; what is busy becomes read-only at least.
pub(crate) fn leave() {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let kernel = |path: &str| path == "/" || KERNEL.iter().any(|(known, ..)| *known == path);
    let paths: Vec<String> =
        table.lines().filter_map(|line| line.split(' ').nth(1)).map(plain).collect();
    for path in paths.iter().rev().filter(|path| !kernel(path)) {
        let Err(error) = unmount(path.as_str(), UnmountFlags::empty()) else {
            log::info("unmounted", &[("path", path)]);
            continue;
        };
        log::warn("unmount", &[("path", path), ("error", &error)]);
        let only = mount_remount(path.as_str(), MountFlags::RDONLY, c"");
        if let Err(error) = only.or_else(|_| unmount(path.as_str(), UnmountFlags::DETACH)) {
            log::error("unmount", &[("path", path), ("error", &error)]);
        }
    }
}

/// proc_pid_mounts(5): blank, tab, line feed and backslash are octal there.
fn plain(path: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(path.to_owned(), |path, (code, letter)| path.replace(code, letter))
}
