//! Disks that UEFI boots, with and without Secure Boot, and those that a BIOS boots, too.

use sha2::{Digest as _, Sha256};

use crate::ovmf::Firmware::{Bios, Microsoft, Open};
use crate::ovmf::boot;
use crate::world::{Desk, FILES, LINE, MULTIBOOT, initrd, linux_says, multiboot_says};

/// A disk with an EFI system partition and a root, and a Linux of its own.
fn linux(loader: &str, filesystem: &str, (a, b): (u64, u64)) -> String {
    let more = "/bin/busybox dmesg | /bin/busybox grep -i 'secure boot'\\n";
    let initrd = initrd(a, b, more, "");
    format!(
        "  boot:
    kernel: {{source: {{file: vmlinuz}}}}
    initrd: {initrd}
    commandLine: \"{LINE} root=PARTUUID=$(partuuid:root)\"
    {loader}
  disk:
    partitionTable: GPT
    partitions:
    - {{name: core, type: biosBoot}}
    - {{name: esp, type: esp, mountPath: /boot/efi, filesystem: {{type: vfat}}}}
    - {{name: root, id: 11111111-2222-4333-8444-555555555555, mountPath: /, filesystem: {filesystem}}}
"
    )
}

#[test]
fn grub_one_disk_for_bios_and_uefi() {
    let desk = Desk::new();
    let grub = "grub: {firmware: [bios, uefi], serial: {}}";
    let disk = desk.build(&linux(grub, "{type: ext4}", (60_013, 41)), "raw");
    for firmware in [Bios, Open] {
        let said = linux_says(firmware, &disk, 60_013, 41);
        assert!(said.contains("root=PARTUUID=11111111-2222-4333-8444-555555555555"), "{said}");
    }
}

#[test]
fn grub_uefi_native_from_btrfs() {
    let desk = Desk::new();
    let disk = desk.build(&linux("grub: {firmware: [uefi]}", "{type: btrfs}", (60_017, 43)), "raw");
    linux_says(Open, &disk, 60_017, 43);
}

#[test]
fn grub_uefi_native_from_ext2() {
    let desk = Desk::new();
    let disk = desk.build(&linux("grub: {firmware: [uefi]}", "{type: ext2}", (60_019, 47)), "raw");
    linux_says(Open, &disk, 60_019, 47);
}

#[test]
fn grub_uefi_native_from_fat() {
    let desk = Desk::new();
    let disk = desk.build(&linux("grub: {firmware: [uefi]}", "{type: vfat}", (60_023, 49)), "raw");
    linux_says(Open, &disk, 60_023, 49);
}

/// On a master boot record, both firmwares, a kernel of Multiboot.
#[test]
fn grub_multiboot_on_mbr_for_bios_and_uefi() {
    let desk = Desk::new();
    let spec = format!(
        "  boot: {{grub: {{firmware: [bios, uefi], serial: {{}}, entries: [{MULTIBOOT}]}}}}
  disk:
    partitionTable: MBR
    partitions:
    - {{name: esp, type: esp, mountPath: /efi, filesystem: {{type: vfat}}}}
    - {{name: root, mountPath: /, filesystem: {{type: ext3}}, contents: {FILES}}}
"
    );
    let disk = desk.build(&spec, "raw");
    multiboot_says(Bios, &disk);
    multiboot_says(Open, &disk);
}

#[test]
fn grub_uefi_distribution() {
    let desk = Desk::new();
    let grub = "grub: {firmware: [uefi], efiImage: distribution}";
    let disk = desk.build(&linux(grub, "{type: ext4}", (60_029, 53)), "raw");
    linux_says(Open, &disk, 60_029, 53);
}

#[test]
fn grub_uefi_signed_with_secure_boot() {
    let desk = Desk::new();
    let grub = "grub: {firmware: [uefi], efiImage: signed}";
    let disk = desk.build(&linux(grub, "{type: ext4}", (60_037, 59)), "raw");
    let said = linux_says(Microsoft, &disk, 60_037, 59);
    assert!(said.contains("Secure boot enabled"), "{said}");
}

#[test]
fn uki_on_a_disk() {
    let desk = Desk::new();
    let disk = desk.build(&linux("efi: {}", "{type: ext4}", (60_041, 61)), "raw");
    linux_says(Open, &disk, 60_041, 61);
}

/// With Secure Boot, what nobody signed does not start.
#[test]
fn uki_without_a_table_and_not_with_secure_boot() {
    let desk = Desk::new();
    let initrd = initrd(60_043, 67, "", "");
    let spec = format!(
        "  boot: {{efi: {{}}, kernel: {{source: {{file: vmlinuz}}}}, initrd: {initrd}, commandLine: \"{LINE}\"}}
  disk: {{partitions: [{{name: esp, filesystem: {{type: vfat}}}}]}}
"
    );
    let disk = desk.build(&spec, "raw");
    linux_says(Open, &disk, 60_043, 67);
    let ends = ["Access Denied", "Security Violation", "Shell>", "answer="];
    let said = boot(Microsoft, &[&disk], &ends);
    assert!(said.contains("Access Denied") || said.contains("Security Violation"), "{said}");
}

/// The kernel as a file that a script of the UEFI shell starts; firmware starts it alone, too.
#[test]
fn stub_with_a_startup_script() {
    let desk = Desk::new();
    let loader = "efi: {style: Stub, startupScript: true}";
    let spec = linux(loader, "{type: ext4}", (60_049, 71));
    let disk = desk.build(&spec, "raw");
    // Firmware prefers the program of the fallback path, which has no initrd: it must go, so that the
    // script is reached.
    let offset = esp_offset(&disk);
    let target = format!("{}@@{offset}", disk.display());
    let deleted = std::process::Command::new("mdel")
        .args(["-i", &target, "::/EFI/BOOT/BOOTX64.EFI"])
        .status()
        .expect("apt install mtools");
    assert!(deleted.success());
    let answer = format!("answer={}=", 60_049 * 71);
    let said = boot(Open, &[&disk], &[&answer, "Kernel panic", "No bootable option"]);
    assert!(said.contains(&answer), "{said}");
    assert!(said.contains("initrd=\\initramfs.img="), "{said}");
}

/// What firmware starts alone gets no command line, and so no serial port: in place of a kernel there
/// is another program for UEFI, GRUB, which tells the digest of its own file.
#[test]
fn stub_alone() {
    let desk = Desk::new();
    desk.write("config", b"hashsum --hash sha256 $cmdpath/BOOTX64.EFI\nhalt\n");
    let path = |name: &str| desk.path(name).display().to_string();
    let status = std::process::Command::new("grub-mkimage")
        .args(["-O", "x86_64-efi", "-p", "/", "-c", &path("config"), "-o", &path("program")])
        .args(["part_gpt", "fat", "normal", "hashsum", "gcry_sha256", "halt"])
        .status();
    assert!(status.expect("apt install grub-common grub-efi-amd64-bin").success());
    let spec = "  boot: {efi: {style: Stub}, kernel: {source: {file: program}}}
  disk:
    partitionTable: GPT
    partitions: [{name: core, size: 1Mi}, {name: esp, type: esp, filesystem: {type: vfat}}]
";
    let disk = desk.build(spec, "raw");
    let digest = hex::encode(Sha256::digest(fs_err::read(desk.path("program")).unwrap()));
    let said = boot(Open, &[&disk], &[&digest, "Shell>", "error:"]);
    assert!(said.contains(&digest), "{said}");
}

/// Where the second partition of a GPT begins.
fn esp_offset(disk: &std::path::Path) -> u64 {
    let output = std::process::Command::new("sfdisk").arg("-J").arg(disk).output();
    let output = output.expect("apt install fdisk");
    let table: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    table["partitiontable"]["partitions"][1]["start"].as_u64().unwrap() * 512
}
