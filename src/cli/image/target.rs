//! Where a new image goes: a file, a pipe, a block device.
//!
//! Invariant: what is there is replaced when the new image is complete, or, for pipes and devices
//! only, written in order; a symbolic link to a file is never followed, and the input never
//! overwritten.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::spool::ready;
use crate::cli::failure::{Failure, Failures};
use crate::cli::interrupt::Interrupt;
use crate::engine::base::{Error, FileSource, StreamSink};
use crate::report::Code;

/// How often a FIFO without a reader is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a new image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Standard output.
    Stdout,
    /// A FIFO or a character device.
    Pipe(PathBuf),
    /// A block device.
    Device(PathBuf),
    /// A regular file, there or not.
    File(PathBuf),
}

impl Target {
    /// Judges the path that the user gives. `device` is their consent to overwrite a device.
    pub(super) fn of(path: &Path, device: bool) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return if std::io::stdout().is_terminal() {
                Err(refused("an image is not written to a terminal".to_owned()))
            } else {
                Ok(Self::Stdout)
            };
        }
        let (shown, path) = (path.display(), path.to_owned());
        let link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        let Ok(metadata) = fs::metadata(&path) else {
            return match (link, device) {
                (true, _) => Err(refused(format!("{shown} is a symbolic link to nothing"))),
                (false, true) => Err(refused(format!("{shown} is not a block device"))),
                (false, false) => Ok(Self::File(path)),
            };
        };
        let kind = metadata.file_type();
        match (kind.is_block_device(), device) {
            (true, true) => return Ok(Self::Device(path)),
            (true, false) => {
                let message = format!("{shown} is a block device; --device overwrites it");
                return Err(refused(message));
            }
            (false, true) => return Err(refused(format!("{shown} is not a block device"))),
            (false, false) => {}
        }
        if kind.is_fifo() || kind.is_char_device() {
            return Ok(Self::Pipe(path));
        }
        if kind.is_dir() {
            let message = format!("writing {shown}: a directory is in its place");
            return Err(Failure::new(Code::Io, message));
        }
        if link {
            let to = fs::read_link(&path).unwrap_or_default();
            let message =
                format!("{shown} is a symbolic link to {}; name the file itself", to.display());
            return Err(refused(message));
        }
        match kind.is_file() {
            true => Ok(Self::File(path)),
            false => Err(refused(format!("{shown} is not a regular file"))),
        }
    }

    /// Refuses the input as output.
    pub(super) fn refuse_input(&self, input: &FileSource) -> Result<(), Failure> {
        let (Self::File(path) | Self::Device(path) | Self::Pipe(path)) = self else {
            return Ok(());
        };
        let (Ok(one), Ok(other)) = (input.file().metadata(), fs::metadata(path)) else {
            return Ok(());
        };
        let same_device = one.file_type().is_block_device() && one.rdev() == other.rdev();
        if (one.dev(), one.ino()) == (other.dev(), other.ino()) || same_device {
            let message =
                format!("{} is the input; an image is not converted in place", path.display());
            return Err(refused(message));
        }
        Ok(())
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdout => "<stdout>".to_owned(),
            Self::Pipe(path) | Self::Device(path) | Self::File(path) => path.display().to_string(),
        }
    }
}

pub(super) fn refused(message: String) -> Failure {
    Failure::new(Code::InvalidDocument, message)
}

/// A pipe that takes bytes in order.
#[derive(Debug)]
pub(super) struct Pipe<'a> {
    file: File,
    name: String,
    interrupt: &'a Interrupt,
}

impl<'a> Pipe<'a> {
    /// This process's standard output.
    pub(super) fn stdout(interrupt: &'a Interrupt) -> Result<Self, Failure> {
        let file = rustix::io::dup(std::io::stdout())
            .map_err(|e| Failure::io(Code::Io, "opening standard output", e.into()))?;
        Ok(Self { file: file.into(), name: "standard output".to_owned(), interrupt })
    }

    /// The FIFO or device at `path`. Waits for a reader, or until the user asks to stop.
    pub(super) fn open(path: &Path, interrupt: &'a Interrupt) -> Result<Self, Failures> {
        let fail =
            |e: Errno| Failure::io(Code::Io, &format!("opening {}", path.display()), e.into());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        loop {
            match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(file) => {
                    let name = path.display().to_string();
                    return Ok(Self { file: file.into(), name, interrupt });
                }
                Err(Errno::NXIO) => {
                    interrupt.check()?;
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(fail(error).into()),
            }
        }
    }
}

impl StreamSink for Pipe<'_> {
    /// Standard output waits in the kernel: its reader gets the same Ctrl-C. A FIFO does not.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Self { file, name, interrupt } = self;
        let mut left = bytes;
        while !left.is_empty() {
            match file.write(left) {
                Ok(0) => {
                    return Err(Error::io(
                        format!("writing to {name}"),
                        ErrorKind::WriteZero.into(),
                    ));
                }
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    ready(file, PollFlags::OUT, interrupt)?;
                }
                Err(e) => return Err(Error::io(format!("writing to {name}"), e)),
            }
        }
        Ok(())
    }
}
