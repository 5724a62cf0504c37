//! ISO images: grub-mkrescue's, and isolinux with UEFI by xorriso.

use fs_err as fs;
use vmimage::inspect::{Answer, Code};

use super::{boot, fat, grub_version, linux, path};
use crate::tool;

#[test]
fn an_image_of_grub_mkrescue_boots_four_ways() {
    let desk = tempfile::tempdir().unwrap();
    let tree = desk.path().join("tree");
    fs::create_dir_all(tree.join("boot/grub")).unwrap();
    fs::write(tree.join("boot/grub/grub.cfg"), "set default=1\nmenuentry 'Mach' {\n}\n").unwrap();
    let (kernel, initrd, version) = linux();
    fs::copy(kernel, tree.join("boot/vmlinuz")).unwrap();
    fs::copy(initrd, tree.join("boot/initrd.img")).unwrap();
    // Magic, flags, checksum: the three add up to nothing. At 8188 would be too late for the sum.
    let multiboot = [0x1bad_b002_u32, 3, 0xe452_4ffb].map(u32::to_le_bytes).concat();
    fs::write(tree.join("boot/gnumach"), [&vec![0; 4096][..], &multiboot, &[0; 600]].concat())
        .unwrap();
    fs::write(tree.join("boot/no-kernel"), [&vec![0; 8192][..], &multiboot].concat()).unwrap();
    let file = desk.path().join("rescue.iso");
    tool::run("grub-common", "grub-mkrescue", &["-o", &path(&file), &path(&tree)]);

    let found = boot(&file);
    let cd = found.cd.as_ref().unwrap();
    assert_eq!((found.disk.bios, cd.bios), (Answer::Yes, Answer::Yes));
    assert!(found.disk.uefi.contains(&"x64") && cd.uefi == found.disk.uefi, "{:?}", found.disk);
    assert_eq!(found.records[0].code, Code::GrubHybrid);
    let platforms: Vec<_> =
        found.catalog.iter().map(|e| (&e.platform[..], e.emulation, e.loader)).collect();
    assert_eq!(platforms, [("BIOS", "none", Some("GRUB")), ("UEFI", "none", None)]);
    // The catalog's image is the file that grub-mkrescue adds; both ways lead to one core.
    let core = found.catalog[0].grub.as_ref().unwrap();
    assert_eq!(found.records[0].grub.as_ref(), Some(core));
    assert_eq!(core.prefix.as_deref(), Some("/boot/grub"));
    // It embeds biosdisk, iso9660 and what that needs: fshelp.
    assert_eq!(core.modules, 3, "{core:?}");
    assert_eq!(core.version, Some(grub_version()));
    let program = found.programs.iter().find(|p| p.machine == "x64").unwrap();
    assert_eq!((program.what, program.signed), ("GRUB", false));
    assert_eq!(program.version, Some(grub_version()));
    assert_eq!(found.menus[0].entries, ["Mach"]);
    assert_eq!(found.menus[0].default.as_deref(), Some("1"));

    let kernels: Vec<_> = found.kernels.iter().map(|k| (&k.path[..], k.kind, k.efi_stub)).collect();
    assert_eq!(kernels, [("/boot/gnumach", "Multiboot", false), ("/boot/vmlinuz", "Linux", true)]);
    assert_eq!(found.kernels[1].version, Some(version));
    assert_eq!(found.initrds[0].path, "/boot/initrd.img");
    assert_eq!(found.initrds[0].parts, ["gzip"]);
}

#[test]
fn an_isolinux_image_is_hybrid_with_its_record_only() {
    let desk = tempfile::tempdir().unwrap();
    let tree = desk.path().join("tree");
    fs::create_dir_all(tree.join("isolinux")).unwrap();
    for (from, to) in [
        ("/usr/lib/ISOLINUX/isolinux.bin", "isolinux.bin"),
        ("/usr/lib/syslinux/modules/bios/ldlinux.c32", "ldlinux.c32"),
    ] {
        fs::copy(from, tree.join("isolinux").join(to)).expect("apt install isolinux");
    }
    fs::write(tree.join("isolinux/isolinux.cfg"), "default x\nlabel x\n linux /k\n").unwrap();
    let grub = "/usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi";
    fat(&tree.join("efi.img"), 8, &[("EFI/BOOT/BOOTX64.EFI", grub.as_ref())]);
    let file = desk.path().join("isolinux.iso");
    let make = |hybrid: &[&str]| {
        let out = path(&file);
        let mut arguments = vec!["-as", "mkisofs", "-o", &out, "-b", "isolinux/isolinux.bin"];
        arguments.extend(["-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4"]);
        arguments.extend(["-boot-info-table", "-eltorito-alt-boot", "-e", "efi.img"]);
        arguments.push("-no-emul-boot");
        arguments.extend(hybrid);
        let tree = path(&tree);
        arguments.push(&tree);
        tool::run("xorriso", "xorriso", &arguments);
        boot(&file)
    };
    let plain = make(&[]);
    let cd = plain.cd.unwrap();
    assert_eq!((plain.disk.bios, plain.disk.uefi.len()), (Answer::No, 0));
    assert_eq!((cd.bios, cd.uefi), (Answer::Yes, vec!["x64"]));
    assert_eq!(plain.catalog[0].loader, Some("isolinux"));
    assert_eq!(plain.catalog[0].version.as_deref(), Some("6.04"));
    assert_eq!(plain.programs[0].place, "El Torito 2");
    assert_eq!((plain.menus[0].loader, &plain.menus[0].entries[0][..]), ("syslinux", "x"));

    let hybrid =
        make(&["-isohybrid-mbr", "/usr/lib/ISOLINUX/isohdpfx.bin", "-isohybrid-gpt-basdat"]);
    assert_eq!(hybrid.records[0].code, Code::Isohybrid);
    assert_eq!((hybrid.disk.bios, &hybrid.disk.uefi[..]), (Answer::Yes, &["x64"][..]));
    let cd = hybrid.cd.unwrap();
    assert_eq!((cd.bios, cd.uefi), (Answer::Yes, vec!["x64"]));
    // Seen as a partition, and not again.
    assert_eq!(hybrid.programs.len(), 1);
    assert_eq!(hybrid.programs[0].version, Some(grub_version()));
    // The record without the image it points at.
    let mut bytes = fs::read(&file).unwrap();
    bytes[432..436].copy_from_slice(&7_u32.to_le_bytes());
    fs::write(&file, bytes).unwrap();
    assert_eq!(boot(&file).disk.bios, Answer::No);
}

#[test]
fn floppy_emulation_is_told_with_the_code_of_the_floppy() {
    let desk = tempfile::tempdir().unwrap();
    let tree = desk.path().join("tree");
    fs::create_dir_all(&tree).unwrap();
    let mut floppy = vmimage::engine::bootloader::sector::assemble(
        "On a floppy",
        vmimage::engine::bootloader::sector::Front::Bare,
    )
    .unwrap();
    floppy.resize(1440 << 10, 0);
    fs::write(tree.join("f.img"), floppy).unwrap();
    let file = desk.path().join("f.iso");
    let arguments = ["-o", &path(&file), "-b", "f.img", "-c", "boot.cat", &path(&tree)];
    tool::run("genisoimage", "genisoimage", &[&["-quiet"], &arguments[..]].concat());
    let found = boot(&file);
    let entry = &found.catalog[0];
    assert_eq!((entry.emulation, entry.loader), ("1.44M floppy", Some("vmimage's message")));
    assert_eq!((found.cd.unwrap().bios, found.disk.bios), (Answer::Yes, Answer::No));
}
