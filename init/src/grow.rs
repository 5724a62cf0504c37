//! A filesystem grows to the end of its disk: its partition in the table and in the kernel before
//! it is mounted, itself when it is.
//!
//! Does so at every boot, and finds nothing to do at most of them. Invariant: what cannot grow is
//! logged and used as it is.

use std::io;

use fs_err as fs;

use crate::disks::Device;
use crate::log;
use crate::sys;
use crate::table::Disk;

/// A number in a file of /sys/class/block/NAME.
fn number(name: &str, what: &str) -> Option<u64> {
    fs::read_to_string(format!("/sys/class/block/{name}/{what}")).ok()?.trim_end().parse().ok()
}

/// The disk that a partition lies on, by name.
fn disk_of(partition: &str) -> Option<String> {
    // ../../devices/…/vda/vda1
    let link = fs::read_link(format!("/sys/class/block/{partition}")).ok()?;
    Some(link.parent()?.file_name()?.to_str()?.to_owned())
}

/// The disk of a partition, opened, with the partition's number and first byte; none for a whole
/// disk.
fn open(device: &Device, write: bool) -> Option<io::Result<(Disk<std::fs::File>, u32, u64)>> {
    let number_of = u32::try_from(number(&device.name, "partition")?).ok()?;
    // Always in units of 512 bytes.
    let start = number(&device.name, "start")?.checked_mul(512)?;
    let disk = disk_of(&device.name)?;
    let block = number(&disk, "queue/logical_block_size").filter(|block| *block >= 512)?;
    let length = number(&disk, "size")?.checked_mul(512)?;
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(write).open(format!("/dev/{disk}"));
    Some(file.map(|file| (Disk { file: file.into_parts().0, length, block }, number_of, start)))
}

/// PARTUUID of a device.
pub(crate) fn partition_uuid(device: &Device) -> Option<String> {
    let (disk, number, start) = open(device, false)?.ok()?;
    disk.uuid(start, number).ok()
}

/// Lets the partition grow.
pub(crate) fn partition(device: &Device) {
    let Some(opened) = open(device, true) else { return };
    let done = opened.and_then(|(disk, number, start)| {
        let length = disk.grow(start)?;
        if let Some(length) = length {
            disk.file.sync_all()?;
            sys::resize_partition(&disk.file, number, start, length)?;
        }
        Ok(length)
    });
    match done {
        Ok(Some(bytes)) => log::info("grown", &[("partition", &device.name), ("bytes", &bytes)]),
        Ok(None) => {}
        Err(error) => log::warn("grow", &[("partition", &device.name), ("error", &error)]),
    }
}

/// Lets the filesystem at `path` grow to its device's end.
pub(crate) fn filesystem(device: &Device, path: &str) {
    let blocks = |path: &str| Some(rustix::fs::statvfs(path).ok()?.f_blocks);
    let before = blocks(path);
    let done = grow(device, path);
    match (done, before, blocks(path)) {
        (Err(error), ..) => log::warn("grow", &[("path", &path), ("error", &error)]),
        (Ok(()), Some(before), Some(after)) if after != before => {
            log::info("grown", &[("path", &path), ("blocks", &after), ("before", &before)]);
        }
        _ => {}
    }
}

fn grow(device: &Device, path: &str) -> io::Result<()> {
    let root = fs::File::open(path)?.into_parts().0;
    match device.found.kind {
        "btrfs" => sys::resize_btrfs(&root),
        "ext4" => {
            let size = number(&device.name, "size").unwrap_or(0).saturating_mul(512);
            let block = rustix::fs::statvfs(path)?.f_bsize.max(1);
            sys::resize_ext(&root, size / block)
        }
        _ => Ok(()),
    }
}
