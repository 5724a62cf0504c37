//! Boots from every filesystem and table that GRUB is offered for.

use vmimage::engine::bootloader::grub::kernel::{self, Version};
use vmimage::engine::bootloader::grub::menu::{
    Access, Action, Entry, Filesystem, Menu, Module, Root, Table, Terminal, menu_core, single_core,
};
use vmimage::engine::filesystem::{Params, btrfs, ext, fat};

use crate::disk::{MIB, PC, UUID, disk, number, runs, shows};
use crate::payload;
use crate::trees::{Grower, noise};

pub(crate) fn multiboot(version: Version, arguments: &str, modules: &[(&str, &str)]) -> Action {
    let module = |(path, arguments): &(&str, &str)| Module {
        path: path.as_bytes().to_vec(),
        arguments: arguments.as_bytes().to_vec(),
    };
    Action::Multiboot {
        version,
        kernel: b"/boot/kernel".to_vec(),
        arguments: arguments.as_bytes().to_vec(),
        modules: modules.iter().map(module).collect(),
    }
}

pub(crate) fn commands() -> String {
    fs_err::read_to_string("/usr/lib/grub/i386-pc/command.lst").unwrap()
}

pub(crate) fn menu(actions: Vec<Action>, default: usize) -> Menu {
    let entry = |(number, action)| Entry { title: format!("Entry {number}"), action };
    Menu {
        entries: actions.into_iter().enumerate().map(entry).collect(),
        default,
        timeout: Some(1),
        terminals: vec![Terminal::Console, Terminal::Serial { unit: 0, speed: 115_200 }],
    }
}

/// A tree with the kernel, and with a file that nothing but noise is in.
fn tree() -> Grower {
    let mut tree = Grower::new();
    tree.file("/boot/kernel", payload::kernel());
    tree.file("/boot/a module", noise(1, 70_000));
    tree
}

/// Boots a menu with two entries, of which the second is the default, and the same disk without the
/// kernel's bytes.
fn boots(params: &Params, filesystem: Filesystem, table: Table, root: &Root, len: u64) {
    let modules = [("/boot/a module", "first one"), ("/boot/kernel", "")];
    let menu = menu(
        vec![Action::Commands("halt".into()), multiboot(Version::One, "root=x -s", &modules)],
        1,
    );
    let access = Access { filesystem, table };
    let core = menu_core(access, root, "/boot/grub", &menu, &commands()).unwrap();
    let mut tree = tree();
    tree.file("/boot/grub/grub.cfg", menu.config().unwrap());
    let mut disk = disk(params, table, tree, len, &core);
    let line = runs(PC, &disk);
    let expected = [
        "Entry 0".to_owned(),
        payload::computed(),
        "by Multiboot 1\narguments [root=x -s]\n".to_owned(),
        payload::module(0, &noise(1, 70_000), "first one"),
        payload::module(1, &payload::kernel(), ""),
    ];
    for text in expected {
        assert!(line.contains(&text), "{filesystem:?} {table:?}: no {text:?} in {line}");
    }

    erase(&mut disk, &payload::kernel());
    let line = shows(PC, &disk, "no multiboot header found");
    assert!(!line.contains("computed"), "{line}");
}

/// Overwrites the kernel, wherever pieces of it lie.
fn erase(disk: &mut [u8], kernel: &[u8]) {
    let mut found = 0;
    for piece in kernel.chunks(1024).filter(|piece| piece.iter().any(|byte| *byte != 0)) {
        let mut at = 0;
        while let Some(next) = find(&disk[at..], piece) {
            disk[at + next..at + next + piece.len()].fill(0);
            (at, found) = (at + next + piece.len(), found + 1);
        }
    }
    assert!(found > 0, "the kernel is on the disk");
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
}

fn ext(variant: ext::Variant) -> Params {
    Params::Ext(ext::Params { variant, ..ext::Params::default() })
}

#[test]
fn ext2_on_a_disk_with_a_master_boot_record() {
    boots(&ext(ext::Variant::Ext2), Filesystem::Ext, Table::Mbr, &Root::Own(Some(1)), 8 * MIB);
}

#[test]
fn ext4_on_a_disk_with_a_gpt_found_by_its_uuid() {
    let root = Root::Uuid(UUID.to_owned());
    boots(&ext(ext::Variant::Ext4), Filesystem::Ext, Table::Gpt, &root, 16 * MIB);
}

#[test]
fn fat_on_a_disk_with_a_master_boot_record_found_by_a_file() {
    let root = Root::File(b"/boot/a module".to_vec());
    boots(&Params::Fat(fat::Params::default()), Filesystem::Fat, Table::Mbr, &root, 8 * MIB);
}

#[test]
fn fat_on_a_disk_with_a_gpt() {
    let root = Root::Own(Some(number(Table::Gpt)));
    boots(&Params::Fat(fat::Params::default()), Filesystem::Fat, Table::Gpt, &root, 36 * MIB);
}

#[test]
fn btrfs_on_a_disk_with_a_gpt_found_by_its_uuid() {
    let root = Root::Uuid(UUID.to_owned());
    let params = Params::Btrfs(btrfs::Params::default());
    boots(&params, Filesystem::Btrfs, Table::Gpt, &root, 128 * MIB);
}

#[test]
fn btrfs_on_a_disk_with_a_master_boot_record() {
    let params = Params::Btrfs(btrfs::Params { mixed: true, ..btrfs::Params::default() });
    boots(&params, Filesystem::Btrfs, Table::Mbr, &Root::Own(Some(1)), 32 * MIB);
}

#[test]
fn one_kernel_without_a_menu() {
    for version in [Version::One, Version::Two] {
        let access = Access { filesystem: Filesystem::Ext, table: Table::Mbr };
        let action = multiboot(version, "alone $(x) its", &[("/boot/a module", "m $(y)")]);
        let core = single_core(access, &Root::Own(Some(1)), &action, &commands()).unwrap();
        let disk = disk(&ext(ext::Variant::Ext2), Table::Mbr, tree(), 4 * MIB, &core);
        let line = runs(PC, &disk);
        for text in [payload::computed(), payload::module(0, &noise(1, 70_000), "m $(y)")] {
            assert!(line.contains(&text), "no {text:?} in {line}");
        }
        assert!(line.contains("arguments [alone $(x) its]"), "{line}");
        kernel::multiboot(&payload::kernel(), version, "the kernel").unwrap();
    }
}
