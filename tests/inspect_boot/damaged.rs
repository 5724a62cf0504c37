//! Damaged boot code: nothing panics, and nothing makes `inspect` fail.

use fs_err as fs;

use super::{boot_of, fat, path};
use crate::tool;

/// Random places and bytes, always the same ones.
fn flips(len: usize, count: usize) -> impl Iterator<Item = (usize, u8)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state % len as u64) as usize, (state >> 56) as u8 | 1)
    })
}

#[test]
fn a_damaged_core_is_still_reported() {
    let desk = tempfile::tempdir().unwrap();
    let core = desk.path().join("core.img");
    let arguments = ["-O", "i386-pc", "-p", "/g", "-o", &path(&core), "biosdisk"];
    tool::run("grub-common", "grub-mkimage", &arguments);
    let mut bytes = fs::read("/usr/lib/grub/i386-pc/boot.img").unwrap();
    bytes[0x5c..0x64].copy_from_slice(&1_u64.to_le_bytes());
    bytes.extend(fs::read(&core).unwrap());
    bytes.resize(64 << 10, 0);
    let grub = boot_of(bytes.clone()).records[0].grub.clone().unwrap();
    assert_eq!((grub.prefix.as_deref(), grub.modules), (Some("/g"), 1));
    // The lengths in the decompressor, then anything.
    for at in 1024 + 8..1024 + 16 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bad = bytes.clone();
            bad[at] = value;
            let _told = boot_of(bad);
        }
    }
    for (at, flip) in flips(40 << 10, 60) {
        let mut bad = bytes.clone();
        bad[at] ^= flip;
        let _told = boot_of(bad);
    }
}

#[test]
fn a_damaged_program_is_still_reported() {
    let desk = tempfile::tempdir().unwrap();
    let part = desk.path().join("esp");
    let stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
    fat(&part, 1, &[("EFI/BOOT/BOOTX64.EFI", stub.as_ref())]);
    let bytes = fs::read(&part).unwrap();
    assert_eq!(boot_of(bytes.clone()).programs.len(), 1);
    let start = (0..bytes.len()).step_by(512).find(|at| bytes[*at..].starts_with(b"MZ")).unwrap();
    for at in (start..start + 0x400).step_by(3) {
        let mut bad = bytes.clone();
        bad[at] ^= 0xff;
        let _told = boot_of(bad);
    }
    for (at, flip) in flips(64 << 10, 100) {
        let mut bad = bytes.clone();
        bad[at] ^= flip;
        // A FAT that is damaged so much that it cannot be read is told, not failed for.
        let _told = boot_of(bad);
    }
}

#[test]
fn a_damaged_catalog_is_still_reported() {
    let desk = tempfile::tempdir().unwrap();
    let tree = desk.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a.bin"), [7; 2048]).unwrap();
    let file = desk.path().join("a.iso");
    let arguments =
        ["-quiet", "-o", &path(&file), "-no-emul-boot", "-b", "a.bin", "-c", "boot.cat"];
    tool::run("genisoimage", "genisoimage", &[&arguments[..], &[&path(&tree)]].concat());
    let bytes = fs::read(&file).unwrap();
    let found = boot_of(bytes.clone());
    assert_eq!((found.catalog.len(), found.catalog[0].loader), (1, None));
    let catalog = u32::from_le_bytes(bytes[17 * 2048 + 0x47..][..4].try_into().unwrap()) as usize;
    let places = (17 * 2048..17 * 2048 + 0x4b).chain(catalog * 2048..catalog * 2048 + 128);
    for at in places {
        for flip in [1, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            let _told = boot_of(bad);
        }
    }
}
