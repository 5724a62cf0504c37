//! A block device as the place of a raw disk.
//!
//! Adds no padding. Invariant: whatever the device held before, every byte up to where it is finished
//! is written or zeroed; writes come in order.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::{Error, Kind, PositionalSink, Progress};

/// What zeros are written from where the device cannot zero by itself.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
/// What devices zero by themselves begins and ends at multiples of this.
const BLOCK: u64 = 4096;
/// Zeros are asked for in pieces of this size: after each one the user can stop.
const PIECE: u64 = 64 << 20;

/// A block device being overwritten.
#[derive(Debug)]
pub struct Device {
    file: File,
    path: PathBuf,
    len: u64,
    /// Everything before it is done.
    done: Mutex<u64>,
}

impl Device {
    /// Opens the device at `path` for itself alone: one that is mounted or in use is refused.
    pub fn open(path: &Path) -> Result<Self, Error> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let context = |e| Error::io(format!("opening the device {}", path.display()), e);
        let metadata = fs::metadata(path).map_err(context)?;
        if !metadata.file_type().is_block_device() {
            let message = format!("{} is not a block device", path.display());
            return Err(Error::new(Kind::Document, message));
        }
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::EXCL.bits().cast_signed());
        let mut file = options.open(path).map_err(context)?;
        let len = file.seek(SeekFrom::End(0)).map_err(context)?;
        Ok(Self { file, path: path.to_owned(), len, done: Mutex::new(0) })
    }

    /// Number of bytes it has room for.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.len
    }

    /// The open device.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Zeroes what is left up to `end`.
    pub fn zero_to(&self, end: u64, progress: &dyn Progress) -> Result<(), Error> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        while *done < end {
            let next = (*done / PIECE + 1).saturating_mul(PIECE).min(end);
            self.zero(*done, next)?;
            *done = next;
            progress.advance(0)?;
        }
        Ok(())
    }

    /// Zeroes what is left up to `end` and waits until all is on the device.
    pub fn finish(&self, end: u64, progress: &dyn Progress) -> Result<(), Error> {
        self.zero_to(end, progress)?;
        let context = |e| Error::io(format!("writing {}", self.path.display()), e);
        self.file.sync_all().map_err(context)
    }

    /// Zeroes from `start` to `end`.
    fn zero(&self, start: u64, end: u64) -> Result<(), Error> {
        let from = start.next_multiple_of(BLOCK);
        let to = end / BLOCK * BLOCK;
        // Each request is waited for: a short gap is written faster.
        let long = to.saturating_sub(from) >= ZEROS.len() as u64;
        if long && self.zeroed_by_kernel(from, to) {
            self.put_zeros(start, from)?;
            return self.put_zeros(to, end);
        }
        self.put_zeros(start, end)
    }

    /// Has the kernel zero from `start` to `end`: at best the device gives the room back and reads as
    /// zeros there, else the kernel writes them. False where it can do neither.
    fn zeroed_by_kernel(&self, start: u64, end: u64) -> bool {
        let ways = [FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE];
        ways.into_iter().any(|way| {
            let flags = way | FallocateFlags::KEEP_SIZE;
            fallocate(&self.file, flags, start, end - start).is_ok()
        })
    }

    fn put_zeros(&self, start: u64, end: u64) -> Result<(), Error> {
        let mut at = start;
        while at < end {
            let len = (end - at).min(ZEROS.len() as u64);
            self.put(at, ZEROS.get(..len as usize).unwrap_or_default())?;
            at += len;
        }
        Ok(())
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let context = |e| Error::io(format!("writing {}", self.path.display()), e);
        self.file.write_all_at(bytes, offset).map_err(context)
    }
}

impl PositionalSink for Device {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if offset < *done {
            let message = format!("writing at {offset} of a device that is written up to {done}");
            return Err(Error::new(Kind::Io, message));
        }
        if *done < offset {
            self.zero(*done, offset)?;
        }
        self.put(offset, bytes)?;
        *done = offset.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        if len <= self.len {
            return Ok(());
        }
        let message = format!("{} has {} bytes, too few for {len}", self.path.display(), self.len);
        Err(Error::new(Kind::NoSpace, message))
    }
}
