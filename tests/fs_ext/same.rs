//! Two trees are the same: every name, what is known about it, its contents, and which names are
//! one file.
//!
//! Tests nothing by itself.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::tree::{Kind, Limits, NodeId, Tree};
use vmimage::engine::base::{Content, FileSource, SectorSource};
use vmimage::engine::filesystem::ext;

/// What a name leads to, in words.
pub(crate) type Seen = BTreeMap<String, String>;

/// Reads the image, which must be one of ours or a foreign one.
pub(crate) fn read(image: &Path) -> Tree {
    let medium: Arc<dyn SectorSource> = Arc::new(FileSource::open(image).unwrap());
    assert!(ext::look(medium.as_ref()).unwrap().is_some());
    ext::read(medium, &Limits::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// Bytes that are not zero, with their places, and the length: holes are what they read as.
pub(crate) fn contents(content: &Content) -> String {
    let mut hash = crc32fast::Hasher::new();
    let mut add = |at: u64, bytes: &[u8]| {
        for (chunk, at) in bytes.chunks(512).zip((at..).step_by(512)) {
            if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
                hash.update(&at.to_le_bytes());
                hash.update(&chunk[..=last]);
            }
        }
    };
    match content {
        Content::Bytes(bytes) => add(0, bytes),
        Content::Late(_) => panic!("late"),
        Content::Sectors(source) => {
            for extent in source.extents() {
                let mut at = extent.start() / 512 * 512;
                while at < extent.end() {
                    let len = (extent.end() - at).min(1 << 20) as usize;
                    let mut bytes = vec![0; len];
                    source.read_at(at, &mut bytes).unwrap_or_else(|e| panic!("{e}"));
                    add(at, &bytes);
                    at += len as u64;
                }
            }
        }
    }
    format!("{} bytes {:08x}", content.len(), hash.finalize())
}

/// All names of a tree; `/lost+found` is left out where it is empty.
pub(crate) fn seen(tree: &Tree, times: bool) -> Seen {
    let mut first: HashMap<NodeId, String> = HashMap::new();
    let mut all = Seen::new();
    for step in tree.walk() {
        let node = tree.node(step.node);
        let path = step.path.to_string();
        if path == "/lost+found" && node.entries().is_some_and(|entries| entries.is_empty()) {
            continue;
        }
        if let Some(other) = first.get(&step.node) {
            all.insert(path, format!("same as {other}"));
            continue;
        }
        first.insert(step.node, path.clone());
        let what = match &node.kind {
            Kind::File(content) => contents(content),
            Kind::Symlink(text) => text.escape_ascii().to_string(),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => format!("{device:?}"),
            _ => String::new(),
        };
        let meta = node.meta;
        let time = if times { format!("{:?}", meta.modified) } else { String::new() };
        let attributes = node.attributes.as_deref().map_or_else(String::new, |all| {
            let all = all
                .iter()
                .map(|(name, value)| format!(" {}={}", name.escape_ascii(), value.escape_ascii()));
            all.collect()
        });
        let word = node.kind.word();
        let line =
            format!("{word} {:o} {}:{} {time} {what}{attributes}", meta.mode, meta.uid, meta.gid);
        all.insert(path, line);
    }
    all
}

/// Fails at the first difference.
pub(crate) fn same(expected: &Seen, found: &Seen) {
    for (path, line) in expected {
        assert_eq!(found.get(path), Some(line), "{path}");
    }
    let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "more than expected: {more:?}");
}
