//! slim: a root with a kernel beside it, a disk for UEFI in every format, an ISO, a machine without a
//! disk, and a seed that a guest reads.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use crate::debian::{Payload, command_line, desk, run, text};

/// No boot takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

const LINE: &str = "spec.boot.commandLine";

/// What a machine prints about a file that has this text.
fn digest(name: &str, file: &str) -> String {
    format!("slim: {name} {}", hex::encode(Sha256::digest(file)))
}

/// fstab(5), as slim-direct.yaml and slim-uefi.yaml describe it.
fn fstab() -> String {
    digest("fstab", "LABEL=slim-rootfs / ext4 discard,errors=remount-ro 0 1\n")
}

/// As slim-isolinux.yaml and slim-initrd.yaml have it.
fn inittab() -> String {
    digest("inittab", "::sysinit:/etc/rc\nttyS0::askfirst:/bin/sh\n")
}

/// What our init says where the root's own is no program.
const NO_INIT: &str = "vmimage-init: error root init=/sbin/init error=";
/// What the kernel says where /init is none.
const PANIC: &str = "Kernel panic - not syncing";

/// With zeros for its programs the same machine says none of it, and how it `ends` is seen.
fn says_nothing(example: &str, set: &[String], ends: &str) {
    let serial = desk().run(example, Payload::Zeroed, set, ends);
    assert!(!serial.contains("slim: "), "{example}: {serial}");
}

#[test]
fn a_root_boots_with_the_kernel_beside_it() {
    let line = "root=LABEL=slim-rootfs console=tty0 console=ttyS0,115200n8";
    let set = [command_line(LINE, line)];
    let serial = desk().run("slim-direct", Payload::Real, &set, &fstab());
    assert!(serial.contains("slim: root ext4\n"), "{serial}");
    assert!(serial.contains("slim: host slim, kernel 6."), "{serial}");
    says_nothing("slim-direct", &set, NO_INIT);
}

/// What a command writes that a user pastes into a shell, up to the system's last line.
fn pasted(command: &str, directory: &Path) -> String {
    let log = directory.join("log");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec {command}")]).stdin(Stdio::null());
    let mut qemu = shell.stdout(fs::File::create(&log).unwrap().into_parts().0).spawn().unwrap();
    let began = Instant::now();
    loop {
        let ended = qemu.try_wait().unwrap().is_some();
        let said = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
        // A prompt without an end of line may follow.
        let seen = said.split_once("slim: fstab").is_some_and(|(_, rest)| rest.contains('\n'));
        if seen || ended || began.elapsed() > PATIENCE {
            // Fails where QEMU has exited already, which is fine.
            let _ = qemu.kill();
            qemu.wait().unwrap();
            return said;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn build_prints_the_command_that_starts_the_kernel() {
    let out = tempfile::tempdir().unwrap();
    let set = [command_line(LINE, "root=LABEL=slim-rootfs console=ttyS0")];
    let said = desk().build("slim-direct", Payload::Real, &set, out.path());
    let command = said.lines().find_map(|line| line.strip_prefix("slim-direct is started by: "));
    let command = command.unwrap_or_else(|| panic!("{said}"));
    let serial = pasted(command, out.path());
    assert!(serial.contains(&fstab()), "{command}\n{serial}");
    // Every file has its digest, as sha256sum has it.
    let manifest = fs::read(out.path().join("slim-direct.build.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let outputs = manifest["outputs"].as_array().unwrap();
    let names: Vec<_> = outputs.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["raw", "vmlinuz", "initrd", "cmdline"]);
    for one in outputs {
        let file = text(out.path().join(one["file"].as_str().unwrap()));
        let sum = crate::tool::run("coreutils", "sha256sum", &[&file]);
        let sum = format!("sha256:{}", sum.split(' ').next().unwrap());
        assert_eq!(one["digest"].as_str(), Some(sum.as_str()), "{file}");
        assert_eq!(one["size"].as_u64(), Some(fs::metadata(&file).unwrap().len()), "{file}");
    }
}

#[test]
fn a_disk_for_uefi_boots_from_every_format() {
    let out = tempfile::tempdir().unwrap();
    let line = "root=PARTUUID=$(partuuid:root) console=tty0 console=ttyS0,115200n8";
    let set = [command_line("spec.boot.grub.entries[0].linux.commandLine", line)];
    desk().build("slim-uefi", Payload::Real, &set, out.path());
    // Hyper-V's first generation has IDE, VMware's has SCSI: the guest finds its root by its id.
    for (format, bus) in [
        ("raw", "ide"),
        ("qcow2", "virtio"),
        ("vmdk", "virtio-scsi"),
        ("vhd", "ide"),
        ("vhdx", "virtio"),
    ] {
        let file = text(out.path().join(format!("slim-uefi.{format}")));
        let words = [file, "--bus".to_owned(), bus.to_owned()];
        let serial = run(&format!("slim-uefi-{format}"), &words, &fstab());
        assert!(serial.contains("slim: root ext4\n"), "{format}: {serial}");
    }
    says_nothing("slim-uefi", &set, NO_INIT);
}

#[test]
fn an_iso_with_isolinux_boots_as_a_cd() {
    let set = [command_line(LINE, "console=tty0 console=ttyS0,115200")];
    let serial = desk().run("slim-isolinux", Payload::Real, &set, &inittab());
    assert!(serial.contains("ISOLINUX 6."), "{serial}");
    assert!(serial.contains("slim: root rootfs\n"), "{serial}");
    says_nothing("slim-isolinux", &set, PANIC);
}

#[test]
fn a_machine_without_a_disk_boots() {
    let set = [command_line(LINE, "console=tty0 console=ttyS0,115200")];
    let serial = desk().run("slim-initrd", Payload::Real, &set, &inittab());
    assert!(serial.contains("slim: root rootfs\n"), "{serial}");
    says_nothing("slim-initrd", &set, PANIC);
}
