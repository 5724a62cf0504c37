//! Trees to write and the text of a tree to compare.
//!
//! Invariant: two trees have the same text if and only if a FAT volume cannot tell them apart.

use std::sync::Arc;

use vmimage::engine::base::tree::{Kind, Meta, Missing, Time, Tree, TreePath};
use vmimage::engine::base::{
    Content, Extent, Origin, Placement, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::filesystem::{Identity, Params, Planned, Request, Room, fat, plan};

pub(crate) use crate::sparse::{noise, sparse};

/// 2024-02-29T12:34:56Z.
pub(crate) const TIME: Time = Time { seconds: 1_709_210_096, nanos: 0 };

pub(crate) fn empty() -> Tree {
    Tree::new(Meta::directory(TIME), Origin::new("root"))
}

pub(crate) fn put(tree: &mut Tree, path: &str, kind: Kind) {
    put_with(tree, path, kind, Meta::file(TIME));
}

pub(crate) fn put_with(tree: &mut Tree, path: &str, kind: Kind, meta: Meta) {
    // One for a directory: a tree looks through those it has.
    let origin =
        Origin::new(&format!("files.{}/", path.rsplit_once('/').map_or("", |(parent, _)| parent)));
    let path = TreePath::new(path.as_bytes()).unwrap();
    let (parent, name) = path.split().unwrap();
    let missing = Missing::Make(Meta::directory(TIME));
    let parent = tree.directory_at(&parent, missing, &origin).unwrap();
    let meta = if kind.is_directory() { Meta::directory(meta.modified) } else { meta };
    tree.put(parent, name.clone(), kind, meta, &origin).unwrap();
}

pub(crate) fn bytes(bytes: &[u8]) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

/// Names, times and sizes of many sorts, with contents.
pub(crate) fn sample() -> Tree {
    let mut tree = empty();
    put(&mut tree, "README.TXT", bytes(b"capital letters\n"));
    put(&mut tree, "small.txt", bytes(b"small letters\n"));
    put(&mut tree, "empty", bytes(b""));
    put(&mut tree, "A longer name than eight.three", bytes(&noise(5000, 1)));
    put(&mut tree, "A longer name than seven", bytes(&noise(512, 2)));
    put(&mut tree, "Grüße aus 日本 😀.txt", bytes(b"unicode\n"));
    put(&mut tree, "+,;=[] fine", bytes(b"odd\n"));
    put(&mut tree, ".hidden", bytes(b"dot\n"));
    put(&mut tree, &"n".repeat(255), bytes(b"255\n"));
    put(&mut tree, "EFI/BOOT/BOOTX64.EFI", bytes(&noise(70_000, 3)));
    put(&mut tree, "efi2/empty dir", Kind::directory());
    put(&mut tree, "a/b/c/d/e/f/g/h/i/j/k/l/deep", bytes(b"deep\n"));
    put(&mut tree, "holes", sparse(300_000, &[(0, b"first"), (200_000, b"middle")]));
    let locked = Meta { mode: 0o444, uid: 1000, gid: 1000, ..Meta::file(TIME) };
    put_with(&mut tree, "locked", bytes(b"read only\n"), locked);
    for n in 0..300 {
        put(&mut tree, &format!("many/file number {n}"), bytes(format!("{n}\n").as_bytes()));
    }
    tree
}

/// What a FAT volume tells of a tree.
pub(crate) fn described(tree: &Tree) -> Vec<String> {
    let lines = tree.walk().map(|step| {
        let node = tree.node(step.node);
        let path = String::from_utf8_lossy(
            &step
                .path
                .names()
                .iter()
                .flat_map(|n| [b"/", n.as_bytes()].concat())
                .collect::<Vec<_>>(),
        )
        .into_owned();
        if node.kind.is_directory() {
            return format!("{path} directory");
        }
        let time = node.meta.modified.seconds / 2 * 2;
        let time = time.clamp(315_532_800, 4_354_819_198);
        let locked = node.meta.mode & 0o222 == 0;
        let sum = sum(&node.kind);
        format!("{path} {} {} {time} {locked} {sum:08x}", node.kind.word(), node.len())
    });
    lines.collect()
}

fn sum(kind: &Kind) -> u32 {
    match kind {
        Kind::File(Content::Bytes(bytes)) => crc32c::crc32c(bytes),
        Kind::File(Content::Sectors(source)) => {
            let mut sum = 0;
            let mut at = 0;
            while at < source.len() {
                let mut buffer = vec![0; (source.len() - at).min(1 << 20) as usize];
                source.read_at(at, &mut buffer).unwrap();
                sum = crc32c::crc32c_append(sum, &buffer);
                at += buffer.len() as u64;
            }
            sum
        }
        _ => 0,
    }
}

/// How a volume is asked for.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) params: fat::Params,
    pub(crate) identity: Identity,
    pub(crate) room: Room,
    pub(crate) sector: u64,
}

impl Default for Ask {
    fn default() -> Self {
        let identity = Identity { label: None, uuid: None, seed: uuid::Uuid::from_u128(0x5eed) };
        let room = Room::Fit { percent: 0, bytes: 0 };
        Self { params: fat::Params::default(), identity, room, sector: 512 }
    }
}

impl Ask {
    pub(crate) fn plan(
        &self,
        tree: &Arc<Tree>,
    ) -> Result<Box<dyn Planned>, vmimage::engine::base::Error> {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(directory.path(), 0);
        let request = Request {
            tree: Arc::clone(tree),
            identity: self.identity.clone(),
            room: self.room,
            time: TIME,
            sector: self.sector,
            scratch: &scratch,
            work: Work { threads: 1, progress: &Silent },
        };
        plan(&Params::Fat(self.params.clone()), &request)
    }

    pub(crate) fn volume(&self, tree: &Arc<Tree>) -> Arc<dyn SectorSource> {
        let planned = self.plan(tree).unwrap();
        let place = at(0, planned.len());
        planned.render(&place).unwrap()
    }
}

pub(crate) fn at(start: u64, len: u64) -> Placement {
    Placement {
        extents: Extent::new(start, start + len).into_iter().collect(),
        medium: start + len,
        volume: 0,
    }
}

/// All bytes, read in pieces of an odd size.
pub(crate) fn whole(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0xAA; source.len() as usize];
    for (number, piece) in bytes.chunks_mut(77_777).enumerate() {
        source.read_at(number as u64 * 77_777, piece).unwrap();
    }
    bytes
}
