//! Trees, and filesystems made of them, as files.
//!
//! Tests nothing by itself.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use uuid::Uuid;
use vmimage::engine::base::tree::{
    Attributes, Device, Kind, Meta, Missing, Name, NodeId, Time, Tree, TreePath,
};
use vmimage::engine::base::{
    Content, Error, Extent, Origin, Placement, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::filesystem::ext::Params;
use vmimage::engine::filesystem::{self, Identity, Params as AnyParams, Planned, Request, Room};

pub(crate) const TIME: Time = Time { seconds: 1_700_000_000, nanos: 123_456_789 };
pub(crate) const META: Meta = Meta { mode: 0o644, uid: 0, gid: 0, modified: TIME };
const DIR: Meta = Meta::directory(TIME);

/// A file with data at some places and holes between them.
#[derive(Debug)]
pub(crate) struct Holes {
    pub(crate) len: u64,
    pub(crate) data: Vec<(u64, Vec<u8>)>,
}

impl SectorSource for Holes {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        assert!(end <= self.len);
        for (at, bytes) in &self.data {
            let data = Extent::new(*at, at + bytes.len() as u64).unwrap();
            let wanted = Extent::new(offset, end.max(offset + 1)).unwrap();
            let Some(both) = data.intersect(wanted) else { continue };
            let into = (both.start() - offset) as usize..(both.end() - offset) as usize;
            let from = (both.start() - at) as usize..(both.end() - at) as usize;
            if !buffer.is_empty() {
                buffer[into].copy_from_slice(&bytes[from]);
            }
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        self.data.iter().find_map(|(at, bytes)| {
            let end = (at + bytes.len() as u64).min(self.len);
            Extent::new((*at).max(offset), end)
        })
    }
}

pub(crate) fn tree() -> Tree {
    Tree::new(DIR, Origin::new("test"))
}

pub(crate) fn put(tree: &mut Tree, at: &[u8], kind: Kind, meta: Meta) -> NodeId {
    let origin = Origin::new("test");
    let path = TreePath::new(at).unwrap();
    let (parent, name) = path.split().unwrap();
    let parent = tree.directory_at(&parent, Missing::Make(DIR), &origin).unwrap();
    tree.put(parent, name.clone(), kind, meta, &origin).unwrap()
}

pub(crate) fn bytes(bytes: &[u8]) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

pub(crate) fn holes(len: u64, data: Vec<(u64, Vec<u8>)>) -> Kind {
    Kind::File(Content::Sectors(Arc::new(Holes { len, data })))
}

pub(crate) fn link(target: &[u8]) -> Kind {
    Kind::Symlink(target.into())
}

pub(crate) fn attributes(tree: &mut Tree, node: NodeId, list: &[(&str, &[u8])]) {
    let all: Attributes =
        list.iter().map(|(name, value)| (name.as_bytes().into(), (*value).into())).collect();
    *tree.meta_mut(node).1 = Some(Box::new(all));
}

/// Bytes that compress badly and differ from block to block.
pub(crate) fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(len)
    .collect()
}

/// user::rw-, user:1000:r--, group::r--, mask::r--, other::--- as the attribute has it.
pub(crate) fn acl() -> Vec<u8> {
    let none = u32::MAX;
    let mut wire = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1u16, 6u16, none), (2, 4, 1000), (4, 4, none), (16, 4, none), (32, 0, none)]
    {
        wire.extend_from_slice(&tag.to_le_bytes());
        wire.extend_from_slice(&perm.to_le_bytes());
        wire.extend_from_slice(&id.to_le_bytes());
    }
    wire
}

/// One of everything that every variant can hold; without attributes for what has none.
pub(crate) fn everything(with_attributes: bool) -> Tree {
    let mut tree = tree();
    put(&mut tree, b"empty", bytes(b""), META);
    let one = put(&mut tree, b"one", bytes(b"1"), META);
    tree.link(Tree::ROOT, Name::new(b"again").unwrap(), one).unwrap();
    for len in [1023, 1024, 1025, 4096, 12 * 1024, 12 * 1024 + 1, 300 * 1024 + 17] {
        put(&mut tree, format!("sizes/{len}").as_bytes(), bytes(&noise(len, len as u32)), META);
    }
    put(&mut tree, b"links/fast", link(&[b'f'; 59]), META);
    put(&mut tree, b"links/slow", link(&[b's'; 60]), META);
    put(&mut tree, b"links/long", link(&[b'l'; 1000]), META);
    let device = |major, minor| Device { major, minor };
    put(&mut tree, b"dev/null", Kind::CharDevice(device(1, 3)), Meta { mode: 0o666, ..META });
    put(&mut tree, b"dev/sda1", Kind::BlockDevice(device(8, 1)), Meta { gid: 6, ..META });
    put(&mut tree, b"dev/nvme", Kind::BlockDevice(device(259, 70_000)), META);
    put(&mut tree, b"dev/pipe", Kind::Fifo, META);
    put(&mut tree, b"dev/log", Kind::Socket, META);
    let odd = Meta { mode: 0o6755, uid: 70_000, gid: 4_000_000_000, ..META };
    put(&mut tree, b"owned", bytes(b"setuid"), odd);
    for (name, seconds, nanos) in
        [("t/1969", -1, 5), ("t/1901", i64::from(i32::MIN), 0), ("t/2400", 13_569_465_600, 999)]
    {
        let modified = Time { seconds, nanos };
        put(&mut tree, name.as_bytes(), bytes(b"t"), Meta { modified, ..META });
    }
    put(&mut tree, &[b'n'; 255], bytes(b"long name"), META);
    put(&mut tree, b"caf\xe9 \xff\x01\n", bytes(b"no UTF-8"), META);
    put(&mut tree, "d/".repeat(200).as_bytes(), Kind::directory(), DIR);
    let sparse = vec![(1 << 20, noise(5000, 1)), (9 << 20, noise(100, 2))];
    put(&mut tree, b"sparse", holes(20 << 20, sparse), META);
    put(&mut tree, b"hole", holes(5 << 20, Vec::new()), META);
    for n in 0..300 {
        let name = format!("many/a rather long name of a file with the number {n}");
        put(&mut tree, name.as_bytes(), bytes(b""), META);
    }
    if with_attributes {
        let owned = tree.find(&TreePath::new(b"owned").unwrap()).unwrap();
        attributes(
            &mut tree,
            owned,
            &[("security.capability", b"\x01\0\0\x02\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0")],
        );
        attributes(
            &mut tree,
            one,
            &[
                ("security.selinux", b"system_u:object_r:etc_t:s0\0"),
                ("user.comment", b"hello"),
                ("user.empty", b""),
                ("user.long", &noise(600, 9)),
                ("trusted.md5", b"x"),
                ("system.posix_acl_access", &acl()),
            ],
        );
        let directory = tree.find(&TreePath::new(b"d").unwrap()).unwrap();
        attributes(&mut tree, directory, &[("system.posix_acl_default", &acl())]);
    }
    tree
}

pub(crate) fn plan(
    tree: &Arc<Tree>,
    params: &Params,
    room: Room,
) -> Result<Box<dyn Planned>, Error> {
    let scratch = Scratch::new(Path::new("/nonexistent"), 0);
    let request = Request {
        tree: Arc::clone(tree),
        identity: Identity {
            label: Some("test label".to_owned()),
            uuid: None,
            seed: Uuid::from_u128(0x5eed),
        },
        room,
        time: TIME,
        sector: 512,
        scratch: &scratch,
        work: Work { threads: 1, progress: &Silent },
    };
    filesystem::plan(&AnyParams::Ext(params.clone()), &request)
}

pub(crate) fn render(tree: &Arc<Tree>, params: &Params, room: Room) -> Arc<dyn SectorSource> {
    let planned = plan(tree, params, room).unwrap_or_else(|e| panic!("{params:?} {room:?}: {e}"));
    let len = planned.len();
    let place = Placement { extents: vec![Extent::new(0, len).unwrap()], medium: len, volume: 0 };
    let source = planned.render(&place).unwrap();
    assert_eq!(source.len(), len);
    source
}

/// A directory for a test's files.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The medium as a sparse file.
    pub(crate) fn save(&self, source: &dyn SectorSource) -> PathBuf {
        let path = self.path("image");
        let file = fs_err::File::create(&path).unwrap();
        file.set_len(source.len()).unwrap();
        let mut buffer = vec![0; 1 << 20];
        for extent in source.extents() {
            let mut at = extent.start();
            while at < extent.end() {
                let len = (extent.end() - at).min(buffer.len() as u64) as usize;
                source.read_at(at, &mut buffer[..len]).unwrap();
                file.file().write_all_at(&buffer[..len], at).unwrap();
                at += len as u64;
            }
        }
        path
    }
}

/// `e2fsck -fn` must find nothing to say.
pub(crate) fn fsck(image: &Path) {
    let output = Command::new("e2fsck")
        .args(["-fn", image.to_str().unwrap()])
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|e| panic!("e2fsck: {e}; install it: apt install e2fsprogs"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let clean = said
        .lines()
        .all(|line| line.is_empty() || line.starts_with("Pass ") || line.contains(" files ("));
    assert!(output.status.success() && clean, "{}: {said}", output.status);
}
