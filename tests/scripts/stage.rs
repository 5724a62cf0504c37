//! Trees written to a directory, changed there, and read back.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use proptest::prelude::*;
use vmimage::engine::base::tree::{Kind, Limits, Meta, Time, Tree};
use vmimage::engine::base::{Content, Error, Kind as ErrorKind, Origin};
use vmimage::engine::stage::{Journal, Layout, Rules, read, write};

use crate::listing::{ALL, Listing, of, same};
use crate::trees::{DIRECTORY, Grower, attributed, content, crowd, meta, noise, sparse, unix};

const LAYOUT: Layout = Layout { budget: 1 << 30, owner: None };
const NOW: Time = Time { seconds: 1_800_000_000, nanos: 0 };

struct Staged {
    place: tempfile::TempDir,
    journal: Journal,
}

fn rules() -> Rules {
    let origin = Origin::new("spec.disk.scripts");
    Rules { time: NOW, limits: Limits::default(), budget: 1 << 30, origin }
}

fn stage(tree: &Tree) -> Staged {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("tree")).unwrap();
    let journal = write(tree, &place.path().join("tree"), LAYOUT).unwrap();
    let path = place.path().join("journal");
    journal.save(&path).unwrap();
    assert_eq!(Journal::load(&path).unwrap(), journal);
    Staged { place, journal }
}

impl Staged {
    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join("tree").join(path)
    }

    fn with(&self, rules: &Rules) -> Result<Tree, Error> {
        read(&self.place.path().join("tree"), &self.journal, rules)
    }

    fn back(&self) -> Listing {
        of(&self.with(&rules()).unwrap())
    }

    fn refused(&self) -> String {
        self.with(&rules()).unwrap_err().to_string()
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

const CAPABILITY: &str = "security.capability";

/// A directory with a privileged program, a device and more.
fn system() -> Grower {
    let mut grower = Grower::new();
    let program = grower.put(b"bin/su", content(noise(1, 9000)), Meta { gid: 7, ..meta(0o4755) });
    grower.attribute(program, CAPABILITY, b"\x01\0\0\x02");
    grower.attribute(program, "user.note", b"kept");
    grower.link("bin/sudo", program);
    grower.put(
        b"home/me",
        content(b"mine\n".to_vec()),
        Meta { uid: 1000, gid: 1000, ..meta(0o600) },
    );
    grower.put(b"dev/null", unix_null(), meta(0o666));
    grower.put(b"etc/link", Kind::Symlink(b"../bin/su"[..].into()), Meta { uid: 3, ..meta(0o777) });
    grower.put(b"tmp", Kind::directory(), Meta { mode: 0o1777, ..DIRECTORY });
    grower
}

fn unix_null() -> Kind {
    let unix = unix().tree;
    let path = vmimage::engine::base::tree::TreePath::new(b"dev/null").unwrap();
    unix.node(unix.find(&path).unwrap()).kind.clone()
}

#[test]
fn what_nobody_touched_comes_back() {
    let mut grower = attributed();
    grower.put(b"sparse", sparse(5 << 30, &[0, 3 << 30]), meta(0o600));
    grower.put("n".repeat(255).as_bytes(), content(vec![1]), meta(0));
    grower.put(format!("deep{}", "/d".repeat(200)).as_bytes(), content(vec![2]), meta(0o7777));
    let staged = stage(&grower.tree);
    same("the grown tree", &staged.back(), &of(&grower.tree), ALL);
    // The hole takes no room, here and when it is read.
    assert!(fs::metadata(staged.at("sparse")).unwrap().blocks() * 512 < 1 << 20);
    let tree = staged.with(&rules()).unwrap();
    let node = tree.find(&vmimage::engine::base::tree::TreePath::new(b"sparse").unwrap()).unwrap();
    let Kind::File(Content::Sectors(source)) = &tree.node(node).kind else { panic!() };
    assert!(source.extents().map(vmimage::engine::base::Extent::len).sum::<u64>() < 1 << 20);
    assert_eq!(tree.origin(node).as_str(), "spec.disk.partitions[0].contents[0]");
}

#[test]
fn what_was_changed_loses_its_privilege() {
    let staged = stage(&system().tree);
    let before = staged.back();
    fs::write(staged.at("bin/su"), b"other").unwrap();
    let back = staged.back();
    let (old, new) = (&before[&b"bin/su"[..]], &back[&b"bin/su"[..]]);
    assert_eq!((old.mode, new.mode), (0o4755, 0o755));
    assert_eq!((new.uid, new.gid, new.nanos), (0, 7, 1_800_000_000_000_000_000));
    assert_eq!(new.attributes.keys().collect::<Vec<_>>(), ["user.note"]);
    // Both names are still one file.
    assert_eq!(back[&b"bin/sudo"[..]], *new);
}

#[test]
fn the_same_length_and_time_hide_no_change() {
    let staged = stage(&system().tree);
    let path = staged.at("bin/su");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&path, bytes).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(staged.back()[&b"bin/su"[..]].mode, 0o755);
}

#[test]
fn what_was_only_touched_moved_or_linked_keeps_all() {
    let staged = stage(&system().tree);
    let before = staged.back();
    fs::hard_link(staged.at("bin/su"), staged.at("aaa")).unwrap();
    fs::rename(staged.at("home/me"), staged.at("home/moved")).unwrap();
    let back = staged.back();
    let su = &back[&b"bin/su"[..]];
    assert_eq!((su.mode, su.gid, su.attributes.len()), (0o4755, 7, 2));
    assert_eq!(su.first, b"aaa");
    let (old, new) = (&before[&b"home/me"[..]], &back[&b"home/moved"[..]]);
    assert_eq!((old.uid, old.mode, old.nanos), (new.uid, new.mode, new.nanos));
    assert!(!back.contains_key(&b"home/me"[..]));
}

#[test]
fn a_file_in_the_place_of_another_is_a_changed_one() {
    let staged = stage(&system().tree);
    // As sed -i does it.
    fs::write(staged.at("home/new"), b"yours\n").unwrap();
    mode(&staged.at("home/new"), 0o600);
    fs::rename(staged.at("home/new"), staged.at("home/me")).unwrap();
    // Another file may get the inode of one that is gone.
    fs::remove_file(staged.at("bin/su")).unwrap();
    fs::remove_file(staged.at("bin/sudo")).unwrap();
    for number in 0..64 {
        fs::write(staged.at(&format!("bin/new{number}")), noise(1, 9000)).unwrap();
    }
    let back = staged.back();
    let me = &back[&b"home/me"[..]];
    assert_eq!((me.uid, me.mode), (1000, 0o600));
    for number in 0..64 {
        let new = &back[format!("bin/new{number}").as_bytes()];
        assert_eq!((new.uid, new.gid, new.mode & 0o6000, new.attributes.len()), (0, 0, 0, 0));
    }
}

#[test]
fn what_is_new_belongs_to_root_and_has_no_privilege() {
    let staged = stage(&system().tree);
    fs::create_dir_all(staged.at("opt/x")).unwrap();
    fs::write(staged.at("opt/x/program"), b"#!/bin/sh\n").unwrap();
    mode(&staged.at("opt/x/program"), 0o6755);
    mode(&staged.at("opt/x"), 0o2777);
    symlink("/etc/shadow", staged.at("opt/shadow")).unwrap();
    symlink("../../../../../../etc", staged.at("opt/etc")).unwrap();
    let back = staged.back();
    let seen = |name: &str| {
        let entry = &back[name.as_bytes()];
        (entry.kind, entry.mode, entry.uid, entry.gid, entry.nanos / 1_000_000_000)
    };
    assert_eq!(seen("opt/x/program"), ('f', 0o755, 0, 0, 1_800_000_000));
    assert_eq!(seen("opt/x"), ('d', 0o777, 0, 0, 1_800_000_000));
    assert_eq!(seen("opt/shadow"), ('l', 0o777, 0, 0, 1_800_000_000));
    assert_eq!(back[&b"opt/shadow"[..]].target, b"/etc/shadow");
    assert_eq!(back[&b"opt/etc"[..]].target, b"../../../../../../etc");
    // Nothing below a link was looked at.
    assert!(!back.keys().any(|name| name.starts_with(b"opt/etc/")));
    assert_eq!(seen("tmp").1, 0o1777);
}

#[test]
fn what_was_removed_is_gone_with_its_devices() {
    let staged = stage(&system().tree);
    fs::remove_dir(staged.at("dev")).unwrap();
    fs::remove_file(staged.at("etc/link")).unwrap();
    let back = staged.back();
    assert!(!back.keys().any(|name| name.starts_with(b"dev") || name == b"etc/link"));
    // A directory in its place is another one.
    fs::write(staged.at("dev"), b"a file").unwrap();
    assert_eq!(staged.back()[&b"dev"[..]].kind, 'f');
}

#[test]
fn a_mode_that_a_script_gave_is_taken() {
    let staged = stage(&system().tree);
    mode(&staged.at("bin/su"), 0);
    mode(&staged.at("home"), 0);
    mode(&staged.at("tmp"), 0o700);
    let back = staged.back();
    assert_eq!(back[&b"bin/su"[..]].mode, 0);
    assert_eq!(back[&b"home"[..]].mode, 0);
    assert_eq!(back[&b"tmp"[..]].mode, 0o700);
    assert_eq!(back[&b"home/me"[..]].size, 5);
    mode(&staged.place.path().join("tree"), 0);
    assert_eq!(staged.back()[&b""[..]].mode, 0);
}

#[test]
fn devices_and_sockets_are_refused_and_pipes_not_waited_for() {
    let staged = stage(&system().tree);
    let make = |name: &str, kind| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, staged.at(name), kind, mode, 0).unwrap();
    };
    make("pipe", rustix::fs::FileType::Fifo);
    assert_eq!(staged.back()[&b"pipe"[..]].kind, 'p');
    let _socket = std::os::unix::net::UnixListener::bind(staged.at("socket")).unwrap();
    let error = staged.refused();
    assert!(error.contains("/socket is a socket, which no script may leave"), "{error}");
}

#[test]
fn bounds_hold() {
    let staged = stage(&system().tree);
    let file = fs::File::create(staged.at("huge")).unwrap();
    file.set_len((16 << 40) - 4096).unwrap();
    assert!(staged.with(&rules()).is_ok());
    let tera = Rules { limits: Limits { file: 1 << 40, ..Limits::default() }, ..rules() };
    let error = staged.with(&tera).unwrap_err().to_string();
    assert!(error.contains("/huge has 17592186040320 bytes; 1099511627776 are"), "{error}");
}

#[test]
fn more_room_than_the_budget_is_refused() {
    let staged = stage(&system().tree);
    fs::write(staged.at("large"), vec![1; 3 << 20]).unwrap();
    let small = Rules { budget: 1 << 20, ..rules() };
    let error = staged.with(&small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(error.to_string().contains("may take 1048576 bytes"), "{error}");
    let few = Rules { limits: Limits { nodes: 5, ..Limits::default() }, ..rules() };
    let error = staged.with(&few).unwrap_err().to_string();
    assert!(error.contains("more than 5 files"), "{error}");
    let flat = Rules { limits: Limits { depth: 1, ..Limits::default() }, ..rules() };
    fs::create_dir_all(staged.at("a/b/c")).unwrap();
    let error = staged.with(&flat).unwrap_err().to_string();
    assert!(error.contains("more than 1 directories"), "{error}");
    let layout = Layout { budget: 1000, owner: None };
    let empty = tempfile::tempdir().unwrap();
    let error = write(&system().tree, empty.path(), layout).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(write(&system().tree, &staged.at("bin"), LAYOUT).is_err());
}

#[test]
fn many_files_and_odd_names_are_read() {
    let staged = stage(&crowd(20_000).tree);
    fs::write(staged.at(&"x".repeat(255)), b"").unwrap();
    let odd = std::ffi::OsStr::new("line\nbreak");
    fs::write(staged.at("crowd").join(odd), b"").unwrap();
    assert_eq!(staged.back().len(), 20_004);
}

#[test]
fn a_file_that_changes_afterwards_is_noticed() {
    let staged = stage(&system().tree);
    let tree = staged.with(&rules()).unwrap();
    fs::write(staged.at("home/me"), b"longer than before").unwrap();
    let path = vmimage::engine::base::tree::TreePath::new(b"home/me").unwrap();
    let Kind::File(Content::Sectors(source)) = &tree.node(tree.find(&path).unwrap()).kind else {
        panic!()
    };
    let error = source.read_at(0, &mut [0; 5]).unwrap_err().to_string();
    assert!(error.contains("/home/me changed after the scripts"), "{error}");
}

/// Any small tree: a list of nodes at paths of a few names.
fn any_tree() -> impl Strategy<Value = Tree> {
    let name = prop::collection::vec(1u8..=255, 1..4).prop_map(|mut name| {
        name.iter_mut().filter(|b| matches!(**b, b'/' | b'.')).for_each(|b| *b = b'_');
        name
    });
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join(&b'/'));
    let node = (path, 0u8..6, any::<u16>(), any::<(u32, u32)>(), any::<(i64, u32)>(), 0usize..9000);
    prop::collection::vec(node, 0..24).prop_map(|nodes| {
        let mut grower = Grower::new();
        let mut last = None;
        for (number, (path, kind, mode, (uid, gid), time, len)) in nodes.into_iter().enumerate() {
            let modified = Time { seconds: time.0, nanos: time.1 % 1_000_000_000 };
            let meta = Meta { mode: mode & 0o7777, uid, gid, modified };
            let path = vmimage::engine::base::tree::TreePath::new(&path).unwrap();
            let (parent, name) = path.split().unwrap();
            let missing = vmimage::engine::base::tree::Missing::Make(DIRECTORY);
            let origin = Origin::new("any");
            let Ok(parent) = grower.tree.directory_at(&parent, missing, &origin) else { continue };
            let kind = match kind {
                0 => Kind::directory(),
                1 => Kind::Symlink(
                    noise(number as u64, 1 + len % 90).iter().map(|b| b | 1).collect(),
                ),
                2 => Kind::Fifo,
                3 if last.is_some() => {
                    grower.tree.link(parent, name.clone(), last.unwrap()).unwrap();
                    continue;
                }
                _ => content(noise(number as u64, len)),
            };
            let directory = kind.is_directory();
            let node = grower.tree.put(parent, name.clone(), kind, meta, &origin).unwrap();
            last =
                (!directory).then_some(node).or(last).filter(|l| grower.tree.node(*l).names() > 0);
        }
        grower.tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_comes_back(tree in any_tree()) {
        let staged = stage(&tree);
        same("the tree", &staged.back(), &of(&tree), ALL);
    }
}
