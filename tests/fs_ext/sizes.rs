//! Sizes that are measured, asked for, and grown afterwards.
//!
//! Invariant: one block less than what was measured is refused, with both numbers.

use std::sync::Arc;

use vmimage::engine::base::tree::Kind;
use vmimage::engine::base::{Content, Extent, Late, Placement};
use vmimage::engine::filesystem::Room;
use vmimage::engine::filesystem::ext::{Base, Inodes, Params, Variant};

use crate::same::{read, same, seen};
use crate::sample::{META, Place, bytes, everything, fsck, holes, noise, plan, put, render, tree};
use crate::tool;
use crate::written::{FIT, params};

#[test]
fn a_measured_size_is_the_smallest() {
    let mut large = tree();
    put(&mut large, b"20M", bytes(&noise(20 << 20, 3)), META);
    for tree in [Arc::new(tree()), Arc::new(everything(true)), Arc::new(large)] {
        for variant in [Variant::Ext2, Variant::Ext3, Variant::Ext4] {
            for block_size in [1024u32, 4096] {
                let params = Params { block_size: Some(block_size), ..params(variant) };
                let len = plan(&tree, &params, FIT).unwrap().len();
                let place = Place::new();
                fsck(&place.save(render(&tree, &params, Room::Exactly(len)).as_ref()));
                let less = len - u64::from(block_size);
                let error = plan(&tree, &params, Room::Exactly(less)).unwrap_err().to_string();
                assert!(error.contains(&format!("has {less}")), "{error}");
            }
        }
    }
}

#[test]
fn headroom_is_free_for_everybody() {
    let tree = Arc::new(everything(true));
    let free = |room| {
        let place = Place::new();
        let image = place.save(render(&tree, &params(Variant::Ext4), room).as_ref());
        fsck(&image);
        let said = tool::run("e2fsprogs", "dumpe2fs", &["-h", image.to_str().unwrap()]);
        let number = |name: &str| {
            let line = said.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(number("Reserved block count:"), 0);
        number("Free blocks:") * number("Block size:")
    };
    assert!(free(FIT) < 4096);
    let some = free(Room::Fit { percent: 0, bytes: 10 << 20 });
    assert!((10 << 20..11 << 20).contains(&some), "{some}");
    assert!(free(Room::Fit { percent: 100, bytes: 0 }) > 400 << 10);
}

/// Offline, with descriptors that were kept free: 64 times larger.
#[test]
fn resize2fs_makes_it_larger() {
    for variant in [Variant::Ext2, Variant::Ext4] {
        let tree = Arc::new(everything(true));
        let place = Place::new();
        let image = place.save(render(&tree, &params(variant), FIT).as_ref());
        let len = fs_err::metadata(&image).unwrap().len();
        let larger = fs_err::OpenOptions::new().write(true).open(&image).unwrap();
        larger.set_len(len * 64).unwrap();
        tool::run("e2fsprogs", "resize2fs", &[image.to_str().unwrap()]);
        fsck(&image);
        same(&seen(&tree, true), &seen(&read(&image), true));
    }
}

#[test]
fn the_same_comes_out_every_time() {
    let image = || {
        let place = Place::new();
        let tree = Arc::new(everything(true));
        let source = render(&tree, &params(Variant::Ext4), Room::Exactly(40 << 20));
        fs_err::read(place.save(source.as_ref())).unwrap()
    };
    let first = image();
    assert!(first == image());
    // Read in odd pieces from the end to the beginning.
    let tree = Arc::new(everything(true));
    let source = render(&tree, &params(Variant::Ext4), Room::Exactly(40 << 20));
    let mut end = first.len();
    while end > 0 {
        let start = end.saturating_sub(77_777);
        let mut piece = vec![1; end - start];
        source.read_at(start as u64, &mut piece).unwrap();
        assert!(piece == first[start..end], "{start}");
        end = start;
    }
    // What is in no extent is zero.
    let mut at = 0;
    for extent in source.extents() {
        assert!(first[at..extent.start() as usize].iter().all(|byte| *byte == 0), "{at}");
        at = extent.end() as usize;
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_path() {
    let bare = Params { features: Base::None, ..Params::default() };
    let small = Params { block_size: Some(1024), ..Params::default() };
    let ext2 = params(Variant::Ext2);
    let cases: [(&[u8], Kind, &Params, &str); 5] = [
        (b"d/two", holes(1 << 31, Vec::new()), &bare, "/d/two: 2147483648 bytes"),
        (b"d/link", Kind::Symlink([b'x'; 1024][..].into()), &small, "/d/link: a link of 1024"),
        (b"d/wide", holes(20 << 40, Vec::new()), &small, "/d/wide: "),
        (b"d/t", holes(17 << 30, Vec::new()), &Params { block_size: Some(1024), ..ext2 }, "/d/t: "),
        (
            b"d/dev",
            Kind::CharDevice(vmimage::engine::base::tree::Device { major: 4096, minor: 0 }),
            &small,
            "/d/dev: device 4096:0",
        ),
    ];
    for (path, kind, params, why) in cases {
        let mut tree = tree();
        put(&mut tree, path, kind, META);
        let error = plan(&Arc::new(tree), params, FIT).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.origin().map(|origin| origin.as_str()), Some("test"));
    }
    let tree = Arc::new(everything(true));
    let error = plan(&tree, &bare, FIT).unwrap_err().to_string();
    assert!(error.contains("need the feature ext_attr"), "{error}");
    for (params, why) in [
        (Params { block_size: Some(512), ..Params::default() }, "blocks of 512"),
        (Params { inode_size: Some(512), ..Params::default() }, "inodes of 512"),
        (Params { reserved_percent: Some(51), ..Params::default() }, "51%"),
        (Params { journal: Some(1 << 20), ..small.clone() }, ""),
        (Params { journal: Some(1000 << 10), ..small.clone() }, "1000 blocks, allowed"),
        (Params { inodes: Some(Inodes::Count(1 << 33)), ..small.clone() }, "inodes"),
    ] {
        match plan(&tree, &params, Room::Exactly(64 << 20)) {
            Err(error) => assert!(!why.is_empty() && error.to_string().contains(why), "{error}"),
            Ok(_) => assert!(why.is_empty(), "{why}"),
        }
    }
}

/// What depends on its place hears the place on the whole medium.
#[test]
fn late_contents_know_where_they_lie() {
    let finish = |placement: &Placement| {
        let mut bytes = vec![0; 20_000];
        let start = placement.extents[0].start();
        bytes[..8].copy_from_slice(&start.to_le_bytes());
        bytes[19_999] = placement.extents.len() as u8;
        bytes
    };
    let late = |align| Late { len: 20_000, align, contiguous: true, finish: Box::new(finish) };
    let with = |align| {
        let mut tree = tree();
        put(&mut tree, b"boot", Kind::File(Content::Late(Arc::new(late(align)))), META);
        let planned = plan(&Arc::new(tree), &params(Variant::Ext4), FIT).unwrap();
        let start = 1 << 20;
        let extents = vec![Extent::new(start, start + planned.len()).unwrap()];
        planned.render(&Placement { extents, medium: 8 << 20, volume: 0 })
    };
    let place = Place::new();
    let source = with(1024).unwrap();
    let image = place.save(source.as_ref());
    fsck(&image);
    let copy = place.path("boot");
    crate::big::debugfs(&image, &format!("dump /boot {}", copy.display()));
    let bytes = fs_err::read(copy).unwrap();
    let start = u64::from_le_bytes(bytes[..8].try_into().unwrap()) - (1 << 20);
    assert_eq!((bytes.len(), bytes[19_999]), (20_000, 1));
    let mut found = [0; 8];
    source.read_at(start, &mut found).unwrap();
    assert_eq!(found, bytes[..8]);
    let error = with(1 << 20).unwrap_err().to_string();
    assert!(error.contains("must lie at a multiple of 1048576"), "{error}");
}
