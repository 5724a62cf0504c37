//! Writes a tree into a directory of this machine, as an ordinary user.
//!
//! Sets no owner, no attribute, no setuid bit and makes no device. Invariants: every open goes from
//! one directory to a name in it and follows no link, so nothing is written outside of the
//! directory, whatever the image says and whatever lies there; what is there already is replaced
//! only on demand, and a directory never.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fs_err as fs;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawMode, Timespec, Timestamps};
use rustix::io::Errno;
use serde::Serialize;

use super::cat::content;
use super::entry::shown;
use super::ls::raw;
use crate::engine::base::tree::{Kind, Name, Node, NodeId, Time, Tree, TreePath};
use crate::engine::base::{Error, Kind as ErrorKind, SectorSource};

/// Bytes copied at once.
const BATCH: u64 = 1 << 20;

/// Permissions that are kept: not setuid, setgid and sticky.
const KEPT: u16 = 0o777;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) files: u64,
    pub(super) directories: u64,
    pub(super) symlinks: u64,
    pub(super) hard_links: u64,
    /// Bytes of the files, holes not counted.
    pub(super) bytes: u64,
    /// Devices, FIFOs and sockets.
    pub(super) left_out: u64,
}

/// Writes a tree.
pub(super) struct Host<'a> {
    tree: &'a Tree,
    root: OwnedFd,
    force: bool,
    /// Bytes that may be written.
    limit: u64,
    check: &'a dyn Fn() -> Result<(), Error>,
    /// Where a node was written that has several names.
    first: Vec<Option<TreePath>>,
    counts: Counts,
}

/// A directory that is being filled.
struct Level {
    fd: OwnedFd,
    path: TreePath,
    node: NodeId,
    /// What is left, the last one first.
    left: Vec<(Name, NodeId)>,
    /// Whether we made it.
    made: bool,
}

impl<'a> Host<'a> {
    /// A writer to `directory`, which is made if it is missing.
    pub(super) fn new(
        tree: &'a Tree,
        directory: &Path,
        force: bool,
        limit: u64,
        check: &'a dyn Fn() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let fail = |e| Error::io(format!("making the directory {}", directory.display()), e);
        fs::create_dir_all(directory).map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty()).map_err(|e| fail(e.into()))?;
        let (first, counts) = (vec![None; tree.rows()], Counts::default());
        Ok(Self { tree, root, force, limit, check, first, counts })
    }

    /// Writes what lies at `from`: the entries of a directory, anything else by the name `name`.
    pub(super) fn write(mut self, from: NodeId, name: Option<&Name>) -> Result<Counts, Error> {
        let fd = self.root.try_clone().map_err(|e| Error::io("opening the directory", e))?;
        let left = match (self.tree.node(from).entries(), name) {
            (Some(entries), _) => reversed(entries),
            (None, Some(name)) => vec![(name.clone(), from)],
            (None, None) => Vec::new(),
        };
        // What the user named stays as it is: mode and time are not changed.
        let mut open = vec![Level { fd, path: TreePath::default(), node: from, left, made: false }];
        while let Some(level) = open.last_mut() {
            (self.check)()?;
            let Some((name, id)) = level.left.pop() else {
                let done = open.pop().filter(|_| !open.is_empty());
                done.map_or(Ok(()), |done| self.close(&done))?;
                continue;
            };
            let path = level.path.join(&name);
            let below = self.entry(level, &name, id, &path);
            open.extend(below.map_err(|e| named(&path, e))?);
        }
        Ok(self.counts)
    }

    /// Writes one entry; a directory is left to be filled.
    fn entry(
        &mut self,
        level: &Level,
        name: &Name,
        id: NodeId,
        path: &TreePath,
    ) -> Result<Option<Level>, Error> {
        let node = self.tree.node(id);
        if let Some(entries) = node.entries() {
            self.counts.directories += 1;
            let (fd, made) = directory(&level.fd, name, node)?;
            let left = reversed(entries);
            return Ok(Some(Level { fd, path: path.clone(), node: id, left, made }));
        }
        if matches!(
            node.kind,
            Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket
        ) {
            self.counts.left_out += 1;
            return Ok(None);
        }
        if let Some(first) = self.first.get(id.index()).cloned().flatten() {
            self.counts.hard_links += 1;
            return self.link(&first, level, name).map(|()| None);
        }
        match &node.kind {
            Kind::Symlink(target) => {
                self.counts.symlinks += 1;
                self.symlink(level, name, target, node)?;
            }
            _ => {
                self.counts.files += 1;
                self.file(level, name, node)?;
            }
        }
        if node.names() > 1
            && let Some(row) = self.first.get_mut(id.index())
        {
            *row = Some(path.clone());
        }
        Ok(None)
    }

    /// Does `make`, which must not replace anything; if something is there, it goes first.
    fn fresh<T>(
        &self,
        directory: impl AsFd,
        name: &Name,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Error> {
        let made = match make() {
            Err(Errno::EXIST) if self.force => {
                match rustix::fs::unlinkat(&directory, name.as_bytes(), AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => make(),
                    Err(Errno::ISDIR | Errno::PERM) => {
                        let message = "a directory is in its place";
                        return Err(Error::new(ErrorKind::Io, message));
                    }
                    Err(error) => Err(error),
                }
            }
            other => other,
        };
        made.map_err(|error| match error {
            Errno::EXIST => Error::new(ErrorKind::Io, "it is there already; --force replaces it"),
            error => Error::io("writing it", error.into()),
        })
    }

    fn file(&mut self, level: &Level, name: &Name, node: &Node) -> Result<(), Error> {
        let source = content(node)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(RawMode::from(node.meta.mode & KEPT));
        let make = || rustix::fs::openat(&level.fd, name.as_bytes(), flags, mode);
        let file = File::from(self.fresh(&level.fd, name, make)?);
        let copied = self.copy(&*source, &file);
        if copied.is_err() {
            // Half a file helps nobody. The first failure is the one that counts.
            let _ = rustix::fs::unlinkat(&level.fd, name.as_bytes(), AtFlags::empty());
        }
        copied?;
        rustix::fs::futimens(&file, &times(node.meta.modified))
            .map_err(|e| Error::io("setting its time", e.into()))
    }

    fn copy(&mut self, source: &dyn SectorSource, file: &File) -> Result<(), Error> {
        let fail = |e| Error::io("writing it", e);
        file.set_len(source.len()).map_err(fail)?;
        let mut buffer = Vec::new();
        for extent in source.extents() {
            let mut at = extent.start();
            let end = extent.end().min(source.len());
            while at < end {
                (self.check)()?;
                buffer.resize((end - at).min(BATCH) as usize, 0);
                source.read_at(at, &mut buffer)?;
                self.counts.bytes = self.counts.bytes.saturating_add(buffer.len() as u64);
                if self.counts.bytes > self.limit {
                    let message = format!("more than the {} bytes of --limit", self.limit);
                    return Err(Error::new(ErrorKind::Input, message));
                }
                file.write_all_at(&buffer, at).map_err(fail)?;
                at += buffer.len() as u64;
            }
        }
        Ok(())
    }

    fn symlink(&self, level: &Level, name: &Name, target: &[u8], node: &Node) -> Result<(), Error> {
        self.fresh(&level.fd, name, || rustix::fs::symlinkat(target, &level.fd, name.as_bytes()))?;
        let times = times(node.meta.modified);
        rustix::fs::utimensat(&level.fd, name.as_bytes(), &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Error::io("setting its time", e.into()))
    }

    /// One more name for what was written at `first`.
    fn link(&self, first: &TreePath, level: &Level, name: &Name) -> Result<(), Error> {
        let Some((parent, old)) = first.split() else { return Ok(()) };
        let fail = |e: Errno| Error::io(format!("linking it to {first}"), e.into());
        let mut at = self.root.try_clone().map_err(|e| Error::io("opening the directory", e))?;
        for step in parent.names() {
            at = rustix::fs::openat(&at, step.as_bytes(), way(), Mode::empty()).map_err(fail)?;
        }
        self.fresh(&level.fd, name, || {
            rustix::fs::linkat(&at, old.as_bytes(), &level.fd, name.as_bytes(), AtFlags::empty())
        })
    }

    /// A directory is full: it gets its permissions and its time.
    fn close(&self, level: &Level) -> Result<(), Error> {
        let meta = &self.tree.node(level.node).meta;
        let set = || {
            if level.made {
                let now = rustix::fs::fstat(&level.fd)?.st_mode;
                let mode = now & RawMode::from(meta.mode & KEPT);
                rustix::fs::fchmod(&level.fd, Mode::from_raw_mode(mode))?;
            }
            rustix::fs::futimens(&level.fd, &times(meta.modified))
        };
        set().map_err(|e| named(&level.path, Error::io("setting its mode and time", e.into())))
    }
}

/// How directories are opened.
const fn way() -> OFlags {
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC)
}

/// Makes a directory, or opens the one that is there, and says whether it was made.
fn directory(parent: &OwnedFd, name: &Name, node: &Node) -> Result<(OwnedFd, bool), Error> {
    // Its owner must be able to fill it; in the end it gets the mode that it has.
    let mode = Mode::from_raw_mode(RawMode::from(node.meta.mode & KEPT | 0o700));
    let made = match rustix::fs::mkdirat(parent, name.as_bytes(), mode) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(Error::io("making it", error.into())),
    };
    match rustix::fs::openat(parent, name.as_bytes(), way(), Mode::empty()) {
        Ok(fd) => Ok((fd, made)),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            Err(Error::new(ErrorKind::Io, "something that is no directory is in its place"))
        }
        Err(error) => Err(Error::io("opening it", error.into())),
    }
}

fn reversed(entries: &std::collections::BTreeMap<Name, NodeId>) -> Vec<(Name, NodeId)> {
    entries.iter().rev().map(|(name, id)| (name.clone(), *id)).collect()
}

fn times(modified: Time) -> Timestamps {
    let time = Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn named(path: &TreePath, error: Error) -> Error {
    let mut message = format!("{}: {error}", shown(&raw(path)));
    if let Some(source) = std::error::Error::source(&error) {
        message.push_str(&format!(": {source}"));
    }
    Error::new(error.kind(), message)
}
