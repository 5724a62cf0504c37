//! A temporary file without a name: written at any offset, then read.
//!
//! Chooses no directory. Invariants: no other process finds it, it is gone with its owner, whatever
//! ends that; it reads as zeros where nothing was written.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;

use super::file::{next_data, read_exact_file, write_all_at};
use super::scratch::Budget;
use super::{Error, Extent, PositionalSink, SectorSource};

/// Tells spools of one process apart while they still have a name.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A temporary file.
#[derive(Debug)]
pub struct Spool {
    file: File,
    /// For messages; the name where a file that is open cannot lose it.
    directory: PathBuf,
    #[cfg(not(unix))]
    path: PathBuf,
    len: AtomicU64,
    /// What its bytes count against.
    budget: Option<Arc<Budget>>,
}

impl Spool {
    /// An empty spool in `directory`, which must have room for what is written.
    pub fn create_in(directory: &Path) -> Result<Self, Error> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".vmimage.{}.{number}.spool", std::process::id()));
        let context =
            |e| Error::io(format!("making a temporary file in {}", directory.display()), e);
        let open = fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = open.map_err(context)?.into_file();
        #[cfg(unix)]
        fs::remove_file(&path).map_err(context)?;
        Ok(Self {
            file,
            directory: directory.to_owned(),
            #[cfg(not(unix))]
            path,
            len: AtomicU64::new(0),
            budget: None,
        })
    }

    /// An empty spool whose bytes count against `budget`.
    pub(super) fn create_within(directory: &Path, budget: Arc<Budget>) -> Result<Self, Error> {
        let mut spool = Self::create_in(directory)?;
        spool.budget = Some(budget);
        Ok(spool)
    }

    /// The length becomes at least `len`; the budget pays for what is new.
    fn grow(&self, len: u64) -> Result<(), Error> {
        let before = self.len.fetch_max(len, Ordering::Relaxed);
        let Some(budget) = self.budget.as_ref().filter(|_| len > before) else { return Ok(()) };
        budget.take(len - before).inspect_err(|_| self.len.store(before, Ordering::Relaxed))
    }

    fn doing(&self, what: &str, e: std::io::Error) -> Error {
        Error::io(format!("{what} a temporary file in {}", self.directory.display()), e)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give(self.len.load(Ordering::Relaxed));
        }
        #[cfg(not(unix))]
        // Nothing can be done about a failure here; the name says what the file is.
        let _ = fs::remove_file(&self.path);
    }
}

impl PositionalSink for Spool {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.grow(offset.saturating_add(bytes.len() as u64))?;
        write_all_at(&self.file, bytes, offset).map_err(|e| self.doing("writing", e))
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.grow(len)?;
        let before = self.len.swap(len, Ordering::Relaxed);
        if let Some(budget) = &self.budget {
            budget.give(before - len);
        }
        self.file.set_len(len).map_err(|e| self.doing("setting the length of", e))
    }
}

impl SectorSource for Spool {
    fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        read_exact_file(&self.file, buffer, offset).map_err(|e| self.doing("reading", e))
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let (start, end) = next_data(&self.file, offset, self.len())?;
        Extent::new(start.max(offset), end.min(self.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_has_no_name_and_reads_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create_in(directory.path()).unwrap();
        #[cfg(unix)]
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        spool.write_at(70_000, b"late").unwrap();
        assert_eq!(spool.len(), 70_004);
        spool.set_len(80_000).unwrap();
        let mut seen = vec![1; 80_000];
        spool.read_at(0, &mut seen).unwrap();
        assert_eq!(&seen[70_000..70_004], b"late");
        assert_eq!(seen.iter().filter(|byte| **byte != 0).count(), 4);
        assert!(spool.read_at(79_999, &mut [0; 2]).is_err());
        drop(spool);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_told() {
        let error = Spool::create_in(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(error.to_string(), "making a temporary file in /nowhere/at/all");
    }
}
