//! Boots of what is no plain menu on a disk: discs, discs that are disks, other boot sectors, words
//! full of what means something to GRUB.

use std::sync::Arc;

use vmimage::engine::base::{Content, Patch};
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::grub::kernel::Version;
use vmimage::engine::bootloader::grub::menu::{
    Access, Action, Chain, Filesystem, Module, Root, Table, menu_core,
};
use vmimage::engine::bootloader::grub::pc::{self, Hybrid};
use vmimage::engine::filesystem::iso9660::{
    self, BootEntry, BootImage, Emulation, Places, Platform, SystemArea,
};
use vmimage::engine::filesystem::{Params, Room, ext};
use vmimage::engine::partition::{self, MbrSlot, Place};

use crate::boots::{commands, menu, multiboot};
use crate::disk::{MIB, PC, disk, planned, runs, shows, whole};
use crate::payload;
use crate::qemu::{Machine, Qemu};
use crate::trees::Grower;

const EXT2: Access = Access { filesystem: Filesystem::Ext, table: Table::Mbr };

/// A disk with ext2 on which the menu has these entries, the first of which is booted.
fn ext2(actions: Vec<Action>, mut tree: Grower) -> Vec<u8> {
    let menu = menu(actions, 0);
    let core = menu_core(EXT2, &Root::Own(Some(1)), "/boot/grub", &menu, &commands()).unwrap();
    tree.file("/boot/grub/grub.cfg", menu.config().unwrap());
    let params = ext::Params { variant: ext::Variant::Ext2, ..ext::Params::default() };
    disk(&Params::Ext(params), Table::Mbr, tree, 4 * MIB, &core)
}

/// An ISO with GRUB, which is a disk, too.
fn iso() -> Vec<u8> {
    let access = Access { filesystem: Filesystem::Iso9660, table: Table::None };
    let menu = menu(vec![multiboot(Version::Two, "from an ISO", &[])], 0);
    let root = Root::Own(None);
    let core = menu_core(access, &root, "/boot/grub", &menu, &commands()).unwrap();
    let assets = Assets::default();
    let image = pc::core(&core, &assets).unwrap().disc(&assets).unwrap();
    let hybrid = Hybrid::new(&assets).unwrap();
    let make = move |places: &Places| {
        let signature = Patch { offset: 510, bytes: vec![0x55, 0xaa] };
        Ok(vec![hybrid.code(places.boot[0].0)?, signature])
    };
    let entry = BootEntry {
        platform: Platform::Bios,
        emulation: Emulation::None,
        image: BootImage::Content(Content::Bytes(image.into())),
        load_segment: 0,
        load_sectors: None,
        info_table: true,
        grub2_info: true,
    };
    let params = iso9660::Params {
        boot: vec![entry],
        // The boot image lies last, and GRUB reads a sector behind it.
        padding: 150,
        system_area: Some(SystemArea { files: Vec::new(), make: Arc::new(make) }),
        ..iso9660::Params::default()
    };
    let mut tree = Grower::new();
    tree.file("/boot/kernel", payload::kernel());
    tree.file("/boot/grub/grub.cfg", menu.config().unwrap());
    let room = Room::Fit { percent: 0, bytes: 0 };
    whole(planned(&Params::Iso9660(Box::new(params)), tree, room))
}

#[test]
fn an_iso_as_a_disc_and_as_a_disk() {
    let iso = iso();
    for bus in ["ide,media=cdrom", "ide", "virtio"] {
        let line = runs(Machine { bus, ..PC }, &iso);
        for text in [payload::computed(), "by Multiboot 2\narguments [from an ISO]".to_owned()] {
            assert!(line.contains(&text), "{bus}: no {text:?} in {line}");
        }
    }
}

#[test]
fn a_boot_sector_in_a_file() {
    let mut tree = Grower::new();
    tree.file("/boot/win dows.bin", payload::sector());
    let chain = Action::Chainload(Chain::File(b"/boot/win dows.bin".to_vec()));
    shows(PC, &ext2(vec![chain], tree), &payload::sector_computed());
}

#[test]
fn a_boot_sector_of_another_partition() {
    let chain = Action::Chainload(Chain::Sector(Some("hd0,msdos2".to_owned())));
    let mut disk = ext2(vec![chain], Grower::new());
    let slot = |number, from, to, kind| MbrSlot {
        place: Place {
            number,
            extent: vmimage::engine::base::Extent::new(from, to).unwrap(),
            record: None,
        },
        kind,
        active: false,
    };
    let slots = [slot(1, MIB, 5 * MIB, 0x83), slot(2, 5 * MIB, 6 * MIB, 0x0c)];
    for Patch { offset, bytes } in partition::mbr(&slots, 7, 512).unwrap() {
        disk[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    disk[5 << 20..][..512].copy_from_slice(&payload::sector());
    shows(PC, &disk, &payload::sector_computed());
    disk[5 << 20..][..510].fill(0);
    let line = shows(PC, &disk, "Booting `Entry 0'");
    assert!(!line.contains(&payload::sector_computed()));
}

/// Every byte that an argument can have, and names full of quotes, arrive as they are.
#[test]
fn words_arrive_as_they_are() {
    let wild = r##"a $e ${f} $(g) `h` #i ;j {k} [l] *m? <n> |o| &p ~q !r ^s %t (u)"##;
    let wild = wild.to_owned() + " v=\u{e4}\u{20ac}\t.";
    for version in [Version::One, Version::Two] {
        let names = ["/boot/it's \"$x\" {y};#*", "/boot/ker\\nel", "/-m [1]/\u{e4} \u{20ac}"];
        let mut tree = Grower::new();
        tree.file(names[0], payload::kernel());
        tree.file(names[1], b"one".to_vec());
        tree.file(names[2], b"two".to_vec());
        let module = |name: &str, arguments: &str| Module {
            path: name.as_bytes().to_vec(),
            arguments: arguments.as_bytes().to_vec(),
        };
        let action = Action::Multiboot {
            version,
            kernel: names[0].as_bytes().to_vec(),
            arguments: wild.clone().into_bytes(),
            modules: vec![module(names[1], &wild), module(names[2], "x")],
        };
        let line = runs(PC, &ext2(vec![action], tree));
        let expected = [
            payload::computed(),
            format!("arguments [{wild}]\n"),
            payload::module(0, b"one", &wild),
            payload::module(1, b"two", "x"),
        ];
        for text in expected {
            assert!(line.contains(&text), "{version:?}: no {text:?} in {line}");
        }
    }
}

#[test]
fn commands_are_run() {
    let text =
        "set a=6\nif [ $a -gt 5 ]; then\n  for i in 1 2 3; do echo \"step-${i}${a}\"; done\nfi";
    let disk = ext2(vec![Action::Commands(text.to_owned())], Grower::new());
    let line = shows(PC, &disk, "step-36");
    assert!(line.contains("step-16") && line.contains("step-26"), "{line}");
}

/// A menu for a serial port is shown on the screen of a machine that has none.
#[test]
fn no_serial_port_is_no_obstacle() {
    let text = "set a=7\nfor i in 1 2 3; do echo \"step-${i}${a}\"; done\nread key";
    let disk = ext2(vec![Action::Commands(text.to_owned())], Grower::new());
    let mut qemu = Qemu::start(Machine { serial: false, ..PC }, &disk);
    let screen = qemu.wait_for_screen("step-37");
    assert!(screen.iter().any(|line| line.contains("step-27")), "{screen:?}");
}
