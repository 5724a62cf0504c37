//! squashfs: unsquashfs judges what we write, and we read what mksquashfs writes.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::tree::{Kind, Limits, Meta, Time, Tree};
use vmimage::engine::base::{
    ByteSource, Content, Error, Placement, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::filesystem::squashfs::{self, Compression, Params};
use vmimage::engine::filesystem::{Identity, Request, Room};

use crate::sample::{NOON, Sparse, tree};
use crate::sample::{all, bytes, everything, from_directory, hash, lines, noise, prose, put, same};
use crate::tool::run;

const EACH: [Compression; 5] = [
    Compression::Gzip(6),
    Compression::Xz,
    Compression::Zstd(3),
    Compression::Lz4,
    Compression::None,
];

const FIT: Room = Room::Fit { percent: 0, bytes: 0 };

fn plan(params: &Params, tree: &Arc<Tree>, room: Room) -> Result<Arc<dyn SectorSource>, Error> {
    on_threads(params, tree, room, 2)
}

fn on_threads(
    params: &Params,
    tree: &Arc<Tree>,
    room: Room,
    threads: usize,
) -> Result<Arc<dyn SectorSource>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(directory.path(), 1 << 30);
    let request = Request {
        tree: Arc::clone(tree),
        identity: Identity::default(),
        room,
        time: NOON,
        sector: 512,
        scratch: &scratch,
        work: Work { threads, progress: &Silent },
    };
    let planned = squashfs::plan(params, &request)?;
    let len = planned.len();
    let medium = planned.render(&Placement { extents: Vec::new(), medium: len, volume: 0 })?;
    assert_eq!(medium.len(), len);
    Ok(medium)
}

pub(crate) fn made(params: &Params, tree: &Arc<Tree>) -> Arc<dyn SectorSource> {
    plan(params, tree, FIT).unwrap()
}

/// The time as squashfs keeps it.
fn kept(time: Time) -> Time {
    Time { seconds: time.seconds.clamp(0, u32::MAX.into()), nanos: 0 }
}

/// Extracts an image with unsquashfs.
pub(crate) fn extracted(image: &Path, into: &Path) -> Tree {
    let (image, directory) = (image.to_str().unwrap(), into.to_str().unwrap());
    let said = run("squashfs-tools", "unsquashfs", &["-no-progress", "-d", directory, image]);
    assert!(said.contains("created"), "{said}");
    from_directory(into)
}

#[test]
fn everything_is_extracted_as_it_was() {
    let tree = Arc::new(everything());
    for compression in EACH {
        let directory = tempfile::tempdir().unwrap();
        let params = Params { compression, ..Params::default() };
        let image = directory.path().join("image");
        fs::write(&image, all(made(&params, &tree).as_ref())).unwrap();
        let theirs = extracted(&image, &directory.path().join("out"));
        same(&lines(&tree, kept), &lines(&theirs, kept));
    }
}

#[test]
fn options_change_the_form_and_not_the_contents() {
    let tree = Arc::new(everything());
    let normal = made(&Params::default(), &tree).len();
    let base = Params { compression: Compression::Zstd(3), ..Params::default() };
    let small = Params { block_size: 4096, ..base.clone() };
    let large = Params { block_size: 1 << 20, ..base.clone() };
    let bare =
        Params { fragments: false, duplicates: false, export: false, pad: false, ..base.clone() };
    assert!(made(&bare, &tree).len() > normal);
    for params in [small, large, bare] {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        fs::write(&image, all(made(&params, &tree).as_ref())).unwrap();
        let theirs = extracted(&image, &directory.path().join("out"));
        same(&lines(&tree, kept), &lines(&theirs, kept));
    }
}

#[test]
fn threads_change_no_byte() {
    let tree = Arc::new(everything());
    for compression in EACH {
        let params = Params { compression, block_size: 16 << 10, ..Params::default() };
        let one = hash(on_threads(&params, &tree, FIT, 1).unwrap().as_ref());
        for threads in [2, 3, 7] {
            let other = on_threads(&params, &tree, FIT, threads).unwrap();
            assert_eq!(hash(other.as_ref()), one, "{compression:?} on {threads}");
        }
    }
}

#[test]
fn nothing_and_one_file() {
    let mut one = tree();
    put(&mut one, b"file", bytes(*b"x"), Meta::file(NOON));
    for tree in [Arc::new(tree()), Arc::new(one)] {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        fs::write(&image, all(made(&Params::default(), &tree).as_ref())).unwrap();
        let theirs = extracted(&image, &directory.path().join("out"));
        same(&lines(&tree, kept), &lines(&theirs, kept));
    }
}

#[test]
fn many_names_in_one_directory() {
    let mut tree = tree();
    let first = put(&mut tree, b"many/first", bytes([]), Meta::file(NOON));
    for n in 0..65_536 {
        let name = format!("many/{n:05}-{}", "n".repeat(n % 40));
        if n % 1000 == 999 {
            crate::sample::link(&mut tree, name.as_bytes(), first);
        } else {
            put(&mut tree, name.as_bytes(), bytes([]), Meta::file(NOON));
        }
    }
    let tree = Arc::new(tree);
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let medium = made(&Params::default(), &tree);
    fs::write(&image, all(medium.as_ref())).unwrap();
    let image = image.to_str().unwrap();
    let said = run("squashfs-tools", "unsquashfs", &["-l", "-d", "", image]);
    let theirs: Vec<_> = said.lines().filter(|line| line.starts_with('/')).collect();
    let ours: Vec<_> = tree.walk().skip(1).map(|step| step.path.to_string()).collect();
    assert!(theirs == ours, "{} and {} names", theirs.len(), ours.len());
    same(&lines(&tree, kept), &lines(&read(&medium).unwrap(), kept));
}

#[test]
fn long_and_sparse() {
    let mut tree = tree();
    let parts = vec![(0, noise(1, 5000)), (5 << 30, prose(2, 70_000)), ((6 << 30) + 5, vec![7; 9])];
    let source = Sparse { len: (6 << 30) + 100_000, parts };
    let file = Kind::File(Content::Sectors(Arc::new(source)));
    put(&mut tree, b"long", file, Meta::file(NOON));
    let hole = Kind::File(Content::Sectors(Arc::new(Sparse { len: 1000, parts: vec![] })));
    put(&mut tree, b"hole", hole, Meta::file(NOON));
    let tree = Arc::new(tree);
    let directory = tempfile::tempdir().unwrap();
    let medium = made(&Params::default(), &tree);
    assert!(medium.len() < 64 << 10, "{}", medium.len());
    same(&lines(&tree, kept), &lines(&read(&medium).unwrap(), kept));
    let image = directory.path().join("image");
    fs::write(&image, all(medium.as_ref())).unwrap();
    let theirs = extracted(&image, &directory.path().join("out"));
    same(&lines(&tree, kept), &lines(&theirs, kept));
}

#[test]
fn a_place_that_is_too_small_is_refused_by_one_block() {
    let tree = Arc::new(everything());
    let params = Params::default();
    let fit = made(&params, &tree);
    let exact = plan(&params, &tree, Room::Exactly(fit.len())).unwrap();
    assert_eq!(hash(exact.as_ref()), hash(fit.as_ref()));
    let error = plan(&params, &tree, Room::Exactly(fit.len() - 4096)).unwrap_err().to_string();
    assert!(
        error.contains("needs") && error.contains(&format!("has {}", fit.len() - 4096)),
        "{error}"
    );
    let more = plan(&params, &tree, Room::Fit { percent: 100, bytes: 1 << 20 }).unwrap();
    assert!(more.len() > 2 * fit.len() + (1 << 20) - 8192);
}

#[test]
fn what_cannot_be_stored_is_told_with_its_field() {
    let mut acl = tree();
    let node = put(&mut acl, b"file", bytes(*b"x"), Meta::file(NOON));
    crate::sample::xattr(&mut acl, node, b"system.posix_acl_access", b"\x02\0\0\0");
    let mut link = tree();
    let text = vec![b'x'; 4096].into();
    put(&mut link, b"link", Kind::Symlink(text), Meta::file(NOON));
    for (tree, part) in [(acl, "system.posix_acl_access"), (link, "4096 bytes")] {
        let error = plan(&Params::default(), &Arc::new(tree), FIT).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.origin().unwrap().as_str(), "test.contents");
    }
    let tree = Arc::new(tree());
    for params in [
        Params { block_size: 2048, ..Params::default() },
        Params { block_size: 5000, ..Params::default() },
        Params { compression: Compression::Zstd(23), ..Params::default() },
        Params { compression: Compression::Gzip(0), ..Params::default() },
    ] {
        assert!(plan(&params, &tree, FIT).is_err(), "{params:?}");
    }
}

fn read(medium: &Arc<dyn SectorSource>) -> Result<Tree, Error> {
    squashfs::read(Arc::clone(medium), &Limits::default())
}

fn medium(bytes: Vec<u8>) -> Arc<dyn SectorSource> {
    Arc::new(ByteSource::new(bytes))
}

#[test]
fn what_we_write_is_read_back() {
    let tree = Arc::new(everything());
    for compression in EACH {
        for block_size in [4096, 128 << 10, 1 << 20] {
            let params = Params { compression, block_size, ..Params::default() };
            let medium = made(&params, &tree);
            let facts = squashfs::look(medium.as_ref()).unwrap().unwrap();
            assert_eq!((facts.kind, facts.block_size), ("squashfs", u64::from(block_size)));
            same(&lines(&tree, kept), &lines(&read(&medium).unwrap(), kept));
        }
    }
}

#[test]
fn foreign_images_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut tree = everything();
    let parts = vec![(0, noise(1, 5000)), (50 << 20, prose(2, 70_000))];
    let source = Sparse { len: (60 << 20) + 7, parts };
    let file = Kind::File(Content::Sectors(Arc::new(source)));
    put(&mut tree, b"long", file, Meta::file(NOON));
    let tree = Arc::new(tree);
    let image = directory.path().join("ours");
    fs::write(&image, all(made(&Params::default(), &tree).as_ref())).unwrap();
    let root = directory.path().join("out");
    let expected = lines(&extracted(&image, &root), kept);
    let theirs = directory.path().join("theirs");
    let options: [&[&str]; 9] = [
        &["-comp", "gzip"],
        &["-comp", "xz", "-b", "1M"],
        &["-comp", "xz", "-Xbcj", "x86"],
        &["-comp", "zstd", "-b", "4K"],
        &["-comp", "lz4"],
        &["-comp", "lz4", "-Xhc", "-always-use-fragments"],
        &["-noI", "-noD", "-noF", "-noX", "-noId"],
        &["-no-fragments", "-no-duplicates", "-no-exports", "-no-sparse"],
        &["-tailends", "-nopad"],
    ];
    for options in options {
        let common = ["-noappend", "-quiet", "-no-progress"];
        let mut arguments = vec![root.to_str().unwrap(), theirs.to_str().unwrap()];
        arguments.extend(common.iter().chain(options));
        run("squashfs-tools", "mksquashfs", &arguments);
        let medium = medium(fs::read(&theirs).unwrap());
        same(&expected, &lines(&read(&medium).unwrap(), kept));
    }
    for (name, part) in [("lzo", "lzo"), ("lzma", "lzma")] {
        let arguments = ["-noappend", "-quiet", "-no-progress", "-comp", name];
        let paths = [root.to_str().unwrap(), theirs.to_str().unwrap()];
        run("squashfs-tools", "mksquashfs", &[&paths[..], &arguments].concat());
        let error = read(&medium(fs::read(&theirs).unwrap())).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// Reads all that there is, whatever it says.
fn devour(medium: &Arc<dyn SectorSource>) -> Result<(), Error> {
    let limits = Limits { nodes: 1000, file: 1 << 24, total: 1 << 26, ..Limits::default() };
    squashfs::look(medium.as_ref())?;
    let tree = squashfs::read(Arc::clone(medium), &limits)?;
    let mut buffer = vec![0; 1 << 16];
    for step in tree.walk() {
        if let Kind::File(Content::Sectors(source)) = &tree.node(step.node).kind {
            for extent in source.extents().take(100) {
                let len = extent.len().min(1 << 16) as usize;
                source.read_at(extent.start(), &mut buffer[..len])?;
            }
        }
    }
    Ok(())
}

pub(crate) fn little() -> Tree {
    let mut tree = tree();
    let file = put(&mut tree, b"a/file", bytes(prose(1, 4500)), Meta::file(NOON));
    crate::sample::link(&mut tree, b"b", file);
    crate::sample::xattr(&mut tree, file, b"user.x", b"value");
    put(&mut tree, b"short", bytes(*b"tail"), Meta::file(NOON));
    put(
        &mut tree,
        b"null",
        Kind::CharDevice(vmimage::engine::base::tree::Device { major: 1, minor: 3 }),
        Meta::file(NOON),
    );
    put(&mut tree, b"to", Kind::Symlink(b"a/file"[..].into()), Meta::file(NOON));
    for n in 0..20 {
        put(&mut tree, format!("d/{n}").as_bytes(), Kind::Fifo, Meta::file(NOON));
    }
    tree
}

#[test]
fn no_changed_byte_is_a_panic_or_without_end() {
    let tree = Arc::new(little());
    for compression in EACH {
        let params = Params { compression, block_size: 4096, pad: false, ..Params::default() };
        let good = all(made(&params, &tree).as_ref());
        devour(&medium(good.clone())).unwrap();
        let mut refused = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= [0x01, 0x80, 0xff][at % 3];
            let began = std::time::Instant::now();
            refused += usize::from(devour(&medium(bad)).is_err());
            assert!(began.elapsed().as_secs() < 5, "{at}");
        }
        assert!(refused > good.len() / 24, "{compression:?}: {refused} of {}", good.len());
        for len in (0..good.len()).step_by(7) {
            assert!(len < 96 || devour(&medium(good[..len].to_vec())).is_err(), "{len}");
        }
    }
}

#[test]
fn limits_are_kept() {
    let medium = made(&Params::default(), &Arc::new(everything()));
    let normal = Limits::default();
    for (limits, part) in [
        (Limits { nodes: 10, ..normal }, "more than 10 names"),
        (Limits { file: 1000, ..normal }, "more than 1000 bytes"),
        (Limits { total: 400_000, ..normal }, "more than 400000 bytes"),
        (Limits { attributes: 500, ..normal }, "more than 500 bytes of attributes"),
        (Limits { depth: 20, ..normal }, "more than 20 directories"),
    ] {
        let error = squashfs::read(Arc::clone(&medium), &limits).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
