//! A real block device: a file behind a loop device.
//!
//! Needs root. Invariant: without root the test fails and says so; what is attached here is detached
//! here, also when the test fails.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::tool;

/// A loop device and the file behind it.
pub(crate) struct Loop {
    device: PathBuf,
    backing: PathBuf,
    /// Where the file lies, if it is ours.
    _kept: Option<TempDir>,
}

impl Loop {
    /// A device that holds `bytes`; `flags` are further ones of `losetup`.
    pub(crate) fn holding(bytes: &[u8], flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("backing"), bytes).unwrap();
        let mut device = Self::over(&directory.path().join("backing"), flags);
        device._kept = Some(directory);
        device
    }

    /// A device whose bytes are those of this file.
    pub(crate) fn over(backing: &Path, flags: &[&str]) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test attaches a loop device: run it as root, as `make test` does"
        );
        let arguments = [&["--find", "--show"], flags, &[backing.to_str().unwrap()]].concat();
        let device = tool::run("mount", "losetup", &arguments);
        Self { device: device.trim().into(), backing: backing.to_owned(), _kept: None }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.device
    }

    /// The file behind it.
    pub(crate) fn backing(&self) -> &Path {
        &self.backing
    }

    /// Sectors read and written so far, as the kernel counts them: by whomever, and also before the
    /// file was attached.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let name = self.device.file_name().unwrap().to_str().unwrap();
        let text = fs_err::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        let numbers: Vec<u64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
        // Columns after Documentation/block/stat.rst.
        (numbers[2], numbers[6])
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        tool::run("mount", "losetup", &["--detach", self.device.to_str().unwrap()]);
    }
}
