//! What we write, judged by e2fsprogs.
//!
//! Invariant: an image that e2fsck says a word about fails.

use std::sync::Arc;

use vmimage::engine::filesystem::Room;
use vmimage::engine::filesystem::ext::{Base, Inodes, Params, Variant};

use crate::same::{read, same, seen};
use crate::sample::{Place, everything, fsck, render, tree};

pub(crate) const FIT: Room = Room::Fit { percent: 0, bytes: 0 };

pub(crate) fn params(variant: Variant) -> Params {
    Params { variant, ..Params::default() }
}

#[test]
fn nothing_is_a_filesystem() {
    for variant in [Variant::Ext2, Variant::Ext3, Variant::Ext4] {
        for room in [FIT, Room::Exactly(1 << 20), Room::Exactly(64 << 20), Room::Exactly(2 << 30)] {
            let place = Place::new();
            let image = render(&Arc::new(tree()), &params(variant), room);
            eprintln!("{variant:?} {room:?} {}", image.len());
            fsck(&place.save(image.as_ref()));
        }
    }
}

#[test]
fn everything_in_every_variant() {
    for variant in [Variant::Ext2, Variant::Ext3, Variant::Ext4] {
        for block_size in [1024, 2048, 4096] {
            for room in [FIT, Room::Exactly(100 << 20)] {
                let params = Params { block_size: Some(block_size), ..params(variant) };
                let place = Place::new();
                let image = render(&Arc::new(everything(true)), &params, room);
                eprintln!("{variant:?} {block_size} {room:?} {}", image.len());
                let path = place.save(image.as_ref());
                fsck(&path);
                same(&seen(&everything(true), true), &seen(&read(&path), true));
            }
        }
    }
}

#[test]
fn features_are_what_was_asked_for() {
    for (features, toggles) in [
        (Base::None, &[][..]),
        (Base::None, &["+filetype", "+dir_index", "+has_journal"]),
        (Base::Default, &["-metadata_csum"]),
        (Base::Default, &["-flex_bg", "-resize_inode"]),
        (Base::Default, &["-64bit"]),
        (Base::Default, &["-has_journal", "-dir_index", "-huge_file"]),
        (Base::Default, &["-64bit", "-extent"]),
        (Base::Default, &["-resize_inode", "-sparse_super"]),
    ] {
        for inode_size in [128, 256] {
            let toggles: Vec<_> = toggles.iter().map(|toggle| (*toggle).to_owned()).collect();
            let params = Params {
                features,
                toggles,
                inode_size: Some(inode_size),
                inodes: Some(Inodes::Ratio(8192)),
                ..Params::default()
            };
            eprintln!("{params:?}");
            let place = Place::new();
            let tree = Arc::new(everything(features != Base::None));
            let image = render(&tree, &params, Room::Exactly(100 << 20));
            let path = place.save(image.as_ref());
            fsck(&path);
            // Inodes of 128 bytes have no nanoseconds and end in 2038.
            let times = inode_size == 256;
            same(&seen(&tree, times), &seen(&read(&path), times));
        }
    }
}
