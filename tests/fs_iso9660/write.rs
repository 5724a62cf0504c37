//! What we write, read by others.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use vmimage::engine::base::tree::{Kind, Meta, NodeId, Tree};
use vmimage::engine::filesystem::iso9660::{Level, Params};

use super::sample::{
    END, FIT, Sparse, TIME, agree, bytes, contents, empty, everything, path, plain, put, render,
    store, tree_of, write,
};
use super::tool::run;
use vmimage::engine::base::Content;

/// What lies below `directory` of the host: a line for each name, without owners and devices.
fn host(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs_err::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs_err::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let what = if kind.is_symlink() {
                let target = fs_err::read_link(&path).unwrap();
                format!("link {}", target.as_os_str().as_bytes().escape_ascii())
            } else if kind.is_dir() {
                open.push(path.clone());
                format!("directory {:o}", meta.mode() & 0o7777)
            } else if kind.is_file() {
                let bytes = fs_err::read(&path).unwrap();
                format!("file {:o} {} {}", meta.mode() & 0o7777, meta.nlink(), bytes.escape_ascii())
            } else {
                assert!(kind.is_fifo() || kind.is_socket());
                format!("special {:o}", meta.mode() & 0o7777)
            };
            let name = path.strip_prefix(directory).unwrap().as_os_str().as_bytes();
            let time = if kind.is_symlink() { 0 } else { meta.mtime() };
            lines.push(format!("/{} {what} {time}", name.escape_ascii()));
        }
    }
    lines.sort();
    lines
}

/// The same of a tree.
fn expected(tree: &Tree) -> Vec<String> {
    let line = |path: String, id: NodeId| {
        let node = tree.node(id);
        let mode = node.meta.mode;
        let what = match &node.kind {
            Kind::Symlink(target) => format!("link {}", target.escape_ascii()),
            Kind::Directory(_) => format!("directory {mode:o}"),
            Kind::File(content) => {
                format!("file {mode:o} {} {}", node.names(), contents(content).escape_ascii())
            }
            _ => format!("special {mode:o}"),
        };
        let link = matches!(node.kind, Kind::Symlink(_));
        let time = if link { 0 } else { node.meta.modified.seconds };
        format!("{path} {what} {time}")
    };
    let mut lines: Vec<String> =
        tree.walk().skip(1).map(|step| line(step.path.to_string(), step.node)).collect();
    lines.sort();
    lines
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Everything but devices, which only root can make, sockets, which no extractor makes, and a time
/// that the host's filesystem may not hold.
fn extractable() -> Tree {
    let mut tree = everything();
    for gone in ["dev/null", "dev/big", "dev/log", "old"] {
        let (parent, name) = path(gone).split().map(|(p, n)| (p, n.clone())).unwrap();
        let parent = tree.directory(&parent).unwrap();
        tree.remove(parent, &name);
    }
    tree
}

#[test]
fn bsdtar_extracts_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(extractable(), &Params::default(), directory.path());
    let out = directory.path().join("out");
    fs_err::create_dir(&out).unwrap();
    run("libarchive-tools", "bsdtar", &["-xpf", text(&image), "-C", text(&out)]);
    agree(&host(&out), &expected(&extractable()));
    // The same files in xorriso's layout.
    let theirs = directory.path().join("theirs.iso");
    let flags = ["-as", "mkisofs", "-quiet", "-R", "-J", "-no-pad", "--hardlinks"];
    let arguments = ["-rr_reloc_dir", "/rr_moved", "-o", text(&theirs), text(&out)];
    run("xorriso", "xorriso", &[&flags[..], &arguments].concat());
    let len = |path: &Path| fs_err::metadata(path).unwrap().len();
    // Small sectors aside (serial numbers make records longer), the layouts take the same.
    let most = len(&theirs) + len(&theirs) / 10;
    assert!(len(&image) <= most, "{} bytes, xorriso {}", len(&image), len(&theirs));
}

#[test]
fn xorriso_extracts_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(extractable(), &Params::default(), directory.path());
    let out = directory.path().join("out");
    // Without -hardlinks on, xorriso makes copies: their number of links is 1.
    let extract = ["-osirrox", "on", "-hardlinks", "on", "-indev", text(&image)];
    run("xorriso", "xorriso", &[&extract[..], &["-extract", "/", text(&out)]].concat());
    // It makes one slash of two.
    let clean = |lines: Vec<String>| -> Vec<String> {
        let plain = |line: String| line.replace("link a//b/ ", "link a/b/ ");
        let mut lines: Vec<String> = lines.into_iter().map(plain).collect();
        lines.sort();
        lines
    };
    agree(&clean(host(&out)), &clean(expected(&extractable())));
}

#[test]
fn xorriso_and_isoinfo_agree_on_owners_and_kinds() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(everything(), &Params::default(), directory.path());
    let listing =
        run("xorriso", "xorriso", &["-indev", text(&image), "-find", "/", "-exec", "lsdl"]);
    for line in [
        "-rwsr-s--x    1 4000000000 65534        5000 Jan  1  1970 '/bin/setuid tool'",
        "drwxrwxrwt    1 0        0               0 Nov 14  2023 '/sticky'",
        "prw-r--r--    1 0        0               0 Nov 14  2023 '/dev/fifo'",
        "srw-r--r--    1 0        0               0 Nov 14  2023 '/dev/log'",
    ] {
        assert!(listing.contains(line), "{line} is not in\n{listing}");
    }
    let names = run("genisoimage", "isoinfo", &["-J", "-f", "-i", text(&image)]);
    let deep = format!("/deep/{}file;1", "level/".repeat(30));
    for name in ["/Case;1", "/case;1", "/dots...and.more.;1", &deep] {
        assert!(names.lines().any(|line| line == name), "{name} is not in\n{names}");
    }
    let info = run("genisoimage", "isoinfo", &["-d", "-i", text(&image)]);
    for line in ["Volume id: ISOIMAGE", "Joliet with UCS level 3 found", "Rock Ridge signatures"] {
        assert!(info.contains(line), "{line} is not in\n{info}");
    }
}

/// 7z reads Joliet; its names with sizes are those of the files.
#[test]
fn seven_zip_reads_joliet() {
    let directory = tempfile::tempdir().unwrap();
    let params = Params { rock_ridge: false, ..Params::default() };
    let image = write(plain(), &params, directory.path());
    let out = format!("-o{}", directory.path().join("out").display());
    run("7zip", "7zz", &["x", &out, text(&image)]);
    let seen = host(&directory.path().join("out"));
    let contents: Vec<&str> =
        seen.iter().filter(|line| line.contains(" file ")).map(|l| l.as_str()).collect();
    assert_eq!(contents.len(), 4);
    for (line, name) in
        contents.iter().zip(["meta-data", "network-config", "sub/inner/FILE.TXT", "user-data"])
    {
        assert!(line.starts_with(&format!("/{name} file ")), "{line}");
        assert!(line.contains(&format!(" {name} ")), "{line}");
    }
}

#[test]
fn blkid_sees_label_and_date() {
    let directory = tempfile::tempdir().unwrap();
    let params = Params { volume_id: "cidata".to_owned(), ..Params::default() };
    let image = write(plain(), &params, directory.path());
    let export = run("util-linux", "blkid", &["-p", "-o", "export", text(&image)]);
    for line in ["TYPE=iso9660", "LABEL=cidata", "UUID=2023-11-14-22-13-20-00", "BLOCK_SIZE=2048"] {
        assert!(export.lines().any(|seen| seen == line), "{line} is not in\n{export}");
    }
}

/// Names of all levels as isoinfo prints them without Rock Ridge.
#[test]
fn plain_names_are_short_and_different() {
    for (level, most) in [(Level::One, 12), (Level::Two, 31), (Level::Three, 31)] {
        let directory = tempfile::tempdir().unwrap();
        let mut tree = empty();
        for number in 0..300 {
            let name = format!("a rather long file name, number {number}.configuration");
            put(&mut tree, name.as_bytes(), bytes(name.as_bytes()), Meta::file(TIME));
        }
        let params = Params { level, rock_ridge: false, joliet: false, ..Params::default() };
        let image = write(tree, &params, directory.path());
        let names = run("genisoimage", "isoinfo", &["-f", "-i", text(&image)]);
        let mut names: Vec<&str> = names.lines().collect();
        assert!(names.is_sorted(), "{names:?}");
        names.dedup();
        assert_eq!(names.len(), 300);
        for name in names {
            let bare = name.strip_prefix('/').unwrap().strip_suffix(";1").unwrap();
            let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_.".contains(c);
            assert!(bare.len() <= most && bare.chars().all(legal), "{name}");
        }
        // Every content is still there.
        let read = tree_of(&image);
        let contents: BTreeMap<Vec<u8>, ()> = read
            .walk()
            .filter_map(|step| match &read.node(step.node).kind {
                Kind::File(content) => Some((contents(content), ())),
                _ => None,
            })
            .collect();
        assert_eq!(contents.len(), 300);
    }
}

#[test]
fn a_directory_of_65000_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut tree = empty();
    for number in 0..65_000 {
        let name = format!("big/file-with-a-long-name-that-is-cut-{number:05}");
        put(&mut tree, name.as_bytes(), bytes(b""), Meta::file(TIME));
    }
    let image = write(tree, &Params::default(), directory.path());
    let names = run("genisoimage", "isoinfo", &["-R", "-f", "-i", text(&image)]);
    assert_eq!(names.lines().count(), 65_001);
    let read = tree_of(&image);
    let big = read.node(read.directory(&path("big")).unwrap());
    assert_eq!(big.entries().unwrap().len(), 65_000);
}

#[test]
fn a_file_of_more_than_four_gib_has_sections() {
    let directory = tempfile::tempdir().unwrap();
    let len = (9 << 30) + 12_345;
    let mut tree = empty();
    let content = Content::Sectors(std::sync::Arc::new(Sparse(len)));
    put(&mut tree, b"large", Kind::File(content), Meta::file(TIME));
    put(&mut tree, b"small", bytes(b"behind it"), Meta::file(TIME));
    let image = render(tree.clone(), &Params::default(), FIT).unwrap();
    let path = directory.path().join("large.iso");
    // Only what is no hole is written.
    store(image.as_ref(), &path);
    assert!(fs_err::metadata(&path).unwrap().blocks() < 10_000);
    let listing =
        run("xorriso", "xorriso", &["-indev", text(&path), "-find", "/", "-exec", "lsdl"]);
    assert!(listing.contains(&format!(" {len} Nov 14  2023 '/large'")), "{listing}");
    let read = tree_of(&path);
    let node = read.node(read.find(&super::sample::path("large")).unwrap());
    let Kind::File(Content::Sectors(source)) = &node.kind else { panic!() };
    let mut end = vec![0; END.len()];
    source.read_at(len - END.len() as u64, &mut end).unwrap();
    assert_eq!((source.len(), end.as_slice()), (len, END));
    // Sections as xorriso sees them: number, first block, blocks, bytes of the file.
    let find = ["-indev", text(&path), "-find", "/large", "-exec", "report_lba"];
    let report = run("xorriso", "xorriso", &find);
    let sections: Vec<Vec<u64>> = report
        .lines()
        .filter_map(|line| line.strip_prefix("File data lba:"))
        .map(|line| line.split(',').take(4).map(|n| n.trim().parse().unwrap()).collect())
        .collect();
    assert_eq!(sections.len(), 3, "{report}");
    let (blocks, start): (u64, u64) = (sections.iter().map(|s| s[2]).sum(), sections[0][1]);
    assert_eq!((blocks, sections[2][3]), (len.div_ceil(2048), len));
    assert_eq!(sections[2][1], start + sections[0][2] + sections[1][2]);
    let mut end = vec![0; END.len()];
    super::sample::open(&path).read_at(start * 2048 + len - END.len() as u64, &mut end).unwrap();
    assert_eq!(end, END);
    let params = Params { level: Level::Two, ..Params::default() };
    let error = render(tree, &params, FIT).unwrap_err().to_string();
    assert!(error.contains("\"/large\"") && error.contains("level 3"), "{error}");
}
