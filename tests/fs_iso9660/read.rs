//! Our reader on our own images and on those of others.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use vmimage::engine::base::tree::{Kind, Tree};
use vmimage::engine::filesystem::iso9660::{Params, look};

use super::sample::{agree, contents, everything, lines, open, plain, tree_of, write};
use super::tool::run;

#[test]
fn what_is_written_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(everything(), &Params::default(), directory.path());
    agree(&lines(&tree_of(&image)), &lines(&everything()));
    let facts = look(open(&image).as_ref()).unwrap().unwrap();
    assert_eq!(facts.features, ["Rock Ridge", "Joliet"]);
    assert_eq!((facts.label.as_deref(), facts.size), (Some("ISOIMAGE"), open(&image).len()));
}

/// Without Rock Ridge owners and modes are lost; names are those of Joliet.
#[test]
fn joliet_names_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let params = Params { rock_ridge: false, ..Params::default() };
    let image = write(plain(), &params, directory.path());
    agree(&lines(&tree_of(&image)), &lines(&plain()));
}

/// A directory of the host with what a user may make.
fn source(directory: &Path, link: usize) -> PathBuf {
    let root = directory.join("source");
    let deep = root.join("a/b/c/d/e/f/g/h/i/j");
    fs_err::create_dir_all(&deep).unwrap();
    fs_err::create_dir_all(root.join("a/b/c/d/e/f/g/other")).unwrap();
    fs_err::write(deep.join("deep file"), "deep").unwrap();
    fs_err::write(root.join("empty"), "").unwrap();
    fs_err::write(root.join("x".repeat(240)), vec![3; 70_000]).unwrap();
    fs_err::write(root.join("one"), "one inode").unwrap();
    fs_err::hard_link(root.join("one"), root.join("a/two")).unwrap();
    symlink("a/../one", root.join("link")).unwrap();
    symlink("/", root.join("root")).unwrap();
    symlink("dir/".repeat(link) + "end", root.join("long")).unwrap();
    fs_err::set_permissions(root.join("one"), PermissionsExt::from_mode(0o4711)).unwrap();
    root
}

/// What the host has: paths, kinds, modes and contents; times of files to the second.
fn host(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs_err::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs_err::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let what = if meta.is_symlink() {
                fs_err::read_link(&path).unwrap().display().to_string()
            } else if meta.is_dir() {
                open.push(path.clone());
                "directory".to_owned()
            } else {
                let bytes = fs_err::read(&path).unwrap();
                format!("{} {} {}", meta.mtime(), meta.nlink(), bytes.escape_ascii())
            };
            lines.push(format!("/{name} {:o} {what}", meta.mode() & 0o7777));
        }
    }
    lines.sort();
    lines
}

/// The same of a tree.
fn seen(tree: &Tree) -> Vec<String> {
    let mut lines: Vec<String> = tree
        .walk()
        .skip(1)
        .map(|step| {
            let node = tree.node(step.node);
            let what = match &node.kind {
                Kind::Symlink(target) => String::from_utf8_lossy(target).into_owned(),
                Kind::Directory(_) => "directory".to_owned(),
                Kind::File(content) => {
                    let (time, bytes) = (node.meta.modified.seconds, contents(content));
                    format!("{time} {} {}", node.names(), bytes.escape_ascii())
                }
                other => other.word().to_owned(),
            };
            format!("{} {:o} {what}", step.path, node.meta.mode)
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn images_of_others_are_read() {
    let directory = tempfile::tempdir().unwrap();
    // genisoimage writes links of more than 255 bytes with lengths that are cut to a byte.
    let (long, short) = (source(&directory.path().join("long"), 200), source(directory.path(), 30));
    let out = directory.path().join("foreign.iso");
    let out_text = out.to_str().unwrap();
    let xorriso = &["-as", "mkisofs", "-quiet", "-o", out_text, "--hardlinks"][..];
    let genisoimage = &["-quiet", "-o", out_text][..];
    for (program, first, flags, root) in [
        ("xorriso", xorriso, &["-R", "-J"][..], &long),
        ("xorriso", xorriso, &["-R", "-rr_reloc_dir", "/reloc"], &long),
        ("genisoimage", genisoimage, &["-R"], &short),
        ("genisoimage", genisoimage, &["-R", "-J", "-cache-inodes"], &short),
    ] {
        let _ = fs_err::remove_file(&out);
        run(program, program, &[first, flags, &[root.to_str().unwrap()]].concat());
        let seen: Vec<String> = seen(&tree_of(&out));
        let seen: Vec<String> =
            seen.into_iter().filter(|line| !line.starts_with("/reloc ")).collect();
        agree(&seen, &host(root));
        let facts = look(open(&out).as_ref()).unwrap().unwrap();
        assert!(facts.features.contains(&"Rock Ridge".to_owned()), "{facts:?}");
    }
}

/// Names without Rock Ridge: Joliet's as they are, plain ones in upper case.
#[test]
fn plain_images_of_others_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("source");
    fs_err::create_dir_all(root.join("Sub")).unwrap();
    fs_err::write(root.join("Sub/größe.txt"), "1").unwrap();
    fs_err::write(root.join("noext"), "2").unwrap();
    let out = directory.path().join("foreign.iso");
    let (root, out_text) = (root.to_str().unwrap(), out.to_str().unwrap());
    let names = |flags: &[&str]| -> Vec<String> {
        let tail = ["-quiet", "-input-charset", "utf-8", "-o", out_text, root];
        run("genisoimage", "genisoimage", &[flags, &tail].concat());
        tree_of(&out).walk().map(|step| step.path.to_string()).collect()
    };
    let joliet = format!("/Sub/{}", "größe.txt".as_bytes().escape_ascii());
    assert_eq!(names(&["-J"]), ["/", "/Sub", &joliet, "/noext"]);
    assert_eq!(names(&[]), ["/", "/NOEXT", "/SUB", "/SUB/GR____E.TXT"]);
}
