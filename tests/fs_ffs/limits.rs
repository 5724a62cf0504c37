//! The edges of an FFS: many names, large files, odd names and owners, and what it refuses.
//!
//! Invariant: what is refused is refused with its path or name, before anything is written.

use std::sync::Arc;

use vmimage::engine::base::tree::{Device, Kind, Limits, Meta, Name, NodeId, Time, Tree, TreePath};
use vmimage::engine::base::{Content, Origin};
use vmimage::engine::filesystem::{Room, ffs, read};

use crate::sparse::{noise, sparse};
use crate::{TIME, bytes, check, described, empty, planned, put, sample, volume};

const FIT: Room = Room::Fit { percent: 0, bytes: 0 };

fn version(version: u8) -> ffs::Params {
    ffs::Params { version, ..ffs::Params::default() }
}

fn add(tree: &mut Tree, parent: NodeId, name: &[u8], kind: Kind, meta: Meta) -> NodeId {
    let origin = Origin::new("limits");
    tree.put(parent, Name::new(name).unwrap(), kind, meta, &origin).unwrap()
}

/// Volumes of both versions are sound, and are read back as `wanted`.
fn round(tree: Tree, wanted: impl Fn(u8) -> Vec<String>) {
    let tree = Arc::new(tree);
    for number in [1, 2] {
        let volume = volume(&version(number), &tree, FIT);
        let mut image = vec![0; volume.len() as usize];
        volume.read_at(0, &mut image).unwrap();
        check::Check { image: &image, big: false, wide: number == 2 }.run();
        let back = read(&volume, &Limits::default()).unwrap().unwrap();
        // Not compared by assert_eq, which would show all of 65,536 names.
        let (back, wanted) = (described(&back), wanted(number));
        let differs = back.iter().zip(&wanted).find(|(one, other)| one != other);
        assert_eq!((differs, back.len()), (None, wanted.len()));
    }
}

fn refused(tree: Tree, wanted: &str) {
    let tree = Arc::new(tree);
    for number in [1, 2] {
        let error = planned(&version(number), &tree, FIT).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_directory_holds_65536_names() {
    let mut tree = empty();
    let many = add(&mut tree, Tree::ROOT, b"many", Kind::directory(), Meta::directory(TIME));
    for number in 0..65536 {
        let name = format!("file {number:05}");
        add(&mut tree, many, name.as_bytes(), bytes(b""), Meta::file(TIME));
    }
    let wanted = described(&tree);
    round(tree, |_| wanted.clone());
}

#[test]
fn a_file_beyond_4_gib_keeps_its_holes_and_its_end() {
    let len = (5 << 30) + 8192;
    let pieces: [(u64, &[u8]); 2] = [(7, b"front"), ((4 << 30) + 100, b"behind 4 GiB")];
    for number in [1, 2] {
        let mut tree = empty();
        put(&mut tree, "large", sparse(len, &pieces));
        put(&mut tree, "end", sparse(200_000, &[]));
        let volume = volume(&version(number), &Arc::new(tree), FIT);
        assert!(volume.len() < 2 << 20, "{}", volume.len());
        let mut image = vec![0; volume.len() as usize];
        volume.read_at(0, &mut image).unwrap();
        check::Check { image: &image, big: false, wide: number == 2 }.run();
        let back = read(&volume, &Limits::default()).unwrap().unwrap();
        let names: Vec<_> = back.node(Tree::ROOT).entries().unwrap().iter().collect();
        for (name, id) in names {
            let Kind::File(content) = &back.node(*id).kind else { panic!("{name} is no file") };
            let Content::Sectors(source) = content else { panic!("{name}") };
            // The last block of an FFS' file is never a hole.
            let last = source.extents().last().unwrap();
            assert_eq!(last.end(), source.len(), "{name}");
            if name.as_bytes() != b"large" {
                continue;
            }
            assert_eq!(source.len(), len);
            let held: u64 = source.extents().map(|extent| extent.len()).sum();
            assert!(held <= 3 * 8192, "{held} bytes");
            for (at, wanted) in pieces {
                let mut got = vec![0; wanted.len()];
                source.read_at(at, &mut got).unwrap();
                assert_eq!(got, wanted);
            }
        }
    }
}

#[test]
fn odd_names_owners_modes_and_times_are_kept() {
    let mut tree = empty();
    let odd = Meta { mode: 0o7777, uid: u32::MAX - 1, gid: u32::MAX, modified: TIME };
    let at = |seconds, nanos| Meta { modified: Time { seconds, nanos }, ..Meta::file(TIME) };
    add(&mut tree, Tree::ROOT, b"not utf-8 \xff\xfe\x80", bytes(b"1"), odd);
    add(&mut tree, Tree::ROOT, b"\x01\n\\", Kind::Fifo, Meta { mode: 0, ..odd });
    let directory = add(&mut tree, Tree::ROOT, b"sticky", Kind::directory(), odd);
    add(&mut tree, directory, &[0xE9; 255], bytes(b"2"), at(-1, 999_999_999));
    let last = Device { major: 0xFFF, minor: 0xF_FFFF };
    add(&mut tree, directory, b"last", Kind::CharDevice(last), at(i32::MAX.into(), 1));
    let (early, late) = (at(-3_000_000_000, 0), at(1 << 33, 0));
    let early = add(&mut tree, directory, b"early", bytes(b""), early);
    let late = add(&mut tree, directory, b"late", bytes(b""), late);
    let wide = described(&tree);
    let mut cut = tree.clone();
    cut.meta_mut(early).0.modified.seconds = i32::MIN.into();
    cut.meta_mut(late).0.modified.seconds = i32::MAX.into();
    let narrow = described(&cut);
    assert_ne!(wide, narrow);
    round(tree, |version| if version == 1 { narrow.clone() } else { wide.clone() });
}

#[test]
fn a_volume_is_the_same_however_it_is_read() {
    let tree = Arc::new(sample());
    for number in [1, 2] {
        let one = volume(&version(number), &tree, FIT);
        let mut whole = vec![0; one.len() as usize];
        one.read_at(0, &mut whole).unwrap();
        let other = volume(&version(number), &Arc::new(sample()), FIT);
        let mut at = 0;
        for len in [1, 511, 8191, 70_001, 3].iter().cycle() {
            if at == whole.len() {
                break;
            }
            let mut piece = vec![0xAA; (*len).min(whole.len() - at)];
            other.read_at(at as u64, &mut piece).unwrap();
            assert!(piece == whole[at..at + piece.len()], "{len} bytes at {at}");
            at += piece.len();
        }
        // What is called a hole is zero.
        let mut end = 0;
        for extent in other.extents() {
            assert!(whole[end..extent.start() as usize].iter().all(|byte| *byte == 0));
            end = extent.end() as usize;
        }
        assert!(whole[end..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn what_has_no_place_is_refused() {
    for path in ["", "d", "d/file"] {
        let mut tree = empty();
        put(&mut tree, "d/file", bytes(&noise(10, 1)));
        let path = TreePath::new(path.as_bytes()).unwrap();
        let node = tree.find(&path).unwrap();
        let (_, attributes) = tree.meta_mut(node);
        attributes.get_or_insert_default().insert(b"user.a"[..].into(), b"1"[..].into());
        let name = path.split().map_or_else(|| "/".to_owned(), |(_, name)| name.to_string());
        refused(tree, &format!("{name} has extended attributes"));
    }
    let mut tree = empty();
    let large = Device { major: 4096, minor: 0 };
    put(&mut tree, "dev/large", Kind::BlockDevice(large));
    refused(tree, "large is device 4096:0, FFS has at most 4095:1048575");
}

#[test]
fn a_directory_has_at_most_32765_directories() {
    let mut tree = empty();
    let many = add(&mut tree, Tree::ROOT, b"many", Kind::directory(), Meta::directory(TIME));
    for number in 0..32765 {
        let name = format!("{number}");
        add(&mut tree, many, name.as_bytes(), Kind::directory(), Meta::directory(TIME));
    }
    add(&mut tree, many, b"a file more", bytes(b""), Meta::file(TIME));
    planned(&version(1), &Arc::new(tree.clone()), FIT).unwrap();
    add(&mut tree, many, b"one more", Kind::directory(), Meta::directory(TIME));
    refused(tree, "many has 32766 directories in it, FFS has at most 32765");
}
