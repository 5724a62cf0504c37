//! Trees as rows that can be compared: ours, and a directory of the host.
//!
//! Invariant: everything that a row says comes from `lstat` and the files, or from the tree.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;
use vmimage::engine::base::Content;
use vmimage::engine::base::tree::{Kind, Tree};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// "directory", "file", ... as the tree calls it, with a link's text or a device's numbers.
    pub(crate) what: String,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) time: (i64, u32),
    pub(crate) bytes: Vec<u8>,
    /// The first of its names.
    pub(crate) first: Vec<u8>,
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub(crate) type Rows = BTreeMap<Vec<u8>, Row>;

/// The bytes of a file.
pub(crate) fn bytes(content: &Content) -> Vec<u8> {
    match content {
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Sectors(source) => {
            let mut bytes = vec![0; usize::try_from(source.len()).unwrap()];
            // As writers do: holes are not read.
            for extent in source.extents() {
                let range = extent.start() as usize..extent.end() as usize;
                source.read_at(extent.start(), &mut bytes[range]).unwrap();
            }
            let mut whole = vec![1; bytes.len()];
            source.read_at(0, &mut whole).unwrap();
            assert!(bytes == whole, "a hole is not zero");
            bytes
        }
        Content::Late(_) => panic!("nothing is late here"),
    }
}

/// The path of a step without the slash before it.
fn key(path: &vmimage::engine::base::tree::TreePath) -> Vec<u8> {
    let names: Vec<_> = path.names().iter().map(|name| name.as_bytes()).collect();
    names.join(&b'/')
}

/// Ours.
pub(crate) fn of_tree(tree: &Tree) -> Rows {
    let mut rows = Rows::new();
    let mut firsts = BTreeMap::new();
    for step in tree.walk() {
        let node = tree.node(step.node);
        let mut what = node.kind.word().to_owned();
        let mut held = Vec::new();
        match &node.kind {
            Kind::File(content) => held = bytes(content),
            Kind::Symlink(target) => what = format!("{what} {}", target.escape_ascii()),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                what = format!("{what} {},{}", device.major, device.minor);
            }
            _ => {}
        }
        let path = key(&step.path);
        let first = firsts.entry(step.node).or_insert_with(|| path.clone()).clone();
        let attributes = node.attributes.iter().flat_map(|attributes| attributes.iter());
        let row = Row {
            what,
            mode: node.meta.mode.into(),
            owner: (node.meta.uid, node.meta.gid),
            time: (node.meta.modified.seconds, node.meta.modified.nanos),
            bytes: held,
            first,
            attributes: attributes.map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        };
        rows.insert(path, row);
    }
    rows
}

/// A directory of the host.
pub(crate) fn of_host(root: &Path) -> Rows {
    let mut rows = Rows::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.mode() & 0o170_000;
        let mut held = Vec::new();
        let what = match kind {
            0o040_000 => {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                "directory".to_owned()
            }
            0o100_000 => {
                held = fs::read(&path).unwrap();
                "file".to_owned()
            }
            0o120_000 => {
                let target = fs::read_link(&path).unwrap();
                format!("symbolic link {}", target.as_os_str().as_bytes().escape_ascii())
            }
            0o010_000 => "FIFO".to_owned(),
            other => panic!("{} is of kind {other:o}", path.display()),
        };
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let row = Row {
            what,
            mode: if kind == 0o120_000 { 0o777 } else { meta.mode() & 0o7777 },
            owner: (meta.uid(), meta.gid()),
            time: (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap()),
            bytes: held,
            first: meta.ino().to_be_bytes().to_vec(),
            attributes: BTreeMap::new(),
        };
        rows.insert(name, row);
    }
    // The first name of each inode, in the order of names.
    let mut firsts = BTreeMap::new();
    for (name, row) in &mut rows {
        row.first = firsts.entry(row.first.clone()).or_insert_with(|| name.clone()).clone();
    }
    rows
}

/// Fails with the first rows that differ.
pub(crate) fn assert_same(ours: &Rows, theirs: &Rows, what: &str) {
    for (name, row) in theirs {
        let mine = ours.get(name);
        let name = name.escape_ascii();
        let mine = mine.unwrap_or_else(|| panic!("{what}: \"{name}\" is missing in ours"));
        if mine != row {
            let short = |row: &Row| {
                let mut row = row.clone();
                row.bytes.truncate(40);
                row
            };
            panic!("{what}: \"{name}\"\n ours {:?}\n not  {:?}", short(mine), short(row));
        }
    }
    for name in ours.keys() {
        assert!(theirs.contains_key(name), "{what}: \"{}\" is ours alone", name.escape_ascii());
    }
}
