//! Real kernels: GNU Mach with a server in place of Lites, and Debian's Linux.
//!
//! Invariant: what is expected is computed by what the kernel started.

use std::path::Path;
use std::process::{Command, Stdio};

use fs_err as fs;
use vmimage::engine::bootloader::grub::kernel::{self, Version};
use vmimage::engine::bootloader::grub::menu::{
    Access, Action, Entry, Filesystem, Menu, Module, Root, Table, Terminal, menu_core,
};
use vmimage::engine::filesystem::{Params, ext};

use crate::boots::commands;
use crate::disk::{MIB, PC, disk, waits};
use crate::payload;
use crate::qemu::{Machine, Qemu};
use crate::trees::Grower;

/// What a script below `e2e/guest` prints: a path.
fn made(script: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/guest").join(script);
    let output = Command::new(&script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn boot(
    machine: Machine<'_>,
    tree: Grower,
    actions: Vec<Action>,
    default: usize,
    len: u64,
) -> Qemu {
    let entries = actions.into_iter().map(|action| Entry { title: "System".into(), action });
    let menu = Menu {
        entries: entries.collect(),
        default,
        timeout: Some(0),
        terminals: vec![Terminal::Serial { unit: 0, speed: 9600 }],
    };
    let access = Access { filesystem: Filesystem::Ext, table: Table::Mbr };
    let core = menu_core(access, &Root::Own(Some(1)), "/boot/grub", &menu, &commands()).unwrap();
    let mut tree = tree;
    tree.file("/boot/grub/grub.cfg", menu.config().unwrap());
    let params = ext::Params { variant: ext::Variant::Ext2, ..ext::Params::default() };
    let disk = disk(&Params::Ext(params), Table::Mbr, tree, len, &core);
    Qemu::start_with(machine, &disk, &["-m", "256"])
}

/// The Lites disk: entry 0 starts the server, entry 1 has no server and panics.
#[test]
fn gnu_mach_starts_a_server() {
    let mach = fs::read(made("gnumach")).unwrap();
    kernel::multiboot(&mach, Version::One, "GNU Mach").unwrap();
    let server = payload::server();
    let action = |modules| Action::Multiboot {
        version: Version::One,
        kernel: b"/boot/gnumach".to_vec(),
        arguments: b"root=device:hd0s1 console=com0".to_vec(),
        modules,
    };
    let module = Module {
        path: b"/boot/lites_server".to_vec(),
        arguments: b"lites_server $(lites-task=task-create) $(task-resume)".to_vec(),
    };
    for (default, expected) in [
        (0, payload::server_computed()),
        (1, "No bootstrap code loaded with the kernel!".to_owned()),
    ] {
        let mut tree = Grower::new();
        tree.file("/boot/gnumach", mach.clone());
        tree.file("/boot/lites_server", server.clone());
        let actions = vec![action(vec![module.clone()]), action(Vec::new())];
        let qemu = boot(PC, tree, actions, default, 8 * MIB);
        let line = waits(&qemu, &expected);
        let banner = line.contains("GNU Mach 1.8+git20221224-486") && line.contains("hd0s1");
        assert!(banner, "{line}");
        assert_eq!(line.contains("start lites_server:"), default == 0, "{line}");
    }
}

/// Debian's cloud kernel with two initial filesystems and a quoted argument.
#[test]
fn linux_with_two_initial_filesystems() {
    let guest = made("build");
    let linux = fs::read(Path::new(&guest).join("vmlinuz")).unwrap();
    let found = kernel::linux(&linux, "Debian's kernel").unwrap();
    assert!(found.wide && found.version.unwrap().contains("cloud-amd64"));
    let mut tree = Grower::new();
    tree.file("/boot/vmlinuz", linux);
    tree.file("/boot/one", archive(&[("init", payload::init())]));
    tree.file("/boot/two", archive(&[("word", b"4711".to_vec())]));
    let action = Action::Linux {
        kernel: b"/boot/vmlinuz".to_vec(),
        initrds: vec![b"/boot/one".to_vec(), b"/boot/two".to_vec()],
        arguments: b"console=ttyS0 quiet panic=-1 no_timer_check say=\"a $b\"".to_vec(),
    };
    let machine = Machine { bus: "virtio", ..PC };
    let qemu = boot(machine, tree, vec![action], 0, 24 * MIB);
    let line = waits(&qemu, "init over");
    let product = format!("init computed {}", 4711_u64 * 4711 + 1);
    assert!(line.contains(&product), "{line}");
    assert!(
        line.contains(
            "BOOT_IMAGE=/boot/vmlinuz console=ttyS0 quiet panic=-1 no_timer_check \"say=a $b\""
        ),
        "{line}"
    );
}

/// A cpio archive of these files.
fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let desk = tempfile::tempdir().unwrap();
    let mut names = String::new();
    for (name, bytes) in files {
        fs::write(desk.path().join(name), bytes).unwrap();
        names += &format!("{name}\n");
    }
    let status = Command::new("chmod").args(["-R", "755"]).arg(desk.path()).status().unwrap();
    assert!(status.success());
    let mut child = Command::new("cpio")
        .args(["-o", "-H", "newc", "--quiet"])
        .current_dir(desk.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("apt install cpio");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), names.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}
