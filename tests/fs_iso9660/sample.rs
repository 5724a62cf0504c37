//! Trees to write, and what a tree is as lines of text.
//!
//! Invariant: two trees with the same lines hold the same names, metadata and bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;
use vmimage::engine::base::tree::{
    Device, Kind, Limits, Meta, Missing, Name, NodeId, Time, Tree, TreePath,
};
use vmimage::engine::base::{
    AtomicFile, Content, Error, Extent, FileSource, Origin, Placement, Scratch, SectorSource,
    Silent, Work,
};
use vmimage::engine::filesystem::iso9660::{Params, plan, read};
use vmimage::engine::filesystem::{Identity, Request, Room};
use vmimage::engine::format::raw;

pub(crate) const TIME: Time = Time { seconds: 1_700_000_000, nanos: 0 };

pub(crate) const FIT: Room = Room::Fit { percent: 0, bytes: 0 };

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

pub(crate) fn empty() -> Tree {
    Tree::new(Meta::directory(TIME), Origin::new("test"))
}

pub(crate) fn bytes(bytes: &[u8]) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

pub(crate) fn put(tree: &mut Tree, at: &[u8], kind: Kind, meta: Meta) -> NodeId {
    let origin = Origin::new("test");
    let at = TreePath::new(at).unwrap();
    let (parent, name) = at.split().unwrap();
    let make = Missing::Make(Meta::directory(TIME));
    let parent = tree.directory_at(&parent, make, &origin).unwrap();
    tree.put(parent, name.clone(), kind, meta, &origin).unwrap()
}

/// A tree with one of everything that Rock Ridge can tell.
pub(crate) fn everything() -> Tree {
    let mut tree = empty();
    let file = Meta::file(TIME);
    put(&mut tree, b"empty", bytes(b""), file);
    put(&mut tree, b"hello.txt", bytes(b"hello\n"), file);
    let odd = Meta {
        mode: 0o6751,
        uid: 4_000_000_000,
        gid: 65_534,
        modified: Time { seconds: 1, nanos: 0 },
    };
    put(&mut tree, b"bin/setuid tool", bytes(&[7; 5000]), odd);
    put(&mut tree, b"sticky", Kind::directory(), Meta { mode: 0o1777, ..file });
    put(
        &mut tree,
        b"old",
        bytes(b"1900"),
        Meta { modified: Time { seconds: -2_208_988_800, nanos: 0 }, ..file },
    );
    put(
        &mut tree,
        b"late",
        bytes(b"2155"),
        Meta { modified: Time { seconds: 5_869_583_999, nanos: 0 }, ..file },
    );
    put(&mut tree, &[b'n'; 255], bytes(b"long name"), file);
    put(&mut tree, &[&[b'n'; 254][..], b"m"].concat(), bytes(b"other long name"), file);
    put(&mut tree, b"latin-\xe9\xff", bytes(b"no UTF-8"), file);
    put(&mut tree, "größe/naïve ☃ \u{1f600}.txt".as_bytes(), bytes(b"UTF-8"), file);
    put(&mut tree, b"Case", bytes(b"1"), file);
    put(&mut tree, b"case", bytes(b"2"), file);
    put(&mut tree, b"dots...and.more.", bytes(b"dots"), file);
    for (name, target) in [
        (&b"links/fast"[..], &b"hello.txt"[..]),
        (b"links/absolute", b"/usr/../bin/./sh"),
        (b"links/root", b"/"),
        (b"links/slashes", b"a//b/"),
        (b"links/up", b"../../.."),
        (b"links/part", &[b'p'; 255]),
    ] {
        put(&mut tree, name, Kind::Symlink(target.into()), Meta { mode: 0o777, ..file });
    }
    let long: Vec<u8> = b"component/".repeat(400);
    put(&mut tree, b"links/slow", Kind::Symlink(long[..1000].into()), Meta { mode: 0o777, ..file });
    put(
        &mut tree,
        b"dev/null",
        Kind::CharDevice(Device { major: 1, minor: 3 }),
        Meta { mode: 0o666, ..file },
    );
    put(
        &mut tree,
        b"dev/big",
        Kind::BlockDevice(Device { major: 259, minor: 70_000 }),
        Meta { mode: 0o660, gid: 6, ..file },
    );
    put(&mut tree, b"dev/fifo", Kind::Fifo, file);
    put(&mut tree, b"dev/log", Kind::Socket, file);
    let shared = put(&mut tree, b"hard/one", bytes(&[9; 3000]), file);
    for name in ["two", "three"] {
        let directory = tree.directory(&path("hard")).unwrap();
        tree.link(directory, Name::new(name.as_bytes()).unwrap(), shared).unwrap();
    }
    let deep = format!("deep/{}file", "level/".repeat(30));
    put(&mut tree, deep.as_bytes(), bytes(b"deep"), file);
    let side = format!("deep/{}side/file", "level/".repeat(7));
    put(&mut tree, side.as_bytes(), bytes(b"beside"), file);
    tree
}

/// A tree that plain names can hold: files and directories.
pub(crate) fn plain() -> Tree {
    let mut tree = empty();
    for name in ["meta-data", "user-data", "network-config", "sub/inner/FILE.TXT"] {
        put(&mut tree, name.as_bytes(), bytes(name.as_bytes()), Meta::file(TIME));
    }
    tree
}

/// A file of a tree that is a hole but for its last bytes.
#[derive(Debug)]
pub(crate) struct Sparse(pub(crate) u64);

pub(crate) const END: &[u8] = b"the end of a large file";

impl SectorSource for Sparse {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let tail = self.0 - END.len() as u64;
        for (at, byte) in (offset..).zip(buffer.iter_mut()) {
            *byte = if at < tail { 0 } else { END[(at - tail) as usize] };
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        Extent::new(offset.max(self.0 - END.len() as u64), self.0)
    }
}

/// Plans and renders at the beginning of a medium.
pub(crate) fn render(
    tree: Tree,
    params: &Params,
    room: Room,
) -> Result<Arc<dyn SectorSource>, Error> {
    let scratch = Scratch::new(&std::env::temp_dir(), 0);
    let request = Request {
        tree: Arc::new(tree),
        identity: Identity { seed: Uuid::from_u128(7), ..Identity::default() },
        room,
        time: TIME,
        sector: 2048,
        scratch: &scratch,
        work: Work { threads: 1, progress: &Silent },
    };
    let planned = plan(params, &request)?;
    let len = planned.len();
    let place = Placement { extents: vec![Extent::new(0, len).unwrap()], medium: len, volume: 0 };
    let image = planned.render(&place)?;
    assert_eq!(image.len(), len);
    Ok(image)
}

/// Writes an image to a file.
pub(crate) fn write(tree: Tree, params: &Params, directory: &Path) -> PathBuf {
    let path = directory.join("made.iso");
    store(render(tree, params, FIT).unwrap().as_ref(), &path);
    path
}

pub(crate) fn store(image: &dyn SectorSource, path: &Path) {
    let file = AtomicFile::create(path).unwrap();
    raw::write(image, &file, &Silent).unwrap();
    file.commit().unwrap();
}

pub(crate) fn open(path: &Path) -> Arc<dyn SectorSource> {
    Arc::new(FileSource::open(path).unwrap())
}

pub(crate) fn tree_of(path: &Path) -> Tree {
    read(open(path), &Limits::default()).unwrap()
}

pub(crate) fn contents(content: &Content) -> Vec<u8> {
    match content {
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Sectors(source) => {
            let mut bytes = vec![0; source.len() as usize];
            source.read_at(0, &mut bytes).unwrap();
            bytes
        }
        Content::Late(_) => panic!("a content without a place"),
    }
}

/// A line for each name: what it is and all that is known about it.
pub(crate) fn lines(tree: &Tree) -> Vec<String> {
    let mut first: std::collections::HashMap<NodeId, String> = std::collections::HashMap::new();
    let mut lines = Vec::new();
    for step in tree.walk() {
        let node = tree.node(step.node);
        let path = step.path.to_string();
        let seen = first.entry(step.node).or_insert_with(|| path.clone()).clone();
        let what = match &node.kind {
            Kind::File(content) => contents(content).escape_ascii().to_string(),
            Kind::Symlink(target) => target.escape_ascii().to_string(),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => format!("{device:?}"),
            _ => String::new(),
        };
        let Meta { mode, uid, gid, modified } = node.meta;
        let word = node.kind.word();
        lines.push(format!(
            "{path} {word} {mode:o} {uid}:{gid} {} ={seen} {what}",
            modified.seconds
        ));
    }
    lines
}

/// Fails with the lines that only one side has.
pub(crate) fn agree(seen: &[String], expected: &[String]) {
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        let lines = one.iter().filter(|line| !other.contains(line));
        lines.map(|line| line.chars().take(300).collect()).collect()
    };
    let (more, less) = (only(seen, expected), only(expected, seen));
    assert!(more.is_empty() && less.is_empty(), "seen:\n{more:#?}\nexpected:\n{less:#?}");
    assert_eq!(seen.len(), expected.len());
}
