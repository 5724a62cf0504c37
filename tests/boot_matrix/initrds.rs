//! Initial filesystems: every compression, every way into the document, and kernel and initrd beside
//! the disk.

use std::process::Command;

use fs_err as fs;

use crate::ovmf::Firmware::Bios;
use crate::ovmf::boot;
use crate::world::{Desk, LINE, initrd, linux_says};

/// A GRUB disk with an initrd that is compressed like this.
fn compressed(name: &str, (a, b): (u64, u64)) {
    let desk = Desk::new();
    let initrd = initrd(a, b, "", &format!("compression: {name}, "));
    let spec = format!(
        "  boot: {{grub: {{}}, kernel: {{source: {{file: vmlinuz}}}}, initrd: {initrd}, commandLine: \"{LINE}\"}}
  disk: {{partitionTable: MBR, partitions: [{{name: root, filesystem: {{type: ext2}}}}]}}
"
    );
    linux_says(Bios, &desk.build(&spec, "raw"), a, b);
}

#[test]
fn initrd_not_compressed() {
    compressed("none", (90_001, 97));
}

#[test]
fn initrd_gzip() {
    compressed("gzip", (90_007, 101));
}

#[test]
fn initrd_xz() {
    compressed("xz", (90_011, 103));
}

#[test]
fn initrd_zstd() {
    compressed("zstd", (90_017, 107));
}

#[test]
fn initrd_lz4() {
    compressed("lz4", (90_019, 109));
}

/// Files for a hypervisor that loads a kernel by itself; the initrd is used again as a finished one.
#[test]
fn direct_files_and_a_finished_initrd() {
    let desk = Desk::new();
    let built = initrd(90_023, 113, "", "");
    let spec = |initrd: &str| {
        format!(
            "  boot: {{direct: {{}}, kernel: {{source: {{file: vmlinuz}}}}, initrd: {initrd}, commandLine: \"{LINE} root=PARTUUID=$(partuuid:root)\"}}
  disk: {{partitionTable: GPT, partitions: [{{name: root, id: 11111111-2222-4333-8444-555555555555, filesystem: {{type: ext4}}}}]}}
"
        )
    };
    let disk = desk.build(&spec(&built), "raw");
    let kernel = fs::read(desk.path("out/out.vmlinuz")).unwrap();
    assert_eq!(kernel, fs::read(desk.path("vmlinuz")).unwrap());
    let line = fs::read_to_string(desk.path("out/out.cmdline")).unwrap();
    assert_eq!(
        line.trim_end(),
        format!("{LINE} root=PARTUUID=11111111-2222-4333-8444-555555555555")
    );
    let output = Command::new("qemu-system-x86_64")
        .args(["-machine", "q35", "-accel", "tcg", "-m", "512", "-nic", "none", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio", "-append", line.trim_end(), "-kernel"])
        .arg(desk.path("out/out.vmlinuz"))
        .arg("-initrd")
        .arg(desk.path("out/out.initrd"))
        .args(["-drive", &format!("format=raw,if=virtio,file={}", disk.display())])
        .output()
        .expect("apt install qemu-system-x86");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("answer={}=", 90_023 * 113)), "{said}");

    let made = fs::read(desk.path("out/out.initrd")).unwrap();
    desk.write("initrd", &made);
    fs::remove_dir_all(desk.path("out")).unwrap();
    desk.build(&spec("{source: {file: initrd}}"), "raw");
    assert_eq!(fs::read(desk.path("out/out.initrd")).unwrap(), made);
}

/// The payload of all these tests is the initrd: a disk whose initrd is another says another product.
#[test]
fn without_its_numbers_nothing_is_said() {
    let desk = Desk::new();
    let initrd = initrd(90_031, 127, "", "compression: none, ");
    let spec = format!(
        "  boot: {{grub: {{}}, kernel: {{source: {{file: vmlinuz}}}}, initrd: {initrd}, commandLine: \"{LINE}\"}}
  disk: {{partitionTable: MBR, partitions: [{{name: root, filesystem: {{type: ext2}}}}]}}
"
    );
    let disk = desk.build(&spec, "raw");
    let mut bytes = fs::read(&disk).unwrap();
    let numbers = b"(90031 * 127)";
    let at = bytes.windows(numbers.len()).position(|window| window == numbers).unwrap();
    bytes[at + 1..at + 6].copy_from_slice(b"00000");
    fs::write(&disk, bytes).unwrap();
    let said = boot(Bios, &[&disk], &["answer=", "Kernel panic"]);
    assert!(!said.contains("answer=11433937="), "{said}");
}
