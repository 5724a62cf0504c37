//! What cannot be read at any offset, copied to a file without a name.
//!
//! Judges no byte. Invariant: the file is gone when this process is, however it ends.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;

use fs_err as fs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::cli::failure::{Failure, Failures};
use crate::cli::interrupt::Interrupt;
use crate::engine::base::{Error, FileSource, is_zero};
use crate::report::Code;

/// Bytes read at once.
const BATCH: usize = 1 << 20;

/// Copies all of `input`, at most `limit` bytes, to a file in the directory for temporary files.
pub(super) fn spooled(
    input: &mut File,
    name: &str,
    limit: u64,
    interrupt: &Interrupt,
) -> Result<FileSource, Failures> {
    let directory = std::env::temp_dir();
    let unwritable = |e| Error::io(format!("spooling {name} in {}", directory.display()), e);
    let mut file = unnamed(&directory).map_err(unwritable)?;
    let mut buffer = vec![0; BATCH];
    let mut len: u64 = 0;
    loop {
        ready(input, PollFlags::IN, interrupt)?;
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => {
                return Err(Failure::io(Code::InvalidInput, &format!("reading {name}"), e).into());
            }
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        let fits = len.checked_add(read as u64).filter(|len| *len <= limit);
        len = fits.ok_or_else(|| too_long(name, limit))?;
        let hole = is_zero(bytes);
        let written = match hole {
            true => std::io::Seek::seek_relative(&mut file, read as i64),
            false => file.write_all(bytes),
        };
        written.map_err(unwritable)?;
    }
    file.set_len(len).map_err(unwritable)?;
    Ok(FileSource::of(file, Path::new(name))?)
}

/// Waits until `file` can be read or written, or until the user asks to stop: a call that waits by
/// itself is not ended by a signal.
pub(super) fn ready(file: &File, wanted: PollFlags, interrupt: &Interrupt) -> Result<(), Error> {
    let pause = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    loop {
        interrupt.check()?;
        match poll(&mut [PollFd::new(file, wanted)], Some(&pause)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(Error::io("waiting for a pipe", error.into())),
        }
    }
}

fn too_long(name: &str, limit: u64) -> Failure {
    let message = format!("{name} has more than {limit} bytes; --limit allows more");
    Failure::new(Code::InvalidInput, message)
}

/// A new file in `directory` that has no name, or loses it at once.
fn unnamed(directory: &Path) -> std::io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        return Ok(file.into());
    }
    let process = std::process::id();
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    for number in 0..1000 {
        let path = directory.join(format!(".vmimage.{process}.{number}.spool"));
        match options.open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file.into_file());
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}
