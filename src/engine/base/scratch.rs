//! Room for temporary files, with a budget: what is fetched and what cannot be computed twice.
//!
//! Makes no directory. Invariant: all spools of one scratch together never hold more bytes than its
//! budget.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Error, Kind, Spool};

/// A directory for temporary files.
#[derive(Clone, Debug)]
pub struct Scratch {
    directory: PathBuf,
    budget: Arc<Budget>,
}

/// How many bytes may still be written.
#[derive(Debug)]
pub(super) struct Budget {
    total: u64,
    used: AtomicU64,
}

impl Scratch {
    /// Temporary files in `directory`, together at most `budget` bytes.
    #[must_use]
    pub fn new(directory: &Path, budget: u64) -> Self {
        let budget = Arc::new(Budget { total: budget, used: AtomicU64::new(0) });
        Self { directory: directory.to_owned(), budget }
    }

    /// An empty temporary file. Its bytes count until it is dropped.
    pub fn spool(&self) -> Result<Spool, Error> {
        Spool::create_within(&self.directory, Arc::clone(&self.budget))
    }

    /// Bytes that may still be written.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.budget.total.saturating_sub(self.budget.used.load(Ordering::Relaxed))
    }
}

impl Budget {
    /// Takes `bytes` more.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Error> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used <= self.total {
            return Ok(());
        }
        self.give(bytes);
        let message = format!(
            "temporary files would take {used} bytes, {} are allowed: raise build.scratch.sizeLimit \
             (in a cluster) or --scratch-limit",
            self.total
        );
        Err(Error::new(Kind::NoSpace, message))
    }

    /// Gives `bytes` back.
    pub(super) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PositionalSink as _, SectorSource as _};
    use super::*;

    #[test]
    fn spools_share_a_budget_and_give_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(directory.path(), 100);
        let one = scratch.spool().unwrap();
        one.write_at(20, &[1; 40]).unwrap();
        assert_eq!(scratch.left(), 40);
        // The same bytes again cost nothing.
        one.write_at(0, &[2; 60]).unwrap();
        let two = scratch.spool().unwrap();
        let error = two.write_at(0, &[1; 41]).unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace);
        assert!(error.to_string().contains("would take 101 bytes, 100 are allowed"), "{error}");
        assert_eq!((two.len(), scratch.left()), (0, 40));
        drop(one);
        assert_eq!(scratch.left(), 100);
        two.set_len(100).unwrap();
        assert!(two.set_len(101).is_err());
        two.set_len(1).unwrap();
        assert_eq!(scratch.left(), 99);
    }
}
