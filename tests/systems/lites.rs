//! Lites on GNU Mach: Debian's Mach, started by GRUB from the disk of the example.
//!
//! Lites is a task that calculates (`tests/grub/payload/server.c`). Invariant: what the task must say
//! is calculated here a second time, and stands in no file.

use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use serde_json::Value;

use crate::artifacts;
use crate::desk::{build, inputs, waits, zeroed};
use crate::qemu::{Machine, Qemu};
use crate::tool;

const PC: Machine<'_> = Machine { machine: "pc", bus: "ide", serial: true };

/// Shorter to write and to start: the same in other respects.
const SMALL: (&str, &str) = ("size: 512Mi", "size: 64Mi");
const AT_ONCE: (&str, &str) = ("timeoutSeconds: 5", "timeoutSeconds: 0");
const QCOW2: &str =
    "preallocation: metadata, lazyRefcounts: true, clusterSize: 64Ki, compat: \"1.1\"";

/// What the server says.
fn computed() -> String {
    let sum = (1..=700_u32).fold(0_u32, |sum, i| sum.wrapping_mul(13).wrapping_add(i * i));
    format!("server computed {sum:010}")
}

fn start(disk: &Path, format: &str) -> Qemu {
    Qemu::start_file_with(PC, (disk, format), &["-m", "256"])
}

/// A document that starts the entry with this title at once.
fn default(title: &str) -> String {
    format!("timeoutSeconds: 0\n      default: {title}")
}

/// What Mach says on its way to the server.
fn comes_to_the_server(said: &str) {
    for text in [
        "GNU Mach 1.8+git20221224-486",
        "hd0: hd0s1",
        "module 0: lites_server $(lites-task=task-create) $(task-resume)",
        "start lites_server:",
        &computed(),
    ] {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
}

/// The example as it stands, 512 MiB: its menu waits for five seconds.
#[test]
fn the_menu_starts_its_first_entry_by_itself() {
    let built = build("lites", &[]);
    for (file, format) in [("lites.raw", "raw"), ("lites.qcow2", "qcow2")] {
        let mut qemu = start(&built.path(file), format);
        let screen = qemu.wait_for_screen("executed automatically in");
        for title in
            ["*Lites on GNU Mach ", " Lites on GNU Mach (single user) ", " GNU Mach (no Lites) "]
        {
            assert!(screen.iter().any(|line| line.contains(title)), "{screen:#?}");
        }
        qemu.command(&artifacts::picture(&format!("lites-menu-{format}")));
        let said = waits(qemu, &format!("lites-{format}"), &computed());
        let menu = said.contains("GNU GRUB") && said.contains("Lites on GNU Mach (single user)");
        assert!(menu, "the menu is on the serial line, too: {said}");
        comes_to_the_server(&said);
    }
}

#[test]
fn qcow2_boots_with_every_preallocation() {
    let every = [
        ("off", "preallocation: \"off\", lazyRefcounts: true"),
        ("metadata", "preallocation: metadata, lazyRefcounts: true"),
        ("falloc", "preallocation: falloc, clusterSize: 512"),
        ("full", "preallocation: full, clusterSize: 2Mi"),
        ("compressed", "compression: zlib"),
        ("old", "compat: \"0.10\""),
    ];
    for (name, options) in every {
        let built = build("lites", &[SMALL, AT_ONCE, (QCOW2, options)]);
        let (file, raw) = (built.file("lites.qcow2"), built.file("lites.raw"));
        tool::run("qemu-utils", "qemu-img", &["check", &file]);
        tool::run("qemu-utils", "qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &raw, &file]);
        let told = tool::run("qemu-utils", "qemu-img", &["info", "--output=json", &file]);
        let told: Value = serde_json::from_str(&told).unwrap();
        let data = &told["format-specific"]["data"];
        let lazy = options.contains("lazy");
        assert_eq!(data["lazy-refcounts"].as_bool().unwrap_or_default(), lazy, "{told}");
        let held = told["actual-size"].as_u64().unwrap();
        if name == "metadata" {
            // What qemu-img makes of 64 MiB with these options.
            assert_eq!(fs::metadata(&file).unwrap().len(), 67_436_544);
        }
        let whole = matches!(name, "falloc" | "full");
        assert_eq!(held >= 64 << 20, whole, "{name}: {held} bytes");
        let said = waits(start(Path::new(&file), "qcow2"), &format!("lites-{name}"), &computed());
        comes_to_the_server(&said);
    }
}

#[test]
fn the_third_entry_panics_without_a_server() {
    let built = build("lites", &[SMALL]);
    let mut qemu = start(&built.path("lites.raw"), "raw");
    qemu.wait_for_screen("executed automatically in");
    for key in ["down", "down", "ret"] {
        qemu.command(&format!("sendkey {key}"));
    }
    let panic = "No bootstrap code loaded with the kernel!";
    let said = waits(qemu, "lites-none", panic);
    assert!(said.contains("panic") && said.contains("hd0: hd0s1"), "{said}");
    assert!(!said.contains("start lites_server"), "{said}");
}

#[test]
fn the_second_entry_starts_the_server_as_single_user() {
    let built = build(
        "lites",
        &[SMALL, ("timeoutSeconds: 5", &default("Lites on GNU Mach (single user)"))],
    );
    let said = waits(start(&built.path("lites.raw"), "raw"), "lites-single", &computed());
    comes_to_the_server(&said);
}

/// The same disk with the server's bytes zeroed.
#[test]
fn nothing_is_computed_without_the_server() {
    let built = build("lites", &[SMALL, AT_ONCE]);
    let disk = built.path("lites.raw");
    zeroed(&disk, &fs::read(inputs().join("lites_server")).unwrap());
    let mut qemu = start(&disk, "raw");
    qemu.wait_for_text("multiboot modules");
    qemu.stays_on_for(Duration::from_secs(3));
    let said = waits(qemu, "lites-zero", "multiboot modules");
    assert!(!said.contains("server computed"), "{said}");
}

/// The seed's own configuration: nothing of Mach comes to the serial line, and a module without a
/// script ends in a panic on the screen.
#[test]
fn the_seeds_own_menu_panics_on_the_screen() {
    let script = "arguments: root=device:hd0s1 console=com0\n          modules:\n          - {path: /boot/lites_server, arguments: \"lites_server $(lites-task=task-create) $(task-resume)\"}";
    let seed =
        "arguments: root=device:hd0s1\n          modules:\n          - {path: /boot/lites_server}";
    let built = build("lites", &[SMALL, AT_ONCE, (script, seed), ("      serial: {}\n", "")]);
    // Mach restarts the machine, which stops then.
    let disk = built.path("lites.raw");
    let options = ["-m", "256", "-no-shutdown"];
    let mut qemu = Qemu::start_file_with(PC, (&disk, "raw"), &options);
    let screen = qemu.wait_for_screen("default_pset de");
    // The line is longer than the screen is wide.
    assert!(screen.concat().contains("pset_deallocate: default_pset destroyed"), "{screen:#?}");
    qemu.command(&artifacts::picture("lites-seed"));
    assert_eq!(qemu.serial(), b"");
}

/// One active partition from 1 MiB to the end with an ext2 that e2fsck finds clean, and GRUB's first
/// sector as its documents and boot.S say: the core follows, any drive, no wait for a floppy's.
#[test]
fn the_disk_is_the_seeds() {
    let built = build("lites", &[]);
    let raw = built.file("lites.raw");
    let table = tool::run("fdisk", "sfdisk", &["--dump", &raw]);
    let line = table.lines().find(|line| line.contains("start=")).unwrap();
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.ends_with("start= 2048, size= 1046528, type=83, bootable"), "{table}");
    assert_eq!(table.matches("start=").count(), 1, "{table}");
    let inside = format!("{raw}?offset={}", 1 << 20);
    tool::run("e2fsprogs", "e2fsck", &["-f", "-n", &inside]);
    let told = tool::run("e2fsprogs", "dumpe2fs", &["-h", &inside]);
    let volume = told.lines().find_map(|line| line.strip_prefix("Filesystem volume name:"));
    assert_eq!(volume.map(str::trim), Some("LITES-ROOT"));
    let server = tool::run("e2fsprogs", "debugfs", &["-R", "stat /boot/lites_server", &inside]);
    assert!(server.contains("Mode:  0755"), "{server}");
    for directory in ["bin", "sbin", "etc", "dev", "proc", "tmp", "var", "home", "root"] {
        let told =
            tool::run("e2fsprogs", "debugfs", &["-R", &format!("stat /{directory}"), &inside]);
        assert!(told.contains("Type: directory"), "{directory}: {told}");
    }
    let sector = &fs::read(&raw).unwrap()[..512];
    assert_eq!(sector[0x5c..0x64], 1_u64.to_le_bytes());
    assert_eq!((sector[0x64], &sector[0x66..0x68]), (0xff, &[0x90, 0x90][..]));
    assert!(sector[462..510].iter().all(|byte| *byte == 0), "one entry and no more");
}
