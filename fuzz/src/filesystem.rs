//! Filesystems that our own writers make, broken, and read as a tree.
//!
//! Half of the edits go to bytes that are not zero: an image is mostly free space. Invariant judged
//! here: reading a place of a file twice gives the same.

use std::sync::{Arc, OnceLock};

use arbitrary::{Arbitrary, Unstructured};
use uuid::Uuid;
use vmimage::engine::base::tree::{
    Device, Kind, Limits, Meta, Missing, Name, Time, Tree, TreePath,
};
use vmimage::engine::base::{
    ByteSource, Content, Extent, Origin, Placement, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::filesystem::{
    self, Identity, Params, Request, Room, btrfs, erofs, ext, fat, iso9660, squashfs, swap,
};
use vmimage::engine::view;

use crate::{Broken, Case, Edit};

/// What a tree may have at most: a reader ends soon with these.
const LIMITS: Limits =
    Limits { nodes: 10_000, file: 1 << 40, total: 1 << 44, attributes: 1 << 16, depth: 64 };

/// Files whose bytes are read, and bytes read of each at its begin and its end.
const FILES: usize = 32;
const READ: u64 = 96 << 10;

/// An image and where it is not zero, in steps of 8 bytes.
pub(crate) struct Seed {
    pub(crate) bytes: Arc<[u8]>,
    used: Vec<u32>,
    btrfs: bool,
}

impl Seed {
    pub(crate) fn new(bytes: Vec<u8>, btrfs: bool) -> Self {
        let units = (0u32..).zip(bytes.chunks(8));
        let used = units.filter(|(_, unit)| unit.iter().any(|byte| *byte != 0));
        let used = used.map(|(at, _)| at * 8).collect();
        Self { bytes: bytes.into(), used, btrfs }
    }
}

/// The kinds of filesystems that are broken. New ones are added at the end, so that stored inputs
/// keep their meaning.
fn params() -> Vec<Params> {
    let plain = ["-metadata_csum".to_owned()];
    let ext = |variant, toggles: &[String]| {
        Params::Ext(ext::Params { variant, toggles: toggles.to_vec(), ..ext::Params::default() })
    };
    let squash = |compression| {
        Params::Squashfs(squashfs::Params { compression, ..squashfs::Params::default() })
    };
    let erofs =
        |compression| Params::Erofs(erofs::Params { compression, ..erofs::Params::default() });
    vec![
        ext(ext::Variant::Ext4, &plain),
        ext(ext::Variant::Ext4, &[]),
        ext(ext::Variant::Ext2, &[]),
        Params::Fat(fat::Params::default()),
        Params::Iso9660(Box::default()),
        Params::Iso9660(Box::new(iso9660::Params {
            rock_ridge: false,
            ..iso9660::Params::default()
        })),
        Params::Btrfs(btrfs::Params { mixed: true, ..btrfs::Params::default() }),
        squash(squashfs::Compression::None),
        squash(squashfs::Compression::Gzip(6)),
        squash(squashfs::Compression::Zstd(3)),
        erofs(erofs::Compression::None),
        erofs(erofs::Compression::Lz4),
        Params::Swap(swap::Params::default()),
    ]
}

/// A small tree with a bit of everything; without what FAT cannot hold if `plain`.
fn tree(plain: bool) -> Tree {
    let time = Time { seconds: 1_700_000_000, nanos: 0 };
    let origin = Origin::new("fuzz");
    let mut tree = Tree::new(Meta::directory(time), origin.clone());
    let mut put = |path: &str, kind: Kind| {
        let path = TreePath::new(path.as_bytes()).expect("a path");
        let (parent, name) = path.split().expect("a name");
        let missing = Missing::Make(Meta::directory(time));
        let parent = tree.directory_at(&parent, missing, &origin).expect("a directory");
        tree.put(parent, name.clone(), kind, Meta::file(time), &origin).expect("a node")
    };
    let file = |bytes: Vec<u8>| Kind::File(Content::Bytes(bytes.into()));
    put("hello.txt", file(b"hello, disk!\n".to_vec()));
    put("none", file(Vec::new()));
    for number in 0..40 {
        put(&format!("many/a file with a longer name {number}"), file(vec![number; 3]));
    }
    put("deep/er/and/deeper/text", file(b"the same words, ".repeat(2000)));
    let noise = (0..70_000u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    let big = put("noise.bin", file(noise.collect()));
    if plain {
        return tree;
    }
    put("link", Kind::Symlink(b"deep/er"[..].into()));
    put("long", Kind::Symlink(b"x/".repeat(100).into()));
    put("console", Kind::CharDevice(Device { major: 5, minor: 1 }));
    put("disk", Kind::BlockDevice(Device { major: 8, minor: 300 }));
    put("pipe", Kind::Fifo);
    let name = Name::new(b"again").expect("a name");
    tree.link(Tree::ROOT, name, big).expect("a second name");
    tree
}

/// The bytes of a filesystem with this tree.
pub(crate) fn rendered(params: &Params, tree: Tree, room: Room, sector: u64) -> Vec<u8> {
    let scratch = Scratch::new(&std::env::temp_dir(), 1 << 30);
    let request = Request {
        tree: Arc::new(tree),
        identity: Identity { label: None, uuid: None, seed: Uuid::from_u128(7) },
        room,
        time: Time::default(),
        sector,
        scratch: &scratch,
        work: Work { threads: 1, progress: &Silent },
    };
    let planned = filesystem::plan(params, &request).expect("our writer plans its own seeds");
    let len = planned.len();
    let extents = vec![Extent::new(0, len).expect("an image is not empty")];
    let image = planned.render(&Placement { extents, medium: len, volume: 0 }).expect("rendered");
    crate::all(image.as_ref())
}

/// The image of one kind, small.
fn made(params: &Params) -> Seed {
    let plain = matches!(params, Params::Fat(_))
        || matches!(params, Params::Iso9660(iso) if !iso.rock_ridge);
    // A swap area has no files.
    let tree = match params {
        Params::Swap(_) => Tree::new(Meta::directory(Time::default()), Origin::new("fuzz")),
        _ => tree(plain),
    };
    let room = match params {
        Params::Swap(_) => Room::Exactly(64 << 10),
        _ => Room::Fit { percent: 0, bytes: 0 },
    };
    let sector = if matches!(params, Params::Iso9660(_)) { 2048 } else { 512 };
    let bytes = rendered(params, tree, room, sector);
    Seed::new(bytes, matches!(params, Params::Btrfs(_)))
}

fn seeds() -> &'static [Seed] {
    static SEEDS: OnceLock<Vec<Seed>> = OnceLock::new();
    SEEDS.get_or_init(|| params().iter().map(made).collect())
}

/// How many images there are.
#[must_use]
pub fn count() -> usize {
    seeds().len()
}

/// Reads what the input describes.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    if kind % 4 == 3 {
        return read(Arc::new(ByteSource::new(rest.to_vec())));
    }
    let Ok(case) = Case::arbitrary(&mut Unstructured::new(rest)) else { return };
    let seeds = seeds();
    let seed = &seeds[usize::from(case.file) % seeds.len()];
    let edits = case.edits.iter().take(64);
    let edits = edits.map(|edit| Edit { at: place(edit.at, seed), value: edit.value.clone() });
    let mut broken = Broken::placed(Arc::clone(&seed.bytes), edits, case.cut);
    if case.sealed && seed.btrfs {
        broken.seal_btrfs();
    }
    read(Arc::new(broken));
}

/// Half of the edits are where something is, a quarter in the first 8 KiB, the others anywhere.
pub(crate) fn place(at: u32, seed: &Seed) -> u32 {
    let (kind, at) = (at % 4, at / 4);
    let len = u32::try_from(seed.bytes.len()).unwrap_or(u32::MAX);
    match kind {
        0 | 1 => seed.used[at as usize / 8 % seed.used.len()] + at % 8,
        2 => at % len.min(8192),
        _ => at % len,
    }
}

/// All that can be read of a disk.
fn read(medium: Arc<dyn SectorSource>) {
    let _seen = view::look(&medium);
    let _facts = filesystem::look(medium.as_ref());
    let Ok(Some(tree)) = filesystem::read(&medium, &LIMITS) else { return };
    let mut left = FILES;
    for step in tree.walk() {
        let Kind::File(Content::Sectors(source)) = &tree.node(step.node).kind else { continue };
        let Some(less) = left.checked_sub(1) else { break };
        left = less;
        let len = source.len();
        let extent = source.next_extent(0);
        assert!(extent.is_none_or(|extent| extent.end() <= len), "{}: {extent:?}", step.path);
        for at in [0, len.saturating_sub(READ)] {
            let now = len.min(READ) as usize;
            let (mut first, mut second) = (vec![0x11; now], vec![0x22; now]);
            let once = source.read_at(at, &mut first).is_ok();
            assert_eq!(source.read_at(at, &mut second).is_ok(), once, "{} at {at}", step.path);
            assert!(!once || first == second, "{} at {at}", step.path);
        }
    }
}
