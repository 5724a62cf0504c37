//! A directory of this machine as a tree, and a tree that is only names.
//!
//! Keeps no file open. Invariant: every file is looked at once, with its extended attributes, as our
//! peers do it.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use vmimage::engine::base::tree::{Kind, Meta, Name, NodeId, Time, Tree};
use vmimage::engine::base::{Content, Error, Extent, Origin, SectorSource};

/// A file that is opened when it is read.
#[derive(Debug)]
struct Closed {
    path: Box<Path>,
    len: u64,
}

impl SectorSource for Closed {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let read = |file: fs_err::File| file.into_file().read_exact_at(buffer, offset);
        fs_err::File::open(&*self.path).and_then(read).map_err(|e| Error::io("reading", e))
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        Extent::new(offset, self.len)
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        Some((&self.path, offset, self.len.checked_sub(offset)?))
    }
}

/// An entry of a directory as it was looked at.
struct Seen {
    name: Name,
    path: PathBuf,
    metadata: Metadata,
    /// Of a symbolic link.
    target: Option<Box<[u8]>>,
}

/// Directories with more entries are looked at by two threads.
const LARGE: usize = 512;

/// The tree in the directory at `root`.
pub(crate) fn directory(root: &Path) -> Tree {
    let origin = Origin::new("bench");
    let mut tree = Tree::new(meta(&fs_err::symlink_metadata(root).unwrap()), origin.clone());
    let mut links: HashMap<(u64, u64), NodeId> = HashMap::new();
    let mut open: Vec<(PathBuf, NodeId)> = vec![(root.to_owned(), Tree::ROOT)];
    while let Some((path, id)) = open.pop() {
        for Seen { name, path, metadata, target } in entries(&path) {
            let key = (metadata.dev(), metadata.ino());
            if let Some(node) = links.get(&key) {
                tree.link(id, name, *node).unwrap();
                continue;
            }
            let kind = match target {
                Some(target) => Kind::Symlink(target),
                None if metadata.is_dir() => Kind::directory(),
                None => Kind::File(content(&path, &metadata)),
            };
            let down = kind.is_directory();
            let node = tree.put(id, name, kind, meta(&metadata), &origin).unwrap();
            if down {
                open.push((path, node));
            } else if metadata.nlink() > 1 {
                links.insert(key, node);
            }
        }
    }
    tree
}

fn content(path: &Path, metadata: &Metadata) -> Content {
    assert!(metadata.is_file() && !metadata.file_type().is_fifo());
    match metadata.len() {
        0 => Content::Bytes(Arc::default()),
        len => Content::Sectors(Arc::new(Closed { path: path.into(), len })),
    }
}

/// What a directory has, in the order in which it says so.
fn entries(path: &Path) -> Vec<Seen> {
    let names: Vec<fs_err::DirEntry> =
        fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap()).collect();
    if names.len() < LARGE {
        return names.iter().map(look).collect();
    }
    let (first, second) = names.split_at(names.len() / 2);
    thread::scope(|scope| {
        let second = scope.spawn(|| second.iter().map(look).collect::<Vec<_>>());
        let mut seen: Vec<Seen> = first.iter().map(look).collect();
        seen.extend(second.join().unwrap());
        seen
    })
}

fn look(entry: &fs_err::DirEntry) -> Seen {
    let name = Name::new(entry.file_name().as_bytes()).unwrap();
    let path = entry.path();
    let metadata = entry.metadata().unwrap();
    assert!(rustix::fs::llistxattr(&path, &mut [0u8; 256][..]).unwrap_or(0) == 0);
    let target = metadata.is_symlink().then(|| fs_err::read_link(&path).unwrap());
    let target = target.map(|target| target.as_os_str().as_bytes().into());
    Seen { name, path, metadata, target }
}

fn meta(metadata: &Metadata) -> Meta {
    Meta {
        mode: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified: Time { seconds: metadata.mtime(), nanos: metadata.mtime_nsec() as u32 },
    }
}

/// A tree of `count` files of a few bytes, in directories of 100.
pub(crate) fn synthetic(count: usize) -> Tree {
    let origin = Origin::new("bench");
    let mut tree = Tree::new(Meta::directory(Time::default()), origin.clone());
    let shared: Arc<[u8]> = Arc::from(&b"a few bytes"[..]);
    let mut parent = Tree::ROOT;
    for number in 0..count {
        if number % 100 == 0 {
            let name = Name::new(format!("directory-{number:07}").as_bytes()).unwrap();
            let meta = Meta::directory(Time::default());
            parent = tree.put(Tree::ROOT, name, Kind::directory(), meta, &origin).unwrap();
        }
        let name = Name::new(format!("file-{number:07}").as_bytes()).unwrap();
        let kind = Kind::File(Content::Bytes(Arc::clone(&shared)));
        tree.put(parent, name, kind, Meta::file(Time::default()), &origin).unwrap();
    }
    tree
}
