//! Names in a directory that strangers changed: how they look, and opening the directories.
//!
//! Invariant: a name is looked at before anything else is done with it, and no link is followed.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::journal::Stamp;
use super::write::os;
use crate::engine::base::{Error, Kind};

/// What one name looks like.
pub(super) struct Look {
    pub(super) kind: FileType,
    pub(super) stamp: Stamp,
    /// Bytes on the disk.
    pub(super) blocks: u64,
    pub(super) links: u32,
}

/// What `name` in a directory looks like; a link is not followed.
pub(super) fn look(at: impl AsFd, name: &[u8]) -> Result<Look, Errno> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let found = rustix::fs::statx(at, os(name), AtFlags::SYMLINK_NOFOLLOW, wanted)?;
    let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, time.tv_nsec);
    let born = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    Ok(Look {
        kind: FileType::from_raw_mode(u32::from(found.stx_mode)),
        stamp: Stamp {
            inode: found.stx_ino,
            size: found.stx_size,
            mode: found.stx_mode & 0o7777,
            modified: time(found.stx_mtime),
            changed: time(found.stx_ctime),
            born: born.then(|| time(found.stx_btime)),
        },
        blocks: found.stx_blocks.saturating_mul(512),
        links: found.stx_nlink,
    })
}

/// Gives the owner back what a script took from it. The name was looked at: it is no link, and
/// nobody else is there any more.
pub(super) fn open_up(at: impl AsFd, name: &[u8], mode: u16) -> Result<(), Errno> {
    rustix::fs::chmodat(at, os(name), Mode::from_raw_mode(u32::from(mode)), AtFlags::empty())
}

pub(super) fn enter(at: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, os(name), flags, Mode::empty())
}

/// The names in a directory, in reverse.
pub(super) fn list(directory: &OwnedFd) -> Result<Vec<Box<[u8]>>, Errno> {
    let mut names: Vec<Box<[u8]>> = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.into());
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

pub(super) fn shown(path: &[u8], why: &str) -> String {
    let cut = path.get(..path.len().min(300)).unwrap_or_default();
    format!("/{} {why}", cut.escape_ascii())
}

pub(super) fn refused(path: &[u8], why: &str) -> Error {
    Error::new(Kind::Input, shown(path, why))
}

pub(super) fn failed(path: &[u8], errno: Errno) -> Error {
    Error::io(shown(path, "cannot be read after the scripts"), errno.into())
}
