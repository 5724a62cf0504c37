//! A mounted volume: the disk as raw file `disk.img`, as KubeVirt and CDI expect it (alone in the
//! root, mode 0660, a multiple of 1 MiB long).
//!
//! Does not set an owner: the process runs as the user that is to own the file. Invariant:
//! `disk.img` is complete or absent at any moment; what is there already is kept if it is the same
//! to the last byte, and replaced otherwise; foreign files are never touched.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;
use rustix::fs::{Mode, fchmod, statvfs};
use sha2::{Digest as _, Sha256};

use super::Error;
use crate::engine::base::{
    AtomicFile, Error as EngineError, FileSource, Kind, Padded, PositionalSink, Progress,
    SectorSource, digest,
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
    /// SHA-256 of `disk.img`.
    pub digest: String,
    /// Its length.
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
    let size = ByteSize::bytes(medium.len()).round_up(UNIT).map_err(EngineError::from)?.get();
    let disk = Padded::new(medium, size)?;
    let target = params.directory.join(DISK);
    let there = survey(params.directory)?;
    for leftover in &there.partial {
        fs::remove_file(leftover).map_err(|e| EngineError::io("removing an unfinished disk", e))?;
    }
    if there.disk == Some(size) {
        let wanted = digest(&disk, progress)?;
        let found = digest(&FileSource::open(&target)?, progress)?;
        if found == wanted {
            return Ok(Published { digest: found, size, reused: true });
        }
    }
    if there.disk.is_some() {
        // It is ours and of no use. Gone first, so that its room can be used.
        fs::remove_file(&target).map_err(|e| EngineError::io("removing an outdated disk", e))?;
    }
    has_room(params.directory, size)?;
    let digest = write(&disk, &target, params, progress)?;
    Ok(Published { digest, size, reused: false })
}

/// What lies in the root of a volume.
#[derive(Default)]
struct There {
    /// Length of `disk.img`.
    disk: Option<u64>,
    /// Unfinished files of earlier attempts.
    partial: Vec<PathBuf>,
}

/// Looks through the root; anything that is neither ours nor the filesystem's own is an error.
fn survey(directory: &Path) -> Result<There, Error> {
    let context = |e| EngineError::io("looking through the volume", e);
    let mut there = There::default();
    for entry in fs::read_dir(directory).map_err(context)? {
        let entry = entry.map_err(context)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Not followed: a link that somebody planted leads nowhere.
        let metadata = entry.metadata().map_err(context)?;
        let ours = name.starts_with(PARTIAL.0) && name.ends_with(PARTIAL.1);
        match name.as_str() {
            "lost+found" if metadata.is_dir() => {}
            DISK if metadata.is_file() => there.disk = Some(metadata.len()),
            _ if ours && metadata.is_file() => there.partial.push(entry.path()),
            _ => return Err(Error::HoldsOther { name }),
        }
    }
    Ok(there)
}

/// The whole disk must fit, although it is written sparsely: a machine will fill it.
fn has_room(directory: &Path, needed: u64) -> Result<(), Error> {
    let room = statvfs(directory)
        .map_err(|e| EngineError::io("asking for the volume's room", e.into()))?;
    let available = room.f_bavail.saturating_mul(room.f_frsize);
    if available < needed { Err(Error::TooSmall { needed, available }) } else { Ok(()) }
}

/// Writes `disk` under a temporary name and renames it; returns its digest.
fn write(
    disk: &Padded,
    target: &Path,
    params: &Params<'_>,
    progress: &dyn Progress,
) -> Result<String, Error> {
    let short = params.target_hash.get(..12).unwrap_or(params.target_hash);
    let temporary = params.directory.join(format!("{}{short}{}", PARTIAL.0, PARTIAL.1));
    let file = AtomicFile::create_as(target, &temporary)?;
    fchmod(file.file(), MODE).map_err(|e| EngineError::io("setting the disk's mode", e.into()))?;
    let sink = Hashing { file: &file, state: Mutex::new((Sha256::new(), 0)), progress };
    raw::write(disk, &sink, progress)?;
    let digest = sink.finish(disk.len())?;
    file.commit()?;
    Ok(digest)
}

/// Hashes what passes through on its way to a file: every byte is touched once. The writes must
/// come in order, as those of `raw::write` do; what is skipped is zeros.
struct Hashing<'a> {
    file: &'a AtomicFile,
    state: Mutex<(Sha256, u64)>,
    /// Asked while holes are hashed: they take time although nothing is written.
    progress: &'a dyn Progress,
}

impl Hashing<'_> {
    /// The digest of all `len` bytes.
    fn finish(self, len: u64) -> Result<String, EngineError> {
        let (mut hash, at) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        zeros(&mut hash, at, len, self.progress)?;
        Ok(format!("sha256:{}", hex::encode(hash.finalize())))
    }
}

impl PositionalSink for Hashing<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), EngineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (hash, at) = &mut *state;
        zeros(hash, *at, offset, self.progress)?;
        hash.update(bytes);
        *at = offset + bytes.len() as u64;
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> Result<(), EngineError> {
        self.file.set_len(len)
    }
}

/// Hashes zeros from `from` up to `to`; can be cancelled.
fn zeros(
    hash: &mut Sha256,
    from: u64,
    to: u64,
    progress: &dyn Progress,
) -> Result<(), EngineError> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut left = to.checked_sub(from).ok_or_else(|| {
        EngineError::new(Kind::Io, format!("a write at {to} came after one that ended at {from}"))
    })?;
    while left > 0 {
        let part = left.min(ZEROS.len() as u64);
        hash.update(ZEROS.get(..part as usize).unwrap_or_default());
        left -= part;
        progress.advance(0)?;
    }
    Ok(())
}
