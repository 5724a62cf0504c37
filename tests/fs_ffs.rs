//! FFS volumes judged by sleuthkit, and their geometry compared with makefs'.
//!
//! `fsck_ffs` is not in Debian: sums and bitmaps are recounted by sleuthkit's `fsstat` and by the
//! test itself. Invariant: what is expected comes from the tree and from these tools.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "support/tool.rs"]
mod tool;

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::tree::{Device, Kind, Meta, Missing, Name, Time, Tree, TreePath};
use vmimage::engine::base::{
    Composed, Content, Error, Extent, Origin, Placement, Region, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::filesystem::{Identity, Params, Planned, Request, Room, ffs, plan};

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

fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn sparse(len: u64, pieces: &[(u64, &[u8])]) -> Kind {
    let region = |(at, bytes): &(u64, &[u8])| Region {
        extent: Extent::new(*at, at + bytes.len() as u64).unwrap(),
        content: Content::Bytes((*bytes).into()),
        origin: Origin::new("sparse"),
    };
    Kind::File(Content::Sectors(Arc::new(Composed::new(len, pieces.iter().map(region).collect()))))
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
        put(&mut tree, &format!("many/file number {n}"), bytes(&noise(n * 7, n as u32)));
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
    planned.render(&Placement { extents, medium }).unwrap()
}

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

fn versions() -> Vec<ffs::Params> {
    let mut all = Vec::new();
    for version in [1, 2] {
        for big_endian in [false, true] {
            for (block_size, fragment_size) in [(8192, 1024), (4096, 512), (16384, 2048), (8192, 8192)] {
                all.push(ffs::Params { version, big_endian, block_size, fragment_size, ..ffs::Params::default() });
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
    let mut found: Vec<_> = said.lines().map(line).filter(|(name, ..)| !name.starts_with("$OrphanFiles")).collect();
    found.sort();
    found
}

fn expected(tree: &Tree) -> Vec<(String, String)> {
    let mut found: Vec<_> = tree
        .walk()
        .skip(1)
        .map(|step| {
            let names = step.path.names().iter().map(|n| String::from_utf8_lossy(n.as_bytes()).into_owned());
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
        write(&path, volume.as_ref());
        let found = names(&path, &params);
        let shown: Vec<_> = found.iter().map(|(name, kind, _)| (name.clone(), kind.clone())).collect();
        assert_eq!(shown, expected(&tree), "{params:?}");
        for step in tree.walk() {
            let Kind::File(content) = &tree.node(step.node).kind else { continue };
            let name = step.path.to_string();
            // One of ten of the many.
            if name.starts_with("/many") && !name.ends_with('7') || params.block_size != 8192 && content.len() < 90_000 {
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
