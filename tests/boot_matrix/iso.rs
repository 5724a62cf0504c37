//! ISO images as CDs and as disks, by a BIOS and by UEFI.

use std::path::{Path, PathBuf};

use crate::ovmf::Firmware::{self, Bios, Microsoft, Open};
use crate::payload;
use crate::world::{Desk, FILES, LINE, MULTIBOOT, initrd, linux_says, multiboot_says, without};

/// The same file as a disk.
fn disk(iso: &Path) -> PathBuf {
    let path = iso.with_extension("raw");
    fs_err::hard_link(iso, &path).unwrap();
    path
}

fn linux(loader: &str, (a, b): (u64, u64)) -> String {
    let initrd = initrd(a, b, "", "");
    format!(
        "  boot:
    kernel: {{source: {{file: vmlinuz}}}}
    initrd: {initrd}
    commandLine: \"{LINE}\"
    {loader}
  iso: {{volumeId: TRIAL, contents: [{{file: {{path: /a/file, text: x}}}}]}}
  formats: [{{type: iso}}]
"
    )
}

/// Boots it as a CD and as a disk by each firmware.
fn everywhere(desk: &Desk, spec: &str, firmware: &[Firmware], (a, b): (u64, u64)) {
    let iso = desk.build(spec, "iso");
    let disk = disk(&iso);
    for firmware in firmware {
        linux_says(*firmware, &iso, a, b);
        linux_says(*firmware, &disk, a, b);
    }
}

fn multiboot(firmware: &str) -> String {
    format!(
        "  boot: {{grub: {{firmware: {firmware}, serial: {{}}, entries: [{MULTIBOOT}]}}}}
  iso: {{contents: {FILES}}}
  formats: [{{type: iso}}]
"
    )
}

#[test]
fn grub_iso_for_bios_and_uefi() {
    let desk = Desk::new();
    let iso = desk.build(&multiboot("[bios, uefi]"), "iso");
    let disk = disk(&iso);
    for firmware in [Bios, Open] {
        multiboot_says(firmware, &iso);
        multiboot_says(firmware, &disk);
    }
    let said = without(Bios, &iso, &payload::kernel());
    assert!(!said.contains("computed"), "{said}");
}

#[test]
fn grub_iso_for_bios() {
    let desk = Desk::new();
    let iso = desk.build(&multiboot("[bios]"), "iso");
    multiboot_says(Bios, &iso);
    multiboot_says(Bios, &disk(&iso));
}

#[test]
fn grub_iso_with_linux_for_uefi() {
    let spec = linux("grub: {firmware: [uefi]}", (30_011, 73));
    everywhere(&Desk::new(), &spec, &[Open], (30_011, 73));
}

#[test]
fn grub_iso_signed_with_secure_boot() {
    let spec = linux("grub: {firmware: [uefi], efiImage: signed}", (30_013, 79));
    let desk = Desk::new();
    let iso = desk.build(&spec, "iso");
    linux_says(Microsoft, &iso, 30_013, 79);
    linux_says(Microsoft, &disk(&iso), 30_013, 79);
}

#[test]
fn isolinux_iso() {
    let spec = linux("syslinux: {serial: {}}", (30_029, 83));
    everywhere(&Desk::new(), &spec, &[Bios], (30_029, 83));
}

#[test]
fn uki_iso() {
    let spec = linux("efi: {}", (30_047, 89));
    everywhere(&Desk::new(), &spec, &[Open], (30_047, 89));
}
