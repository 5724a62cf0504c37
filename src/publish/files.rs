//! Output files that appear together or not at all.
//!
//! Does not make their bytes. Invariant: until `commit` nothing under a final name has changed,
//! and what is dropped before leaves nothing behind.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::engine::base::{AtomicFile, Error, FileSource, Kind, PositionalSink as _};

/// A file under a temporary name.
#[derive(Debug)]
pub struct Pending {
    file: AtomicFile,
    temporary: PathBuf,
    /// Its final path.
    pub path: PathBuf,
    /// Its SHA-256, once known.
    pub digest: String,
    /// Its length in bytes, once known.
    pub size: u64,
}

impl Pending {
    /// Begins the file that will be `path`.
    pub fn create(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            let message = format!("writing {}: a directory is in its place", path.display());
            return Err(Error::new(Kind::Io, message));
        }
        let temporary = unused(path);
        let file = AtomicFile::create_as(path, &temporary)?;
        Ok(Self { file, temporary, path: path.to_owned(), digest: String::new(), size: 0 })
    }

    /// Begins the file that will be `path` and writes all of `bytes` to it.
    pub fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let mut pending = Self::create(path)?;
        pending.file.write_at(0, bytes)?;
        pending.digest = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
        pending.size = bytes.len() as u64;
        Ok(pending)
    }

    /// Where its bytes go.
    #[must_use]
    pub const fn sink(&self) -> &AtomicFile {
        &self.file
    }

    /// Waits until the bytes written so far are safe.
    pub fn sync(&self) -> Result<(), Error> {
        let attempt = || format!("writing {}", self.path.display());
        self.file.file().sync_all().map_err(|e| Error::io(attempt(), e))
    }

    /// The bytes written so far, to read.
    pub fn source(&self) -> Result<FileSource, Error> {
        FileSource::open(&self.temporary)
    }

    /// Its final path as text.
    #[must_use]
    pub fn display(&self) -> impl fmt::Display + '_ {
        self.path.display()
    }
}

/// Gives all files their final names, after the bytes of all of them are safe.
pub fn commit(files: Vec<Pending>) -> Result<(), Error> {
    AtomicFile::commit_all(files.into_iter().map(|pending| pending.file).collect())
}

/// A name beside `path` that no file has. What a killed process of the same number left (all
/// builds in containers have number 1) must not stand in the way.
fn unused(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // With what is added it must not become too long for the filesystem.
    let name = name.get(..name.floor_char_boundary(200)).unwrap_or_default();
    let process = std::process::id();
    let candidate =
        |number: u32| path.with_file_name(format!(".{name}.{process}.{number}.partial"));
    let free = (0..1000).map(candidate).find(|name| name.symlink_metadata().is_err());
    free.unwrap_or_else(|| candidate(0))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn files_appear_together_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let names = || fs::read_dir(directory.path()).unwrap().count();
        let pending = |name: &str| Pending::of_bytes(&path(name), b"abc").unwrap();
        drop([pending("a"), pending("b")]);
        assert_eq!(names(), 0);
        commit(vec![pending("a"), pending("b")]).unwrap();
        assert_eq!(names(), 2);
        assert_eq!(fs::read(path("b")).unwrap(), b"abc");
        // echo -n abc | sha256sum
        let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(pending("c").digest, digest);
    }

    #[test]
    fn a_directory_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        let error = Pending::create(&directory.path().join("a")).unwrap_err();
        assert!(error.to_string().contains("a: a directory is in its place"), "{error}");
    }
}
