//! A block device: the disk from its first byte on, zeros behind it up to the device's last.
//!
//! Does not ask what lay there before: all of it is overwritten. Invariant: what is told as published
//! was read from the device itself, to its last byte; what was left half-written is never taken for
//! a disk.

use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use rustix::fs::{Advice, OFlags, fadvise, fcntl_setfl, major, minor};
use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use zerocopy::{FromBytes, IntoBytes};

use super::Error;
use super::hashing::Hashing;
use super::volume::{Published, failed, padded};
use crate::engine::base::{
    Device, Error as EngineError, Padded, PositionalSink, Progress, SectorSource, is_zero,
};
use crate::engine::format::raw;

/// Bytes read at once, in pages.
const BATCH: usize = 1024;

/// Where a disk goes.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// The path of the device.
    pub device: &'a Path,
}

/// Memory that a device can write to by itself.
#[derive(Clone, FromBytes, IntoBytes)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// What lies on a device.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// What was expected, and zeros behind it: the digest of the disk.
    Disk(String),
    /// Something else, in the part that begins here.
    Other(u64),
}

/// Makes the device hold `medium`, padded to whole MiB, and zeros behind it.
///
/// The device is opened for this process alone: the kernel refuses one that is mounted, and a second
/// process.
pub fn publish(
    medium: Arc<dyn SectorSource>,
    params: &Params<'_>,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    let path = params.device;
    let disk = padded(medium)?;
    let size = disk.len();
    let device = open(path)?;
    if device.size() < size {
        return Err(Error::TooSmall { needed: size, available: device.size() });
    }
    let stored = Stored { device: &device, path, size };
    let mut wanted = Vec::new();
    let same = |at, bytes: &[u8]| {
        wanted.resize(bytes.len(), 0);
        disk.read_at(at, &mut wanted)?;
        Ok(wanted == bytes)
    };
    if let Found::Disk(digest) = stored.look("comparing", same, progress)? {
        return Ok(Published { digest, size, reused: true });
    }
    let digest = write(&disk, &device, path, progress)?;
    let read = match stored.look("reading back", |_, _| Ok(true), progress)? {
        Found::Disk(read) if read == digest => {
            return Ok(Published { digest, size, reused: false });
        }
        Found::Disk(read) => read,
        Found::Other(at) => format!("something else than zeros from byte {at} on"),
    };
    Err(Error::DeviceDiffers { device: path.to_owned(), written: digest, read })
}

/// Opens the device. Some kernels open a read-only one for writing, others deny it, also to root.
fn open(path: &Path) -> Result<Device, Error> {
    let error = match Device::open(path) {
        Ok(device) if !read_only(path) => return Ok(device),
        Ok(_) => return Err(Error::DeviceReadOnly { device: path.to_owned() }),
        Err(error) => error,
    };
    let cause = std::error::Error::source(&error);
    let kind = cause.and_then(|cause| cause.downcast_ref()).map(io::Error::kind);
    let device = path.to_owned();
    Err(match kind {
        Some(io::ErrorKind::ResourceBusy) => Error::DeviceInUse { device },
        Some(io::ErrorKind::PermissionDenied) if read_only(path) => {
            Error::DeviceReadOnly { device }
        }
        Some(io::ErrorKind::PermissionDenied) => {
            Error::DeviceRefused { device, user: geteuid().as_raw(), source: error }
        }
        _ => error.into(),
    })
}

/// Whether the kernel knows the device as read-only, where it tells.
fn read_only(path: &Path) -> bool {
    let told = fs::metadata(path).and_then(|metadata| {
        let number = metadata.rdev();
        fs::read_to_string(format!("/sys/dev/block/{}:{}/ro", major(number), minor(number)))
    });
    told.is_ok_and(|told| told.trim() == "1")
}

/// Writes `disk`, zeros behind it, and waits until all is on the device; returns the disk's digest.
fn write(
    disk: &Padded,
    device: &Device,
    path: &Path,
    progress: &dyn Progress,
) -> Result<String, EngineError> {
    direct(device, path, false)?;
    let filling = Filling { device, progress };
    let sink = Hashing::new(&filling, progress);
    raw::write(disk, &sink, progress)?;
    let digest = sink.finish(disk.len())?;
    device.finish(device.size(), progress)?;
    Ok(digest)
}

/// A device whose holes take time: the progress is asked while they are zeroed.
struct Filling<'a> {
    device: &'a Device,
    progress: &'a dyn Progress,
}

impl PositionalSink for Filling<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), EngineError> {
        self.device.zero_to(offset, self.progress)?;
        self.device.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> Result<(), EngineError> {
        self.device.set_len(len)
    }
}

/// The device as it will be found later, not as the kernel remembers it.
struct Stored<'a> {
    device: &'a Device,
    path: &'a Path,
    /// Where the disk ends.
    size: u64,
}

impl Stored<'_> {
    /// Reads the device as long as the disk is what `expected` says and all behind it is zero.
    fn look(
        &self,
        step: &str,
        mut expected: impl FnMut(u64, &[u8]) -> Result<bool, EngineError>,
        progress: &dyn Progress,
    ) -> Result<Found, EngineError> {
        let context = |e: io::Error| failed("reading", self.path, e);
        self.settle()?;
        let end = self.device.size();
        progress.begin(step, end);
        let mut pages = vec![Page([0; 4096]); BATCH];
        let room = pages.as_mut_bytes();
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < end {
            let part = if at < self.size { self.size } else { end };
            let len = (part - at).min(room.len() as u64);
            let bytes = room.get_mut(..len as usize).unwrap_or_default();
            self.device.file().read_exact_at(bytes, at).map_err(context)?;
            let goes_on = if at < self.size {
                hash.update(&*bytes);
                expected(at, bytes)?
            } else {
                is_zero(bytes)
            };
            if !goes_on {
                return Ok(Found::Other(at));
            }
            progress.advance(len)?;
            at += len;
        }
        Ok(Found::Disk(format!("sha256:{}", hex::encode(hash.finalize()))))
    }

    /// Has everything written, also by a process that was killed, and what the kernel remembers of
    /// it forgotten; from then on reads ask the device.
    fn settle(&self) -> Result<(), EngineError> {
        let file = self.device.file();
        file.sync_all().map_err(|e| failed("writing", self.path, e))?;
        fadvise(file, 0, None, Advice::DontNeed)
            .map_err(|e| failed("emptying the cache of", self.path, e))?;
        direct(self.device, self.path, true)
    }
}

/// Whether reads and writes go past the kernel's cache.
fn direct(device: &Device, path: &Path, on: bool) -> Result<(), EngineError> {
    let flags = if on { OFlags::DIRECT } else { OFlags::empty() };
    fcntl_setfl(device.file(), flags).map_err(|e| failed("setting the mode of", path, e))
}
