//! FAT volumes judged by `fsck.fat`, mtools, `blkid` and 7-Zip, and read back by ourselves.
//!
//! Invariant: what is expected of a volume comes from the tree it was made of and from foreign
//! tools, never from our own reader alone.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod foreign;
#[path = "../support/sparse.rs"]
mod sparse;
#[path = "../support/tool.rs"]
mod tool;
mod tree;
mod written;

use std::path::Path;

/// `fsck.fat` finds nothing to say.
fn clean(path: &Path) {
    let said = tool::run("dosfstools", "fsck.fat", &["-nv", path.to_str().unwrap()]);
    for bad in
        ["differ", "Dirty", "dirty", "wrong", "Wrong", "bad", "Bad ", "Reclaim", "lost", "0x41"]
    {
        assert!(!said.contains(bad), "{bad}: {said}");
    }
}
