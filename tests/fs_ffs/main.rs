//! FFS volumes judged by sleuthkit, and their geometry compared with makefs'.
//!
//! `fsck_ffs` is not in Debian: sums and bitmaps are recounted by sleuthkit's `fsstat` and by the
//! test itself. Invariant: what is expected comes from the tree and from these tools.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod check;
mod limits;
#[path = "../support/sparse.rs"]
mod sparse;
#[path = "../support/tool.rs"]
mod tool;

use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::tree::{
    Device, Kind, Limits, Meta, Missing, Name, Time, Tree, TreePath,
};
use vmimage::engine::base::{
    ByteSource, Content, Error, Extent, FileSource, Origin, Placement, Scratch, SectorSource,
    Silent, Work,
};
use vmimage::engine::filesystem::{
    Identity, Params, Planned, Request, Room, ffs, look, plan, read,
};

use crate::sparse::{noise, sparse, write};

const TIME: Time = Time { seconds: 1_709_210_096, nanos: 0 };

fn empty() -> Tree {
    Tree::new(Meta::directory(TIME), Origin::new("root"))
}

fn put(tree: &mut Tree, path: &str, kind: Kind) {
    let origin = Origin::new("files");
    let path = TreePath::new(path.as_bytes()).unwrap();
    let (parent, name) = path.split().unwrap();
    let meta = if kind.is_directory() { Meta::directory(TIME) } else { Meta::file(TIME) };
    let meta = Meta { uid: 1000, gid: 70_000, ..meta };
    let parent = tree.directory_at(&parent, Missing::Make(Meta::directory(TIME)), &origin).unwrap();
    tree.put(parent, name.clone(), kind, meta, &origin).unwrap();
}

fn bytes(bytes: &[u8]) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

fn sample() -> Tree {
    let mut tree = empty();
    put(&mut tree, "empty", bytes(b""));
    put(&mut tree, "small", bytes(b"small\n"));
    put(&mut tree, "one block", bytes(&noise(8192, 1)));
    put(&mut tree, "direct", bytes(&noise(12 * 8192, 2)));
    put(&mut tree, "indirect", bytes(&noise(12 * 8192 + 1, 3)));
    put(&mut tree, "double", bytes(&noise(9_000_000, 4)));
    put(&mut tree, "holes", sparse(20 << 20, &[(5, b"first"), (10 << 20, b"middle")]));
    put(&mut tree, &"n".repeat(255), bytes(b"255\n"));
    put(&mut tree, "a/b/c/d/e/f/g/h/i/j/deep", bytes(b"deep\n"));
    put(&mut tree, "fast", Kind::Symlink(b"target"[..].into()));
    put(&mut tree, "slow", Kind::Symlink(vec![b'x'; 150].into()));
    put(&mut tree, "dev/null", Kind::CharDevice(Device { major: 2, minor: 2 }));
    put(&mut tree, "dev/disk", Kind::BlockDevice(Device { major: 19, minor: 300 }));
    put(&mut tree, "dev/pipe", Kind::Fifo);
    put(&mut tree, "dev/socket", Kind::Socket);
    for n in 0..500 {
        put(&mut tree, &format!("many/file number {n}"), bytes(&noise(n * 7, n as u64)));
    }
    let small = tree.find(&TreePath::new(b"small").unwrap()).unwrap();
    tree.link(Tree::ROOT, Name::new(b"again").unwrap(), small).unwrap();
    tree
}

fn planned(params: &ffs::Params, tree: &Arc<Tree>, room: Room) -> Result<Box<dyn Planned>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let request = Request {
        tree: Arc::clone(tree),
        identity: Identity { label: None, uuid: None, seed: uuid::Uuid::from_u128(9) },
        room,
        time: TIME,
        sector: 512,
        scratch: &Scratch::new(directory.path(), 0),
        work: Work { threads: 1, progress: &Silent },
    };
    plan(&Params::Ffs(params.clone()), &request)
}

fn volume(params: &ffs::Params, tree: &Arc<Tree>, room: Room) -> Arc<dyn SectorSource> {
    let planned = planned(params, tree, room).unwrap();
    let extents = Extent::new(0, planned.len()).into_iter().collect();
    let medium = planned.len();
    planned.render(&Placement { extents, medium, volume: 0 }).unwrap()
}

fn versions() -> Vec<ffs::Params> {
    let mut all = Vec::new();
    for version in [1, 2] {
        for big_endian in [false, true] {
            for (block_size, fragment_size) in
                [(8192, 1024), (4096, 512), (16384, 2048), (8192, 8192)]
            {
                all.push(ffs::Params {
                    version,
                    big_endian,
                    block_size,
                    fragment_size,
                    ..ffs::Params::default()
                });
            }
        }
    }
    all
}

fn kind(params: &ffs::Params) -> &'static str {
    if params.version == 1 { "ufs1" } else { "ufs2" }
}

/// Every name that sleuthkit finds with its inode, as `fls -rp` shows them.
fn names(path: &Path, params: &ffs::Params) -> Vec<(String, String, String)> {
    let said = tool::run("sleuthkit", "fls", &["-f", kind(params), "-rp", path.to_str().unwrap()]);
    let line = |line: &str| {
        let (left, name) = line.split_once(":\t").unwrap();
        let (kind, inode) = left.split_once(' ').unwrap();
        (name.to_owned(), kind.to_owned(), inode.to_owned())
    };
    let mut found: Vec<_> =
        said.lines().map(line).filter(|(name, ..)| !name.starts_with("$OrphanFiles")).collect();
    found.sort();
    found
}

fn expected(tree: &Tree) -> Vec<(String, String)> {
    let mut found: Vec<_> = tree
        .walk()
        .skip(1)
        .map(|step| {
            let names = step
                .path
                .names()
                .iter()
                .map(|n| String::from_utf8_lossy(n.as_bytes()).into_owned());
            let kind = match tree.node(step.node).kind {
                Kind::Directory(_) => "d/d",
                Kind::File(_) => "r/r",
                Kind::Symlink(_) => "l/l",
                Kind::CharDevice(_) => "c/c",
                Kind::BlockDevice(_) => "b/b",
                Kind::Fifo => "p/p",
                Kind::Socket => "s/h",
            };
            (names.collect::<Vec<_>>().join("/"), kind.to_owned())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn sleuthkit_sees_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("volume");
    let text = path.to_str().unwrap();
    let tree = Arc::new(sample());
    for params in versions() {
        let volume = volume(&params, &tree, Room::Fit { percent: 0, bytes: 0 });
        assert!(volume.len() < 14 << 20, "{params:?} {}", volume.len());
        write(&path, volume.as_ref(), 1 << 20);
        let found = names(&path, &params);
        let shown: Vec<_> =
            found.iter().map(|(name, kind, _)| (name.clone(), kind.clone())).collect();
        assert_eq!(shown, expected(&tree), "{params:?}");
        for step in tree.walk() {
            let Kind::File(content) = &tree.node(step.node).kind else { continue };
            let name = step.path.to_string();
            // One of ten of the many.
            let many =
                name.starts_with("/many") && !(name.ends_with("77") && params.block_size == 8192);
            if many || params.fragment_size != 1024 && content.len() < 90_000 {
                continue;
            }
            let wanted = match content {
                Content::Bytes(bytes) => bytes.to_vec(),
                Content::Sectors(source) => {
                    let mut bytes = vec![0; source.len() as usize];
                    source.read_at(0, &mut bytes).unwrap();
                    bytes
                }
                Content::Late(_) => continue,
            };
            let inode = &found.iter().find(|(found, ..)| *found == name[1..]).unwrap().2;
            let got = directory.path().join("got");
            let script = format!("icat -f {} {text} {inode} > {}", kind(&params), got.display());
            tool::run("sleuthkit", "bash", &["-c", &script]);
            assert!(fs_err::read(&got).unwrap() == wanted, "{params:?} {name}");
        }
    }
}

fn content(kind: &Kind) -> Vec<u8> {
    match kind {
        Kind::File(Content::Bytes(bytes)) => bytes.to_vec(),
        Kind::File(Content::Sectors(source)) => {
            let mut bytes = vec![0; source.len() as usize];
            source.read_at(0, &mut bytes).unwrap();
            bytes
        }
        Kind::Symlink(target) => target.to_vec(),
        Kind::CharDevice(device) | Kind::BlockDevice(device) => format!("{device:?}").into_bytes(),
        _ => Vec::new(),
    }
}

/// All that an FFS tells of a tree.
fn described(tree: &Tree) -> Vec<String> {
    let lines = tree.walk().map(|step| {
        let node = tree.node(step.node);
        let names = if node.kind.is_directory() { 0 } else { node.names() };
        let bytes = content(&node.kind);
        let sum = crc32c::crc32c(&bytes);
        format!(
            "{} {} {:?} {names} {} {sum:08x}",
            step.path,
            node.kind.word(),
            node.meta,
            bytes.len()
        )
    });
    lines.collect()
}

#[test]
fn our_reader_sees_the_tree_and_the_sums() {
    let tree = Arc::new(sample());
    for params in versions() {
        for room in [Room::Fit { percent: 0, bytes: 0 }, Room::Exactly(64 << 20)] {
            let volume = volume(&params, &tree, room);
            let back = read(&volume, &Limits::default()).unwrap().unwrap();
            assert_eq!(described(&back), described(&tree), "{params:?}");
            let facts = look(volume.as_ref()).unwrap().unwrap();
            assert_eq!(facts.size, volume.len());
            let mut image = vec![0; volume.len() as usize];
            volume.read_at(0, &mut image).unwrap();
            let (big, wide) = (params.big_endian, params.version == 2);
            let free = check::Check { image: &image, big, wide }.run();
            assert_eq!(facts.free, Some(free * params.fragment_size));
        }
    }
}

#[test]
fn the_smallest_volume_is_full_to_the_last_block() {
    let mut one = empty();
    put(&mut one, "one", bytes(b"1"));
    for tree in [empty(), one, sample()] {
        let tree = Arc::new(tree);
        for params in versions() {
            let fit = Room::Fit { percent: 0, bytes: 0 };
            let len = planned(&params, &tree, fit).unwrap().len();
            assert_eq!(planned(&params, &tree, Room::Exactly(len)).unwrap().len(), len);
            let less = planned(&params, &tree, Room::Exactly(len - params.block_size));
            assert!(less.is_err(), "{params:?} {len}");
        }
    }
}

#[test]
fn volumes_of_makefs_are_read_and_ours_look_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let host = directory.path().join("host");
    fs_err::create_dir_all(host.join("sub/inner")).unwrap();
    for (name, len) in [("a", 5), ("sub/b", 8192), ("sub/inner/c", 300_000), ("double", 20_000_000)]
    {
        fs_err::write(host.join(name), noise(len, len as u64)).unwrap();
    }
    fs_err::os::unix::fs::symlink("a", host.join("fast")).unwrap();
    fs_err::os::unix::fs::symlink("x".repeat(150), host.join("slow")).unwrap();
    fs_err::hard_link(host.join("a"), host.join("sub/again")).unwrap();
    for (version, endian) in [(1, "le"), (2, "le"), (1, "be"), (2, "be")] {
        let path = directory.path().join("theirs");
        let options = format!("version={version}");
        let (image, root) = (path.to_str().unwrap(), host.to_str().unwrap());
        tool::run(
            "makefs",
            "makefs",
            &["-t", "ffs", "-B", endian, "-o", &options, "-s", "64m", image, root],
        );
        let medium: Arc<dyn SectorSource> = Arc::new(FileSource::open(&path).unwrap());
        let tree = Arc::new(read(&medium, &Limits::default()).unwrap().unwrap());
        assert_eq!(tree.count(), 9, "{version} {endian}");
        for (name, len) in
            [("a", 5), ("sub/b", 8192), ("sub/inner/c", 300_000), ("double", 20_000_000)]
        {
            let found = tree.find(&TreePath::new(name.as_bytes()).unwrap()).unwrap();
            assert!(content(&tree.node(found).kind) == noise(len, len as u64), "{name}");
        }
        let params = ffs::Params { version, big_endian: endian == "be", ..ffs::Params::default() };
        let ours = volume(&params, &tree, Room::Exactly(64 << 20));
        assert_eq!(described(&read(&ours, &Limits::default()).unwrap().unwrap()), described(&tree));
        let (theirs, ours) =
            (look(medium.as_ref()).unwrap().unwrap(), look(ours.as_ref()).unwrap().unwrap());
        assert_eq!((theirs.size, theirs.block_size), (ours.size, ours.block_size));
        assert_eq!(theirs.features, ours.features);
    }
}

#[test]
fn one_changed_byte_never_panics_and_ends() {
    let mut tree = empty();
    put(&mut tree, "d/file", bytes(&noise(3000, 1)));
    put(&mut tree, "d/large", bytes(&noise(60_000, 2)));
    put(&mut tree, "link", Kind::Symlink(b"target"[..].into()));
    let tree = Arc::new(tree);
    for version in [1, 2] {
        let params =
            ffs::Params { version, block_size: 4096, fragment_size: 512, ..ffs::Params::default() };
        let volume = volume(&params, &tree, Room::Fit { percent: 0, bytes: 0 });
        let mut image = vec![0; volume.len() as usize];
        volume.read_at(0, &mut image).unwrap();
        let right = described(&tree);
        let (mut refused, mut changed) = (0, 0);
        for at in (0..image.len()).filter(|at| image[*at] != 0).take(2500) {
            for mask in [0xFF, 1, 0x80] {
                let mut image = image.clone();
                image[at] ^= mask;
                let medium: Arc<dyn SectorSource> = Arc::new(ByteSource::new(image));
                // Sizes are taken at their word where holes may be: not all of them are read.
                let limits = Limits { file: 1 << 20, ..Limits::default() };
                match read(&medium, &limits) {
                    Err(_) | Ok(None) => refused += 1,
                    Ok(Some(tree)) => changed += u32::from(described(&tree) != right),
                }
            }
        }
        assert!(refused > 50 && changed > 50, "{refused} {changed}");
    }
}
