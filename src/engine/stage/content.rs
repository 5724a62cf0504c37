//! Contents of a directory's files, opened when they are read.
//!
//! Invariant: what is read is a regular file below the directory, reached without a link, whose
//! length is the one that the tree was told.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::engine::base::{
    Beneath, Error, Extent, FileSource, Kind, SectorSource, is_zero, within,
};

/// Files that are kept open.
const RECENT: usize = 16;

/// Bytes that are looked at together.
pub(super) const BLOCK: u64 = 64 << 10;

/// The directory.
#[derive(Debug)]
pub(super) struct Root {
    beneath: Beneath,
    recent: Mutex<Vec<Recent>>,
}

/// A file that is open, by its path.
type Recent = (Box<[u8]>, Arc<FileSource>);

/// A file in it.
pub(super) struct Staged {
    root: Arc<Root>,
    path: Box<[u8]>,
    len: u64,
}

impl Root {
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        Ok(Self { beneath: Beneath::new(directory, &[])?, recent: Mutex::new(Vec::new()) })
    }

    /// The file at `path`, which has `len` bytes.
    pub(super) fn file(self: &Arc<Self>, path: &[u8], len: u64) -> Staged {
        Staged { root: Arc::clone(self), path: path.into(), len }
    }

    fn get(&self, path: &[u8], len: u64) -> Result<Arc<FileSource>, Error> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = recent().iter().find(|(known, _)| **known == *path) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.beneath.file(Path::new(OsStr::from_bytes(path)))?);
        if file.len() != len {
            let (shown, found) = (path.escape_ascii(), file.len());
            let message = format!("/{shown} changed after the scripts: {len} bytes became {found}");
            return Err(Error::new(Kind::Input, message));
        }
        let mut recent = recent();
        if recent.len() >= RECENT {
            recent.remove(0);
        }
        recent.push((path.into(), Arc::clone(&file)));
        Ok(file)
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Staged(/{}, {} bytes)", self.path.escape_ascii(), self.len)
    }
}

impl SectorSource for Staged {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Input)?;
        if buffer.is_empty() {
            return Ok(());
        }
        self.root.get(&self.path, self.len)?.read_at(offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        match self.root.get(&self.path, self.len) {
            Ok(file) => file.next_extent(offset),
            // Reading it will say why.
            Err(_) => Extent::new(offset, self.len),
        }
    }
}

/// Hands on every block of `source` that is not zero, with its offset. Holes are not read.
pub(super) fn blocks(
    source: &dyn SectorSource,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut buffer = vec![0; BLOCK as usize];
    let mut at = 0;
    while let Some(extent) = source.next_extent(at) {
        at = at.max(extent.start() / BLOCK * BLOCK);
        while at < extent.end() {
            let len = BLOCK.min(source.len() - at);
            let block = buffer.get_mut(..len as usize).unwrap_or_default();
            source.read_at(at, block)?;
            if !is_zero(block) {
                each(at, block)?;
            }
            at += len;
        }
    }
    Ok(())
}

/// A digest of contents that does not depend on where their holes are.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum(Sha256);

impl Sum {
    pub(super) fn add(&mut self, offset: u64, block: &[u8]) {
        self.0.update(offset.to_le_bytes());
        self.0.update(block);
    }

    pub(super) fn end(mut self, len: u64) -> [u8; 32] {
        self.0.update(len.to_le_bytes());
        self.0.finalize().into()
    }

    pub(super) fn of(source: &dyn SectorSource) -> Result<[u8; 32], Error> {
        let mut sum = Self::default();
        blocks(source, |offset, block| {
            sum.add(offset, block);
            Ok(())
        })?;
        Ok(sum.end(source.len()))
    }
}
