//! A mounted volume: the disk as raw file `disk.img`, as KubeVirt and CDI expect it (alone in the
//! root, mode 0660, a multiple of 1 MiB long).
//!
//! Does not set an owner: the process runs as the user that is to own the file. Invariant: at any
//! moment, and after a crash at any moment, `disk.img` is complete or absent, and besides it there
//! is at most an unfinished `.vmimage-*.partial`, which the next run removes; foreign files are
//! never touched.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use rustix::fs::{FlockOperation, Mode, fchmod, flock, statvfs};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::Error;
use super::hashing::Hashing;
use crate::engine::base::{
    AtomicFile, Error as EngineError, FileSource, Kind, Padded, Progress, SectorSource, digest,
};
use crate::engine::format::raw;
use crate::units::ByteSize;

/// The name that KubeVirt looks for.
const DISK: &str = "disk.img";
/// Capacities are rounded down to this by KubeVirt, so disks are padded up to it.
const UNIT: u64 = 1 << 20;
/// Owner and group may read and write, whatever the umask.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP);
/// How names of unfinished files begin and end.
const PARTIAL: (&str, &str) = (".vmimage-", ".partial");

/// Where a disk goes.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// The root of the volume.
    pub directory: &'a Path,
    /// targetHash: names the unfinished file.
    pub target_hash: &'a str,
}

/// What the volume holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// SHA-256 of `disk.img`, of the disk on a device, or of `SHA256SUMS`.
    pub digest: String,
    /// Length of `disk.img`, of the disk on a device, or of all files together.
    pub size: u64,
    /// Whether it was there already.
    pub reused: bool,
}

/// Makes the volume hold `medium`, padded to whole MiB.
pub fn publish(
    medium: Arc<dyn SectorSource>,
    params: &Params<'_>,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    let directory = params.directory;
    let disk = padded(medium)?;
    let size = disk.len();
    let _lock = lock(directory)?;
    let there = survey(directory)?;
    if let Some(path) = &there.disk
        && let Some(digest) = same(&disk, path, progress)?
    {
        remove(&there.partial)?;
        return Ok(Published { digest, size, reused: true });
    }
    // The whole disk must fit, although it is written sparsely: a machine will fill it.
    let available = there.room(directory)?;
    if available < size {
        return Err(Error::TooSmall { needed: size, available });
    }
    // An outdated disk is ours and of no use. Gone first, so that its room can be used.
    remove(&there.partial)?;
    remove(there.disk.as_slice())?;
    match write(&disk, params, progress) {
        Ok(digest) => Ok(Published { digest, size, reused: false }),
        Err(e) if e.kind() == Kind::NoSpace => {
            let available = survey(directory)?.room(directory)?;
            Err(Error::TooSmall { needed: size, available })
        }
        Err(e) => Err(e.into()),
    }
}

/// The disk as machines get it: whole MiB.
pub(super) fn padded(medium: Arc<dyn SectorSource>) -> Result<Padded, EngineError> {
    let size = ByteSize::bytes(medium.len()).round_up(UNIT)?.get();
    Padded::new(medium, size)
}

/// Keeps another process out of the volume until the result is dropped: a pod that is being
/// stopped may still write when its successor begins. Storage that knows no locks does without.
pub(super) fn lock(directory: &Path) -> Result<fs::File, EngineError> {
    let file = fs::File::open(directory).map_err(|e| failed("opening", directory, e))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        let message = format!("another process is publishing into {}", directory.display());
        return Err(EngineError::new(Kind::Io, message));
    }
    Ok(file)
}

/// What lies in the root of a volume.
#[derive(Default)]
struct There {
    /// `disk.img`.
    disk: Option<PathBuf>,
    /// Unfinished files of earlier attempts.
    partial: Vec<PathBuf>,
    /// Bytes that these take.
    allocated: u64,
}

impl There {
    /// Bytes that are free once all of ours is removed.
    fn room(&self, directory: &Path) -> Result<u64, EngineError> {
        Ok(free(directory)?.saturating_add(self.allocated))
    }
}

/// Bytes that are free now.
pub(super) fn free(directory: &Path) -> Result<u64, EngineError> {
    let room = statvfs(directory).map_err(|e| failed("asking for the room in", directory, e))?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// Looks through the root; anything that is neither ours nor the filesystem's own is an error. Of
/// several the first by name is told.
fn survey(directory: &Path) -> Result<There, Error> {
    let context = |e| failed("looking through", directory, e);
    let entries = fs::read_dir(directory).and_then(Iterator::collect).map_err(context);
    let mut entries: Vec<fs::DirEntry> = entries?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut there = There::default();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Not followed: a link that somebody planted leads nowhere.
        let metadata = entry.metadata().map_err(context)?;
        let ours = name.starts_with(PARTIAL.0) && name.ends_with(PARTIAL.1);
        match name.as_str() {
            "lost+found" if metadata.is_dir() => continue,
            DISK if metadata.is_file() => there.disk = Some(entry.path()),
            _ if ours && metadata.is_file() => there.partial.push(entry.path()),
            _ => return Err(Error::HoldsOther { name }),
        }
        // st_blocks counts 512 bytes, whatever the filesystem's block is: inode(7).
        there.allocated = there.allocated.saturating_add(metadata.blocks().saturating_mul(512));
    }
    Ok(there)
}

/// The digest of the file at `path` if it is `disk` with the owner and mode that `write` gives it.
fn same(
    disk: &Padded,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Option<String>, EngineError> {
    let metadata = fs::symlink_metadata(path).map_err(|e| failed("looking at", path, e))?;
    let ours = metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o7777 == MODE.bits();
    if !ours || metadata.len() != disk.len() {
        return Ok(None);
    }
    let found = digest(&FileSource::open(path)?, progress)?;
    Ok((found == digest(disk, progress)?).then_some(found))
}

fn remove(paths: &[PathBuf]) -> Result<(), EngineError> {
    paths.iter().try_for_each(|path| fs::remove_file(path).map_err(|e| failed("removing", path, e)))
}

/// Writes `disk` under a temporary name and renames it; returns its digest.
fn write(
    disk: &Padded,
    params: &Params<'_>,
    progress: &dyn Progress,
) -> Result<String, EngineError> {
    let target = params.directory.join(DISK);
    let short = params.target_hash.get(..12).unwrap_or(params.target_hash);
    let temporary = params.directory.join(format!("{}{short}{}", PARTIAL.0, PARTIAL.1));
    let file = AtomicFile::create_as(&target, &temporary)?;
    // Set, not asked for at creation: there the umask would have a say.
    fchmod(file.file(), MODE).map_err(|e| failed("setting the mode of", &target, e))?;
    let sink = Hashing::new(&file, progress);
    raw::write(disk, &sink, progress)?;
    let digest = sink.finish(disk.len())?;
    file.commit()?;
    Ok(digest)
}

pub(super) fn failed(attempt: &str, path: &Path, cause: impl Into<io::Error>) -> EngineError {
    EngineError::io(format!("{attempt} {}", path.display()), cause.into())
}
