//! Debian's kernel in QEMU with an initrd of ours.
//!
//! Invariant: what comes back is the whole of the serial line of a machine that powered off.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fs_err as fs;
use vmimage::engine::base::tree::{Meta, Time, Tree, TreePath};
use vmimage::engine::base::{ByteSource, Content, Origin, Scratch, SectorSource};
use vmimage::engine::codec::wrap::{Wrap, unwrap};
use vmimage::engine::initrd::{Extra, place};
use vmimage::engine::payload::{Unpack, unpack};

use crate::newc::bytes;

/// A boot takes no longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// The directory with `vmlinuz` and `initrd` that e2e/guest/build makes.
pub(crate) fn guest() -> &'static PathBuf {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let build = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/guest/build");
        let output = Command::new(build).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{build}: {}", output.status);
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

/// The guest's tree: busybox, and Debian's kernel modules in /lib/modules.
pub(crate) fn guest_tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let file = fs::File::open(guest().join("initrd")).unwrap();
        let mut archive = Vec::new();
        unwrap(Wrap::Gzip, Box::new(file)).unwrap().read_to_end(&mut archive).unwrap();
        let origin = Origin::new("guest");
        let mut tree = Tree::new(Meta::directory(Time::default()), origin.clone());
        let scratch = Scratch::new(&std::env::temp_dir(), 1 << 30);
        let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(archive));
        unpack(&mut tree, source, &Unpack::default(), &scratch, &origin).unwrap();
        tree
    })
}

/// A tree with busybox, device nodes and this script as /init; its output goes to /dev/console, which
/// is a node of ours.
pub(crate) fn small(init: &str) -> Tree {
    let origin = Origin::new("test");
    let time = Time { seconds: 1_700_000_000, nanos: 0 };
    let mut tree = Tree::new(Meta::directory(time), origin.clone());
    let guest = guest_tree();
    let busybox = guest.find(&TreePath::new(b"bin/busybox").unwrap()).unwrap();
    let vmimage::engine::base::tree::Kind::File(busybox) = &guest.node(busybox).kind else {
        panic!("busybox is no file")
    };
    let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
    let file = |text: &str, content| Extra::File { path: path(text), content, mode: 0o755 };
    let text = format!("#!/bin/busybox sh\nexport PATH=/bin\n{init}\nbusybox poweroff -f\n");
    for extra in [
        Extra::Devices,
        file("bin/busybox", busybox.clone()),
        file("init", Content::Bytes(text.into_bytes().into())),
    ] {
        place(&mut tree, extra, time, &origin).unwrap();
    }
    tree
}

/// Boots Debian's kernel with this initrd until it powers off; the serial line.
pub(crate) fn boot(initrd: &dyn SectorSource, memory: u32) -> String {
    boot_with(initrd, memory, None)
}

/// The same with a disk on virtio.
pub(crate) fn boot_with(initrd: &dyn SectorSource, memory: u32, disk: Option<&Path>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (file, serial) = (directory.path().join("initrd"), directory.path().join("serial"));
    fs::write(&file, bytes(initrd)).unwrap();
    let drive = disk.map(|disk| format!("file={},format=raw,if=virtio", disk.display()));
    // Of the kernel's messages only the worst: others (a stall on a busy machine) get into the middle
    // of the guest's lines. That an archive cannot be unpacked is one of the worst.
    let options = "console=ttyS0 panic=-1 loglevel=1 no_timer_check";
    let mut child = Command::new("qemu-system-x86_64")
        .args(drive.iter().flat_map(|drive| ["-drive", drive]))
        .args(["-machine", "q35", "-accel", "tcg", "-nic", "none", "-display", "none"])
        .args(["-no-reboot", "-append", options])
        .args(["-m", &memory.to_string(), "-serial", &format!("file:{}", serial.display())])
        .args(["-device", "virtio-rng-pci", "-kernel"])
        .arg(guest().join("vmlinuz"))
        .arg("-initrd")
        .arg(&file)
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("qemu-system-x86_64: {e}: apt install qemu-system-x86"));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let log = String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
    assert!(status.is_some_and(|status| status.success()), "{status:?}:\n{log}");
    log
}
