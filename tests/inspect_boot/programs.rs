//! EFI programs on an EFI system partition: GRUB, shim, systemd-boot, unified kernel images, Linux.

use std::path::Path;

use fs_err as fs;
use vmimage::inspect::Program;

use super::{boot, disk, fat, grub_version, linux, path, version};
use crate::tool;

const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// A unified kernel image as systemd's manual makes it, by objcopy.
fn unified(desk: &Path, kernel: &Path) -> std::path::PathBuf {
    let out = desk.join("unified.efi");
    let parts = [
        (".osrel", "PRETTY_NAME=\"Test OS 7\"\nID=test\n"),
        (".cmdline", "console=ttyS0 root=LABEL=x"),
        (".uname", "6.1.0-test"),
    ];
    let mut arguments: Vec<String> = Vec::new();
    for (number, (section, text)) in parts.iter().enumerate() {
        let file = desk.join(&section[1..]);
        fs::write(&file, text).unwrap();
        arguments.extend(["--add-section".to_owned(), format!("{section}={}", path(&file))]);
        let address = 0x40000 + number * 0x1000;
        arguments.extend(["--change-section-vma".to_owned(), format!("{section}={address:#x}")]);
    }
    arguments.extend(["--add-section".to_owned(), format!(".linux={}", path(kernel))]);
    arguments.extend(["--change-section-vma".to_owned(), ".linux=0x2000000".to_owned()]);
    arguments.extend([STUB.to_owned(), path(&out)]);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    tool::run("binutils systemd-boot-efi", "objcopy", &arguments);
    out
}

#[test]
fn each_program_is_told_by_what_is_in_it() {
    let desk = tempfile::tempdir().unwrap();
    let (kernel, _, release) = linux();
    let unified = unified(desk.path(), &kernel);
    let script = desk.path().join("script");
    fs::write(&script, "vmlinuz initrd=\\initramfs.img\r\n").unwrap();
    let conf = desk.path().join("conf");
    fs::write(&conf, "title Debian\nlinux /vmlinuz\n").unwrap();
    let (part, file) = (desk.path().join("esp"), desk.path().join("disk"));
    fat(
        &part,
        64,
        &[
            ("EFI/BOOT/BOOTX64.EFI", "/usr/lib/shim/shimx64.efi.signed".as_ref()),
            ("EFI/BOOT/grubx64.efi", "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed".as_ref()),
            ("EFI/BOOT/plain.efi", "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi".as_ref()),
            (
                "EFI/systemd/systemd-bootx64.efi",
                "/usr/lib/systemd/boot/efi/systemd-bootx64.efi".as_ref(),
            ),
            ("EFI/Linux/test.efi", &unified),
            ("EFI/Linux/stub.efi", STUB.as_ref()),
            ("EFI/Linux/linux.efi", &kernel),
            ("loader/entries/debian.conf", &conf),
            ("startup.nsh", &script),
            ("vmlinuz", &kernel),
        ],
    );
    disk(&file, 66, "gpt", "start=2048,size=131072,type=U", &part);
    let found = boot(&file);
    assert_eq!(found.disk.uefi, ["x64"]);
    let named = |path: &str| -> &Program {
        found
            .programs
            .iter()
            .find(|p| p.path == path)
            .unwrap_or_else(|| panic!("{path}: {found:#?}"))
    };
    let shim = named("/EFI/BOOT/BOOTX64.EFI");
    assert_eq!((shim.what, shim.machine, shim.signed), ("shim", "x64", true));
    // 1.51~1+deb12u1+16.1-2~deb12u1: the second half is that of the program.
    let shim_version = version("shim-signed");
    assert!(shim_version.contains(&format!("+{}-", shim.version.as_ref().unwrap())), "{shim:?}");
    let grub = named("/EFI/BOOT/grubx64.efi");
    assert_eq!((grub.what, grub.signed), ("GRUB", true));
    assert_eq!(grub.grub.as_ref().unwrap().prefix.as_deref(), Some("/EFI/debian"));
    let plain = named("/EFI/BOOT/plain.efi");
    assert_eq!((plain.what, plain.signed), ("GRUB", false));
    assert_eq!(plain.version, Some(grub_version()));
    assert!(plain.grub.as_ref().unwrap().modules > 50);
    let systemd = named("/EFI/systemd/systemd-bootx64.efi");
    assert_eq!(systemd.what, "systemd-boot");
    assert_eq!(systemd.version, Some(version("systemd-boot-efi")));
    let image = named("/EFI/Linux/test.efi");
    assert_eq!((image.what, image.signed), ("unified kernel image", false));
    assert_eq!(image.version, Some(version("systemd-boot-efi")));
    assert_eq!(image.command_line.as_deref(), Some("console=ttyS0 root=LABEL=x"));
    assert_eq!(image.uname.as_deref(), Some("6.1.0-test"));
    assert_eq!(image.system.as_deref(), Some("Test OS 7"));
    assert_eq!(named("/EFI/Linux/stub.efi").what, "stub of a unified kernel image");
    let linux = named("/EFI/Linux/linux.efi");
    assert_eq!((linux.what, linux.version.as_ref()), ("Linux", Some(&release)));
    assert_eq!((&found.kernels[0].path[..], found.kernels[0].efi_stub), ("/vmlinuz", true));
    assert_eq!(found.kernels[0].version, Some(release));
    let menus: Vec<_> = found.menus.iter().map(|m| (m.loader, m.entries.join("|"))).collect();
    assert!(menus.contains(&("systemd-boot", "Debian".to_owned())), "{menus:?}");
    assert!(
        menus.contains(&("EFI shell", "vmlinuz initrd=\\initramfs.img".to_owned())),
        "{menus:?}"
    );
}

#[test]
fn a_program_under_another_name_or_for_another_machine_is_no_default() {
    let desk = tempfile::tempdir().unwrap();
    let part = desk.path().join("esp");
    let grub: &Path = "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi".as_ref();
    fat(&part, 8, &[("EFI/BOOT/BOOTAA64.EFI", grub)]);
    assert!(boot(&part).disk.uefi.is_empty());
    fat(&part, 8, &[("EFI/debian/grubx64.efi", grub)]);
    assert!(boot(&part).disk.uefi.is_empty());
    fat(&part, 8, &[("efi/boot/bootx64.efi", grub)]);
    assert_eq!(boot(&part).disk.uefi, ["x64"]);
}

#[test]
fn the_parts_of_an_initrd_are_told_in_order() {
    let desk = tempfile::tempdir().unwrap();
    let root = desk.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("early"), vec![7; 3001]).unwrap();
    let cd = path(&root);
    let make = |name: &str, shell: &str| {
        let out = desk.path().join(name);
        let early = "printf '.\\nearly\\n' | cpio -o -H newc --quiet";
        let shell = shell.replace("CPIO", early);
        tool::run("cpio", "sh", &["-ec", &format!("cd {cd}; ({shell}) > {}", path(&out))]);
        out
    };
    let sources = [
        ("initrd-plain", "CPIO", vec!["cpio"]),
        ("initrd-two", "CPIO; CPIO | zstd -q", vec!["cpio", "zstd"]),
        ("initrd-xz", "CPIO | xz --check=crc32", vec!["xz"]),
        ("initrd-lz4", "CPIO | lz4 -lq", vec!["lz4 legacy"]),
        ("initrd-gzip", "CPIO; CPIO; CPIO | gzip", vec!["cpio", "cpio", "gzip"]),
        ("initrd-none", "head -c 4000 /dev/zero", vec![]),
    ];
    let files: Vec<_> = sources.iter().map(|(name, shell, _)| make(name, shell)).collect();
    let part = desk.path().join("part");
    let places: Vec<_> =
        sources.iter().zip(&files).map(|((name, ..), file)| (*name, file.as_path())).collect();
    fat(&part, 8, &places);
    let found = boot(&part);
    for (name, _, parts) in &sources {
        let seen = found.initrds.iter().find(|one| one.path == format!("/{name}"));
        assert_eq!(seen.map_or(&vec![], |one| &one.parts), parts, "{name}");
    }
}
