//! Disks that a BIOS boots.

use crate::ovmf::Firmware::Bios;
use crate::ovmf::boot;
use crate::payload;
use crate::qemu::{Machine, Qemu};
use crate::world::{Desk, FILES, LINE, MULTIBOOT, initrd, linux_says, multiboot_says, without};

/// A GRUB disk with one partition of this filesystem and the Multiboot kernel.
fn grub(table: &str, filesystem: &str, size: &str) -> String {
    let own = if table == "GPT" { "{name: core, type: biosBoot}, " } else { "" };
    format!(
        "  boot: {{grub: {{serial: {{}}, entries: [{MULTIBOOT}]}}}}
  disk:
    partitionTable: {table}
    partitions: [{own}{{name: root, size: {size}, mountPath: /, filesystem: {filesystem}, contents: {FILES}}}]
"
    )
}

fn boots(table: &str, filesystem: &str, size: &str) {
    let desk = Desk::new();
    multiboot_says(Bios, &desk.build(&grub(table, filesystem, size), "raw"));
}

#[test]
fn grub_ext2_on_mbr() {
    let desk = Desk::new();
    let disk = desk.build(&grub("MBR", "{type: ext2}", "8Mi"), "raw");
    multiboot_says(Bios, &disk);
    let said = without(Bios, &disk, &payload::kernel());
    assert!(!said.contains("computed"), "{said}");
}

#[test]
fn grub_ext2_on_gpt() {
    boots("GPT", "{type: ext2}", "8Mi");
}

#[test]
fn grub_ext3_on_mbr() {
    boots("MBR", "{type: ext3}", "16Mi");
}

#[test]
fn grub_ext3_on_gpt() {
    boots("GPT", "{type: ext3}", "16Mi");
}

#[test]
fn grub_ext4_on_mbr() {
    boots("MBR", "{type: ext4}", "16Mi");
}

#[test]
fn grub_ext4_on_gpt() {
    boots("GPT", "{type: ext4}", "16Mi");
}

#[test]
fn grub_fat12_on_mbr() {
    boots("MBR", "{type: vfat, vfat: {bits: 12}}", "8Mi");
}

#[test]
fn grub_fat16_on_gpt() {
    boots("GPT", "{type: vfat, vfat: {bits: 16}}", "16Mi");
}

#[test]
fn grub_fat16_on_mbr() {
    boots("MBR", "{type: vfat, vfat: {bits: 16}}", "16Mi");
}

#[test]
fn grub_fat32_on_mbr() {
    boots("MBR", "{type: vfat, vfat: {bits: 32}}", "64Mi");
}

#[test]
fn grub_fat32_on_gpt() {
    boots("GPT", "{type: vfat, vfat: {bits: 32}}", "64Mi");
}

#[test]
fn grub_btrfs_on_mbr() {
    boots("MBR", "{type: btrfs}", "128Mi");
}

#[test]
fn grub_btrfs_on_gpt() {
    boots("GPT", "{type: btrfs}", "128Mi");
}

/// A menu with several entries and a default, Linux from the document, on a separate /boot.
#[test]
fn grub_linux_on_a_separate_boot_partition() {
    let desk = Desk::new();
    let initrd = initrd(70_001, 91, "", "");
    let spec = format!(
        "  boot:
    kernel: {{source: {{file: vmlinuz}}}}
    initrd: {initrd}
    grub:
      serial: {{}}
      timeoutSeconds: 1
      default: right
      entries:
      - {{title: wrong, commands: halt}}
      - {{title: right, linux: {{kernel: /boot/vmlinuz, initrd: /boot/initrd.img, commandLine: \"{LINE} root=PARTUUID=$(partuuid:root) uuid=$(uuid:boot)\"}}}}
  disk:
    partitionTable: MBR
    diskId: '0x12345678'
    partitions:
    - {{name: boot, mountPath: /boot, filesystem: {{type: ext2, uuid: 6d6a0b4e-43a1-4b1c-9a4c-0123456789ab}}}}
    - {{name: root, size: 8Mi, mountPath: /, filesystem: {{type: ext4}}}}
"
    );
    let said = linux_says(Bios, &desk.build(&spec, "raw"), 70_001, 91);
    assert!(said.contains("wrong") && said.contains("right"), "{said}");
    // In the partition, the path is another one.
    assert!(said.contains("BOOT_IMAGE=/vmlinuz "), "{said}");
    let ids = "root=PARTUUID=12345678-02 uuid=6d6a0b4e-43a1-4b1c-9a4c-0123456789ab";
    assert!(said.contains(ids), "{said}");
}

/// The kernel and the initrd lie in the disk's contents.
#[test]
fn grub_linux_from_the_tree() {
    let desk = Desk::new();
    let initrd = initrd(80_001, 93, "", "compression: gzip, ");
    let first = format!(
        "  boot: {{direct: {{}}, kernel: {{source: {{file: vmlinuz}}}}, initrd: {initrd}}}\n  disk: {{size: 1Mi}}\n"
    );
    desk.build(&first, "raw");
    fs_err::rename(desk.path("out/out.initrd"), desk.path("initrd")).unwrap();
    let spec = format!(
        "  boot:
    kernel: {{from: /vmlinuz}}
    initrd: {{from: /usr/initrd}}
    commandLine: \"{LINE}\"
    grub: {{}}
  disk:
    partitionTable: GPT
    partitions:
    - {{name: core, type: biosBoot}}
    - name: root
      filesystem: {{type: ext4}}
      contents:
      - {{file: {{path: /usr/kernel, source: {{file: vmlinuz}}}}}}
      - {{symlink: {{path: /vmlinuz, target: usr/kernel}}}}
      - {{file: {{path: /usr/initrd, source: {{file: initrd}}}}}}
"
    );
    linux_says(Bios, &desk.build(&spec, "raw"), 80_001, 93);
}

/// GRUB unpacks a kernel that is compressed.
#[test]
fn grub_multiboot_from_gzip() {
    let desk = Desk::new();
    let packed = std::process::Command::new("gzip").arg(desk.path("kernel")).status().unwrap();
    assert!(packed.success());
    let spec = grub("MBR", "{type: ext2}", "8Mi").replace("{file: kernel}", "{file: kernel.gz}");
    multiboot_says(Bios, &desk.build(&spec, "raw"));
}

/// A disk with syslinux for Linux.
fn syslinux(table: &str, filesystem: &str, size: &str, (a, b): (u64, u64)) -> String {
    let initrd = initrd(a, b, "", "");
    // Without a table the size is the disk's.
    let sized = format!("size: {size}, ");
    let (whole, own) = if table == "None" { (sized.as_str(), "") } else { ("", sized.as_str()) };
    format!(
        "  boot:
    kernel: {{source: {{file: vmlinuz}}}}
    initrd: {initrd}
    commandLine: \"{LINE}\"
    syslinux: {{serial: {{}}}}
  disk: {{{whole}partitionTable: {table}, partitions: [{{name: root, {own}filesystem: {filesystem}}}]}}
"
    )
}

fn syslinux_boots(table: &str, filesystem: &str, size: &str, numbers: (u64, u64)) {
    let desk = Desk::new();
    let disk = desk.build(&syslinux(table, filesystem, size, numbers), "raw");
    linux_says(Bios, &disk, numbers.0, numbers.1);
}

#[test]
fn syslinux_fat16_on_mbr() {
    syslinux_boots("MBR", "{type: vfat, vfat: {bits: 16}}", "32Mi", (50_021, 17));
}

#[test]
fn syslinux_fat32_without_a_table() {
    syslinux_boots("None", "{type: vfat, vfat: {bits: 32}}", "64Mi", (50_023, 19));
}

#[test]
fn syslinux_fat12_on_gpt() {
    syslinux_boots("GPT", "{type: vfat, vfat: {bits: 12}}", "32Mi", (50_027, 23));
}

#[test]
fn syslinux_ext3_on_gpt() {
    syslinux_boots("GPT", "{type: ext3}", "32Mi", (50_029, 29));
}

#[test]
fn syslinux_ext4_on_mbr() {
    syslinux_boots("MBR", "{type: ext4}", "32Mi", (50_031, 31));
}

#[test]
fn syslinux_ext4_without_a_table() {
    syslinux_boots("None", "{type: ext4}", "32Mi", (50_033, 37));
}

/// A floppy disk with files and our program, which waits for a key and powers off.
#[test]
fn sector_on_a_fat12_floppy() {
    let desk = Desk::new();
    let spec = "  boot: {sector: {message: \"From a floppy\"}}
  disk:
    partitions:
    - {name: a, filesystem: {type: vfat, label: TOOLS, vfat: {floppy: 1.44M}}, contents: [{file: {path: /read.me, text: x}}]}
  formats: [{type: raw}, {type: iso}]
";
    let disk = desk.build(spec, "raw");
    assert_eq!(fs_err::metadata(&disk).unwrap().len(), 1_474_560);
    let listed = std::process::Command::new("mdir").args(["-b", "-i"]).arg(&disk).output();
    let listed = String::from_utf8(listed.expect("apt install mtools").stdout).unwrap();
    assert!(listed.contains("read.me"), "{listed}");
    let judged = std::process::Command::new("fsck.fat").arg("-n").arg(&disk).output();
    let judged = judged.expect("apt install dosfstools");
    assert!(judged.status.success(), "{judged:?}");
    let machine = |bus| Machine { machine: "pc", bus, serial: true };
    let iso = desk.path("out/out.iso");
    for (bus, file) in [("floppy", &disk), ("ide", &disk), ("ide,media=cdrom", &iso)] {
        let mut qemu = Qemu::start_file(machine(bus), file, "raw");
        qemu.wait_for_screen("From a floppy");
        qemu.press_return();
        let (status, serial) = qemu.wait_for_off();
        assert_eq!((status.code(), serial.as_slice()), (Some(0), &b"From a floppy"[..]), "{bus}");
    }
    // Without the program the message is not shown.
    let mut bytes = fs_err::read(&disk).unwrap();
    let end = bytes.windows(13).position(|window| window == b"From a floppy").unwrap();
    bytes[62..end].fill(0xf4);
    let mut qemu = Qemu::start(machine("floppy"), &bytes);
    qemu.wait_for_screen("Booting from Floppy");
    qemu.stays_on_for(std::time::Duration::from_secs(3));
    assert!(!qemu.screen().concat().contains("From a floppy"));
}

/// A sector of somebody else as the code of a volume.
#[test]
fn a_given_sector_on_a_fat_volume() {
    let desk = Desk::new();
    // jmp 62, over the volume's parameters
    let mut sector = vec![0xEB, 0x3C, 0x90];
    sector.resize(62, 0xCC);
    // mov dx, 3f8h; mov al, 'A'; add al, 25; out dx, al; mov al, 10; out dx, al; hlt; jmp -3
    sector.extend([0xBA, 0xF8, 0x03, 0xB0, 0x41, 0x04, 25, 0xEE, 0xB0, 10, 0xEE, 0xF4, 0xEB, 0xFD]);
    sector.extend([0x55, 0xAA]);
    desk.write("sector", &sector);
    let spec = "  boot: {sector: {source: {file: sector}}}
  disk: {partitions: [{name: a, filesystem: {type: vfat, vfat: {floppy: 2.88M}}}]}
";
    let disk = desk.build(spec, "raw");
    let said = boot(Bios, &[&disk], &["Z\n"]);
    assert!(said.ends_with("Z\n"), "{said}");
    desk.write("sector", &[0xFA, 0x55, 0xAA]);
    let said = desk.refused(spec);
    assert!(said.contains("spec.boot.sector.source"), "{said}");
    assert!(said.contains("begins with a jump"), "{said}");
}
