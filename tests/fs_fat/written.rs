//! What we write, judged by foreign tools.

use std::sync::Arc;

use vmimage::engine::base::tree::{Device, Kind, Limits, Meta, Name, Time, Tree, TreePath};
use vmimage::engine::base::{Content, Late, Placement, SectorSource};
use vmimage::engine::filesystem::{Identity, Room, fat, look, read};

use crate::sparse::write;
use crate::tree::{Ask, TIME, at, bytes, described, empty, put, put_with, sample, sparse, whole};
use crate::{clean, tool};

fn kinds() -> Vec<(&'static str, Ask)> {
    let bits = |bits| fat::Params { bits: Some(bits), ..fat::Params::default() };
    let exactly = |bytes| Ask { room: Room::Exactly(bytes), ..Ask::default() };
    vec![
        ("fit", Ask::default()),
        ("fat12", Ask { params: bits(fat::Bits::Twelve), ..exactly(6 << 20) }),
        ("fat16", Ask { params: bits(fat::Bits::Sixteen), ..exactly(20 << 20) }),
        ("fat32", Ask { params: bits(fat::Bits::ThirtyTwo), ..exactly(64 << 20) }),
        ("fit16", Ask { params: bits(fat::Bits::Sixteen), ..Ask::default() }),
        ("fit32", Ask { params: bits(fat::Bits::ThirtyTwo), ..Ask::default() }),
        ("auto32", exactly(600 << 20)),
        ("4k", Ask { sector: 4096, ..exactly(64 << 20) }),
        ("4k32", Ask { sector: 4096, ..exactly(1 << 30) }),
        (
            "flags",
            Ask {
                params: fat::Params { case_flags: true, fats: 1, ..fat::Params::default() },
                ..Ask::default()
            },
        ),
        (
            "named",
            Ask {
                identity: Identity {
                    label: Some("CIDATA 1".to_owned()),
                    uuid: Some("abcd-1234".to_owned()),
                    ..Ask::default().identity
                },
                ..exactly(4 << 20)
            },
        ),
    ]
}

/// The paths and sizes that 7-Zip sees, sorted.
fn seven(path: &str) -> Vec<(String, u64)> {
    let said = tool::run("7zip", "7zz", &["l", "-slt", "-ba", path]);
    let mut found: Vec<_> = said
        .split("\n\n")
        .filter_map(|block| {
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
            };
            let size = field("Size = ")?.parse().unwrap_or(0);
            Some((field("Path = ")?, size))
        })
        .collect();
    found.sort();
    found
}

fn expected(tree: &Tree) -> Vec<(String, u64)> {
    let mut found: Vec<_> = tree
        .walk()
        .skip(1)
        .map(|step| {
            let names =
                step.path.names().iter().map(|n| String::from_utf8(n.as_bytes().to_vec()).unwrap());
            (names.collect::<Vec<_>>().join("/"), tree.node(step.node).len())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn every_type_is_clean_and_holds_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let tree = Arc::new(sample());
    for (name, ask) in kinds() {
        let path = directory.path().join(name);
        write(&path, ask.volume(&tree).as_ref(), 1 << 20);
        clean(&path);
        let text = path.to_str().unwrap();
        assert_eq!(seven(text), expected(&tree), "{name}");
        for (file, len) in
            [("/EFI/BOOT/BOOTX64.EFI", 70_000), ("/A longer name than eight.three", 5000)]
        {
            let got = directory.path().join("got");
            tool::run(
                "mtools",
                "mcopy",
                &["-n", "-i", text, &format!("::{file}"), got.to_str().unwrap()],
            );
            let seed = if len == 70_000 { 3 } else { 1 };
            assert!(fs_err::read(&got).unwrap() == crate::tree::noise(len, seed), "{name} {file}");
            fs_err::remove_file(&got).unwrap();
        }
        let volume = ask.volume(&tree);
        assert_eq!(
            described(&read(&volume, &Limits::default()).unwrap().unwrap()),
            described(&tree)
        );
        blkid_agrees(&path, volume.as_ref(), ask.plan(&tree).unwrap().uuid());
        fs_err::remove_file(&path).unwrap();
    }
}

fn blkid_agrees(path: &std::path::Path, volume: &dyn SectorSource, uuid: Option<String>) {
    let facts = look(volume).unwrap().unwrap();
    let said = tool::run("util-linux", "blkid", &["-p", "-o", "export", path.to_str().unwrap()]);
    let field = |name: &str| {
        said.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.replace("\\ ", " "))
    };
    assert_eq!(field("TYPE="), Some("vfat".to_owned()));
    assert_eq!(field("LABEL="), facts.label, "{said}");
    assert_eq!(field("UUID="), facts.uuid);
    assert_eq!(facts.uuid, uuid);
    assert_eq!(field("VERSION="), facts.features.first().cloned());
}

/// The smallest volume is accepted as a fixed size, and refused with one sector less.
#[test]
fn the_smallest_volume_is_full_to_the_last_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let mut small = empty();
    put(&mut small, "one", bytes(b"1"));
    let mut large = sample();
    put(&mut large, "big", sparse(30 << 20, &[(5, b"x")]));
    for tree in [empty(), small, sample(), large] {
        let tree = Arc::new(tree);
        for bits in
            [None, Some(fat::Bits::Twelve), Some(fat::Bits::Sixteen), Some(fat::Bits::ThirtyTwo)]
        {
            for cluster_size in [None, Some(4096)] {
                let params = fat::Params { bits, cluster_size, ..fat::Params::default() };
                let fit = Ask { params, ..Ask::default() };
                let Ok(planned) = fit.plan(&tree) else {
                    assert_eq!((bits, cluster_size), (Some(fat::Bits::Twelve), Some(4096)));
                    continue;
                };
                let len = planned.len();
                let exactly = |len| Ask { room: Room::Exactly(len), ..fit.clone() };
                assert_eq!(exactly(len).plan(&tree).unwrap().len(), len);
                let less = exactly(len - 512).plan(&tree);
                assert!(less.is_err(), "{bits:?} {cluster_size:?} {len}");
                let path = directory.path().join("full");
                write(&path, exactly(len).volume(&tree).as_ref(), 1 << 20);
                clean(&path);
            }
        }
    }
}

#[test]
fn room_on_top_is_free() {
    let tree = Arc::new(sample());
    for (percent, more) in [(0, 0), (10, 0), (0, 3 << 20), (50, 1 << 20)] {
        let ask = Ask { room: Room::Fit { percent, bytes: more }, ..Ask::default() };
        let facts = look(ask.volume(&tree).as_ref()).unwrap().unwrap();
        let free = facts.free.unwrap();
        assert!(free >= more + u64::from(percent) * 500_000 / 100, "{percent} {more}: {free}");
    }
}

#[test]
fn what_fat_cannot_hold_is_refused_with_its_path() {
    let device = Kind::CharDevice(Device { major: 1, minor: 3 });
    for (path, kind, says) in [
        (
            "d/link",
            Kind::Symlink(b"x"[..].into()),
            "/d/link cannot be on FAT: it is a symbolic link",
        ),
        ("d/null", device, "/d/null cannot be on FAT: it is a character device"),
        ("d/pipe", Kind::Fifo, "it is a FIFO"),
        ("d/a:b", bytes(b""), "/d/a:b cannot be on FAT: it holds ':'"),
        ("d/dot.", bytes(b""), "it ends with '.'"),
        ("d/FILE", bytes(b""), "differs only in small and capital letters"),
        ("d/huge", sparse(1 << 32, &[]), "it has 4294967296 bytes, at most 4294967295 can be"),
    ] {
        let mut tree = empty();
        put(&mut tree, "d/file", bytes(b"x"));
        put(&mut tree, path, kind);
        let error = Ask::default().plan(&Arc::new(tree)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.origin().unwrap().as_str().starts_with("files.d/"));
    }
    let mut tree = empty();
    let name = Name::new(b"bad\xff").unwrap();
    let meta = Meta::file(TIME);
    tree.put(Tree::ROOT, name, bytes(b""), meta, &vmimage::engine::base::Origin::new("o")).unwrap();
    assert!(Ask::default().plan(&Arc::new(tree)).unwrap_err().to_string().contains("not UTF-8"));
    for (label, uuid) in [
        (Some("twelve chars"), None),
        (Some("a/b"), None),
        (None, Some("12345")),
        (None, Some("XXXX-1234")),
    ] {
        let identity = Identity {
            label: label.map(str::to_owned),
            uuid: uuid.map(str::to_owned),
            ..Ask::default().identity
        };
        let ask = Ask { identity, ..Ask::default() };
        assert!(ask.plan(&Arc::new(empty())).is_err(), "{label:?} {uuid:?}");
    }
}

#[test]
fn the_largest_file_and_the_largest_directory_are_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("volume");
    let mut tree = empty();
    // fsck.fat 4.2 counts a chain's bytes in 32 bits: a cluster more and it is 0 to it.
    let last = u64::from(u32::MAX) - 4096;
    put(&mut tree, "largest", sparse(last + 1, &[(0, b"a"), (last, b"z")]));
    // Longer directories take fsck.fat minutes: it compares every name with every other.
    for n in 0..2000 {
        put(&mut tree, &format!("many/F{n}"), bytes(b""));
    }
    let volume = Ask::default().volume(&Arc::new(tree));
    write(&path, volume.as_ref(), 1 << 20);
    clean(&path);
    assert!(volume.extents().map(|extent| extent.len()).sum::<u64>() < 20 << 20);
    let mut tree = empty();
    put(&mut tree, "largest", sparse(u64::from(u32::MAX), &[]));
    for n in 0..65_000 {
        put(&mut tree, &format!("many/F{n}"), bytes(b""));
    }
    let tree = Arc::new(tree);
    let volume = Ask::default().volume(&tree);
    write(&path, volume.as_ref(), 1 << 20);
    let back = read(&volume, &Limits::default()).unwrap().unwrap();
    assert_eq!(back.count(), tree.count());
    assert_eq!(seven(path.to_str().unwrap()), expected(&tree));
    // With long names each takes two entries.
    let mut long = empty();
    for n in 0..33_000 {
        put(&mut long, &format!("many/small{n}"), bytes(b""));
    }
    let error = Ask::default().plan(&Arc::new(long)).unwrap_err().to_string();
    assert!(error.contains("the names of /many take 66002 entries"), "{error}");
}

#[test]
fn floppies_are_what_mtools_makes() {
    let directory = tempfile::tempdir().unwrap();
    let mut tree = empty();
    put(&mut tree, "KERNEL.SYS", bytes(&crate::tree::noise(300_000, 5)));
    let tree = Arc::new(tree);
    for (floppy, kib, name) in [
        (fat::Floppy::Kib720, 720, "720"),
        (fat::Floppy::Kib1200, 1200, "1200"),
        (fat::Floppy::Kib1440, 1440, "1440"),
        (fat::Floppy::Kib2880, 2880, "2880"),
    ] {
        let ours = directory.path().join("ours");
        let params = fat::Params { floppy: Some(floppy), ..fat::Params::default() };
        write(&ours, Ask { params, ..Ask::default() }.volume(&tree).as_ref(), 1 << 20);
        clean(&ours);
        let theirs = directory.path().join("theirs");
        let _ = fs_err::remove_file(&theirs);
        tool::run("mtools", "mformat", &["-C", "-f", name, "-i", theirs.to_str().unwrap()]);
        let (ours, theirs) = (fs_err::read(ours).unwrap(), fs_err::read(theirs).unwrap());
        assert_eq!((ours.len(), theirs.len()), (kib << 10, kib << 10));
        // The parameters from bytes per sector to heads; the first byte of the FAT.
        assert_eq!(ours[11..28], theirs[11..28], "{name}");
        assert_eq!(ours[512..515], theirs[512..515], "{name}");
    }
}

#[test]
fn a_volume_knows_its_place_and_settles_late_contents() {
    let late = |align| Late {
        len: 1000,
        align,
        contiguous: true,
        finish: Box::new(|place: &Placement| {
            let at = place.extents[0].start();
            at.to_le_bytes().repeat(125)
        }),
    };
    let mut tree = empty();
    put(&mut tree, "first", bytes(&[7; 3000]));
    put(&mut tree, "ldlinux.sys", Kind::File(Content::Late(Arc::new(late(512)))));
    let tree = Arc::new(tree);
    let make = |places: &[Placement]| {
        let mut code = vec![0xEB, 0x3C, 0x90];
        code.resize(0x80, 0x11);
        code.extend(places[0].extents[0].start().to_le_bytes());
        code
    };
    let boot =
        fat::BootCode { files: vec![TreePath::new(b"ldlinux.sys").unwrap()], make: Arc::new(make) };
    let ask = Ask {
        params: fat::Params { boot: Some(boot), ..fat::Params::default() },
        ..Ask::default()
    };
    let planned = ask.plan(&tree).unwrap();
    let start = 1 << 20;
    let place = at(start, planned.len());
    let volume = planned.render(&place).unwrap();
    let image = whole(volume.as_ref());
    let found = image[0x80..0x88].try_into().map(u64::from_le_bytes).unwrap();
    let inside = (found - start) as usize;
    assert_eq!(image[inside..inside + 1000], found.to_le_bytes().repeat(125));
    assert_eq!(image[0x1C..0x20], 2048u32.to_le_bytes());
    assert_eq!(image[0x70..0x80], [0x11; 16]);
    let mut tree = empty();
    put(&mut tree, "odd", Kind::File(Content::Late(Arc::new(late(1 << 16)))));
    let planned = Ask::default().plan(&Arc::new(tree)).unwrap();
    let place = at(512, planned.len());
    assert!(planned.render(&place).unwrap_err().to_string().contains("no multiple of 65536"));
}

#[test]
fn names_of_one_file_become_files_and_odd_times_the_nearest() {
    let mut tree = empty();
    let old = Meta { modified: Time { seconds: -5, nanos: 0 }, ..Meta::file(TIME) };
    put_with(&mut tree, "one", bytes(b"shared"), old);
    let one = tree.find(&TreePath::new(b"one").unwrap()).unwrap();
    tree.link(Tree::ROOT, Name::new(b"two").unwrap(), one).unwrap();
    let far = Meta { modified: Time { seconds: 1 << 40, nanos: 5 }, ..Meta::file(TIME) };
    put_with(&mut tree, "future", bytes(b""), far);
    let tree = Arc::new(tree);
    let volume = Ask::default().volume(&tree);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("volume");
    write(&path, volume.as_ref(), 1 << 20);
    clean(&path);
    assert_eq!(described(&read(&volume, &Limits::default()).unwrap().unwrap()), described(&tree));
    let said = tool::run("mtools", "mdir", &["-i", path.to_str().unwrap(), "::"]);
    assert!(said.contains("1980-01-01") && said.contains("2107-12-31"), "{said}");
}

#[test]
fn reads_of_any_size_see_the_same_bytes() {
    let tree = Arc::new(sample());
    let ask = Ask {
        params: fat::Params { bits: Some(fat::Bits::Twelve), ..fat::Params::default() },
        ..Ask::default()
    };
    let (one, two) = (ask.volume(&tree), ask.volume(&tree));
    let image = whole(one.as_ref());
    for size in [1, 3, 511, 4097] {
        for (number, piece) in image.chunks(size).enumerate().take(60_000) {
            let mut buffer = vec![0x55; piece.len()];
            two.read_at((number * size) as u64, &mut buffer).unwrap();
            assert!(buffer == piece, "{size} at {}", number * size);
        }
    }
    let mut covered = vec![0; image.len()];
    for extent in one.extents() {
        let range = extent.start() as usize..extent.end() as usize;
        covered[range.clone()].copy_from_slice(&image[range]);
    }
    assert!(covered == image);
}
