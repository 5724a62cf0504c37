//! Disks: GRUB's core behind its record, syslinux, extlinux, our own sector, nothing.

use fs_err as fs;
use vmimage::engine::bootloader::sector;
use vmimage::inspect::{Answer, Code};

use super::{boot, boot_of, disk, fat, grub_version, path, version, with_code};
use crate::tool;

/// The record of a disk with GRUB: GRUB's own, which `grub-install` changes in the same two places.
fn grub_record() -> Vec<u8> {
    let mut record = fs::read("/usr/lib/grub/i386-pc/boot.img").unwrap();
    record[0x5c..0x64].copy_from_slice(&1_u64.to_le_bytes());
    record[0x66..0x68].copy_from_slice(&[0x90, 0x90]);
    record.truncate(440);
    record
}

#[test]
fn grub_tells_its_prefix_commands_modules_and_version() {
    let desk = tempfile::tempdir().unwrap();
    let (core, config) = (desk.path().join("core.img"), desk.path().join("config"));
    fs::write(&config, "set answer=42\necho $answer\n").unwrap();
    let told = std::process::Command::new("grub-mkimage")
        .args(["-v", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", &path(&core)])
        .args(["-c", &path(&config), "biosdisk", "part_msdos", "fat", "normal", "linux"])
        .output()
        .expect("apt install grub-common grub-pc-bin");
    let told = String::from_utf8(told.stderr).unwrap();
    let modules = told.lines().filter(|line| line.contains("reading") && line.ends_with(".mod."));
    let modules = modules.count();
    assert!(modules > 10, "{told}");

    let (part, file) = (desk.path().join("part"), desk.path().join("disk"));
    let menu = desk.path().join("grub.cfg");
    fs::write(&menu, "set timeout=7\nmenuentry 'One' {\n}\nmenuentry \"Two\" {\n}\n").unwrap();
    fat(&part, 4, &[("boot/grub/grub.cfg", &menu)]);
    disk(&file, 8, "dos", "start=2048,type=e,bootable", &part);
    with_code(&file, &grub_record());
    // The record points at a core that is not there.
    let broken = boot(&file);
    assert_eq!((broken.disk.bios, broken.records[0].code), (Answer::No, Code::Grub));

    let mut bytes = fs::read(&file).unwrap();
    let core = fs::read(&core).unwrap();
    bytes[512..512 + core.len()].copy_from_slice(&core);
    fs::write(&file, &bytes).unwrap();
    let found = boot(&file);
    assert_eq!(found.disk.bios, Answer::Yes);
    assert!(found.disk.uefi.is_empty() && found.cd.is_none());
    assert_eq!((found.records[0].place.as_str(), found.records[0].code), ("disk", Code::Grub));
    let grub = found.records[0].grub.as_ref().unwrap();
    assert_eq!(grub.sector, Some(1));
    assert_eq!(grub.prefix.as_deref(), Some("(hd0,msdos1)/boot/grub"));
    assert_eq!(grub.config.as_deref(), Some("set answer=42\necho $answer"));
    assert_eq!(grub.modules, modules);
    assert_eq!(grub.version.as_deref(), Some(grub_version().as_str()));
    let menu = &found.menus[0];
    assert_eq!((menu.place.as_str(), menu.path.as_str()), ("partition 1", "/boot/grub/grub.cfg"));
    assert_eq!((menu.loader, &menu.entries), ("GRUB", &vec!["One".to_owned(), "Two".to_owned()]));
    assert_eq!(menu.timeout.as_deref(), Some("7"));
    let text = super::report(&file).text(false);
    for line in [
        "boots             as a disk: BIOS yes; UEFI no\n",
        "boot code         disk: GRUB 2.",
        "prefix (hd0,msdos1)/boot/grub",
        "menus             partition 1: /boot/grub/grub.cfg (GRUB): \"One\", \"Two\"; timeout 7\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let json = serde_json::to_value(super::report(&file)).unwrap();
    assert_eq!(json["boot"]["disk"]["bios"], "yes");
    assert_eq!(json["boot"]["records"][0]["code"], "grub");
    assert_eq!(json["boot"]["records"][0]["grub"]["modules"], modules);
}

/// `3:6.04~git20190206.bf6db5b4+dfsg1-3` is syslinux 6.04.
fn syslinux_version() -> String {
    let version = version("syslinux-common");
    version.trim_start_matches("3:").split(['~', '+', '-']).next().unwrap().to_owned()
}

#[test]
fn syslinux_boots_only_from_the_active_partition() {
    let desk = tempfile::tempdir().unwrap();
    let (part, file) = (desk.path().join("part"), desk.path().join("disk"));
    let menu = desk.path().join("menu");
    fs::write(&menu, "DEFAULT a\nTIMEOUT 50\nLABEL a\n  MENU LABEL The ^first\n").unwrap();
    fat(&part, 4, &[("syslinux/syslinux.cfg", &menu)]);
    let not_yet = boot(&part);
    assert_eq!(not_yet.disk.bios, Answer::No, "{:?}", not_yet.records);
    tool::run("syslinux", "syslinux", &["-i", &path(&part)]);

    let whole = boot(&part);
    assert_eq!((whole.disk.bios, whole.records[0].code), (Answer::Yes, Code::Syslinux));
    assert_eq!(whole.records[0].version, Some(syslinux_version()));
    assert_eq!((whole.menus[0].loader, &whole.menus[0].entries[0][..]), ("syslinux", "The first"));

    let mbr = fs::read("/usr/lib/syslinux/mbr/mbr.bin").expect("apt install syslinux-common");
    let gpt = fs::read("/usr/lib/syslinux/mbr/gptmbr.bin").unwrap();
    for (label, line, code, kind, answer) in [
        ("dos", "start=2048,size=8192,type=e,bootable", &mbr, Code::SyslinuxMbr, Answer::Yes),
        ("dos", "start=2048,size=8192,type=e", &mbr, Code::SyslinuxMbr, Answer::No),
        (
            "gpt",
            "start=2048,size=8192,attrs=LegacyBIOSBootable",
            &gpt,
            Code::SyslinuxGptMbr,
            Answer::Yes,
        ),
        ("gpt", "start=2048,size=8192", &gpt, Code::SyslinuxGptMbr, Answer::No),
    ] {
        disk(&file, 8, label, line, &part);
        assert_eq!(boot(&file).disk.bios, Answer::No, "without code");
        with_code(&file, code);
        let found = boot(&file);
        assert_eq!((found.disk.bios, found.records[0].code), (answer, kind), "{label} {line}");
        let second = &found.records[1];
        assert_eq!((second.place.as_str(), second.code), ("partition 1", Code::Syslinux));
        assert_eq!(second.version, Some(syslinux_version()));
    }
}

#[test]
fn our_own_sector_tells_its_message_and_empty_disks_boot_nowhere() {
    let sector = sector::assemble("Hello World!", sector::Front::Bare).unwrap();
    let found = boot_of(sector.clone());
    assert_eq!((found.disk.bios, found.records[0].code), (Answer::Yes, Code::Vmimage));
    assert_eq!(found.records[0].message.as_deref(), Some("Hello World!"));
    let mut other = sector;
    other[3] ^= 1;
    let found = boot_of(other);
    assert_eq!((found.disk.bios, found.records[0].code), (Answer::Unknown, Code::Unknown));

    let mut signed = vec![0; 1 << 20];
    signed[510..512].copy_from_slice(&[0x55, 0xaa]);
    for bytes in [vec![0; 1 << 20], signed] {
        let found = boot_of(bytes);
        assert_eq!(found.disk.bios, Answer::No);
        assert!(found.records.is_empty() && found.disk.uefi.is_empty() && found.cd.is_none());
    }
}

#[test]
fn a_dos_record_is_known_by_its_texts() {
    // What DOS and Windows print; the code in front of it is of no use here.
    let desk = tempfile::tempdir().unwrap();
    let (part, file) = (desk.path().join("part"), desk.path().join("disk"));
    fat(&part, 4, &[]);
    disk(&file, 8, "dos", "start=2048,size=8192,type=e,bootable", &part);
    let mut code = vec![0x33, 0xc0, 0x8e, 0xd0];
    code.extend(
        b"Invalid partition table\0Error loading operating system\0Missing operating system",
    );
    with_code(&file, &code);
    let found = boot(&file);
    assert_eq!(found.records[0].code, Code::Dos);
    // mkfs.fat's sector says itself that it is none.
    assert_eq!((found.records[1].code, found.disk.bios), (Code::NotBootable, Answer::No));
    // The same FAT without it: a jump over the parameters to zeros.
    let mut bytes = fs::read(&part).unwrap();
    bytes[62..510].fill(0);
    let found = boot_of(bytes);
    assert_eq!((found.records.len(), found.disk.bios), (0, Answer::No));
}

#[test]
fn extlinux_is_syslinux_on_another_filesystem() {
    let desk = tempfile::tempdir().unwrap();
    let (part, file) = (desk.path().join("part"), desk.path().join("disk"));
    fat(&part, 4, &[]);
    tool::run("syslinux", "syslinux", &["-i", &path(&part)]);
    let tree = desk.path().join("tree");
    fs::create_dir_all(tree.join("boot/extlinux")).unwrap();
    let program = path(&tree.join("boot/extlinux/ldlinux.sys"));
    tool::run("mtools", "mcopy", &["-i", &path(&part), "::/ldlinux.sys", &program]);
    fs::write(tree.join("boot/extlinux/extlinux.conf"), "label debian\n linux /k\n").unwrap();
    let arguments = ["-q", "-t", "ext2", "-d", &path(&tree), &path(&file), "4M"];
    tool::run("e2fsprogs", "mke2fs", &arguments);
    assert_eq!(boot(&file).disk.bios, Answer::No);
    // extlinux needs a mounted filesystem; its sector is that of syslinux.
    with_code(&file, &fs::read(&part).unwrap()[..512]);
    let found = boot(&file);
    assert_eq!((found.disk.bios, found.records[0].code), (Answer::Yes, Code::Extlinux));
    assert_eq!(found.records[0].version, Some(syslinux_version()));
    assert_eq!(found.menus[0].entries, ["debian"]);
}
