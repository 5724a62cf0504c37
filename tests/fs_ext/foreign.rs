//! What `mke2fs -d` and `debugfs` make, read by us.
//!
//! Invariant: what is expected was put into files and read back from the host, not from an image.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::tree::{Device, Kind, Limits, Tree, TreePath};
use vmimage::engine::base::{Content, FileSource, SectorSource};
use vmimage::engine::filesystem::ext;

use crate::same::{contents, read};
use crate::sample::{Place, noise};
use crate::tool;

/// A directory of the host with files of many sizes.
fn host(root: &Path) {
    let write = |name: &str, bytes: &[u8]| fs_err::write(root.join(name), bytes).unwrap();
    fs_err::create_dir_all(root.join("deep/er/still")).unwrap();
    fs_err::create_dir(root.join("many")).unwrap();
    for len in [0, 1, 59, 60, 61, 150, 160, 1024, 5000, 400_000] {
        write(&format!("f{len}"), &noise(len, len as u32 + 1));
    }
    fs_err::set_permissions(root.join("f60"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    for n in 0..700 {
        write(&format!("many/a name of a file that is not short {n}"), b"");
    }
    write("deep/er/still/x", b"x");
    symlink("short", root.join("fast")).unwrap();
    symlink("s".repeat(70), root.join("inline")).unwrap();
    symlink("s".repeat(900), root.join("slow")).unwrap();
    fs_err::hard_link(root.join("f5000"), root.join("deep/again")).unwrap();
    let holes = fs_err::File::create(root.join("holes")).unwrap();
    // mke2fs -O inline_data cuts off a hole at the end of a file.
    holes.set_len((3 << 20) + 3000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(holes.file(), &noise(3000, 5), 3 << 20).unwrap();
}

/// Everything below `root` is in the tree.
fn compare(tree: &Tree, root: &Path) {
    let mut open = vec![root.to_owned()];
    let mut count = 0;
    while let Some(path) = open.pop() {
        count += 1;
        let inside = path.strip_prefix(root).unwrap();
        let name = TreePath::new(inside.as_os_str().as_encoded_bytes()).unwrap();
        let id = tree.find(&name).unwrap_or_else(|| panic!("{name} is missing"));
        let node = tree.node(id);
        let meta = fs_err::symlink_metadata(&path).unwrap();
        assert_eq!(u32::from(node.meta.mode), meta.mode() & 0o7777, "{name}");
        assert_eq!((node.meta.uid, node.meta.gid), (meta.uid(), meta.gid()), "{name}");
        // mke2fs makes the root itself, at its own time.
        if path != root {
            assert_eq!(node.meta.modified.seconds, meta.mtime(), "{name}");
        }
        match &node.kind {
            Kind::Directory(_) => {
                open.extend(fs_err::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            Kind::File(content) => {
                let bytes = fs_err::read(&path).unwrap();
                assert_eq!(contents(content), contents(&Content::Bytes(bytes.into())), "{name}");
            }
            Kind::Symlink(text) => {
                let target = fs_err::read_link(&path).unwrap();
                assert_eq!(&**text, target.as_os_str().as_encoded_bytes(), "{name}");
            }
            other => panic!("{name} is a {}", other.word()),
        }
    }
    // A second name is counted with each walk of the host; `lost+found` is not there.
    assert_eq!(tree.walk().count(), count + 1);
}

fn mke2fs(place: &Place, root: &Path, arguments: &[&str], size: &str) -> std::path::PathBuf {
    let image = place.path("foreign");
    let image_text = image.to_str().unwrap();
    let _ = fs_err::remove_file(&image);
    let fixed = ["-q", "-F", "-d", root.to_str().unwrap()];
    let all: Vec<_> = fixed.iter().chain(arguments).copied().chain([image_text, size]).collect();
    tool::run("e2fsprogs", "mke2fs", &all);
    image
}

#[test]
fn trees_of_mke2fs_are_read() {
    let place = Place::new();
    let root = place.path("root");
    fs_err::create_dir(&root).unwrap();
    host(&root);
    for (arguments, kind) in [
        (&["-t", "ext2"][..], "ext2"),
        (&["-t", "ext2", "-O", "none"], "ext2"),
        (&["-t", "ext2", "-r", "0", "-O", "none"], "ext2"),
        (&["-t", "ext3", "-b", "2048"], "ext3"),
        (&["-t", "ext4"], "ext4"),
        (&["-t", "ext4", "-b", "4096", "-O", "inline_data"], "ext4"),
        (&["-t", "ext4", "-I", "1024", "-O", "inline_data,^64bit"], "ext4"),
        (&["-t", "ext4", "-O", "^resize_inode,meta_bg,metadata_csum_seed"], "ext4"),
        (&["-t", "ext4", "-O", "sparse_super2,^resize_inode", "-g", "2048"], "ext4"),
        (&["-t", "ext4", "-O", "^metadata_csum,uninit_bg,quota,large_dir,project"], "ext4"),
        (&["-t", "ext4", "-O", "casefold,encrypt,verity", "-b", "4096"], "ext4"),
        (&["-t", "ext4", "-O", "orphan_file,fast_commit,mmp,ea_inode"], "ext4"),
    ] {
        let image = mke2fs(&place, &root, arguments, "48M");
        let medium = FileSource::open(&image).unwrap();
        let facts = ext::look(&medium).unwrap().unwrap();
        assert_eq!(facts.kind, kind, "{arguments:?}");
        let blkid =
            tool::run("util-linux", "blkid", &["-p", "-o", "export", image.to_str().unwrap()]);
        assert!(blkid.contains(&format!("TYPE={kind}\n")), "{arguments:?}: {blkid}");
        assert!(blkid.contains(&format!("UUID={}\n", facts.uuid.unwrap())), "{blkid}");
        eprintln!("{arguments:?}");
        compare(&read(&image), &root);
    }
}

#[test]
fn attributes_and_devices_of_debugfs_are_read() {
    let place = Place::new();
    let root = place.path("root");
    fs_err::create_dir(&root).unwrap();
    fs_err::write(root.join("file"), b"x").unwrap();
    let image = mke2fs(&place, &root, &["-t", "ext4"], "8M");
    let value = place.path("value");
    fs_err::write(&value, noise(500, 3)).unwrap();
    let script = place.path("script");
    let set = format!("ea_set -f {} file user.long", value.display());
    let lines = [
        "ea_set file security.selinux system_u:object_r:x:s0",
        &set,
        "ea_set file trusted.t 1",
        "mknod pipe p",
        "mknod char c 4 64",
        "mknod block b 8 17",
    ];
    fs_err::write(&script, lines.join("\n")).unwrap();
    let arguments = ["-w", "-f", script.to_str().unwrap(), image.to_str().unwrap()];
    tool::run("e2fsprogs", "debugfs", &arguments);
    let tree = read(&image);
    let node = |name: &str| tree.node(tree.find(&TreePath::new(name.as_bytes()).unwrap()).unwrap());
    let all = node("file").attributes.as_deref().unwrap();
    let value = |name: &str| all.get(name.as_bytes()).map(|value| value.to_vec());
    assert_eq!(value("security.selinux").unwrap(), b"system_u:object_r:x:s0");
    assert_eq!(value("user.long").unwrap(), noise(500, 3));
    assert_eq!(value("trusted.t").unwrap(), b"1");
    assert!(matches!(node("pipe").kind, Kind::Fifo));
    let device = |kind: &Kind| match kind {
        Kind::CharDevice(device) | Kind::BlockDevice(device) => *device,
        _ => panic!("{kind:?}"),
    };
    assert_eq!(device(&node("char").kind), Device { major: 4, minor: 64 });
    assert_eq!(device(&node("block").kind), Device { major: 8, minor: 17 });
}

#[test]
fn what_is_not_supported_is_named() {
    let place = Place::new();
    let root = place.path("root");
    fs_err::create_dir(&root).unwrap();
    let refused = |arguments: &[&str], command: &str| {
        let image = mke2fs(&place, &root, arguments, "48M");
        if !command.is_empty() {
            let arguments = ["-w", "-R", command, image.to_str().unwrap()];
            tool::run("e2fsprogs", "debugfs", &arguments);
        }
        let medium: Arc<dyn SectorSource> = Arc::new(FileSource::open(&image).unwrap());
        // What it is can be told all the same.
        assert!(ext::look(medium.as_ref()).unwrap().is_some());
        ext::read(medium, &Limits::default()).unwrap_err().to_string()
    };
    let error = refused(&["-t", "ext4"], "feature needs_recovery");
    assert!(error.contains("mount the filesystem once, or run e2fsck"), "{error}");
    let error = refused(&["-t", "ext4", "-O", "bigalloc"], "");
    assert!(error.contains("not supported: bigalloc"), "{error}");
    let error = refused(&["-t", "ext4"], "feature dirdata");
    assert!(error.contains("not supported"), "{error}");
}
