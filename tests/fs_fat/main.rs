//! FAT volumes judged by `fsck.fat`, mtools, `blkid` and 7-Zip, and read back by ourselves.
//!
//! Invariant: what is expected of a volume comes from the tree it was made of and from foreign
//! tools, never from our own reader alone.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod foreign;
#[path = "../support/tool.rs"]
mod tool;
mod tree;
mod written;

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use vmimage::engine::base::SectorSource;

/// Writes a volume as a sparse file: its extents alone, so that what lies outside must be zero.
fn write(path: &Path, source: &dyn SectorSource) {
    let file = fs_err::File::create(path).unwrap().into_file();
    file.set_len(source.len()).unwrap();
    for extent in source.extents() {
        let mut at = extent.start();
        while at < extent.end() {
            let mut buffer = vec![0; (extent.end() - at).min(1 << 20) as usize];
            source.read_at(at, &mut buffer).unwrap();
            file.write_all_at(&buffer, at).unwrap();
            at += buffer.len() as u64;
        }
    }
}

/// `fsck.fat` finds nothing to say.
fn clean(path: &Path) {
    let said = tool::run("dosfstools", "fsck.fat", &["-nv", path.to_str().unwrap()]);
    for bad in
        ["differ", "Dirty", "dirty", "wrong", "Wrong", "bad", "Bad ", "Reclaim", "lost", "0x41"]
    {
        assert!(!said.contains(bad), "{bad}: {said}");
    }
}
