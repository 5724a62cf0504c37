//! Big directories, big files, many holes.
//!
//! Invariant: e2fsck agrees first, then our reader.

use std::sync::Arc;

use vmimage::engine::base::tree::Kind;
use vmimage::engine::filesystem::Room;
use vmimage::engine::filesystem::ext::{Params, Variant};

use crate::same::{read, same, seen};
use crate::sample::{META, Place, bytes, fsck, holes, noise, put, render, tree};
use crate::tool;
use crate::written::{FIT, params};

#[test]
fn a_directory_of_65000_names() {
    let mut tree = tree();
    for n in 0..65_000 {
        put(&mut tree, format!("big/file number {n}").as_bytes(), Kind::Fifo, META);
    }
    let tree = Arc::new(tree);
    for (variant, block_size) in [(Variant::Ext2, 1024), (Variant::Ext4, 4096)] {
        let place = Place::new();
        let params = Params { block_size: Some(block_size), ..params(variant) };
        let image = place.save(render(&tree, &params, FIT).as_ref());
        fsck(&image);
        same(&seen(&tree, true), &seen(&read(&image), true));
        let stat = debugfs(&image, "stat /big");
        assert!(stat.contains("Flags: 0x1000") || stat.contains("Flags: 0x81000"), "{stat}");
        // The tree finds a name without going through all of them.
        let found = debugfs(&image, "stat \"/big/file number 64999\"");
        assert!(found.contains("Type: FIFO"), "{found}");
    }
}

#[test]
fn too_many_long_names_for_a_hash_tree_are_a_list() {
    let mut tree = tree();
    for n in 0..47_000 {
        put(&mut tree, format!("{n:0255}").as_bytes(), Kind::Fifo, META);
    }
    let tree = Arc::new(tree);
    let place = Place::new();
    let params = Params { block_size: Some(1024), ..params(Variant::Ext4) };
    let image = place.save(render(&tree, &params, FIT).as_ref());
    fsck(&image);
    assert!(debugfs(&image, "stat /").contains("Flags: 0x80000"));
    assert_eq!(read(&image).count(), tree.count() + 1);
}

#[test]
fn large_files_with_holes() {
    let mut tree = tree();
    let far = (6 << 30) + 12_345;
    put(
        &mut tree,
        b"six",
        holes(far + 5000, vec![(100, noise(5000, 1)), (far, noise(5000, 2))]),
        META,
    );
    // Each block between two holes: more extents than an inode and a block hold.
    let comb = (0..3000).map(|n| (n * 8192, noise(700, n as u32))).collect();
    put(&mut tree, b"comb", holes(3000 * 8192, comb), META);
    put(&mut tree, b"dense", bytes(&noise(3 << 20, 7)), META);
    let tree = Arc::new(tree);
    for variant in [Variant::Ext2, Variant::Ext4] {
        for block_size in [1024, 4096] {
            let place = Place::new();
            let params = Params { block_size: Some(block_size), ..params(variant) };
            let source = render(&tree, &params, FIT);
            assert!(source.len() < 40 << 20, "holes were allocated: {}", source.len());
            let image = place.save(source.as_ref());
            fsck(&image);
            same(&seen(&tree, true), &seen(&read(&image), true));
            let copy = place.path("dense");
            debugfs(&image, &format!("dump /dense {}", copy.display()));
            assert!(fs_err::read(copy).unwrap() == noise(3 << 20, 7));
        }
    }
}

/// A terabyte with nothing in it takes little to make and to keep.
#[test]
fn a_large_filesystem_is_sparse() {
    let tree = Arc::new(tree());
    let source = render(&tree, &params(Variant::Ext4), Room::Exactly(1 << 40));
    let held: u64 = source.extents().map(|extent| extent.len()).sum();
    assert!(held < 24 << 20, "{held}");
    let place = Place::new();
    let image = place.save(source.as_ref());
    let said = tool::run("e2fsprogs", "dumpe2fs", &["-h", image.to_str().unwrap()]);
    assert!(said.contains("Block count:              268435456"), "{said}");
}

pub(crate) fn debugfs(image: &std::path::Path, command: &str) -> String {
    tool::run("e2fsprogs", "debugfs", &["-R", command, image.to_str().unwrap()])
}
