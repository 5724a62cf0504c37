//! Trees to write, and trees compared: with each other, and with what a foreign tool extracted.
//!
//! Writes no image. Invariant: a comparison looks at names, kinds, modes, owners, times, contents,
//! attributes, devices and which names share a file.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::tree::{
    Device, Kind, Meta, Missing, Name, NodeId, Time, Tree, TreePath,
};
use vmimage::engine::base::{ByteSource, Content, Extent, Origin, SectorSource, Silent, digest};

pub(crate) const NOON: Time = Time { seconds: 1_700_000_000, nanos: 0 };

pub(crate) fn tree() -> Tree {
    Tree::new(Meta::directory(NOON), Origin::new("test"))
}

/// Puts a node there, its directories made.
pub(crate) fn put(tree: &mut Tree, path: &[u8], kind: Kind, meta: Meta) -> NodeId {
    let origin = Origin::new("test.contents");
    let path = TreePath::new(path).unwrap();
    let (parent, name) = path.split().unwrap();
    let missing = Missing::Make(Meta::directory(NOON));
    let parent = tree.directory_at(&parent, missing, &origin).unwrap();
    tree.put(parent, name.clone(), kind, meta, &origin).unwrap()
}

pub(crate) fn link(tree: &mut Tree, path: &[u8], node: NodeId) {
    let path = TreePath::new(path).unwrap();
    let (parent, name) = path.split().unwrap();
    let parent = tree.find(&parent).unwrap();
    tree.link(parent, name.clone(), node).unwrap();
}

pub(crate) fn bytes(bytes: impl Into<Arc<[u8]>>) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

pub(crate) fn xattr(tree: &mut Tree, node: NodeId, name: &[u8], value: &[u8]) {
    tree.meta_mut(node).1.get_or_insert_default().insert(name.into(), value.into());
}

/// Bytes without pattern (xorshift).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// Text that shrinks when compressed.
pub(crate) fn prose(seed: u64, len: usize) -> Vec<u8> {
    let words = noise(seed, len / 4 + 1);
    let mut text = Vec::with_capacity(len + 16);
    for word in words {
        text.extend_from_slice(format!("{} the {word:02x} ", word % 17).as_bytes());
        if text.len() >= len {
            break;
        }
    }
    text.truncate(len);
    text
}

/// Zeros with bytes at some places.
#[derive(Debug)]
pub(crate) struct Sparse {
    pub(crate) len: u64,
    pub(crate) parts: Vec<(u64, Vec<u8>)>,
}

impl SectorSource for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), vmimage::engine::base::Error> {
        buffer.fill(0);
        for (at, part) in &self.parts {
            for (n, byte) in part.iter().enumerate() {
                let into = (at + n as u64).checked_sub(offset);
                if let Some(into) = into.and_then(|into| buffer.get_mut(into as usize)) {
                    *into = *byte;
                }
            }
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let parts = self.parts.iter();
        parts.filter_map(|(at, part)| Extent::new((*at).max(offset), at + part.len() as u64)).next()
    }
}

/// A tree with something of everything.
pub(crate) fn everything() -> Tree {
    let mut tree = tree();
    let file = Meta::file(NOON);
    put(&mut tree, b"empty", bytes([]), file);
    put(&mut tree, b"short", bytes(*b"hello\n"), file);
    put(&mut tree, b"block", bytes(prose(1, 4096)), file);
    put(&mut tree, b"text", bytes(prose(2, 300_000)), file);
    put(&mut tree, b"noise", bytes(noise(3, 200_001)), file);
    put(&mut tree, b"zeros", bytes(vec![0; 300_000]), file);
    put(&mut tree, b"copies/text", bytes(prose(2, 300_000)), file);
    put(&mut tree, b"copies/short", bytes(*b"hello\n"), file);
    put(&mut tree, b"copies/other", bytes(prose(4, 300_000)), file);
    let odd = Meta {
        mode: 0o6755,
        uid: 70_000,
        gid: 4_000_000_000,
        modified: Time { seconds: 1, nanos: 0 },
    };
    put(&mut tree, b"odd", bytes(*b"odd"), odd);
    let late = Meta { modified: Time { seconds: 4_000_000_000, nanos: 0 }, ..file };
    put(&mut tree, b"late", bytes(*b"late"), late);
    put(&mut tree, b"sticky", Kind::directory(), Meta { mode: 0o1777, ..Meta::directory(NOON) });
    let one = put(&mut tree, b"links/one", bytes(prose(5, 9000)), file);
    link(&mut tree, b"links/two", one);
    link(&mut tree, b"three", one);
    let long = vec![b'n'; 255];
    put(&mut tree, &long, bytes(*b"long name"), file);
    put(&mut tree, b"\xff\xfe not utf-8 \x01", bytes(*b"bytes"), file);
    put(&mut tree, b"new\nline", bytes(*b"line"), file);
    let deep = [&b"d/".repeat(60)[..], b"file"].concat();
    put(&mut tree, &deep, bytes(*b"deep"), file);
    put(&mut tree, b"dev/null", Kind::CharDevice(Device { major: 1, minor: 3 }), file);
    put(&mut tree, b"dev/big", Kind::BlockDevice(Device { major: 259, minor: 70_000 }), file);
    put(&mut tree, b"dev/pipe", Kind::Fifo, Meta { mode: 0o600, ..file });
    put(&mut tree, b"dev/sock", Kind::Socket, file);
    let links = Meta { mode: 0o777, ..file };
    put(&mut tree, b"to", Kind::Symlink(b"links/one"[..].into()), links);
    put(&mut tree, b"far", Kind::Symlink(vec![b'x'; 4000].into()), links);
    let with = put(&mut tree, b"xattr/file", bytes(*b"with"), file);
    xattr(&mut tree, with, b"user.comment", b"a comment");
    xattr(&mut tree, with, b"user.empty", b"");
    xattr(&mut tree, with, b"trusted.t", &noise(6, 900));
    let again = put(&mut tree, b"xattr/again", bytes(prose(7, 5000)), file);
    xattr(&mut tree, again, b"user.comment", b"shared");
    let again = put(&mut tree, b"xattr/third", bytes(prose(8, 5000)), file);
    xattr(&mut tree, again, b"user.comment", b"shared");
    let directory = put(&mut tree, b"xattr/dir", Kind::directory(), Meta::directory(NOON));
    xattr(&mut tree, directory, b"security.selinux", b"system_u:object_r:etc_t:s0\0");
    tree
}

/// One line for each name: all that is compared.
pub(crate) fn lines(tree: &Tree, time: impl Fn(Time) -> Time) -> BTreeMap<Vec<u8>, String> {
    let mut first = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for step in tree.walk() {
        let node = tree.node(step.node);
        let path = joined(step.path.names());
        let same = first.entry(step.node).or_insert_with(|| path.clone()).clone();
        let what = match &node.kind {
            Kind::Directory(_) => "dir".to_owned(),
            Kind::File(content) => format!("file {} {}", content.len(), sum(content)),
            Kind::Symlink(text) => format!("-> {}", text.escape_ascii()),
            Kind::CharDevice(d) => format!("char {}:{}", d.major, d.minor),
            Kind::BlockDevice(d) => format!("block {}:{}", d.major, d.minor),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Socket => "socket".to_owned(),
        };
        let attributes = node.attributes.as_deref().into_iter().flatten();
        let attributes: Vec<_> =
            attributes.map(|(n, v)| format!("{}={}", n.escape_ascii(), v.escape_ascii())).collect();
        let time = time(node.meta.modified);
        let meta = &node.meta;
        let line = format!(
            "{what} {:o} {}:{} {}.{} {attributes:?} as {}",
            meta.mode,
            meta.uid,
            meta.gid,
            time.seconds,
            time.nanos,
            same.escape_ascii()
        );
        lines.insert(path, line);
    }
    lines
}

fn joined(names: &[Name]) -> Vec<u8> {
    names.iter().flat_map(|name| [b"/", name.as_bytes()].concat()).collect()
}

/// A checksum of the contents: all bytes for short files, the extents' for long ones.
pub(crate) fn sum(content: &Content) -> String {
    let source: Arc<dyn SectorSource> = match content {
        Content::Bytes(bytes) => Arc::new(ByteSource::new(Arc::clone(bytes))),
        Content::Sectors(source) => Arc::clone(source),
        Content::Late(_) => panic!("late"),
    };
    let mut crc = 0;
    let mut at = 0;
    while at < source.len() {
        // Units of 4 KiB that are not zero, wherever extents begin and end.
        let Some(extent) = source.next_extent(at) else { break };
        at = extent.start() / 4096 * 4096;
        let mut unit = vec![0; (source.len() - at).min(4096) as usize];
        source.read_at(at, &mut unit).unwrap();
        if unit.iter().any(|byte| *byte != 0) {
            crc = crc32c::crc32c_append(crc, &at.to_le_bytes());
            crc = crc32c::crc32c_append(crc, &unit);
        }
        at += 4096;
    }
    format!("{crc:08x}")
}

/// The tree that lies in a directory of this machine.
pub(crate) fn from_directory(root: &Path) -> Tree {
    let meta = meta_of(root);
    let mut tree = Tree::new(meta, Origin::new("extracted"));
    attributes_of(root, &mut tree, Tree::ROOT);
    let mut open = vec![(root.to_owned(), Tree::ROOT)];
    let mut known = BTreeMap::new();
    while let Some((directory, id)) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = Name::new(entry.file_name().as_bytes()).unwrap();
            let stat = fs::symlink_metadata(&path).unwrap();
            if let Some(known) = known.get(&stat.ino()) {
                tree.link(id, name, *known).unwrap();
                continue;
            }
            let (kind, rdev) = (stat.file_type(), stat.rdev());
            let device = Device { major: rustix::fs::major(rdev), minor: rustix::fs::minor(rdev) };
            let kind = if kind.is_dir() {
                Kind::directory()
            } else if kind.is_symlink() {
                Kind::Symlink(fs::read_link(&path).unwrap().as_os_str().as_bytes().into())
            } else if kind.is_char_device() {
                Kind::CharDevice(device)
            } else if kind.is_block_device() {
                Kind::BlockDevice(device)
            } else if kind.is_fifo() {
                Kind::Fifo
            } else if kind.is_socket() {
                Kind::Socket
            } else {
                let source = vmimage::engine::base::FileSource::open(&path).unwrap();
                Kind::File(Content::Sectors(Arc::new(source)))
            };
            let is_directory = kind.is_directory();
            let node = tree.put(id, name, kind, meta_of(&path), &Origin::new("extracted")).unwrap();
            attributes_of(&path, &mut tree, node);
            if is_directory {
                open.push((path, node));
            } else if stat.nlink() > 1 {
                known.insert(stat.ino(), node);
            }
        }
    }
    tree
}

fn meta_of(path: &Path) -> Meta {
    let stat = fs::symlink_metadata(path).unwrap();
    let modified = Time { seconds: stat.mtime(), nanos: stat.mtime_nsec() as u32 };
    Meta { mode: (stat.mode() & 0o7777) as u16, uid: stat.uid(), gid: stat.gid(), modified }
}

fn attributes_of(path: &Path, tree: &mut Tree, node: NodeId) {
    let mut names = vec![0; 65_536];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65_536];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        xattr(tree, node, name, &value[..len]);
    }
}

/// The bytes of a whole medium.
pub(crate) fn all(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Fails with the lines that differ.
pub(crate) fn same(ours: &BTreeMap<Vec<u8>, String>, theirs: &BTreeMap<Vec<u8>, String>) {
    let mut wrong = Vec::new();
    for path in ours.keys().chain(theirs.keys()) {
        let (a, b) = (ours.get(path), theirs.get(path));
        if a != b {
            wrong.push(format!("{}:\n  {a:?}\n  {b:?}", path.escape_ascii()));
        }
    }
    let shown: Vec<_> =
        wrong.iter().take(6).map(|w| w.chars().take(900).collect::<String>()).collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), shown.join("\n"));
}

/// The SHA-256 of a medium.
pub(crate) fn hash(source: &dyn SectorSource) -> String {
    digest(source, &Silent).unwrap()
}
