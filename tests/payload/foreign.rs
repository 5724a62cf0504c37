//! What GNU tar, bsdtar, GNU cpio, zip and dpkg-deb write is what comes out.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::tree::{Meta, Time, Tree};
use vmimage::engine::base::{Error, FileSource, Origin, Scratch, SectorSource};
use vmimage::engine::payload::{Summary, Unpack, unpack};

use crate::made::{ALL, Wants, fill};
use crate::rows::{Rows, assert_same, of_host, of_tree};
use crate::shell::shell;

pub(crate) fn empty() -> Tree {
    Tree::new(Meta::directory(Time::default()), Origin::new("root"))
}

pub(crate) fn source(path: &Path) -> Arc<dyn SectorSource> {
    Arc::new(FileSource::open(path).unwrap())
}

/// Unpacks a file.
pub(crate) fn unpacked(path: &Path, options: &Unpack) -> Result<(Tree, Summary), Error> {
    let mut tree = empty();
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(directory.path(), 1 << 30);
    let origin = Origin::new("contents[0]");
    let summary = unpack(&mut tree, source(path), options, &scratch, &origin)?;
    Ok((tree, summary))
}

/// A command writes `../archive` of the tree; what comes out is the tree, but for `change`.
fn same(command: &str, package: &str, wants: Wants, change: &dyn Fn(&mut Rows)) {
    for seed in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("tree");
        fs::create_dir(&root).unwrap();
        fill(&root, seed, wants);
        shell(&root, package, command);
        let archive = directory.path().join("archive");
        let (tree, summary) = unpacked(&archive, &Unpack::default())
            .unwrap_or_else(|e| panic!("{command}, seed {seed}: {e}"));
        let mut theirs = of_host(&root);
        change(&mut theirs);
        let mut ours = of_tree(&tree);
        ours.values_mut().for_each(|row| row.attributes.clear());
        assert!(summary.entries + 1 >= theirs.len());
        assert_same(&ours, &theirs, &format!("{command}, seed {seed}"));
    }
}

fn seconds(rows: &mut Rows) {
    rows.values_mut().for_each(|row| row.time.1 = 0);
}

fn nothing(_: &mut Rows) {}

#[test]
fn gnu_tar() {
    let short = Wants { long: false, ..ALL };
    for (options, wants, change) in [
        ("--format=v7", Wants { fifos: false, ..short }, seconds as fn(&mut Rows)),
        ("--format=ustar", short, seconds),
        ("--format=oldgnu -S", ALL, seconds),
        ("--format=gnu -S", ALL, seconds),
        ("--format=posix", ALL, nothing),
        ("--format=posix -S --sparse-version=0.0", ALL, nothing),
        ("--format=posix -S --sparse-version=0.1", ALL, nothing),
        ("--format=posix -S --sparse-version=1.0", ALL, nothing),
    ] {
        let command = format!("tar {options} --numeric-owner -cf ../archive .");
        same(&command, "tar", wants, &change);
    }
}

#[test]
fn packed_tars_go_through_a_spool() {
    for (program, package) in [
        ("gzip", "gzip"),
        ("xz", "xz-utils"),
        ("zstd", "zstd"),
        ("bzip2", "bzip2"),
        ("lz4 -z", "lz4"),
    ] {
        let command = format!("tar --format=posix -S -cf - . | {program} > ../archive");
        same(&command, package, ALL, &nothing);
    }
}

#[test]
fn bsdtar() {
    let short = Wants { long: false, ..ALL };
    let package = "libarchive-tools";
    // It cuts GNU.sparse.name of long paths.
    let whole = Wants { sparse: false, ..ALL };
    same("bsdtar --format=pax -cf ../archive .", package, short, &nothing);
    same("bsdtar --format=pax -cf ../archive .", package, whole, &nothing);
    same("bsdtar --format=gnutar -cf ../archive .", package, ALL, &seconds);
    same("bsdtar --format=ustar -cf ../archive .", package, short, &seconds);
    same("bsdtar --format=newc -cf ../archive .", package, ALL, &seconds);
    same("bsdtar --format=odc -cf ../archive .", package, ALL, &seconds);
    let plain = Wants { links: false, fifos: false, odd_names: false, ..ALL };
    same("bsdtar --format=zip -cf ../archive .", package, plain, &seconds);
}

#[test]
fn gnu_cpio() {
    for format in ["newc", "crc", "odc"] {
        // Inode numbers of odc have 18 bits: larger ones are cut off, and files become one.
        let wants = Wants { links: format != "odc", ..ALL };
        let renumber = if format == "odc" { "--renumber-inodes" } else { "" };
        let command =
            format!("find . -print0 | cpio --quiet -0 -o -H {format} {renumber} > ../archive");
        same(&command, "cpio", wants, &seconds);
    }
}

#[test]
fn info_zip() {
    let wants = Wants { links: false, fifos: false, odd_names: false, ..ALL };
    // The root has no entry there.
    let root = |rows: &mut Rows| {
        seconds(rows);
        let row = rows.get_mut(&b""[..]).unwrap();
        (row.mode, row.owner, row.time) = (0o755, (0, 0), (0, 0));
    };
    for options in ["", "-0", "-9", "-fz"] {
        let command =
            format!("zip -q -y -r {options} ../archive.zip . && mv ../archive.zip ../archive");
        same(&command, "zip", wants, &root);
    }
    // It stores links as they are, which it refuses where its output cannot seek.
    let command = "find . -type l -delete; zip -q -y -r - . | cat > ../archive";
    same(command, "zip", wants, &root);
}

#[test]
fn debian_packages() {
    let wants = Wants { odd_names: false, ..ALL };
    for pack in ["none", "gzip", "xz", "zstd"] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("tree");
        fs::create_dir(&root).unwrap();
        fill(&root, 7, wants);
        fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let control = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n";
        fs::create_dir(root.join("DEBIAN")).unwrap();
        fs::write(root.join("DEBIAN/control"), control).unwrap();
        shell(&root, "dpkg", &format!("dpkg-deb -Z{pack} -b . ../archive >/dev/null"));
        fs::remove_dir_all(root.join("DEBIAN")).unwrap();
        let (tree, _) = unpacked(&directory.path().join("archive"), &Unpack::default()).unwrap();
        let mut theirs = of_host(&root);
        let mut ours = of_tree(&tree);
        for rows in [&mut theirs, &mut ours] {
            seconds(rows);
            rows.remove(&b""[..]);
        }
        assert_same(&ours, &theirs, pack);
    }
}
