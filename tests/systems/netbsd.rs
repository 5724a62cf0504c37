//! mksmolnb: a NetBSD root that Linux mounts, and a kernel beside it that has most drivers disabled.
//!
//! The kernel is a stand-in that runs (`payload/netbsd.c`); a real one is booted where
//! `NETBSD_KERNEL` names it, with the set that `NETBSD_SETS` names. Invariant: what the set holds is
//! told by GNU tar, what the disk holds by a Linux guest and e2fsck, and which drivers are left by the
//! kernel that was changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use crate::artifacts;
use crate::desk::{build, inputs, refused, waits};
use crate::guest::{self, Disk};
use crate::qemu::{Machine, Qemu};
use crate::tool;

const PC: Machine<'_> = Machine { machine: "pc", bus: "ide", serial: true };

/// The drivers that the document keeps, as the stand-in says them.
const KEPT: &str = "mainbus at mainbus\ncpu at cpu\nacpicpu at acpicpu\nioapic at ioapic\npci at pci\n\
                    isa at isa\npcdisplay at pcdisplay_isa\nwsdisplay at wsdisplay_emul\n\
                    com at com_isa\ncom at com_acpi\nvirtio at virtio_pci\nld at ld_virtio\n\
                    vioif at vioif\n";

/// Starts a kernel as QEMU does, with a disk.
fn start(kernel: &Path, line: &str, disk: &Path, memory: &str) -> Qemu {
    let kernel = kernel.to_str().unwrap();
    let options = ["-m", memory, "-kernel", kernel, "-append", line];
    Qemu::start_file_with(PC, (disk, "raw"), &options)
}

/// What the stand-in says of a disk's superblock.
fn superblock(disk: &Path) -> String {
    let disk = fs::read(disk).unwrap();
    let words = disk[1024..2048].chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0_u32, |sum, word| sum.wrapping_mul(31).wrapping_add(u32::from(word)));
    format!("superblock {sum}\n")
}

#[test]
fn the_kernel_beside_the_disk_has_the_drivers_that_are_kept() {
    let built = build("mksmolnb", &[]);
    for name in ["smolnb-ext2", "smolnb-ffs"] {
        let line = fs::read_to_string(built.path(&format!("{name}.cmdline"))).unwrap();
        assert_eq!(line, "console=com root=ld0a\n");
        let (kernel, disk) =
            (built.path(&format!("{name}.vmlinuz")), built.path(&format!("{name}.raw")));
        let qemu = start(&kernel, line.trim_end(), &disk, "64");
        let (status, serial) = qemu.wait_for_off();
        artifacts::serial(&format!("netbsd-{name}"), &serial);
        assert_eq!(status.code(), Some(0));
        let said = String::from_utf8(serial).unwrap();
        let begin = "stand-in for NetBSD\narguments [";
        let rest = said.strip_prefix(begin).unwrap_or_else(|| panic!("{said}"));
        let (arguments, rest) = rest.split_once("]\n").unwrap();
        assert!(arguments.ends_with(" console=com root=ld0a"), "{arguments}");
        // Those bytes of an FFS are zeros, and of an ext2 they are not.
        let sum = superblock(&disk);
        assert_eq!(sum == "superblock 0\n", name == "smolnb-ffs", "{sum}");
        assert_eq!(rest, format!("{KEPT}13 of 18 drivers\n{sum}"), "{name}");
    }
}

/// The build manifest tells the drivers that the kernel itself says, and those that are gone.
#[test]
fn the_build_reports_what_became_of_the_drivers() {
    let built = build("mksmolnb", &[]);
    let manifest = fs::read(built.path("smolnb-ext2.build.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let outputs = manifest["outputs"].as_array().unwrap();
    let kernel = outputs.iter().find(|one| one["name"] == "vmlinuz").unwrap();
    let kept = "NetBSD drivers kept: acpicpu, com (2), cpu, ioapic, isa, ld, mainbus (root), pcdisplay, \
                pci, vioif, virtio, wsdisplay; disabled: audio, fdc, uhci, wd, wm";
    assert_eq!(kernel["notes"], serde_json::json!([kept]));
    let writers = manifest["writers"].as_array().unwrap().iter().map(|one| one["name"].as_str());
    let writers: Option<Vec<_>> = writers.collect();
    let wanted = ["netbsd", "ext", "deviceSet", "fstab", "service", "raw"];
    assert_eq!(writers.unwrap(), wanted, "whose bytes these are");
}

#[test]
fn a_driver_that_the_kernel_does_not_have_is_named() {
    let said = refused("mksmolnb", ("virtio, ld, vioif", "virtio, ld, viof"));
    let field = "spec.boot.kernel.transform.netbsd: ";
    let words = "the kernel has no driver \"viof\"; did you mean vioif?";
    assert!(said.contains(field) && said.contains(words), "{said}");
    let said = refused("mksmolnb", ("virtio, ld, vioif", "virtio, ld, vioif, qemufwcfg"));
    assert!(said.contains("no driver \"qemufwcfg\"; it has 17 others"), "{said}");
}

/// The kernel as it came has all drivers; the changed one without its code says nothing.
#[test]
fn the_kernel_is_what_says_it() {
    let built = build("mksmolnb", &[]);
    let (packed, plain) = (inputs().join("netbsd-GENERIC.gz"), built.path("plain"));
    let script = "gzip -dc \"$1\" >\"$2\"";
    let (from, to) = (packed.to_str().unwrap(), plain.to_str().unwrap());
    tool::run("gzip", "sh", &["-c", script, "sh", from, to]);
    let disk = built.path("smolnb-ext2.raw");
    let (_, serial) = start(&plain, "a", &disk, "64").wait_for_off();
    let said = String::from_utf8(serial).unwrap();
    assert!(said.contains("\naudio at audio\n18 of 18 drivers\n"), "{said}");

    let (kernel, zeroed) = (built.path("smolnb-ext2.vmlinuz"), built.path("zeroed"));
    let (mut bytes, original) = (fs::read(&kernel).unwrap(), fs::read(&plain).unwrap());
    assert_eq!(bytes.len(), original.len());
    // wm, wd, fdc, uhci and audio.
    assert_eq!(bytes.iter().zip(&original).filter(|(a, b)| a != b).count(), 5);
    let sections = tool::run("binutils", "objdump", &["-h", "-j", ".text", &built.file("plain")]);
    let text = sections.lines().find(|line| line.contains(" .text ")).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |n: usize| usize::from_str_radix(words[n], 16).unwrap();
    bytes[number(5)..][..number(2)].fill(0);
    fs::write(&zeroed, bytes).unwrap();
    // Zeros are code that ends in a triple fault, at which the machine stops.
    let zeroed = zeroed.to_str().unwrap();
    let options = ["-m", "64", "-no-shutdown", "-kernel", zeroed, "-append", "a"];
    let mut qemu = Qemu::start_file_with(PC, (&disk, "raw"), &options);
    qemu.stays_on_for(Duration::from_secs(3));
    assert_eq!(qemu.serial(), b"");
}

/// What is in the image of inputs is what its sources are, as far as the compiler goes: both say
/// the same.
#[test]
fn the_stand_in_is_compiled_from_its_source() {
    let desk = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systems/payload/compile");
    tool::run("gcc-multilib", script, &[desk.path().to_str().unwrap()]);
    let built = build("mksmolnb", &[]);
    let disk = built.path("smolnb-ext2.raw");
    let (_, serial) = start(&desk.path().join("netbsd"), "a", &disk, "64").wait_for_off();
    let said = String::from_utf8(serial).unwrap();
    assert!(said.contains("18 of 18 drivers\nsuperblock "), "{said}");
}

/// The members of the set as GNU tar lists them: kind, mode, owner and link of each path.
fn members(set: &str) -> BTreeMap<String, (char, u32, String, String)> {
    let listed = tool::run("tar", "tar", &["--numeric-owner", "-tvzf", set]);
    let mode = |text: &str| {
        let bits = text[1..].bytes().enumerate().filter(|(_, letter)| !b"-ST".contains(letter));
        let plain = bits.fold(0, |mode, (at, _)| mode | 0o400 >> at);
        let special = [(3, 0o4000), (6, 0o2000), (9, 0o1000)];
        let set = |at: usize| b"sStT".contains(&text.as_bytes()[at]);
        special.iter().filter(|(at, _)| set(*at)).fold(plain, |mode, (_, bit)| mode | bit)
    };
    let member = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let path = words[5].trim_start_matches("./").trim_end_matches('/').to_owned();
        // `h` is one more name of a file: what it is a link to stands behind "link to".
        let kind = match &words[0][..1] {
            "-" | "h" => 'f',
            kind => kind.chars().next().unwrap(),
        };
        let target = words.get(7).filter(|_| kind == 'l').copied().unwrap_or_default();
        (path, (kind, mode(words[0]), words[1].replace('/', ":"), target.to_owned()))
    };
    listed.lines().map(member).collect()
}

/// seeds: a Linux guest mounts the ext2 without features and lists the tree.
#[test]
fn linux_mounts_the_root_and_lists_it() {
    let built = build("mksmolnb", &[]);
    let file = built.path("smolnb-ext2.raw");
    let name = file.to_str().unwrap();
    tool::run("e2fsprogs", "e2fsck", &["-f", "-n", name]);
    let features = tool::run("e2fsprogs", "dumpe2fs", &["-h", name]);
    let features = features.lines().find_map(|line| line.strip_prefix("Filesystem features:"));
    assert_eq!(features.map(str::trim), Some("(none)"));
    let job = "mkdir /m; mount -t ext2 -o ro /dev/vdc /m; list /m root";
    let files = guest::run(job, &[Disk { file, sector: 512 }]);
    let seen = guest::listing(&files, "root");
    let set = inputs().join("rescue.tgz");
    let members = members(set.to_str().unwrap());
    assert!(members.len() > 155, "{members:?}");
    for (path, (kind, mode, owner, target)) in &members {
        let entry = seen.get(path.as_bytes()).unwrap_or_else(|| panic!("{path} is missing"));
        let found = (entry.kind, entry.mode, format!("{}:{}", entry.uid, entry.gid));
        assert_eq!(found, (*kind, *mode, owner.clone()), "{path}");
        if *kind == 'l' {
            assert_eq!(entry.target, target.as_bytes(), "{path}");
        }
    }
    let sum = tool::run(
        "tar",
        "sh",
        &["-c", "tar -xzOf \"$1\" './rescue/[' | sha256sum", "sh", set.to_str().unwrap()],
    );
    let shell = &seen[&b"rescue/sh"[..]];
    assert!(sum.starts_with(&shell.digest) && shell.digest.len() == 64, "{sum}");
    let names = seen.values().filter(|entry| entry.first == shell.first && entry.kind == 'f');
    assert_eq!(names.count(), 150, "names of one file");
    // makedev(3) of i386 as NetBSD has it, which Linux reads alike below 256.
    for (path, kind, numbers) in [
        ("dev/console", 'c', "0:0"),
        ("dev/null", 'c', "2:2"),
        ("dev/ksyms", 'c', "55:0"),
        ("dev/ld0a", 'b', "13:0"),
        ("dev/rld1d", 'c', "45:b"),
    ] {
        let entry = &seen[path.as_bytes()];
        assert_eq!((entry.kind, &entry.target[..]), (kind, numbers.as_bytes()), "{path}");
    }
    assert_eq!(seen[&b"sbin/init"[..]].target, b"/rescue/init");
}

/// A real kernel with real sets, where they are given; docs/netbsd.md says what is not tested.
#[test]
fn a_real_kernel_starts_where_one_is_given() {
    let (Ok(kernel), Ok(set)) = (std::env::var("NETBSD_KERNEL"), std::env::var("NETBSD_SETS"))
    else {
        return;
    };
    let desk = tempfile::tempdir().unwrap();
    for (from, to) in [(&kernel, "netbsd-GENERIC.gz"), (&set, "rescue.tgz")] {
        fs::copy(from, desk.path().join(to)).unwrap();
    }
    fs::copy(inputs().join("services.tar"), desk.path().join("services.tar")).unwrap();
    let built = crate::desk::build_of("mksmolnb", desk.path());
    let machine = Machine { bus: "virtio", ..PC };
    let (kernel, disk) = (built.file("smolnb-ext2.vmlinuz"), built.path("smolnb-ext2.raw"));
    let options = ["-m", "256", "-kernel", &kernel, "-append", "console=com root=ld0a"];
    let qemu = Qemu::start_file_with(machine, (&disk, "raw"), &options);
    let said = waits(qemu, "netbsd-real", "root on ld0a");
    assert!(said.contains("NetBSD "), "{said}");
}
