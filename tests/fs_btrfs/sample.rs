//! Trees for the tests, and filesystems of them in files.
//!
//! Judges nothing.

use std::sync::Arc;

use uuid::Uuid;
use vmimage::engine::base::tree::{
    Attributes, Device, Kind, Meta, Missing, Name, NodeId, Time, Tree, TreePath,
};
use vmimage::engine::base::{
    Content, Error, Extent, Origin, Placement, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::filesystem::{Identity, Params, Planned, Request, Room, btrfs, plan};

pub(crate) use crate::sparse::{noise, sparse, write};

pub(crate) const TIME: Time = Time { seconds: 1_700_000_000, nanos: 123_456_789 };

pub(crate) const FIT: Room = Room::Fit { percent: 0, bytes: 0 };

pub(crate) fn tree() -> Tree {
    Tree::new(Meta::directory(TIME), Origin::new("root"))
}

pub(crate) fn put(tree: &mut Tree, at: &str, kind: Kind) -> NodeId {
    put_bytes(tree, at.as_bytes(), kind)
}

pub(crate) fn put_bytes(tree: &mut Tree, at: &[u8], kind: Kind) -> NodeId {
    let origin = Origin::new("test");
    let path = TreePath::new(at).unwrap();
    let (parent, name) = path.split().unwrap();
    let missing = Missing::Make(Meta::directory(TIME));
    let parent = tree.directory_at(&parent, missing, &origin).unwrap();
    tree.put(parent, name.clone(), kind, Meta::file(TIME), &origin).unwrap()
}

pub(crate) fn link(tree: &mut Tree, at: &str, node: NodeId) {
    let path = TreePath::new(at.as_bytes()).unwrap();
    let (parent, name) = path.split().unwrap();
    let missing = Missing::Make(Meta::directory(TIME));
    let parent = tree.directory_at(&parent, missing, &Origin::new("test")).unwrap();
    tree.link(parent, name.clone(), node).unwrap();
}

pub(crate) fn bytes(bytes: &[u8]) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

pub(crate) fn set(tree: &mut Tree, node: NodeId, name: &[u8], value: &[u8]) {
    let (_, attributes) = tree.meta_mut(node);
    let attributes: &mut Attributes = attributes.get_or_insert_with(Box::default);
    attributes.insert(name.into(), value.into());
}

/// Every kind of node, odd names, owners and times.
pub(crate) fn full() -> Tree {
    let mut tree = tree();
    put(&mut tree, "empty", bytes(b""));
    put(&mut tree, "small", bytes(b"a few bytes\n"));
    put(&mut tree, "inline", bytes(&noise(2048, 1)));
    put(&mut tree, "regular", bytes(&noise(2049, 2)));
    put(&mut tree, "large", bytes(&noise(3_000_001, 3)));
    put(&mut tree, "exact", bytes(&noise(8192, 4)));
    let holes = noise(5000, 5);
    put(&mut tree, "holes", sparse(20 << 20, &[(1 << 20, &holes), (7_000_123, &holes)]));
    put(&mut tree, "all hole", sparse(1 << 20, &[]));
    put(&mut tree, "small hole", sparse(1000, &[]));
    put(&mut tree, "small tail", sparse(1000, &[(990, b"0123456789")]));
    put(&mut tree, "huge", sparse(5 << 30, &[(0, b"begin"), ((5 << 30) - 3, b"end")]));
    let linked = put(&mut tree, "d/linked", bytes(&noise(10_000, 6)));
    link(&mut tree, "d/second", linked);
    link(&mut tree, "e/third", linked);
    put(&mut tree, "link", Kind::Symlink((*b"d/linked").into()));
    put(&mut tree, "long link", Kind::Symlink([b'x'; 3900].into()));
    put(&mut tree, "fifo", Kind::Fifo);
    put(&mut tree, "socket", Kind::Socket);
    put(&mut tree, "null", Kind::CharDevice(Device { major: 1, minor: 3 }));
    put(&mut tree, "disk", Kind::BlockDevice(Device { major: 259, minor: 70_000 }));
    put(&mut tree, &"n".repeat(255), bytes(b"a long name"));
    put_bytes(&mut tree, b"not \xff\xfe UTF-8", bytes(b"bytes"));
    put(&mut tree, &vec!["deep"; 100].join("/"), bytes(b"deep"));
    let odd = put(&mut tree, "odd", bytes(b"odd"));
    let modified = Time { seconds: -86_400, nanos: 999_999_999 };
    *tree.meta_mut(odd).0 = Meta { mode: 0o7654, uid: 4_000_000_000, gid: 65_534, modified };
    set(&mut tree, odd, b"user.comment", b"hello");
    set(&mut tree, odd, b"user.empty", b"");
    set(
        &mut tree,
        odd,
        b"security.capability",
        &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    let directory = tree.find(&TreePath::new(b"d").unwrap()).unwrap();
    set(&mut tree, directory, b"trusted.big", &noise(3000, 7));
    tree
}

/// A directory of `count` empty files.
pub(crate) fn many(count: usize) -> Tree {
    let mut tree = tree();
    let (meta, origin) = (Meta::directory(TIME), Origin::new("test"));
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    let directory = tree.put(Tree::ROOT, name("many"), Kind::directory(), meta, &origin).unwrap();
    for number in 0..count {
        let text = format!("file number {number}");
        tree.put(directory, name(&text), bytes(b""), Meta::file(TIME), &origin).unwrap();
    }
    tree
}

pub(crate) fn identity(label: &str) -> Identity {
    Identity { label: Some(label.to_owned()), uuid: None, seed: Uuid::from_u128(7) }
}

pub(crate) fn planned(
    tree: &Arc<Tree>,
    params: btrfs::Params,
    label: &str,
    room: Room,
) -> Result<Box<dyn Planned>, Error> {
    let directory = std::env::temp_dir();
    let scratch = Scratch::new(&directory, 1 << 30);
    let request = Request {
        tree: Arc::clone(tree),
        identity: identity(label),
        room,
        time: TIME,
        sector: 512,
        scratch: &scratch,
        work: Work { threads: 1, progress: &Silent },
    };
    plan(&Params::Btrfs(params), &request)
}

pub(crate) fn rendered(planned: Box<dyn Planned>) -> Arc<dyn SectorSource> {
    let len = planned.len();
    let extents = vec![Extent::new(1 << 20, (1 << 20) + len).unwrap()];
    planned.render(&Placement { extents, medium: len + (2 << 20), volume: 0 }).unwrap()
}

/// The filesystem of `tree`, made with defaults.
pub(crate) fn made(tree: Tree, room: Room) -> Arc<dyn SectorSource> {
    rendered(planned(&Arc::new(tree), btrfs::Params::default(), "test", room).unwrap())
}
