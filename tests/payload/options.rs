//! What an unpacked archive is told to become, and what a tar of an ordinary user cannot hold.

use std::path::Path;

use fs_err as fs;
use vmimage::engine::base::Origin;
use vmimage::engine::base::tree::{Time, TreePath};
use vmimage::engine::payload::{Glob, Part, Times, Unpack, copy_tree, member};

use crate::foreign::{empty, unpacked};
use crate::rows::{Rows, of_tree};
use crate::shell::shell;

/// Devices and owners without being root: bsdtar takes them from a list.
const LIST: &str = "#mtree\n\
    ./d type=dir mode=0750 uid=12 gid=34 time=1.0\n\
    ./d/null type=char device=native,1,3 mode=0666 uid=0 gid=0 time=1.0\n\
    ./d/sda type=block device=native,259,300 mode=0660 uid=0 gid=6 time=1.0\n\
    ./d/pipe type=fifo mode=0600 uid=3000000000 gid=4294967294 time=1.0\n\
    ./d/su type=file mode=04755 uid=0 gid=0 time=1.0 contents=file\n\
    ./d/e/deep type=file mode=0644 uid=5 gid=5 time=99.0 contents=file\n";

fn made(directory: &Path, format: &str) {
    fs::write(directory.join("list"), LIST).unwrap();
    fs::write(directory.join("file"), "text").unwrap();
    shell(directory, "libarchive-tools", &format!("bsdtar --format={format} -cf archive @list"));
}

fn line(rows: &Rows, name: &str) -> String {
    let row = &rows[name.as_bytes()];
    let (uid, gid) = row.owner;
    format!("{} {:o} {uid}:{gid} {}", row.what, row.mode, row.time.0)
}

#[test]
fn devices_and_owners() {
    for format in ["pax", "gnutar", "newc"] {
        let directory = tempfile::tempdir().unwrap();
        made(directory.path(), format);
        let (tree, _) = unpacked(&directory.path().join("archive"), &Unpack::default()).unwrap();
        let rows = of_tree(&tree);
        assert_eq!(line(&rows, "d"), "directory 750 12:34 1", "{format}");
        assert_eq!(line(&rows, "d/null"), "character device 1,3 666 0:0 1", "{format}");
        assert_eq!(line(&rows, "d/sda"), "block device 259,300 660 0:6 1", "{format}");
        assert_eq!(line(&rows, "d/su"), "file 4755 0:0 1", "{format}");
        if format != "newc" {
            assert_eq!(line(&rows, "d/pipe"), "FIFO 600 3000000000:4294967294 1", "{format}");
        }
        // Nobody described it.
        assert_eq!(line(&rows, "d/e"), "directory 755 0:0 0", "{format}");
    }
}

#[test]
fn options_change_what_they_say() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path(), "pax");
    let archive = directory.path().join("archive");
    let time = |seconds| Time { seconds, nanos: 0 };
    let mut options = Unpack {
        strip: 1,
        target: TreePath::new(b"usr/local").unwrap(),
        owner: Some((7, 8)),
        file_mask: 0o777,
        directory_mask: 0o700,
        times: Times::Clamp(time(50)),
        implied: time(9),
        ..Unpack::default()
    };
    options.selection.exclude = vec![Glob::new("d/sda").unwrap()];
    let rows = of_tree(&unpacked(&archive, &options).unwrap().0);
    let names: Vec<_> = rows.keys().map(|name| name.escape_ascii().to_string()).collect();
    let local = ["/e", "/e/deep", "/null", "/pipe", "/su"].map(|name| format!("usr/local{name}"));
    assert_eq!(names[..3], ["", "usr", "usr/local"]);
    assert_eq!(names[3..], local);
    assert_eq!(line(&rows, "usr/local/su"), "file 755 7:8 1");
    assert_eq!(line(&rows, "usr/local/e/deep"), "file 644 7:8 50");
    assert_eq!(line(&rows, "usr/local/e"), "directory 755 0:0 9");
    options.times = Times::Set(time(3));
    options.selection.include = vec![Glob::new("d/e").unwrap()];
    let rows = of_tree(&unpacked(&archive, &options).unwrap().0);
    assert_eq!(rows.len(), 5);
    assert_eq!(line(&rows, "usr/local/e/deep"), "file 644 7:8 3");
}

#[test]
fn later_entries_win_but_do_not_destroy() {
    let directory = tempfile::tempdir().unwrap();
    let made = |commands: &str| {
        let path = directory.path();
        shell(path, "tar", &format!("rm -rf t; mkdir t; cd t; {commands}"));
        let (tree, _) =
            unpacked(&path.join("t/a.tar"), &Unpack::default()).map_err(|e| e.to_string())?;
        Ok::<_, String>(of_tree(&tree))
    };
    // The same name twice; a file, a link and a directory in turn.
    let rows = made("echo 1 > f; tar cf a.tar f; echo 22 > f; tar rf a.tar f").unwrap();
    assert_eq!(rows[&b"f"[..]].bytes, b"22\n");
    let rows =
        made("echo 1 > f; tar cf a.tar f; rm f; mkdir f; echo > f/g; tar rf a.tar f").unwrap();
    assert!(rows.contains_key(&b"f/g"[..]));
    let rows = made("mkdir f; tar cf a.tar f; rmdir f; echo > f; tar rf a.tar f").unwrap();
    assert_eq!(rows[&b"f"[..]].what, "file");
    let error = made("mkdir f; echo > f/g; tar cf a.tar f; rm -r f; echo > f; tar rf a.tar f");
    assert!(error.unwrap_err().contains("would replace a directory with entries"));
    // A directory replaces a link to one, as GNU tar has it.
    let link = "mkdir r; ln -s r l; tar cf a.tar r l; rm l; mkdir l; echo > l/x; tar rf a.tar l";
    assert!(made(link).unwrap().contains_key(&b"l/x"[..]));
    // One name of a file with two is replaced; the other keeps what it had.
    let rows =
        made("echo 1 > a; ln a b; tar cf a.tar a b; rm b; echo 2 > b; tar rf a.tar b").unwrap();
    assert_eq!(
        (&rows[&b"a"[..]].bytes[..], &rows[&b"b"[..]].bytes[..]),
        (&b"1\n"[..], &b"2\n"[..])
    );
}

#[test]
fn packages_keep_links_to_directories() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let control = "Package: a\\nVersion: 1\\nArchitecture: all\\nMaintainer: a\\nDescription: a\\n";
    let build = format!(
        "mkdir -p p/DEBIAN p/bin p/lib; printf '{control}' > p/DEBIAN/control; echo > p/bin/tool; \
         echo > p/lib/so; dpkg-deb -b p a.deb >/dev/null; \
         mkdir -p base/usr/bin; ln -s usr/bin base/bin; ln -s nowhere base/lib; \
         tar -C base -cf base.tar ."
    );
    shell(path, "dpkg", &build);
    let (mut tree, _) = unpacked(&path.join("base.tar"), &Unpack::default()).unwrap();
    let scratch = vmimage::engine::base::Scratch::new(path, 1 << 20);
    let source = crate::foreign::source(&path.join("a.deb"));
    let options = Unpack::default();
    vmimage::engine::payload::unpack(&mut tree, source, &options, &scratch, &Origin::new("x"))
        .unwrap();
    let rows = of_tree(&tree);
    assert_eq!(rows[&b"bin"[..]].what, "symbolic link usr/bin");
    assert!(rows.contains_key(&b"usr/bin/tool"[..]) && rows.contains_key(&b"lib/so"[..]));
}

#[test]
fn attributes_and_access_lists() {
    // As getfattr and getfacl print them, beside the tree that comes out.
    let directory = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path();
    let make = "echo > f; setfattr -n user.one -v 0x00ff0a3d f; setfattr -n user.two -v two f; \
                setfacl -m u:1234:rw,g:5678:r f; mkdir d; setfacl -d -m u:99:rwx d";
    shell(path, "attr acl", make);
    let value = |name: &str, file: &str| {
        let mut value = vec![0; 4096];
        let len = rustix::fs::lgetxattr(path.join(file), name, &mut value[..]).unwrap();
        value.truncate(len);
        value
    };
    for command in [
        "tar --xattrs --acls --numeric-owner --format=posix -cf archive f d",
        "tar --xattrs --xattrs-include='*' --format=posix -cf archive f d",
        "bsdtar --format=pax --numeric-owner --acls --xattrs -cf archive f d",
    ] {
        shell(path, "libarchive-tools", command);
        let rows = of_tree(&unpacked(&path.join("archive"), &Unpack::default()).unwrap().0);
        for (file, name) in [
            ("f", "user.one"),
            ("f", "user.two"),
            ("f", "system.posix_acl_access"),
            ("d", "system.posix_acl_default"),
        ] {
            let ours = rows[file.as_bytes()].attributes.get(name.as_bytes());
            assert_eq!(ours, Some(&value(name, file)), "{command}: {name}");
        }
    }
}

#[test]
fn parts_of_trees_are_copied() {
    let directory = tempfile::tempdir().unwrap();
    let make = "mkdir -p a/b c; echo 1 > a/b/f; ln a/b/f a/g; ln -s ../a/b/f c/l; ln -s a z; \
                chmod 700 a; tar cf archive a c z";
    shell(directory.path(), "tar", make);
    let (from, _) = unpacked(&directory.path().join("archive"), &Unpack::default()).unwrap();
    let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
    let origin = Origin::new("contents[0].fromImage");
    let mut into = empty();
    // Behind a link; hard links stay.
    let part = Part { path: path("z"), ..Part::default() };
    let summary = copy_tree(&from, &part, &mut into, &path("x/y"), &origin).unwrap();
    assert_eq!((summary.entries, summary.links), (4, 1));
    let rows = of_tree(&into);
    assert_eq!(rows[&b"x/y"[..]].mode, 0o700);
    assert_eq!(rows[&b"x/y/g"[..]].first, b"x/y/b/f");
    // All of it onto the root.
    copy_tree(&from, &Part::default(), &mut into, &path("/"), &origin).unwrap();
    assert!(of_tree(&into).contains_key(&b"c/l"[..]));
    let mut part = Part { path: path("nowhere"), ..Part::default() };
    let error = copy_tree(&from, &part, &mut into, &path("/"), &origin).unwrap_err();
    assert!(error.to_string().contains("there is no \"/nowhere\""), "{error}");
    part.path = path("a/g");
    assert!(copy_tree(&from, &part, &mut into, &path("/"), &origin).is_err());
    copy_tree(&from, &part, &mut into, &path("one"), &origin).unwrap();
    assert_eq!(of_tree(&into)[&b"one"[..]].bytes, b"1\n");
    let content = member(&from, &path("c/l")).unwrap();
    assert_eq!(crate::rows::bytes(&content), b"1\n");
    assert!(member(&from, &path("a")).unwrap_err().to_string().contains("a file is wanted"));
}
