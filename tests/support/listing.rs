//! What a tree looks like to whoever lists it: compared between ours and what others see.
//!
//! Reads no filesystem. Invariant: a property that a filesystem cannot hold is left out on both
//! sides or on none.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use vmimage::engine::base::Content;
use vmimage::engine::base::tree::{Kind, Tree};

/// One name and what is known about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As `find -printf %y` says: f d l c b p s.
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of a file or a link; 0 for the others.
    pub(crate) size: u64,
    pub(crate) nanos: i128,
    /// The link's text, or a device's numbers.
    pub(crate) target: Vec<u8>,
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    /// SHA-256 of a file, of its last 64 KiB if it is larger than `WHOLE`.
    pub(crate) digest: String,
    /// The first name of the same file.
    pub(crate) first: Vec<u8>,
}

/// Files up to this size are hashed whole.
pub(crate) const WHOLE: u64 = 1 << 30;

/// Bytes at the end that are hashed of larger ones.
pub(crate) const END: u64 = 1 << 16;

/// All names without a slash in front; the root is empty.
pub(crate) type Listing = BTreeMap<Vec<u8>, Entry>;

/// What a filesystem keeps of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeps {
    /// Owners, modes, and times of directories.
    pub(crate) owners: bool,
    /// Nanoseconds that times are cut to.
    pub(crate) grain: i128,
    /// The same file under several names.
    pub(crate) links: bool,
    /// Extended attributes.
    pub(crate) attributes: bool,
}

/// A filesystem that keeps all.
pub(crate) const ALL: Keeps = Keeps { owners: true, grain: 1, links: true, attributes: true };

/// The listing of a tree of ours.
pub(crate) fn of(tree: &Tree) -> Listing {
    let mut same: BTreeMap<_, Vec<Vec<u8>>> = BTreeMap::new();
    let steps = tree.walk().map(|step| {
        let name = step.path.names().iter().map(vmimage::engine::base::tree::Name::as_bytes);
        let path = name.collect::<Vec<_>>().join(&b'/');
        let node = tree.node(step.node);
        let (kind, target) = match &node.kind {
            Kind::Directory(_) => ('d', Vec::new()),
            Kind::File(_) => ('f', Vec::new()),
            Kind::Symlink(target) => ('l', target.to_vec()),
            Kind::CharDevice(d) => ('c', format!("{:x}:{:x}", d.major, d.minor).into_bytes()),
            Kind::BlockDevice(d) => ('b', format!("{:x}:{:x}", d.major, d.minor).into_bytes()),
            Kind::Fifo => ('p', Vec::new()),
            Kind::Socket => ('s', Vec::new()),
        };
        let digest = match &node.kind {
            Kind::File(content) => digest(content),
            _ => String::new(),
        };
        let attributes = node.attributes.as_deref().into_iter().flatten();
        let attributes = attributes
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()));
        let time = node.meta.modified;
        let entry = Entry {
            kind,
            mode: if kind == 'l' { 0o777 } else { u32::from(node.meta.mode) },
            uid: node.meta.uid,
            gid: node.meta.gid,
            size: node.len(),
            nanos: i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos),
            target,
            attributes: attributes.collect(),
            digest,
            first: Vec::new(),
        };
        same.entry(step.node).or_default().push(path.clone());
        (path, entry)
    });
    let mut listing: Listing = steps.collect();
    first_names(&mut listing, same.values());
    listing
}

/// Tells every name the first one of the same file.
pub(crate) fn first_names<'a>(listing: &mut Listing, same: impl Iterator<Item = &'a Vec<Vec<u8>>>) {
    for names in same {
        let first = names.iter().min().unwrap();
        for name in names {
            listing.get_mut(name).unwrap().first.clone_from(first);
        }
    }
}

fn digest(content: &Content) -> String {
    let len = content.len();
    let mut at = if len > WHOLE { len - END } else { 0 };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    while at < len {
        let now = (len - at).min(buffer.len() as u64) as usize;
        match content {
            Content::Bytes(bytes) => buffer[..now].copy_from_slice(&bytes[at as usize..][..now]),
            Content::Sectors(source) => source.read_at(at, &mut buffer[..now]).unwrap(),
            Content::Late(_) => panic!("late contents have no bytes yet"),
        }
        hash.update(&buffer[..now]);
        at += now as u64;
    }
    hex::encode(hash.finalize())
}

/// Fails with the first names that differ, as far as the filesystem keeps what they differ in.
pub(crate) fn same(case: &str, seen: &Listing, wanted: &Listing, keeps: Keeps) {
    let (seen, wanted) = (cut(seen, keeps), cut(wanted, keeps));
    let mut wrong = Vec::new();
    for (name, entry) in &wanted {
        match seen.get(name) {
            None => wrong.push(format!("{} is missing", name.escape_ascii())),
            Some(other) if other != entry => {
                wrong.push(format!("{}:\n   is {other:?}\n not {entry:?}", name.escape_ascii()));
            }
            Some(_) => {}
        }
    }
    let more = seen.keys().filter(|name| !wanted.contains_key(*name));
    wrong.extend(more.map(|name| format!("{} is too much", name.escape_ascii())));
    let shown = wrong.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{case}: {} of {} names differ:\n{shown}", wrong.len(), wanted.len());
}

fn cut(listing: &Listing, keeps: Keeps) -> Listing {
    let mut listing = listing.clone();
    for (name, entry) in &mut listing {
        if !keeps.owners {
            (entry.mode, entry.uid, entry.gid) = (0, 0, 0);
            if entry.kind == 'd' {
                entry.nanos = 0;
            }
        }
        if !keeps.links {
            entry.first.clone_from(name);
        }
        if !keeps.attributes {
            entry.attributes.clear();
        }
        entry.nanos = entry.nanos.div_euclid(keeps.grain) * keeps.grain;
    }
    listing
}
