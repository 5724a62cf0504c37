//! What we write, checked by `btrfs check` and read by `btrfs restore`, `dump-tree` and `blkid`.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::tree::{Kind, Tree, TreePath};
use vmimage::engine::base::{Content, Error, Extent, SectorSource, within};
use vmimage::engine::filesystem::{Room, btrfs};

use super::sample::{
    FIT, bytes, full, link, made, many, noise, planned, put, rendered, set, tree, write,
};
use super::tool::run;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `btrfs check` finds nothing, in the data neither.
fn clean(path: &Path) {
    let said = run("btrfs-progs", "btrfs", &["check", "--check-data-csum", text(path)]);
    assert!(said.contains("no error found"), "{said}");
}

/// A checked image in a directory.
fn checked(tree: &Arc<Tree>, params: btrfs::Params, room: Room) -> (tempfile::TempDir, u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let source = rendered(planned(tree, params, "test", room).unwrap());
    write(&path, source.as_ref(), 1 << 20);
    clean(&path);
    (directory, source.len())
}

fn nodes(size: u32) -> btrfs::Params {
    btrfs::Params { node_size: Some(size), ..btrfs::Params::default() }
}

fn mixed() -> btrfs::Params {
    btrfs::Params { mixed: true, ..btrfs::Params::default() }
}

fn dump(path: &Path, tree: &str) -> String {
    run("btrfs-progs", "btrfs", &["inspect-internal", "dump-tree", "-t", tree, text(path)])
}

#[test]
fn an_empty_filesystem_is_the_disk_of_tinyboot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let room = Room::Exactly(256 << 20);
    let plan = planned(&Arc::new(tree()), btrfs::Params::default(), "tinyboot", room).unwrap();
    let uuid = plan.uuid().unwrap();
    let source = rendered(plan);
    assert_eq!(source.len(), 256 << 20);
    let mut seen = [0; 8];
    source.read_at(0x10040, &mut seen).unwrap();
    assert_eq!(&seen, b"_BHRfS_M");
    source.read_at(0x1012b, &mut seen).unwrap();
    assert_eq!(&seen, b"tinyboot");
    write(&path, source.as_ref(), 1 << 20);
    clean(&path);
    let said = run("util-linux", "blkid", &["-p", "-o", "export", text(&path)]);
    for wanted in ["LABEL=tinyboot", &format!("UUID={uuid}"), "TYPE=btrfs", "BLOCK_SIZE=4096"] {
        assert!(said.lines().any(|line| line == wanted), "{wanted} in {said}");
    }
    for mirror in ["0", "1"] {
        let arguments = ["inspect-internal", "dump-super", "-s", mirror, text(&path)];
        let said = run("btrfs-progs", "btrfs", &arguments);
        assert_eq!(said.matches("[match]").count(), 3, "{said}");
    }
}

#[test]
fn a_tree_with_everything_is_clean_with_every_node_size() {
    let tree = Arc::new(full());
    for params in [nodes(4096), nodes(16384), nodes(65536), mixed()] {
        checked(&tree, params.clone(), FIT);
        checked(&tree, params, Room::Fit { percent: 20, bytes: 100 << 20 });
    }
}

/// What `btrfs restore` makes of an image is what the tree says.
#[test]
fn everything_is_restored() {
    let tree = Arc::new(full());
    let (directory, _) = checked(&tree, btrfs::Params::default(), FIT);
    let (image, out) = (directory.path().join("image"), directory.path().join("out"));
    fs_err::create_dir(&out).unwrap();
    run("btrfs-progs", "btrfs", &["restore", "-m", "-S", "-x", text(&image), text(&out)]);
    let mut seen = 0;
    for step in tree.walk().skip(1) {
        let node = tree.node(step.node);
        let names = step.path.names().iter().map(|name| name.as_bytes());
        let path =
            names.fold(out.clone(), |path, name| path.join(std::ffi::OsStr::from_bytes(name)));
        let meta = match &node.kind {
            // It makes no devices, pipes and sockets.
            Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => continue,
            Kind::Symlink(target) => {
                assert_eq!(fs_err::read_link(&path).unwrap().as_os_str().as_bytes(), &**target);
                continue;
            }
            _ => fs_err::metadata(&path).unwrap(),
        };
        seen += 1;
        assert_eq!(meta.mode() & 0o7777, u32::from(node.meta.mode), "{}", step.path);
        assert_eq!((meta.uid(), meta.gid()), (node.meta.uid, node.meta.gid), "{}", step.path);
        let Kind::File(content) = &node.kind else { continue };
        let time = (node.meta.modified.seconds, i64::from(node.meta.modified.nanos));
        assert_eq!((meta.mtime(), meta.mtime_nsec()), time, "{}", step.path);
        assert_eq!(meta.len(), content.len(), "{}", step.path);
        same(content, &path);
        for (name, value) in node.attributes.iter().flat_map(|list| list.iter()) {
            let name = std::str::from_utf8(name).unwrap();
            let said = run("attr", "getfattr", &["-h", "-e", "hex", "-n", name, text(&path)]);
            let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(value.is_empty() || said.contains(&format!("{name}=0x{hex}")), "{said}");
        }
    }
    assert!(seen > 100, "{seen}");
}

/// The file has the bytes of the content; holes of 4 GiB are not compared byte by byte.
fn same(content: &Content, path: &Path) {
    use std::os::unix::fs::FileExt as _;
    let file = fs_err::File::open(path).unwrap().into_file();
    let whole = [Extent::new(0, content.len())].into_iter().flatten();
    let extents: Vec<Extent> = match content {
        Content::Sectors(source) => source.extents().collect(),
        _ => whole.collect(),
    };
    for extent in extents {
        let mut expected = vec![0; extent.len() as usize];
        match content {
            Content::Bytes(bytes) => expected.copy_from_slice(bytes),
            Content::Sectors(source) => source.read_at(extent.start(), &mut expected).unwrap(),
            Content::Late(_) => unreachable!(),
        }
        let mut found = vec![1; extent.len() as usize];
        file.read_exact_at(&mut found, extent.start()).unwrap();
        assert!(expected == found, "{} at {}", path.display(), extent.start());
    }
}

#[test]
fn a_directory_of_65536_files_is_clean() {
    let tree = Arc::new(many(65_536));
    let (directory, _) = checked(&tree, btrfs::Params::default(), FIT);
    let said = dump(&directory.path().join("image"), "fs");
    assert!(said.contains("node ") && said.contains("level 2"), "three levels");
    checked(&tree, nodes(4096), FIT);
}

#[test]
fn a_file_has_many_names() {
    let mut tree = tree();
    let node = put(&mut tree, "d/first", bytes(&noise(6_000_000, 1)));
    for number in 0..3000 {
        link(&mut tree, &format!("d/a name of some length, number {number}"), node);
    }
    (0..150).for_each(|number| link(&mut tree, &format!("e{number}/link"), node));
    let (directory, _) = checked(&Arc::new(tree), btrfs::Params::default(), FIT);
    let said = dump(&directory.path().join("image"), "fs");
    assert!(said.contains("links 3151"));
    assert!(said.contains("INODE_EXTREF"));
}

/// Names found by trying: their hashes are equal, whatever the hash begins with, for their lengths
/// are equal, too.
#[test]
fn names_with_one_hash_share_an_item() {
    let mut seen = std::collections::HashMap::new();
    let (mut tree, mut pairs) = (tree(), 0);
    let file = put(&mut tree, "attributes", bytes(b""));
    for number in 0..200_000u64 {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let name = format!("user.{:016x}", mixed ^ mixed >> 29);
        if let Some(other) = seen.insert(crc32c::crc32c(name.as_bytes()), name.clone()) {
            for name in [other, name] {
                put(&mut tree, &format!("d/{name}"), bytes(b"1"));
                set(&mut tree, file, name.as_bytes(), b"value");
            }
            pairs += 1;
        }
    }
    assert!(pairs > 0);
    let (directory, _) = checked(&Arc::new(tree), btrfs::Params::default(), FIT);
    let said = dump(&directory.path().join("image"), "fs");
    assert_eq!(said.matches(" DIR_ITEM ").count(), pairs + 2);
    assert_eq!(said.matches(" XATTR_ITEM ").count(), pairs);
}

/// A file full of data that are zero.
#[derive(Debug)]
struct Zeros(u64);

impl SectorSource for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.0, offset, buffer.len(), vmimage::engine::base::Kind::Io)?;
        buffer.fill(0);
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        Extent::new(offset, self.0)
    }
}

/// Data beyond the second superblock, the size of an extent and that of a chunk.
#[test]
fn large_files_step_over_superblocks_and_chunks() {
    let mut tree = tree();
    put(&mut tree, "a", Kind::File(Content::Sectors(Arc::new(Zeros(61_000_001)))));
    put(&mut tree, "b", bytes(&noise(300_000, 1)));
    put(&mut tree, "c", Kind::File(Content::Sectors(Arc::new(Zeros(1 << 30)))));
    let (directory, len) = checked(&Arc::new(tree), btrfs::Params::default(), FIT);
    assert!(len > (1 << 30) + 60_000_000);
    let said = dump(&directory.path().join("image"), "chunk");
    assert_eq!(said.matches("type DATA|single").count(), 2, "{said}");
}

/// Bytes that know their place are told the one where they lie on the medium.
#[test]
fn late_contents_know_their_place() {
    let mut tree = tree();
    put(&mut tree, "before", bytes(&noise(5000, 1)));
    let finish = |place: &vmimage::engine::base::Placement| {
        let [extent] = place.extents.as_slice() else { panic!("{place:?}") };
        assert_eq!(extent.len(), 10_000);
        let mut bytes = extent.start().to_le_bytes().repeat(1250);
        bytes.truncate(10_000);
        bytes
    };
    let late = vmimage::engine::base::Late {
        len: 10_000,
        align: 16384,
        contiguous: true,
        finish: Box::new(finish),
    };
    put(&mut tree, "late", Kind::File(Content::Late(Arc::new(late))));
    let (directory, _) = checked(&Arc::new(tree), btrfs::Params::default(), FIT);
    let image = directory.path().join("image");
    run("btrfs-progs", "btrfs", &["restore", text(&image), text(directory.path())]);
    let restored = fs_err::read(directory.path().join("late")).unwrap();
    let place = u64::from_le_bytes(restored[..8].try_into().unwrap());
    assert!(place.is_multiple_of(16384));
    // The filesystem begins at 1 MiB of the medium.
    let image = fs_err::read(&image).unwrap();
    let at = place as usize - (1 << 20);
    assert!(image[at..at + 10_000] == restored[..]);
}

#[test]
fn a_disk_that_is_a_block_too_small_is_refused() {
    for (tree, params) in [(full(), nodes(16384)), (many(300), nodes(4096)), (tree(), mixed())] {
        let tree = Arc::new(tree);
        let len = planned(&tree, params.clone(), "test", FIT).unwrap().len();
        let same = checked(&tree, params.clone(), Room::Exactly(len)).1;
        assert_eq!(same, len);
        let error = planned(&tree, params, "test", Room::Exactly(len - 4096)).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(&format!("needs {len} bytes, but has {}", len - 4096)),
            "{message}"
        );
    }
}

#[test]
fn reads_of_any_length_and_order_give_the_same_bytes() {
    let tree = Arc::new(full());
    let directory = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    for step in [1 << 20, 4096, 12_345] {
        let source = made(Tree::clone(&tree), FIT);
        if step == 4096 {
            // The last first: checksums are asked for before their data.
            let mut buffer = [0; 4096];
            let ends: Vec<_> = source.extents().map(Extent::end).collect();
            ends.iter().rev().for_each(|end| source.read_at(end - 4096, &mut buffer).unwrap());
        }
        let path = directory.path().join(step.to_string());
        write(&path, source.as_ref(), step);
        images.push(fs_err::read(&path).unwrap());
    }
    assert!(images[0] == images[1] && images[0] == images[2]);
    // Outside of extents there are only zeros.
    let source = made(Tree::clone(&tree), FIT);
    let mut whole = vec![1; source.len() as usize];
    source.read_at(0, &mut whole).unwrap();
    assert!(whole == images[0]);
}

#[test]
fn what_has_no_room_is_refused_with_its_path() {
    let refused = |tree: Tree, wanted: &str| {
        let tree = Arc::new(tree);
        let error = planned(&tree, btrfs::Params::default(), "test", FIT).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(error.origin().unwrap().as_str(), "test");
    };
    let mut one = tree();
    put(&mut one, "d/link", Kind::Symlink([b'x'; 4096].into()));
    refused(one, "/d/link: a symbolic link to 4096 bytes");
    let mut one = tree();
    let node = put(&mut one, "d/file", bytes(b""));
    set(&mut one, node, b"user.big", &[1; 17_000]);
    refused(one, "/d/file: the extended attribute \"user.big\" of 17000 bytes");
    let mut one = tree();
    let device = vmimage::engine::base::tree::Device { major: 4096, minor: 0 };
    put(&mut one, "device", Kind::CharDevice(device));
    refused(one, "/device: device 4096:0");
    assert!(tree().find(&TreePath::default()).is_some());
    for (label, good) in [("x".repeat(255), true), ("x".repeat(256), false), ("a\nb".into(), false)]
    {
        let plan = planned(&Arc::new(tree()), btrfs::Params::default(), &label, FIT);
        assert_eq!(plan.is_ok(), good, "{label}");
    }
}
