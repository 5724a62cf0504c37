//! A machine that boots Debian's cloud kernel with our init and an app that is a shell script.
//!
//! Judges nothing itself. Invariant: what is not said is QEMU's and the configuration's default.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fs_err as fs;
use vmimage::guest::Config;

use crate::running::Machine;

/// Modules that only a test with a btrfs disk needs; one of them measures processors for a second.
const BTRFS: [&str; 7] = [
    "crc32c-intel.ko",
    "libcrc32c.ko",
    "zstd_compress.ko",
    "raid6_pq.ko",
    "xor.ko",
    "blake2b_generic.ko",
    "btrfs.ko",
];

fn script(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/init").join(name);
    let made = Command::new(&path).stderr(Stdio::inherit()).output().unwrap();
    assert!(made.status.success(), "{}: {}", path.display(), made.status);
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}

/// The built init and the kernel's directory, made once.
pub(crate) fn parts() -> &'static (PathBuf, PathBuf) {
    static PARTS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    PARTS.get_or_init(|| (script("build"), script("kernel")))
}

/// A machine to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// The app: lines of busybox's shell.
    pub(crate) app: String,
    pub(crate) config: Config,
    /// Lines of the configuration that no `Config` could write.
    pub(crate) config_text: String,
    pub(crate) command_line: String,
    pub(crate) btrfs: bool,
    /// Arguments of QEMU: network, disks.
    pub(crate) hardware: Vec<String>,
    /// Bytes in place of the app.
    pub(crate) zeroed: bool,
}

impl Plan {
    pub(crate) fn new(app: &str) -> Self {
        let config = Config { app: "/app".into(), ..Config::default() };
        Self { app: app.into(), config, ..Self::default() }
    }

    /// Words of QEMU's command line.
    pub(crate) fn with(mut self, words: &str) -> Self {
        self.hardware.extend(words.split_ascii_whitespace().map(ToOwned::to_owned));
        self
    }

    /// A network card whose network answers DHCP.
    pub(crate) fn network(self) -> Self {
        self.with("-netdev user,id=n0 -device virtio-net-pci,netdev=n0")
    }

    fn initrd(&self) -> Vec<u8> {
        let (init, kernel) = parts();
        let order = fs::read_to_string(kernel.join("order")).unwrap();
        let wanted = |name: &&str| self.btrfs || !BTRFS.contains(name);
        let modules: Vec<&str> = order.lines().filter(wanted).collect();
        let list: String = modules.iter().map(|name| format!("/modules/{name}\n")).collect();
        let mut app = format!("#!/bin/busybox sh\n{}", self.app).into_bytes();
        if self.zeroed {
            app.fill(0);
        }
        let mut archive = Vec::new();
        for directory in ["bin", "dev", "etc", "modules"] {
            newc(&mut archive, directory, 0o040_755, &[]);
        }
        let mut file = |name: &str, mode, bytes: &[u8]| newc(&mut archive, name, mode, bytes);
        file("init", 0o100_755, &fs::read(init).unwrap());
        file("app", 0o100_755, &app);
        file("bin/busybox", 0o100_755, &fs::read("/bin/busybox").unwrap());
        let text = self.config.to_text() + &self.config_text;
        file(&Config::PATH[1..], 0o100_644, text.as_bytes());
        file("etc/vmimage-init.modules", 0o100_644, list.as_bytes());
        for name in modules {
            let bytes = fs::read(kernel.join("modules").join(name)).unwrap();
            file(&format!("modules/{name}"), 0o100_644, &bytes);
        }
        newc(&mut archive, "TRAILER!!!", 0, &[]);
        archive
    }

    pub(crate) fn start(&self) -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("initrd"), self.initrd()).unwrap();
        // On a busy host the kernel's check of the timer fails at random.
        let line = format!("console=ttyS0 quiet panic=-1 no_timer_check {}", self.command_line);
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-machine", "q35", "-accel", "tcg", "-m", "256", "-display", "none"])
            .args(["-nodefaults", "-append", &line])
            .args(["-kernel".as_ref(), parts().1.join("vmlinuz").as_os_str()])
            .args(["-initrd".as_ref(), path("initrd").as_os_str()])
            .args(&self.hardware);
        Machine::start(&mut command, directory)
    }
}

/// One entry of a "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst).
fn newc(archive: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8]) {
    let (ino, size, named) = (archive.len(), bytes.len(), name.len() + 1);
    let header = format!(
        "070701{ino:08X}{mode:08X}{:08X}{:08X}{:08X}{:08X}{size:08X}{:08X}{:08X}{:08X}{:08X}{named:08X}{:08X}",
        0, 0, 1, 0, 0, 0, 0, 0, 0
    );
    archive.extend(header.as_bytes());
    archive.extend(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(bytes);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// The value of `key=` in the first line that says `what`.
pub(crate) fn value<'a>(serial: &'a str, what: &str, key: &str) -> &'a str {
    let line =
        serial.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{serial}"));
    let found = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {key} in {line}"))
}
