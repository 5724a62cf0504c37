//! Archives against GNU cpio, bsdtar and our own reader.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::archive::{Entries, Form, Format};
use vmimage::engine::base::tree::{Device, Kind, Meta, Name, Time, TreePath};
use vmimage::engine::base::{ByteSource, Content, Late, SectorSource};
use vmimage::engine::initrd::newc::{Params, Times, archive, with_attributes};

use crate::tool::{run, with_input};
use crate::trees::{Grower, MOMENT, content, meta, unix};

/// All bytes of an archive, read in pieces that end anywhere.
pub(crate) fn bytes(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(source.len()).unwrap()];
    let mut at = 0;
    for piece in bytes.chunks_mut(65_537) {
        source.read_at(at, piece).unwrap();
        at += piece.len() as u64;
    }
    bytes
}

fn made(grower: &Grower) -> Vec<u8> {
    bytes(&archive(&grower.tree, &Params::default()).unwrap())
}

/// The names in the order of the archive, as `cpio -o` reads them.
fn names(grower: &Grower) -> Vec<u8> {
    let mut names = Vec::new();
    for step in grower.tree.walk() {
        let parts: Vec<_> = step.path.names().iter().map(|name| name.as_bytes()).collect();
        names.extend(if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') });
        names.push(0);
    }
    names
}

/// The whole archive is the one that GNU cpio makes of the same files. (It puts off all names of a file
/// but the last, and writes them backwards: so only two names, one behind the other, are compared.)
#[test]
fn gnu_cpio_makes_the_same_archive() {
    let mut grower = unix();
    let bin = grower.tree.find(&TreePath::new(b"bin").unwrap()).unwrap();
    for number in 1..150 {
        let name = format!("alias{number:03}");
        assert!(grower.tree.remove(bin, &Name::new(name.as_bytes()).unwrap()));
    }
    // bsdtar makes no sockets.
    let dev = grower.tree.find(&TreePath::new(b"dev").unwrap()).unwrap();
    assert!(grower.tree.remove(dev, &Name::new(b"socket").unwrap()));
    let ours = made(&grower);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    // Unlike cpio, bsdtar sets the times of directories when all is in them.
    with_input(Command::new("bsdtar").args(["-xpf", "-"]).current_dir(&root), &ours);
    run(Command::new("touch").arg("-d").arg(format!("@{}", MOMENT.seconds)).arg(&root));
    let theirs = with_input(
        Command::new("cpio")
            .args(["-o", "-0", "-H", "newc", "--reproducible", "--quiet"])
            .current_dir(&root),
        &names(&grower),
    );
    if let Some(at) = ours.iter().zip(&theirs).position(|(a, b)| a != b) {
        let near = |bytes: &[u8]| {
            bytes[at.saturating_sub(150)..(at + 60).min(bytes.len())].escape_ascii().to_string()
        };
        panic!("they differ at {at}:\n{}\n{}", near(&ours), near(&theirs));
    }
    assert_eq!(ours.len(), theirs.len());
}

fn extract(archive: &[u8], root: &Path) {
    let mut command = Command::new("cpio");
    command.args(["-i", "-d", "-m", "--no-absolute-filenames", "--quiet"]).current_dir(root);
    with_input(&mut command, archive);
}

/// What cpio makes of an archive is the tree.
#[test]
fn gnu_cpio_extracts_the_tree() {
    let grower = unix();
    let directory = tempfile::tempdir().unwrap();
    extract(&made(&grower), directory.path());
    let mut seen = 0;
    for step in grower.tree.walk() {
        let mut path = directory.path().to_owned();
        path.extend(step.path.names().iter().map(|n| std::ffi::OsStr::from_bytes(n.as_bytes())));
        let found = fs::symlink_metadata(&path).unwrap();
        let node = grower.tree.node(step.node);
        assert_eq!((found.uid(), found.gid()), (node.meta.uid, node.meta.gid), "{path:?}");
        // cpio sets no times of links, nor of a directory again when something was put into it.
        if !node.kind.is_directory() && !matches!(node.kind, Kind::Symlink(_)) {
            assert_eq!(found.mtime(), node.meta.modified.seconds, "{path:?}");
        }
        if !matches!(node.kind, Kind::Symlink(_)) {
            let mode = found.permissions().mode() & 0o7777;
            assert_eq!(mode, u32::from(node.meta.mode), "{path:?}");
        }
        match &node.kind {
            Kind::File(Content::Bytes(bytes)) => {
                assert!(fs::read(&path).unwrap() == **bytes, "{path:?}");
                assert_eq!(found.nlink(), u64::from(node.names()), "{path:?}");
            }
            Kind::Symlink(target) => {
                let link = fs::read_link(&path).unwrap();
                assert_eq!(link.as_os_str().as_bytes(), &**target);
            }
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                let number = found.rdev();
                assert_eq!(rustix::fs::major(number), device.major);
                assert_eq!(rustix::fs::minor(number), device.minor);
            }
            _ => {}
        }
        seen += 1;
    }
    assert_eq!(seen, grower.tree.walk().count());
}

#[test]
fn bsdtar_and_cpio_list_every_name() {
    let grower = unix();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("archive");
    fs::write(&file, made(&grower)).unwrap();
    let listed = run(Command::new("bsdtar").arg("-tvf").arg(&file));
    let wanted = grower.tree.walk().count();
    assert_eq!(String::from_utf8_lossy(&listed).lines().count(), wanted);
    let listed =
        with_input(Command::new("cpio").args(["-itv", "--quiet"]), &fs::read(&file).unwrap());
    let text = String::from_utf8_lossy(&listed);
    assert_eq!(text.lines().count(), wanted);
    let line = |name: &str| text.lines().find(|line| line.ends_with(name)).unwrap().to_owned();
    assert!(line(" dev/null").starts_with("crw-rw-rw-"), "{}", line(" dev/null"));
    assert!(line(" dev/null").contains(" 1,   3 "), "{}", line(" dev/null"));
    assert!(line(" sticky").starts_with("drwxrwxrwt"), "{}", line(" sticky"));
}

/// Our reader sees the tree again, with any alignment of bodies.
#[test]
fn our_reader_sees_the_same() {
    let grower = unix();
    for align in [4, 16, 512] {
        let params = Params { align, ..Params::default() };
        let made = bytes(&archive(&grower.tree, &params).unwrap());
        let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(made));
        let entries = Entries::open(Format::Cpio, source).unwrap();
        let (mut seen, mut links) = (0, 0);
        for entry in entries {
            let entry = entry.unwrap();
            let path = TreePath::new(&entry.path).unwrap();
            let node = grower.tree.node(grower.tree.find(&path).unwrap());
            assert_eq!(entry.meta.mode, node.meta.mode, "{path}");
            match (&entry.form, &node.kind) {
                (Form::File(found), Kind::File(wanted)) => {
                    assert_eq!(found.len(), wanted.len(), "{path}");
                    if let (Content::Sectors(found), Content::Bytes(wanted)) = (found, wanted) {
                        assert!(bytes(&**found) == **wanted, "{path}");
                    }
                }
                (Form::HardLink(_), Kind::File(_)) => links += 1,
                (Form::Directory, Kind::Directory(_))
                | (Form::Symlink(_), Kind::Symlink(_))
                | (Form::CharDevice(_), Kind::CharDevice(_))
                | (Form::BlockDevice(_), Kind::BlockDevice(_))
                | (Form::Fifo, Kind::Fifo)
                | (Form::Socket, Kind::Socket) => {}
                other => panic!("{path}: {other:?}"),
            }
            seen += 1;
        }
        assert_eq!((seen, links), (grower.tree.walk().count(), 150));
    }
}

#[test]
fn all_times_are_one_where_that_is_asked() {
    let grower = unix();
    let time = Time { seconds: 1_234_567_890, nanos: 5 };
    let params = Params { times: Times::All(time), ..Params::default() };
    let all = bytes(&archive(&grower.tree, &params).unwrap());
    let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(all));
    for entry in Entries::open(Format::Cpio, source).unwrap() {
        assert_eq!(entry.unwrap().meta.modified, Time { nanos: 0, ..time });
    }
    // What the format cannot say becomes the nearest that it can.
    for (seconds, wanted) in [(-1, 0), (i64::from(u32::MAX) + 1, i64::from(u32::MAX))] {
        let mut grower = Grower::new();
        let modified = Time { seconds, nanos: 0 };
        grower.put(b"f", content(vec![1]), Meta { modified, ..meta(0o644) });
        let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(made(&grower)));
        let entries: Vec<_> = Entries::open(Format::Cpio, source).unwrap().collect();
        assert_eq!(entries[1].as_ref().unwrap().meta.modified.seconds, wanted);
    }
}

/// A medium of zeros.
#[derive(Debug)]
struct Zeros(u64);

impl SectorSource for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _: u64, buffer: &mut [u8]) -> Result<(), vmimage::engine::base::Error> {
        buffer.fill(0);
        Ok(())
    }

    fn next_extent(&self, _: u64) -> Option<vmimage::engine::base::Extent> {
        None
    }
}

#[test]
fn what_linux_does_not_take_is_refused() {
    let zeros = |len| Kind::File(Content::Sectors(Arc::new(Zeros(len))));
    let late = Late { len: 1, align: 1, contiguous: true, finish: Box::new(|_| vec![0]) };
    let device = |major, minor| Kind::CharDevice(Device { major, minor });
    let deep = "d/".repeat(2047);
    let rows: [(&str, Kind, &str); 9] = [
        ("big", zeros(u64::from(u32::MAX) + 1), "has 4294967296 bytes"),
        ("TRAILER!!!", content(vec![1]), "taken for the end"),
        ("late", Kind::File(Content::Late(Arc::new(late))), "must know where it lies"),
        ("dev/a", device(4096, 0), "the device 4096:0; Linux has numbers up to 4095:1048575"),
        ("dev/b", device(0, 1 << 20), "the device 0:1048576"),
        ("link", Kind::Symlink(Box::default()), "a text of 0 bytes; 1 to 4095"),
        ("link", Kind::Symlink(vec![b'a'; 4096].into()), "a text of 4096 bytes"),
        ("a", device(4095, (1 << 20) - 1), ""),
        (&deep[..4093], content(vec![1]), ""),
    ];
    for (path, kind, why) in rows {
        let mut grower = Grower::new();
        grower.put(path.as_bytes(), kind, meta(0o644));
        match archive(&grower.tree, &Params::default()) {
            Ok(_) => assert_eq!(why, "", "{path}"),
            Err(error) => {
                assert!(!why.is_empty() && error.to_string().contains(why), "{error}");
                assert_eq!(error.origin().unwrap().as_str(), "spec.disk.partitions[0].contents[0]");
            }
        }
    }
    let mut grower = Grower::new();
    let mut inner = grower.put(&deep.as_bytes()[..4093], Kind::directory(), meta(0o755));
    for _ in 0..2 {
        let name = Name::new(b"d").unwrap();
        let origin = vmimage::engine::base::Origin::new("x");
        inner = grower.tree.put(inner, name, Kind::directory(), meta(0o755), &origin).unwrap();
    }
    let error = archive(&grower.tree, &Params::default()).unwrap_err().to_string();
    assert!(error.contains("it has 4098 bytes with its zero, Linux takes 4096"), "{error}");
    for align in [0, 2, 12, 1024] {
        let params = Params { align, ..Params::default() };
        assert!(archive(&grower.tree, &params).is_err(), "{align}");
    }
}

/// The largest file there is, read near its end: nothing of it is in memory.
#[test]
fn a_file_of_almost_4_gib_is_only_referred_to() {
    let mut grower = Grower::new();
    let file = Kind::File(Content::Sectors(Arc::new(Zeros(u64::from(u32::MAX)))));
    grower.put(b"big", file, meta(0o644));
    grower.file("last", b"the end".to_vec());
    let made = archive(&grower.tree, &Params::default()).unwrap();
    let mut tail = vec![0; 512];
    made.read_at(made.len() - 512, &mut tail).unwrap();
    let text = String::from_utf8_lossy(&tail);
    assert!(text.contains("last\0\0the end\0") && text.contains("TRAILER!!!\0"), "{text}");
}

#[test]
fn lost_attributes_are_told() {
    let mut grower = Grower::new();
    let file = grower.file("d/named", vec![1]);
    grower.file("plain", vec![2]);
    assert!(with_attributes(&grower.tree).is_empty());
    grower.attribute(file, "security.capability", b"x");
    let lost: Vec<_> = with_attributes(&grower.tree).iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["/d/named"]);
    assert_eq!(grower.tree.node(file).meta.modified, MOMENT);
}
