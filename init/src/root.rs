//! Into a root filesystem: found as `root=` names it, mounted, grown if asked, and its own init
//! started in our place.
//!
//! Invariant: returns only if it could not be done, and has said why.

use fs_err as fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::mount::{MountFlags, mount_move};
use rustix::process::{chdir, chroot};

use crate::disks::{self, Device};
use crate::grow;
use crate::guest::Config;
use crate::log;
use crate::mounts;

const NEW: &str = "/vmimage-root";
/// What moves along.
const KEPT: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// Goes over to the root filesystem.
pub(crate) fn change(config: &Config) {
    let limit = Duration::from_secs(config.disk_wait.into());
    let wanted = |devices: &[Device]| devices.iter().find(|one| fits(one, &config.root)).cloned();
    let Some(device) = disks::wait(limit, wanted) else {
        return log::error("no-root", &[("root", &config.root), ("waited-s", &config.disk_wait)]);
    };
    let path = device.path();
    if config.grow {
        grow::partition(&device);
    }
    if let Err(error) = mounts::at(&path, device.found.kind, NEW, MountFlags::empty(), "") {
        return log::error("mount", &[("path", &NEW), ("device", &path), ("error", &error)]);
    }
    if config.grow {
        grow::filesystem(&device, NEW);
    }
    log::info("root", &[("device", &path), ("init", &config.root_init)]);
    if let Err(error) = enter() {
        return log::error("root", &[("error", &error)]);
    }
    // Returns only if it failed.
    let error = crate::sys::unmask(&mut Command::new(&config.root_init)).exec();
    log::error("root", &[("init", &config.root_init), ("error", &error)]);
}

fn enter() -> std::io::Result<()> {
    for path in KEPT {
        fs::create_dir_all(format!("{NEW}{path}"))?;
        mount_move(path, format!("{NEW}{path}"))?;
    }
    chdir(NEW)?;
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")?;
    Ok(())
}

/// `LABEL=`, `UUID=`, `PARTUUID=` or `/dev/NAME`, as the kernel's own `root=` has them.
fn fits(device: &Device, root: &str) -> bool {
    if let Some(label) = root.strip_prefix("LABEL=") {
        return device.found.label == label;
    }
    if let Some(uuid) = root.strip_prefix("UUID=") {
        return device.found.uuid.eq_ignore_ascii_case(uuid);
    }
    if let Some(uuid) = root.strip_prefix("PARTUUID=") {
        return grow::partition_uuid(device).is_some_and(|own| own.eq_ignore_ascii_case(uuid));
    }
    Path::new(root) == Path::new(&device.path())
}
