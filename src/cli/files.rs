//! Output files that appear together or not at all.
//!
//! Does not make their bytes. Invariant: until `commit` nothing under a final name has changed,
//! and what is dropped before leaves nothing behind.

use std::fmt;
use std::path::{Path, PathBuf};

use super::failure::{Failure, Failures};
use crate::engine::base::{AtomicFile, Error, FileSource, PositionalSink as _};
use crate::report::Code;

/// A file under a temporary name.
#[derive(Debug)]
pub(super) struct Pending {
    file: AtomicFile,
    temporary: PathBuf,
    /// Its final path.
    pub(super) path: PathBuf,
    /// Its SHA-256, once known.
    pub(super) digest: String,
    /// Its length in bytes, once known.
    pub(super) size: u64,
}

impl Pending {
    /// Begins the file that will be `path`.
    pub(super) fn create(path: &Path) -> Result<Self, Failures> {
        if path.is_dir() {
            let message = format!("writing {}: a directory is in its place", path.display());
            return Err(Failure::new(Code::Io, message).into());
        }
        let temporary = unused(path);
        let file = AtomicFile::create_as(path, &temporary)?;
        Ok(Self { file, temporary, path: path.to_owned(), digest: String::new(), size: 0 })
    }

    /// Begins the file that will be `path` and writes all of `bytes` to it.
    pub(super) fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Failures> {
        let mut pending = Self::create(path)?;
        pending.file.write_at(0, bytes)?;
        pending.digest = crate::manifest::source::digest(bytes);
        pending.size = bytes.len() as u64;
        Ok(pending)
    }

    /// Where its bytes go.
    #[must_use]
    pub(super) const fn sink(&self) -> &AtomicFile {
        &self.file
    }

    /// The bytes written so far, to read.
    pub(super) fn source(&self) -> Result<FileSource, Error> {
        FileSource::open(&self.temporary)
    }

    /// Its final path as text.
    #[must_use]
    pub(super) fn display(&self) -> impl fmt::Display + '_ {
        self.path.display()
    }
}

/// Gives all files their final names, after the bytes of all of them are safe.
pub(super) fn commit(files: Vec<Pending>) -> Result<(), Failures> {
    for Pending { file, path, .. } in &files {
        let attempt = || format!("writing {}", path.display());
        file.file().sync_all().map_err(|e| Error::io(attempt(), e))?;
    }
    for Pending { file, .. } in files {
        file.commit()?;
    }
    Ok(())
}

/// A name beside `path` that no file has. What a killed process of the same number left (all
/// builds in containers have number 1) must not stand in the way.
fn unused(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let process = std::process::id();
    let candidate =
        |number: u32| path.with_file_name(format!(".{name}.{process}.{number}.partial"));
    let free = (0..1000).map(candidate).find(|name| name.symlink_metadata().is_err());
    free.unwrap_or_else(|| candidate(0))
}
