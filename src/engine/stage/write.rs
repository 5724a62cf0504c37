//! A tree into an empty directory.
//!
//! Makes directories, files, links and hard links; devices, FIFOs and sockets are in the journal
//! alone. Invariant: the owner can read and change everything, whatever the tree's modes say.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::content::{Sum, blocks};
use super::journal::{Entry, Journal, What};
use super::look::look;
use super::rules::Layout;
use crate::engine::base::tree::{Kind, Meta, NodeId, Step, Tree, TreePath};
use crate::engine::base::{ByteSource, Content, Error, Kind as ErrorKind, SectorSource, is_zero};

/// Zeros of this length in a file become a hole.
const PAGE: usize = 4096;

struct Writer<'a> {
    tree: &'a Tree,
    root: File,
    layout: Layout,
    left: u64,
    /// The first name of what has several.
    first: HashMap<NodeId, (usize, Box<[u8]>)>,
    entries: Vec<Entry>,
}

/// Writes `tree` into `directory`, which is there and empty.
pub fn write(tree: &Tree, directory: &Path, layout: Layout) -> Result<Journal, Error> {
    let context = |e| Error::io(format!("opening the directory {}", directory.display()), e);
    let mut entries = fs::read_dir(directory).map_err(context)?;
    if entries.next().is_some() {
        let message = format!("{} is not empty", directory.display());
        return Err(Error::new(ErrorKind::Input, message));
    }
    let root = fs::File::open(directory).map_err(context)?.into_file();
    let (first, entries, left) = (HashMap::new(), Vec::new(), layout.budget);
    let mut writer = Writer { tree, root, layout, left, first, entries };
    for step in tree.walk() {
        writer.put(&step).map_err(|e| e.at(tree.origin(step.node)))?;
    }
    writer.settle()?;
    Ok(Journal { entries: writer.entries })
}

impl Writer<'_> {
    /// Puts one name there.
    fn put(&mut self, step: &Step) -> Result<(), Error> {
        let node = self.tree.node(step.node);
        let path = bytes(&step.path);
        let entry = |what| Entry {
            path: path.clone(),
            what,
            meta: node.meta,
            attributes: node.attributes.clone(),
            origin: self.tree.origin(step.node).clone(),
            stamp: None,
        };
        if let Some((number, name)) = self.first.get(&step.node) {
            if has_place(&node.kind) {
                let done = rustix::fs::linkat(
                    &self.root,
                    os(name),
                    &self.root,
                    os(&path),
                    AtFlags::empty(),
                );
                done.map_err(|e| failed("linking", &step.path, e))?;
            }
            self.entries.push(entry(What::Again(*number)));
            return Ok(());
        }
        let what = match &node.kind {
            Kind::Directory(_) if path.is_empty() => What::Directory,
            Kind::Directory(_) => {
                rustix::fs::mkdirat(&self.root, os(&path), Mode::RWXU)
                    .map_err(|e| failed("making the directory", &step.path, e))?;
                What::Directory
            }
            Kind::Symlink(target) => {
                rustix::fs::symlinkat(os(target), &self.root, os(&path))
                    .map_err(|e| failed("making the link", &step.path, e))?;
                What::Symlink(target.clone())
            }
            Kind::File(_) => What::File([0; 32]),
            Kind::CharDevice(device) => What::Char(*device),
            Kind::BlockDevice(device) => What::Block(*device),
            Kind::Fifo => What::Fifo,
            Kind::Socket => What::Socket,
        };
        let mut entry = entry(what);
        if let Kind::File(content) = &node.kind {
            entry.what = What::File(self.file(content, node.meta, &path, &step.path)?);
        }
        if node.names() > 1 && !node.kind.is_directory() {
            self.first.insert(step.node, (self.entries.len(), path));
        }
        self.entries.push(entry);
        Ok(())
    }

    fn file(
        &mut self,
        content: &Content,
        meta: Meta,
        path: &[u8],
        shown: &TreePath,
    ) -> Result<[u8; 32], Error> {
        let source: Arc<dyn SectorSource> = match content {
            Content::Bytes(bytes) => Arc::new(ByteSource::new(Arc::clone(bytes))),
            Content::Sectors(source) => Arc::clone(source),
            Content::Late(_) => {
                let message = format!("{shown} depends on its place, which scripts come before");
                return Err(Error::new(ErrorKind::Document, message));
            }
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.root, os(path), flags, mode)
            .map_err(|e| failed("making the file", shown, e))?;
        let file = File::from(file);
        let context = |e| Error::io(format!("writing {shown} where scripts see it"), e);
        file.set_len(source.len()).map_err(context)?;
        let (mut sum, left) = (Sum::default(), &mut self.left);
        let budget = self.layout.budget;
        blocks(&*source, |offset, block| {
            sum.add(offset, block);
            for (at, page) in (offset..).step_by(PAGE).zip(block.chunks(PAGE)) {
                if is_zero(page) {
                    continue;
                }
                *left = left.checked_sub(page.len() as u64).ok_or_else(|| {
                    let message = format!(
                        "{shown}: the trees that scripts change have more than the {budget} bytes \
                         that temporary files may have"
                    );
                    Error::new(ErrorKind::NoSpace, message)
                })?;
                file.write_all_at(page, at).map_err(context)?;
            }
            Ok(())
        })?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(u32::from(meta.mode & 0o777 | 0o600)))
            .map_err(|e| failed("setting the mode of", shown, e))?;
        rustix::fs::futimens(&file, &times(meta))
            .map_err(|e| failed("setting the time of", shown, e))?;
        Ok(sum.end(source.len()))
    }

    /// Gives directories their modes and times, everything its owner, and notes how it looks.
    fn settle(&mut self) -> Result<(), Error> {
        let owner = self.layout.owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
        let placed = |entries: &[Entry], what: &What| match what {
            What::Again(first) => entries
                .get(*first)
                .is_some_and(|e| matches!(e.what, What::File(_) | What::Symlink(_))),
            what => matches!(what, What::Directory | What::File(_) | What::Symlink(_)),
        };
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get(at) else { continue };
            if !placed(&self.entries, &entry.what) {
                continue;
            }
            let path = if entry.path.is_empty() { b"." } else { &*entry.path };
            let set = || {
                if let Some((uid, gid)) = owner {
                    let (uid, gid) = (Some(uid), Some(gid));
                    rustix::fs::chownat(&self.root, os(path), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                if entry.what == What::Directory {
                    let mode = Mode::from_raw_mode(u32::from(entry.meta.mode & 0o777 | 0o700));
                    rustix::fs::chmodat(&self.root, os(path), mode, AtFlags::empty())?;
                    let times = times(entry.meta);
                    rustix::fs::utimensat(&self.root, os(path), &times, AtFlags::empty())?;
                }
                Ok::<_, Errno>(())
            };
            let shown = path.escape_ascii().to_string();
            let context = |e: Errno| Error::io(format!("settling /{shown} for scripts"), e.into());
            set().map_err(context)?;
            let stamp = look(&self.root, path).map_err(context)?.stamp;
            if let Some(entry) = self.entries.get_mut(at) {
                entry.stamp = Some(stamp);
            }
        }
        Ok(())
    }
}

const fn has_place(kind: &Kind) -> bool {
    matches!(kind, Kind::File(_) | Kind::Symlink(_))
}

/// The path without the first slash; empty for the root.
pub(super) fn bytes(path: &TreePath) -> Box<[u8]> {
    let names: Vec<&[u8]> = path.names().iter().map(|name| name.as_bytes()).collect();
    names.join(&b'/').into()
}

pub(super) fn os(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

/// The time as this machine's filesystem can surely hold it; the exact one is in the journal.
fn times(meta: Meta) -> Timestamps {
    let seconds = meta.modified.seconds.clamp(0, i64::from(i32::MAX));
    let time =
        Timespec { tv_sec: seconds, tv_nsec: i64::from(meta.modified.nanos.min(999_999_999)) };
    Timestamps { last_access: time, last_modification: time }
}

fn failed(what: &str, path: &TreePath, errno: Errno) -> Error {
    let why = match errno {
        Errno::EXIST => " (the directory for scripts does not tell its name from another one)",
        Errno::NAMETOOLONG => " (the directory for scripts takes no such long name)",
        _ => "",
    };
    Error::io(format!("{what} {path} where scripts see it{why}"), errno.into())
}
