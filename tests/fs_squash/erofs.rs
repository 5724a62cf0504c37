//! erofs: fsck.erofs and dump.erofs judge what we write, and we read what mkfs.erofs writes.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::tree::{Kind, Limits, Meta, Name, Time, Tree};
use vmimage::engine::base::{
    ByteSource, Content, Error, Extent, FileSource, Late, Placement, Scratch, SectorSource, Silent,
    Work,
};
use vmimage::engine::filesystem::erofs::{self, Compression, Params};
use vmimage::engine::filesystem::{Identity, Request, Room};

use crate::sample::{NOON, Sparse, tree};
use crate::sample::{all, bytes, everything, from_directory, hash, lines, noise, prose, put, same};
use crate::tool::run;

const FIT: Room = Room::Fit { percent: 0, bytes: 0 };

const PLAIN: Params = Params { compression: Compression::None, xattrs: true, chunks: false };
const LZ4: Params = Params { compression: Compression::Lz4, ..PLAIN };
const CHUNKS: Params = Params { chunks: true, ..PLAIN };

fn plan(
    params: &Params,
    tree: &Arc<Tree>,
    room: Room,
    threads: usize,
) -> Result<Arc<dyn SectorSource>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(directory.path(), 1 << 30);
    let identity = Identity { label: Some("a label".to_owned()), ..Identity::default() };
    let request = Request {
        tree: Arc::clone(tree),
        identity,
        room,
        time: NOON,
        sector: 512,
        scratch: &scratch,
        work: Work { threads, progress: &Silent },
    };
    let planned = erofs::plan(params, &request)?;
    let len = planned.len();
    let extents = vec![Extent::new(1 << 20, (1 << 20) + len).unwrap()];
    let medium = planned.render(&Placement { extents, medium: 1 << 40, volume: 0 })?;
    assert_eq!(medium.len(), len);
    Ok(medium)
}

fn made(params: &Params, tree: &Arc<Tree>) -> Arc<dyn SectorSource> {
    plan(params, tree, FIT, 2).unwrap()
}

/// Writes a medium into a file; what is outside of its extents stays a hole.
fn save(medium: &dyn SectorSource, path: &Path) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::create(path).unwrap();
    file.set_len(medium.len()).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for extent in medium.extents() {
        let mut at = extent.start();
        while at < extent.end() {
            let len = (extent.end() - at).min(1 << 20) as usize;
            medium.read_at(at, &mut buffer[..len]).unwrap();
            file.file().write_all_at(&buffer[..len], at).unwrap();
            at += len as u64;
        }
    }
}

/// Extracts an image with fsck.erofs, which checks all of it.
fn extracted(image: &Path, into: &Path) -> Tree {
    let extract = format!("--extract={}", into.display());
    run("erofs-utils", "fsck.erofs", &[&extract, "--preserve", image.to_str().unwrap()]);
    from_directory(into)
}

/// The lines without what fsck.erofs does not extract: attributes, setuid, hard links.
fn bare(tree: &Tree) -> std::collections::BTreeMap<Vec<u8>, String> {
    let lines = lines(tree, |time| time);
    let strip = |line: String| line.split_once(" [").unwrap().0.replace(" 6755 ", " 755 ");
    lines.into_iter().map(|(path, line)| (path, strip(line))).collect()
}

fn sample() -> Arc<Tree> {
    let mut tree = everything();
    let nanos = Time { seconds: 1_600_000_000, nanos: 123_456_789 };
    put(&mut tree, b"nanos", bytes(*b"x"), Meta { modified: nanos, ..Meta::file(NOON) });
    put(&mut tree, b"!first", bytes(prose(9, 4097)), Meta::file(NOON));
    put(&mut tree, b"tail", bytes(prose(9, 4096 * 5 + 4000)), Meta::file(NOON));
    put(&mut tree, b"large", bytes(prose(10, 3_000_000)), Meta::file(NOON));
    let acl = put(&mut tree, b"acl", bytes(*b"x"), Meta::file(NOON));
    crate::sample::xattr(&mut tree, acl, b"user.long", &noise(4, 3000));
    Arc::new(tree)
}

#[test]
fn everything_is_extracted_as_it_was() {
    let tree = sample();
    for params in [PLAIN, CHUNKS, LZ4] {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        save(made(&params, &tree).as_ref(), &image);
        let theirs = extracted(&image, &directory.path().join("out"));
        same(&bare(&tree), &bare(&theirs));
    }
}

fn read(medium: &Arc<dyn SectorSource>) -> Result<Tree, Error> {
    erofs::read(Arc::clone(medium), &Limits::default())
}

fn exact(tree: &Tree) -> std::collections::BTreeMap<Vec<u8>, String> {
    lines(tree, |time| time)
}

#[test]
fn what_we_write_is_read_back() {
    let tree = sample();
    for params in [PLAIN, CHUNKS, LZ4] {
        let medium = made(&params, &tree);
        let facts = erofs::look(medium.as_ref()).unwrap().unwrap();
        assert_eq!((facts.kind, facts.label.as_deref()), ("erofs", Some("a label")));
        assert_eq!(facts.size, medium.len());
        same(&exact(&tree), &exact(&read(&medium).unwrap()));
    }
    assert!(made(&LZ4, &tree).len() < made(&PLAIN, &tree).len() * 2 / 3);
}

#[test]
fn foreign_images_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut tree = Arc::unwrap_or_clone(sample());
    // mkfs.erofs 1.5 takes no name of 255 bytes.
    assert!(tree.remove(Tree::ROOT, &Name::new(&[b'n'; 255]).unwrap()));
    let tree = Arc::new(tree);
    let image = directory.path().join("ours");
    fs::write(&image, all(crate::squashfs::made(&Default::default(), &tree).as_ref())).unwrap();
    let root = directory.path().join("out");
    let expected = exact(&crate::squashfs::extracted(&image, &root));
    let theirs = directory.path().join("theirs");
    let options: [&[&str]; 9] = [
        &[],
        &["-x1"],
        &["-Enoinline_data"],
        &["-zlz4"],
        &["-zlz4hc,9"],
        &["-zlz4", "-Elegacy-compress"],
        &["-zlz4hc", "-C65536"],
        &["-zlz4hc", "-C16384", "-Elegacy-compress"],
        &["--chunksize=8192"],
    ];
    for options in options {
        let paths = [theirs.to_str().unwrap(), root.to_str().unwrap()];
        run("erofs-utils", "mkfs.erofs", &[&["--preserve-mtime"], options, &paths].concat());
        let medium: Arc<dyn SectorSource> = Arc::new(ByteSource::new(fs::read(&theirs).unwrap()));
        println!("{options:?}");
        let found = read(&medium).unwrap_or_else(|e| panic!("{options:?}: {e}"));
        same(&expected, &exact(&found));
        fs::remove_file(&theirs).unwrap();
    }
    let paths = [theirs.to_str().unwrap(), root.to_str().unwrap()];
    run("erofs-utils", "mkfs.erofs", &[&["-zlz4", "-Eztailpacking"], &paths[..]].concat());
    let error =
        erofs::read(Arc::new(ByteSource::new(fs::read(&theirs).unwrap())), &Limits::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("ztailpacking"), "{error}");
}

#[test]
fn threads_change_no_byte() {
    let tree = sample();
    let one = hash(plan(&LZ4, &tree, FIT, 1).unwrap().as_ref());
    for threads in [2, 3, 7] {
        assert_eq!(hash(plan(&LZ4, &tree, FIT, threads).unwrap().as_ref()), one);
    }
}

#[test]
fn nothing_and_one_file() {
    let mut one = tree();
    put(&mut one, b"file", bytes(*b"x"), Meta::file(NOON));
    for tree in [Arc::new(tree()), Arc::new(one)] {
        for params in [PLAIN, LZ4] {
            let directory = tempfile::tempdir().unwrap();
            let image = directory.path().join("image");
            let medium = made(&params, &tree);
            save(medium.as_ref(), &image);
            let theirs = extracted(&image, &directory.path().join("out"));
            same(&bare(&tree), &bare(&theirs));
            same(&exact(&tree), &exact(&read(&medium).unwrap()));
        }
    }
}

#[test]
fn many_names_in_one_directory() {
    let mut tree = tree();
    for n in 0..65_536 {
        let name = format!("many/{n:05}-{}", "n".repeat(n % 40));
        put(&mut tree, name.as_bytes(), bytes([]), Meta::file(NOON));
    }
    let tree = Arc::new(tree);
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let medium = made(&PLAIN, &tree);
    save(medium.as_ref(), &image);
    let said = run("erofs-utils", "dump.erofs", &["--path=/many", "--ls", image.to_str().unwrap()]);
    let theirs = said.lines().filter(|line| line.contains("nnn") || line.contains("-")).count();
    assert!(theirs >= 65_536, "{theirs}");
    run("erofs-utils", "fsck.erofs", &[image.to_str().unwrap()]);
    same(&exact(&tree), &exact(&read(&medium).unwrap()));
}

#[test]
fn long_and_sparse() {
    let mut tree = tree();
    let parts = vec![(0, noise(1, 5000)), (5 << 30, prose(2, 70_000)), ((6 << 30) + 5, vec![7; 9])];
    let source = Sparse { len: (6 << 30) + 100_000, parts };
    let file = Kind::File(Content::Sectors(Arc::new(source)));
    put(&mut tree, b"long", file, Meta::file(NOON));
    put(&mut tree, b"short", bytes(prose(3, 9000)), Meta::file(NOON));
    let hole = Kind::File(Content::Sectors(Arc::new(Sparse { len: 10_000, parts: vec![] })));
    put(&mut tree, b"hole", hole, Meta::file(NOON));
    let tree = Arc::new(tree);
    for params in [PLAIN, CHUNKS] {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let medium = made(&params, &tree);
        save(medium.as_ref(), &image);
        same(&exact(&tree), &exact(&read(&medium).unwrap()));
        let used: u64 = medium.extents().map(Extent::len).sum();
        assert!(used < 4 << 20, "{used}");
        assert_eq!(medium.len() > 6 << 30, !params.chunks);
        let file: Arc<dyn SectorSource> = Arc::new(FileSource::open(&image).unwrap());
        same(&exact(&tree), &exact(&read(&file).unwrap()));
        let said = run("erofs-utils", "dump.erofs", &["--path=/long", image.to_str().unwrap()]);
        assert!(said.contains(&((6u64 << 30) + 100_000).to_string()), "{said}");
        // fsck.erofs 1.5 extracts no holes, so it only checks.
        if params.chunks {
            run("erofs-utils", "fsck.erofs", &[image.to_str().unwrap()]);
        }
    }
}

#[test]
fn a_place_that_is_too_small_is_refused_by_one_block() {
    let tree = sample();
    for params in [PLAIN, LZ4] {
        let fit = made(&params, &tree);
        let exact = plan(&params, &tree, Room::Exactly(fit.len()), 2).unwrap();
        assert_eq!(hash(exact.as_ref()), hash(fit.as_ref()));
        let error = plan(&params, &tree, Room::Exactly(fit.len() - 4096), 2).unwrap_err();
        let wanted = format!("needs {} bytes, its place has {}", fit.len(), fit.len() - 4096);
        assert!(error.to_string().contains(&wanted), "{error}");
    }
}

#[test]
fn late_bytes_learn_their_place() {
    let finish = |place: &Placement| {
        let extent = place.extents[0];
        let mut bytes = extent.start().to_le_bytes().to_vec();
        bytes.resize(extent.len() as usize, 7);
        bytes
    };
    let late = Late { len: 5000, align: 512, contiguous: true, finish: Box::new(finish) };
    let mut tree = tree();
    let late = Kind::File(Content::Late(Arc::new(late)));
    put(&mut tree, b"late", late, Meta::file(NOON));
    let tree = Arc::new(tree);
    let medium = made(&PLAIN, &tree);
    let found = read(&medium).unwrap();
    let id = found.walk().nth(1).unwrap().node;
    let Kind::File(Content::Sectors(source)) = &found.node(id).kind else { panic!() };
    let place = u64::from_le_bytes(all(source.as_ref())[..8].try_into().unwrap());
    let mut seen = [0; 8];
    medium.read_at(place - (1 << 20), &mut seen).unwrap();
    assert_eq!(u64::from_le_bytes(seen), place);
    let error = plan(&LZ4, &tree, FIT, 1).unwrap_err();
    assert_eq!(error.origin().unwrap().as_str(), "test.contents");
}

#[test]
fn blkid_sees_label_and_uuid() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let medium = made(&PLAIN, &Arc::new(tree()));
    save(medium.as_ref(), &image);
    let said = run("util-linux", "blkid", &["-p", "-o", "export", image.to_str().unwrap()]);
    let facts = erofs::look(medium.as_ref()).unwrap().unwrap();
    for wanted in ["TYPE=erofs", &format!("UUID={}", facts.uuid.unwrap())] {
        assert!(said.contains(wanted), "{said}");
    }
}

/// Reads all that there is, whatever it says.
fn devour(bytes: Vec<u8>) -> Result<(), Error> {
    let medium: Arc<dyn SectorSource> = Arc::new(ByteSource::new(bytes));
    let limits = Limits { nodes: 1000, file: 1 << 24, total: 1 << 26, ..Limits::default() };
    erofs::look(medium.as_ref())?;
    let tree = erofs::read(Arc::clone(&medium), &limits)?;
    let mut buffer = vec![0; 1 << 16];
    for step in tree.walk() {
        if let Kind::File(Content::Sectors(source)) = &tree.node(step.node).kind {
            for extent in source.extents().take(100) {
                let len = extent.len().min(1 << 16) as usize;
                source.read_at(extent.start(), &mut buffer[..len])?;
            }
        }
    }
    Ok(())
}

/// The image with the superblock's checksum left out, so that more than that is looked at.
fn unchecked(mut image: Vec<u8>) -> Vec<u8> {
    image[1024 + 8] &= !1;
    image
}

#[test]
fn no_changed_byte_is_a_panic_or_without_end() {
    let mut tree = crate::squashfs::little();
    put(&mut tree, b"packed", bytes(prose(5, 8200)), Meta::file(NOON));
    let source = Sparse { len: 20_000, parts: vec![(9000, vec![1; 900])] };
    put(&mut tree, b"holes", Kind::File(Content::Sectors(Arc::new(source))), Meta::file(NOON));
    let tree = Arc::new(tree);
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("ours");
    fs::write(&image, all(crate::squashfs::made(&Default::default(), &tree).as_ref())).unwrap();
    let root = directory.path().join("out");
    crate::squashfs::extracted(&image, &root);
    let paths = [image.to_str().unwrap(), root.to_str().unwrap()];
    fs::remove_file(&image).unwrap();
    run("erofs-utils", "mkfs.erofs", &[&["-zlz4"], &paths[..]].concat());
    let mut images = vec![fs::read(&image).unwrap()];
    images.extend([PLAIN, CHUNKS, LZ4].map(|params| all(made(&params, &tree).as_ref())));
    for good in images {
        devour(good.clone()).unwrap();
        for at in 1024..1024 + 128 {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            // Where the checksum is no more asked for, or nothing is there any more, no other says so.
            let told = erofs::look(&ByteSource::new(bad)).map_or(true, |facts| facts.is_none());
            assert!(told || at == 1024 + 8, "{at}");
        }
        let good = unchecked(good);
        let mut refused = 0;
        for at in (1024..1024 + 128).chain(4096..good.len()) {
            // Much of it are file contents, which have no checksum.
            if good[at] != 0 || at % 256 == 0 {
                let mut bad = good.clone();
                bad[at] ^= [0x01, 0x80, 0xff][at % 3];
                let began = std::time::Instant::now();
                refused += usize::from(devour(bad).is_err());
                assert!(began.elapsed().as_secs() < 5, "{at}");
            }
        }
        assert!(refused > 100, "{refused}");
        for len in (0..good.len()).step_by(1024) {
            assert!(len < 4096 || devour(good[..len].to_vec()).is_err(), "{len}");
        }
    }
}
