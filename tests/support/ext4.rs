//! A real filesystem of limited size, as a volume has.
//!
//! Needs root (loop devices and mount). Invariant: without root the test fails and says so; what is
//! mounted here is unmounted here.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::tool;

/// A mounted ext4 filesystem in a file.
pub(crate) struct Ext4 {
    root: PathBuf,
    _directory: TempDir,
}

impl Ext4 {
    /// A filesystem on `size` bytes, given as `truncate` takes them.
    pub(crate) fn mount(size: &str) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test mounts a filesystem of limited size: run it as root, as `make test` does"
        );
        let directory = tempfile::tempdir().unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (image, root) = (directory.path().join("image"), directory.path().join("root"));
        fs_err::create_dir(&root).unwrap();
        tool::run("coreutils", "truncate", &["-s", size, &text(&image)]);
        tool::run("e2fsprogs", "mkfs.ext4", &["-q", "-m", "0", &text(&image)]);
        tool::run("mount", "mount", &["-o", "loop", &text(&image), &text(&root)]);
        Self { root, _directory: directory }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// Bytes that are free, by `df`.
    pub(crate) fn free(&self) -> u64 {
        let table =
            tool::run("coreutils", "df", &["-B1", "--output=avail", self.root.to_str().unwrap()]);
        table.lines().nth(1).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        tool::run("mount", "umount", &[self.root.to_str().unwrap()]);
    }
}
