//! The five systems, out of what the cluster published: each boots in QEMU, by `vmimage run`.
//!
//! The disks are never written to. Invariant: what is expected on the serial line is calculated by
//! what boots, and a second time here; serial logs are kept as artifacts.

use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::{Applied, EXAMPLES};

#[path = "../../../tests/support/artifacts.rs"]
#[expect(dead_code, reason = "other programs use the rest")]
mod artifacts;

/// What Linux says where a busy host gave it too few ticks of its timer; the documents stay as they
/// are, so that its check cannot be turned off.
const TIMER: &str = "IO-APIC + timer doesn't work";
const BOOTS: u32 = 3;

/// Boots until the serial line has each of these, one behind the other.
pub(crate) fn says(title: &str, expected: &[&str], words: &[&str]) {
    let log = artifacts::path(&format!("{title}.serial"));
    for _ in 0..BOOTS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command
            .args(["--quiet", "run", "--accel", "tcg", "--timeout", "240s", "--serial"])
            .arg(&log);
        command.args(expected.iter().flat_map(|text| ["--expect", text])).args(words);
        let done = command.output().unwrap();
        if done.status.success() {
            return;
        }
        let serial = String::from_utf8_lossy(&fs_err::read(&log).unwrap_or_default()).into_owned();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(serial.contains(TIMER), "{title}: {}\n{said}\n{serial}", done.status);
    }
    panic!("{title}: {BOOTS} times {TIMER}");
}

/// A digest that the guest prints.
fn digest(of: &str, bytes: &[u8]) -> String {
    format!("{of} {}", hex::encode(Sha256::digest(bytes)))
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(super) async fn all(applied: &Applied) {
    sector(applied).await;
    lites(applied).await;
    mksmolnb(applied).await;
    slim(applied).await;
    tinyboot(applied).await;
}

/// The 512-byte VM.
async fn sector(applied: &Applied) {
    let disk = applied.disk("512-byte-vm").await;
    let line = ["--from", "raw", "--firmware", "bios", "--keys", "ret"];
    says("512-byte-vm", &["Hello World!"], &[&[path(&disk)], &line[..]].concat());
}

/// The menu starts its first entry, Mach starts the server, which calculates.
async fn lites(applied: &Applied) {
    let disk = applied.disk("lites").await;
    let sum = (1..=700_u32).fold(0_u32, |sum, i| sum.wrapping_mul(13).wrapping_add(i * i));
    let computed = format!("server computed {sum:010}");
    let expected = ["GNU Mach 1.8", "hd0s1", "start lites_server", &computed];
    says("lites", &expected, &[path(&disk), "--from", "raw", "--bus", "ide", "--memory", "256Mi"]);
}

/// The stand-in for a NetBSD kernel has the drivers that are kept, and reads its disk's superblock.
async fn mksmolnb(applied: &Applied) {
    let directory = applied.directory("smolnb-ext2", "files").await;
    let [kernel, line] =
        ["vmlinuz", "cmdline"].map(|end| directory.join(format!("smolnb-ext2.{end}")));
    let line = fs_err::read_to_string(line).unwrap();
    let disk = applied.disk("smolnb-ext2").await;
    let bytes = fs_err::read(&disk).unwrap();
    let words = bytes[1024..2048].chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0_u32, |sum, word| sum.wrapping_mul(31).wrapping_add(u32::from(word)));
    let superblock = format!("superblock {sum}\\b");
    let expected = ["stand-in for NetBSD", "root=ld0a\\]", "13 of 18 drivers", &superblock];
    let words = ["--from", "raw", "--arch", "i386", "--bus", "ide", "--memory", "64Mi"];
    let kernel = [path(&disk), "--kernel", path(&kernel), "--append", line.trim_end()];
    says("mksmolnb", &expected, &[&kernel, &words[..]].concat());
}

/// What slim says of the fstab on its root.
pub(crate) fn fstab() -> String {
    let fstab = "LABEL=slim-rootfs / ext4 discard,errors=remount-ro 0 1\n";
    digest("slim: fstab", fstab.as_bytes())
}

/// A root with a kernel beside it, a disk for UEFI, an ISO with isolinux, a machine without a disk.
async fn slim(applied: &Applied) {
    let fstab = fstab();
    let inittab = b"::sysinit:/etc/rc\nttyS0::askfirst:/bin/sh\n";
    let inittab = digest("slim: inittab", inittab);
    for (image, expected) in [("slim-direct", &fstab), ("slim-initrd", &inittab)] {
        let directory = applied.directory(image, "files").await;
        let [disk, kernel, initrd, line] = ["raw", "vmlinuz", "initrd", "cmdline"]
            .map(|end| directory.join(format!("{image}.{end}")));
        let line = fs_err::read_to_string(line).unwrap();
        let linux =
            ["--kernel", path(&kernel), "--initrd", path(&initrd), "--append", line.trim_end()];
        let disk = [path(&disk), "--from", "raw", "--bus", "virtio"];
        says(image, &[expected], &[&disk[..], &linux].concat());
    }
    let disk = applied.disk("slim-uefi").await;
    let words = ["--from", "raw", "--bus", "virtio", "--firmware", "uefi"];
    says("slim-uefi", &["slim: root ext4", &fstab], &[&[path(&disk)], &words[..]].concat());
    let disc = applied.disk("slim-isolinux").await;
    let words = ["--from", "raw", "--cd", "--firmware", "bios"];
    says("slim-isolinux", &["ISOLINUX", &inittab], &[&[path(&disc)], &words[..]].concat());
}

/// The app finds a file of its ISO, the seed and the data disk, and has an address.
async fn tinyboot(applied: &Applied) {
    let [disc, seed, data] = [
        applied.disk("tinyboot").await,
        applied.disk("cidata").await,
        applied.disk("tinyboot-data").await,
    ];
    let drive = |file: &Path| format!("file={},format=raw,if=virtio,snapshot=on", file.display());
    let user = fs_err::read(format!("{EXAMPLES}/inputs/cidata/user-data")).unwrap();
    let config = digest("app: config", b"{\"greeting\": \"hello\"}\n");
    let seen = digest("app: test i-1", &user);
    let expected = ["app: eth0 has 10.0.2.15/24", &config, &seen, "app: tinyboot, start 1"];
    // Debian's cloud kernel knows no SATA.
    let words = ["--from", "raw", "--cd", "--bus", "virtio-scsi", "--firmware", "uefi"];
    let words = [&words[..], &["--nic", "virtio", "--"]].concat();
    let (seed, data) = (drive(&seed), drive(&data));
    let drives = ["-drive", &seed, "-drive", &data];
    says("tinyboot", &expected, &[&[path(&disc)], &words[..], &drives].concat());
}
