//! erofs: fsck.erofs and dump.erofs judge what we write, and we read what mkfs.erofs writes.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::tree::{Kind, Limits, Meta, Time, Tree};
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
    let medium = planned.render(&Placement { extents, medium: 1 << 40 })?;
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
    crate::sample::xattr(&mut tree, acl, b"user.long", &noise(4, 5000));
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
