//! Disks by what lies on them: every block device is looked at, and what is wanted is mounted.
//!
//! Invariant: a device is mounted only if its label is the one asked for; where two have it, the
//! first by name is taken and the other is logged.

use fs_err as fs;
use std::io::Read as _;
use std::thread::sleep;
use std::time::Duration;

use rustix::mount::MountFlags;

use crate::clock::now;
use crate::guest::{Config, Medium};
use crate::log;
use crate::mounts;
use crate::superblock::{Found, LENGTH, look};

/// A block device with a filesystem.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// As in /dev.
    pub(crate) name: String,
    pub(crate) found: Found,
}

impl Device {
    pub(crate) fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }
}

/// The names of all block devices, sorted, without those of RAM and loop devices.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !["loop", "ram", "zram"].iter().any(|other| name.starts_with(other)))
        .collect();
    names.sort();
    names
}

/// What lies on every block device.
pub(crate) fn all() -> Vec<Device> {
    names().into_iter().filter_map(|name| Some(Device { found: read(&name)?, name })).collect()
}

fn read(name: &str) -> Option<Found> {
    let mut bytes = Vec::new();
    // A drive without a disk says ENOMEDIUM: nothing lies there.
    let file = fs::File::open(format!("/dev/{name}")).ok()?;
    file.take(LENGTH as u64).read_to_end(&mut bytes).ok()?;
    look(&bytes)
}

/// Waits until `wanted` finds something among the devices, or `limit` is over: drivers look for
/// disks beside us.
pub(crate) fn wait<T>(
    limit: Duration,
    mut wanted: impl FnMut(&[Device]) -> Option<T>,
) -> Option<T> {
    let end = now() + limit;
    loop {
        let found = wanted(&all());
        if found.is_some() || now() >= end {
            return found;
        }
        sleep(Duration::from_millis(20));
    }
}

/// Mounts the media that the configuration names.
pub(crate) fn mount(config: &Config) {
    let wanted = config.iso.iter().map(|medium| (medium, true));
    let wanted: Vec<_> = wanted.chain(config.data.iter().map(|medium| (medium, false))).collect();
    if wanted.is_empty() {
        return;
    }
    let limit = Duration::from_secs(config.disk_wait.into());
    let mut last = Vec::new();
    let _ = wait(limit, |devices| {
        last = devices.to_vec();
        wanted.iter().all(|(medium, iso)| last.iter().any(|d| fits(d, medium, *iso))).then_some(())
    });
    for (medium, iso) in wanted {
        let mut fitting = last.iter().filter(|device| fits(device, medium, iso));
        match fitting.next() {
            Some(device) => one(device, medium, iso, config.grow && !iso),
            None => log::warn("no-disk", &[("label", &medium.label), ("path", &medium.path)]),
        }
        for other in fitting {
            log::warn("same-label", &[("device", &other.name), ("label", &medium.label)]);
        }
    }
}

fn fits(device: &Device, medium: &Medium, iso: bool) -> bool {
    let Found { kind, label, .. } = &device.found;
    match iso {
        true => *kind == "iso9660" && (medium.label.is_empty() || *label == medium.label),
        false => matches!(*kind, "btrfs" | "ext4") && *label == medium.label,
    }
}

fn one(device: &Device, medium: &Medium, iso: bool, grow: bool) {
    if grow {
        crate::grow::partition(device);
    }
    let flags = if iso { MountFlags::RDONLY } else { MountFlags::empty() } | MountFlags::NODEV;
    let (source, path) = (device.path(), medium.path.as_str());
    match mounts::at(&source, device.found.kind, path, flags, "") {
        Ok(()) => {
            log::info(
                "mounted",
                &[
                    ("path", &path),
                    ("device", &source),
                    ("type", &device.found.kind),
                    ("label", &device.found.label),
                ],
            );
            if grow {
                crate::grow::filesystem(device, path);
            }
        }
        Err(error) => {
            log::error("mount", &[("path", &path), ("device", &source), ("error", &error)])
        }
    }
}
