//! Kernel modules of Debian, against modprobe and modinfo; and bad ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use vmimage::engine::base::tree::{Kind, Meta, Time, Tree, TreePath};
use vmimage::engine::base::{Content, Error, Origin, Scratch, Silent, StreamSink as _, Work};
use vmimage::engine::codec::wrap::{Wrap, Wrapper};
use vmimage::engine::initrd::modules::{Kernel, LOAD_ORDER, Packing, Selection, firmware, place};
use vmimage::engine::initrd::{Compression, Extra, Member, join, newc};

use crate::machine::{boot_with, guest, guest_tree, small};
use crate::tool::{output, run};
use crate::trees::{Grower, noise};

const WORK: Work<'_> = Work { threads: 2, progress: &Silent };

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

fn kernel() -> Kernel {
    Kernel::open(guest_tree(), &path("lib/modules"), None).unwrap()
}

fn select(names: &[&str]) -> Result<Selection, Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    kernel().select(&names, &WORK)
}

fn names(selection: &Selection) -> Vec<&str> {
    selection.modules.iter().map(|module| module.name.as_str()).collect()
}

/// The guest's modules in a directory, for kmod.
fn unpacked() -> &'static Path {
    static AT: OnceLock<PathBuf> = OnceLock::new();
    AT.get_or_init(|| {
        let at = std::env::temp_dir().join(format!("vmimage-initrd-{}", std::process::id()));
        fs_err::create_dir(&at).unwrap();
        let script = "gzip -dc \"$0\" | cpio -i -d --quiet 'lib/modules/*'";
        run(Command::new("sh").args(["-c", script]).arg(guest().join("initrd")).current_dir(&at));
        at
    })
}

/// What modprobe would load for a name: paths in the kernel's directory.
fn modprobe(name: &str, version: &str) -> Option<Vec<String>> {
    let mut command = Command::new("modprobe");
    command.args(["--show-depends", "-C", "/nonexistent", "-S", version, "-d"]);
    let output = output(command.arg(unpacked()).arg(name), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut paths = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("insmod ")) {
        let (_, path) = line.trim().split_once(&format!("/{version}/")).unwrap();
        if !paths.contains(&path.to_owned()) {
            paths.push(path.to_owned());
        }
    }
    output.status.success().then_some(paths)
}

/// What modinfo says about a module's file.
fn modinfo(field: &str, kernel: &Kernel, module: &str) -> Vec<String> {
    let path = unpacked().join("lib/modules").join(kernel.version()).join(module);
    let told = run(Command::new("modinfo").args(["-F", field]).arg(path));
    String::from_utf8(told).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// All modules of the guest: what modprobe loads, each behind what it needs, and nearly always in the
/// same order. (Of modules that do not need each other, depmod's order is that of all modules of the
/// kernel together. Of several fields `softdep`, kmod 30 sees the first only.)
#[test]
fn modprobe_loads_the_same() {
    let kernel = kernel();
    let (mut same, mut other, mut lacking) = (0, 0, 0);
    let every: Vec<String> = kernel.names().map(ToOwned::to_owned).collect();
    let mut depends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in every {
        let ours = match kernel.select(std::slice::from_ref(&name), &WORK) {
            Ok(selection) => selection,
            // The guest has not all modules of its kernel; depmod forgets what is not there.
            Err(error) => {
                assert!(error.to_string().contains("which is not in /lib/modules/"), "{error}");
                lacking += 1;
                continue;
            }
        };
        let of = |path: &TreePath| path.to_string().trim_start_matches('/').to_owned();
        let ours: Vec<(&str, String)> =
            ours.modules.iter().map(|m| (m.name.as_str(), of(&m.path))).collect();
        let theirs = modprobe(&name, kernel.version()).unwrap();
        if ours.iter().map(|(_, path)| path).eq(theirs.iter()) {
            same += 1;
            continue;
        }
        other += 1;
        for path in &theirs {
            assert!(ours.iter().any(|(_, ours)| ours == path), "{name}: no {path}");
        }
        let softdeps = modinfo("softdep", &kernel, &ours.last().unwrap().1).len();
        assert!(ours.len() == theirs.len() || softdeps > 1, "{name}: {ours:?} {theirs:?}");
        let mut loaded: Vec<&str> = Vec::new();
        for (module, path) in &ours {
            let needs = depends
                .entry((*module).to_owned())
                .or_insert_with(|| modinfo("depends", &kernel, path));
            for need in needs.iter().flat_map(|line| line.split(',')).filter(|n| !n.is_empty()) {
                assert!(
                    loaded.contains(&&*need.replace('-', "_")),
                    "{name}: {module} before {need}"
                );
            }
            loaded.push(module);
        }
    }
    println!("{same} in the same order, {other} in another, {lacking} cannot be loaded");
    assert!(same > 200 && same > 10 * other, "{same} {other}");
    fs_err::remove_dir_all(unpacked()).unwrap();
}

#[test]
fn aliases_mean_the_modules_that_answer() {
    let plain = select(&["btrfs"]).unwrap();
    assert_eq!(names(&plain).last(), Some(&"btrfs"));
    assert_eq!(names(&select(&["fs-btrfs"]).unwrap()), names(&plain));
    assert_eq!(names(&select(&["btrfs", "fs-btrfs", "xor"]).unwrap()), names(&plain));
    // Of two names for one module, with either sign.
    assert_eq!(names(&select(&["libcrc32c", "virtio-blk"]).unwrap()).last(), Some(&"virtio_blk"));
    // A device of virtio as the bus tells it, and a part of that.
    let device = "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00";
    for alias in [device, "pci:v00001AF4*"] {
        assert_eq!(names(&select(&[alias]).unwrap()).last(), Some(&"virtio_pci"), "{alias}");
    }
    let bus = select(&["virtio:d00000002v00000000"]).unwrap();
    assert_eq!(names(&bus), ["virtio_ring", "virtio", "virtio_blk"]);
    // Parts of the kernel, by name and by alias.
    for name in ["sha256_generic", "sha256-generic", "crypto-sha256-generic"] {
        let selection = select(&[name]).unwrap();
        assert_eq!((selection.modules.len(), selection.built_in), (0, vec![name.to_owned()]));
    }
    assert_eq!(plain.machine, Some(62));
    assert!(plain.vermagic.unwrap().starts_with(&format!("{} SMP", plain.version)));
    let error = select(&["virtio_blkk"]).unwrap_err().to_string();
    let wanted = format!(
        "no module or alias \"virtio_blkk\" in /lib/modules/{}; near: virtio_blk",
        plain.version
    );
    assert!(error.starts_with(&wanted), "{error}");
}

/// The guest finds its disk by the modules that the list names, and tells the disk's sum.
#[test]
fn linux_loads_the_modules_of_the_list() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    let bytes = noise(77, 1 << 20);
    fs_err::write(&disk, &bytes).unwrap();
    let sum = hex::encode(Sha256::digest(&bytes));
    let init = format!(
        "for m in $(busybox cat /{LOAD_ORDER}); do busybox insmod $m || echo failed $m; done
         busybox mount -t devtmpfs none /dev; busybox mount -t proc none /proc
         busybox grep btrfs /proc/filesystems
         echo $(busybox wc -l </proc/modules) modules, sum $(busybox sha256sum /dev/vda)"
    );
    let selection = select(&["virtio_pci", "virtio_blk", "btrfs"]).unwrap();
    let boots = |with: &Selection| {
        let mut tree = small(&init);
        for directory in ["proc", "dev"] {
            let extra = Extra::Directory(path(directory));
            vmimage::engine::initrd::place(&mut tree, extra, Time::default(), &origin()).unwrap();
        }
        place(with, Packing::Unpack, &mut tree, Time::default(), &origin()).unwrap();
        let scratch = Scratch::new(&std::env::temp_dir(), 1 << 30);
        let params = newc::Params::default();
        let member = Member::build(&tree, &params, Compression::Zstd, &scratch, &WORK).unwrap();
        boot_with(&*join(vec![member]).unwrap(), 192, Some(&disk))
    };
    let log = boots(&selection);
    // sha256_ssse3 refuses a processor without its instructions, which QEMU's may be.
    let failed = log.lines().filter(|line| line.starts_with("failed")).count();
    let wanted = format!("{} modules, sum {sum} /dev/vda", selection.modules.len() - failed);
    assert!(log.contains(&wanted) && log.contains("\tbtrfs"), "no {wanted} in\n{log}");
    let nothing = Selection { modules: Vec::new(), ..selection };
    assert!(!boots(&nothing).contains(&sum));
}

fn origin() -> Origin {
    Origin::new("spec.boot.direct.initrd.build.modules")
}

/// A module's file with this `.modinfo`, of the class and byte order that `elf.h` calls 2 and 1.
fn module(modinfo: &str, class: u8, data: u8) -> Vec<u8> {
    let (wide, little) = (class == 2, data == 1);
    let number = |value: u64, len: usize| {
        let mut bytes = value.to_le_bytes()[..len].to_vec();
        if !little {
            bytes.reverse();
        }
        bytes
    };
    let word = if wide { 8 } else { 4 };
    let names = b"\0.shstrtab\0.modinfo\0";
    let info = modinfo.replace('|', "\0").into_bytes();
    let header = if wide { 64 } else { 52 };
    let table = header + names.len() + info.len();
    let mut file = [b"\x7fELF".as_slice(), &[class, data, 1], &[0; 9]].concat();
    for (value, len) in
        [(1, 2), (62, 2), (1, 4), (0, word), (0, word), (table as u64, word), (0, 4)]
    {
        file.extend(number(value, len));
    }
    let row = if wide { 64 } else { 40 };
    for value in [header as u64, 0, 0, row, 3, 1] {
        file.extend(number(value, 2));
    }
    assert_eq!(file.len(), header);
    file.extend(names);
    file.extend(&info);
    let sections = [(0, 0, 0), (1, header, names.len()), (11, header + names.len(), info.len())];
    for (name, offset, size) in sections {
        let from = file.len();
        file.extend(number(name, 4));
        file.extend(number(1, 4));
        for value in [0, 0, offset as u64, size as u64] {
            file.extend(number(value, word));
        }
        file.resize(from + row as usize, 0);
    }
    file
}

/// Paths in lib/modules with the bytes of the files there.
type Files<'a> = Vec<(&'a str, Vec<u8>)>;

/// A tree with modules of these paths in lib/modules, and what selecting `wanted` says.
fn chosen(files: &[(&str, Vec<u8>)], wanted: &str) -> Result<Selection, String> {
    let mut grower = Grower::new();
    for (path, bytes) in files {
        grower.file(&format!("lib/modules/{path}"), bytes.clone());
    }
    let kernel = Kernel::open(&grower.tree, &path("lib/modules"), None);
    let selection = kernel.and_then(|kernel| kernel.select(&[wanted.to_owned()], &WORK));
    selection.map_err(|error| error.to_string())
}

#[test]
fn bad_packages_are_told() {
    let of = |modinfo: &str| module(&format!("vermagic=1.0 SMP |{modinfo}"), 2, 1);
    let cut = of("")[..70].to_vec();
    let rows: Vec<(&str, Files<'_>)> = vec![
        (
            "the module a needs the module b, which is not in /lib/modules/1.0",
            vec![("1.0/kernel/a.ko", of("depends=b"))],
        ),
        (
            "the modules b and a need each other",
            vec![("1.0/kernel/a.ko", of("depends=b")), ("1.0/kernel/b.ko", of("depends=a"))],
        ),
        (
            "modules of different kernels: b is for \"2.0 SMP\" (ELF machine 62), a is for \"1.0 SMP\"",
            vec![
                ("1.0/kernel/a.ko", of("depends=b")),
                ("1.0/kernel/b.ko", module("vermagic=2.0 SMP ", 2, 1)),
            ],
        ),
        (
            "/lib/modules has the modules of several kernels: 1.0, 2.0; say which",
            vec![("1.0/kernel/a.ko", of("")), ("2.0/kernel/a.ko", of(""))],
        ),
        ("no kernel modules in /lib/modules", vec![("1.0/readme", Vec::new())]),
        (
            "the module /kernel/a.ko: the section table, 192 bytes at",
            vec![("1.0/kernel/a.ko", cut)],
        ),
        (
            "the module /kernel/a.ko: a header at 0 goes beyond its end at 3",
            vec![("1.0/kernel/a.ko", b"abc".to_vec())],
        ),
        (
            "the module /kernel/a.ko: it is no little-endian ELF file",
            vec![("1.0/kernel/a.ko", vec![b'a'; 99])],
        ),
        // Of a machine that no image is made for, such as s390x.
        (
            "the module /kernel/a.ko: it is no little-endian ELF file",
            vec![("1.0/kernel/a.ko", module("", 2, 2))],
        ),
        ("the module /kernel/a.ko.xz: no xz file", vec![("1.0/kernel/a.ko.xz", of(""))]),
        (
            "/lib/modules/1.0 has two modules a: /extra/a.ko and /kernel/a.ko",
            vec![("1.0/kernel/a.ko", of("")), ("1.0/extra/a.ko", of(""))],
        ),
    ];
    for (wanted, files) in rows {
        let error = chosen(&files, "a").unwrap_err();
        assert!(error.starts_with(wanted), "{error}\n{wanted}");
    }
    // What lies in updates/ goes before; what is only wished for may be nowhere.
    let files = [
        ("1.0/kernel/a.ko", of("depends=b")),
        ("1.0/updates/dkms/a.ko", of("softdep=pre: c-d post: e")),
        ("1.0/kernel/c_d.ko", of("")),
    ];
    let selection = chosen(&files, "a").unwrap();
    assert_eq!(names(&selection), ["c_d", "a"]);
    assert_eq!(selection.absent, ["e"]);
    let mut grower = Grower::new();
    grower.file("m/1.0/kernel/a.ko", of(""));
    grower.file("m/2.0/kernel/a.ko", of(""));
    for (root, version) in [("m", Some("2.0")), ("m/2.0", None), ("m/2.0", Some("2.0"))] {
        let kernel = Kernel::open(&grower.tree, &path(root), version).unwrap();
        assert_eq!(kernel.version(), "2.0");
    }
    let error = Kernel::open(&grower.tree, &path("m"), Some("3.0")).unwrap_err().to_string();
    assert_eq!(error, "/m has no kernel 3.0, but 1.0, 2.0");
}

/// Any byte changed, and any end cut off: an error or a selection, never a panic.
#[test]
fn damaged_modules_do_not_hurt() {
    for class in [1, 2] {
        let good = module("vermagic=1.0|alias=x:*|softdep=pre: b|firmware=f", class, 1);
        let files = |bytes: Vec<u8>| [("1.0/kernel/a.ko", bytes)];
        let selection = chosen(&files(good.clone()), "x:1").unwrap();
        assert_eq!((names(&selection), selection.machine), (vec!["a"], Some(62)), "class {class}");
        let mut refused = 0;
        for at in 0..good.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                refused += usize::from(chosen(&files(bad), "a").is_err());
            }
            let cut = good[..at].to_vec();
            assert!(chosen(&files(cut), "a").is_err(), "{at}");
        }
        assert!(refused > 50, "{refused}");
    }
}

fn wrapped(bytes: &[u8], wrap: Wrap) -> Vec<u8> {
    let mut out = Vec::new();
    let mut wrapper = Wrapper::for_kernels(wrap, &mut out, 1).unwrap();
    wrapper.write(bytes).unwrap();
    wrapper.finish().unwrap();
    out
}

fn file(tree: &Tree, at: &str) -> Option<Vec<u8>> {
    match &tree.node(tree.find(&path(at))?).kind {
        Kind::File(Content::Bytes(bytes)) => Some(bytes.to_vec()),
        _ => None,
    }
}

#[test]
fn compressed_modules_are_unpacked_or_kept() {
    let plain = |name: &str, depends: &str| {
        module(&format!("vermagic=1.0|name={name}|depends={depends}"), 2, 1)
    };
    let files = [
        ("1.0/kernel/a.ko.xz", wrapped(&plain("a", "b,c-d"), Wrap::Xz)),
        ("1.0/kernel/b.ko.zst", wrapped(&plain("b", ""), Wrap::Zstd)),
        ("1.0/kernel/x/c-d.ko.gz", wrapped(&plain("c-d", "b"), Wrap::Gzip)),
    ];
    let selection = chosen(&files, "a").unwrap();
    assert_eq!(names(&selection), ["b", "c_d", "a"]);
    let placed = |packing| {
        let mut tree = Tree::new(Meta::directory(Time::default()), origin());
        place(&selection, packing, &mut tree, Time::default(), &origin()).unwrap();
        tree
    };
    let tree = placed(Packing::Unpack);
    let list = "/lib/modules/1.0/kernel/b.ko\n/lib/modules/1.0/kernel/x/c-d.ko\n\
                /lib/modules/1.0/kernel/a.ko\n";
    assert_eq!(file(&tree, LOAD_ORDER).unwrap(), list.as_bytes());
    assert_eq!(file(&tree, "lib/modules/1.0/kernel/a.ko"), Some(plain("a", "b,c-d")));
    let tree = placed(Packing::Keep);
    let list = "/lib/modules/1.0/kernel/b.ko.zst\n/lib/modules/1.0/kernel/x/c-d.ko.gz\n\
                /lib/modules/1.0/kernel/a.ko.xz\n";
    assert_eq!(file(&tree, LOAD_ORDER).unwrap(), list.as_bytes());
    assert_eq!(file(&tree, "lib/modules/1.0/kernel/a.ko.xz").as_ref(), Some(&files[0].1));
}

#[test]
fn firmware_comes_along_where_it_is_there() {
    let info =
        "vermagic=1.0|firmware=v/one.bin|firmware=v/two.bin|firmware=gone.bin|firmware=v/one.bin";
    let selection = chosen(&[("1.0/kernel/a.ko", module(info, 2, 1))], "a").unwrap();
    let mut from = Grower::new();
    from.file("lib/firmware/v/real.bin", vec![1]);
    from.put(
        b"lib/firmware/v/one.bin",
        Kind::Symlink(b"real.bin"[..].into()),
        crate::trees::meta(0o777),
    );
    from.file("lib/firmware/v/two.bin.xz", vec![2]);
    let mut tree = Tree::new(Meta::directory(Time::default()), origin());
    let root = path("lib/firmware");
    let at = (&from.tree, &root);
    let missing = firmware(&selection, at, &mut tree, Time::default(), &origin()).unwrap();
    assert_eq!(missing, ["gone.bin"]);
    assert_eq!(file(&tree, "lib/firmware/v/one.bin"), Some(vec![1]));
    assert_eq!(file(&tree, "lib/firmware/v/two.bin.xz"), Some(vec![2]));
}
