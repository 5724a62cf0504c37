//! What we write, checked by `btrfs check` and read by `btrfs restore`, `dump-super` and `blkid`.

use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::{SectorSource, digest};
use vmimage::engine::base::tree::Tree;
use vmimage::engine::filesystem::{Room, btrfs};

use super::sample::{FIT, bytes, full, made, many, noise, planned, put, rendered, tree, write};
use super::tool::run;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `btrfs check` finds nothing, in the data neither.
fn clean(path: &Path) {
    let said = run("btrfs-progs", "btrfs", &["check", "--check-data-csum", text(path)]);
    assert!(said.contains("no error found") || said.contains("found 0 bytes"), "{said}");
}

fn checked(tree: Tree, params: btrfs::Params, room: Room) -> (tempfile::TempDir, u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let source = rendered(planned(&Arc::new(tree), params, "test", room).unwrap());
    write(&path, source.as_ref(), 1 << 20);
    clean(&path);
    (directory, source.len())
}

#[test]
fn an_empty_filesystem_is_the_disk_of_tinyboot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let room = Room::Exactly(256 << 20);
    let plan = planned(&Arc::new(tree()), btrfs::Params::default(), "tinyboot", room).unwrap();
    let uuid = plan.uuid().unwrap();
    let source = rendered(plan);
    assert_eq!(source.len(), 256 << 20);
    let mut seen = [0; 8];
    source.read_at(0x10040, &mut seen).unwrap();
    assert_eq!(&seen, b"_BHRfS_M");
    source.read_at(0x1012b, &mut seen).unwrap();
    assert_eq!(&seen, b"tinyboot");
    write(&path, source.as_ref(), 1 << 20);
    clean(&path);
    let said = run("util-linux", "blkid", &["-p", "-o", "export", text(&path)]);
    for wanted in ["LABEL=tinyboot", &format!("UUID={uuid}"), "TYPE=btrfs", "BLOCK_SIZE=4096"] {
        assert!(said.lines().any(|line| line == wanted), "{wanted} in {said}");
    }
}

#[test]
fn a_tree_with_everything_is_clean() {
    checked(full(), btrfs::Params::default(), FIT);
}
