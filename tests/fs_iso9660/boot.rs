//! Boot entries, hybrid areas and what is appended, as xorriso and isoinfo see them.

use std::sync::{Arc, Mutex};

use vmimage::engine::base::tree::{Meta, Tree};
use vmimage::engine::base::{Content, Patch};
use vmimage::engine::filesystem::Room;
use vmimage::engine::filesystem::iso9660::{
    Appended, BootEntry, BootImage, Emulation, Params, Platform, SystemArea, look,
};

use super::sample::{FIT, TIME, bytes, open, path, plain, put, render, store, write};
use super::tool::run;

fn entry(platform: Platform, image: BootImage) -> BootEntry {
    BootEntry {
        platform,
        emulation: Emulation::None,
        image,
        load_segment: 0,
        load_sectors: None,
        info_table: false,
        grub2_info: false,
    }
}

fn tree() -> Tree {
    let mut tree = plain();
    let image: Vec<u8> =
        (0..40_001_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    put(&mut tree, b"isolinux/isolinux.bin", bytes(&image), Meta::file(TIME));
    tree
}

fn report(image: &std::path::Path) -> String {
    run("xorriso", "xorriso", &["-indev", image.to_str().unwrap(), "-report_el_torito", "plain"])
}

#[test]
fn bios_and_efi_entries_are_seen() {
    let directory = tempfile::tempdir().unwrap();
    let isolinux = BootImage::Path(path("isolinux/isolinux.bin"));
    let esp = BootImage::Content(Content::Bytes(vec![5; 3 << 20].into()));
    let large = BootImage::Content(Content::Bytes(vec![6; 33 << 20].into()));
    let boot = vec![
        BootEntry { info_table: true, grub2_info: true, ..entry(Platform::Bios, isolinux) },
        entry(Platform::Efi, esp),
        entry(Platform::Efi, large),
    ];
    let params = Params { boot, ..Params::default() };
    let image = write(tree(), &params, directory.path());
    let report = report(&image);
    let lines: Vec<Vec<&str>> = report
        .lines()
        .filter(|line| line.starts_with("El Torito boot img"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    // Number, platform, bootable, emulation, segment, system, sectors, place.
    let seen: Vec<_> = lines.iter().map(|line| (line[6], line[8], line[11])).collect();
    assert_eq!(
        seen,
        [("BIOS", "none", "4"), ("UEFI", "none", "6144"), ("UEFI", "none", "0")],
        "{report}"
    );
    assert!(report.contains("boot-info-table") && report.contains("grub2-boot-info"), "{report}");
    let info = run("genisoimage", "isoinfo", &["-d", "-i", image.to_str().unwrap()]);
    assert!(info.contains("El Torito VD version 1 found") && info.contains("Key 55 AA"), "{info}");
    let facts = look(open(&image).as_ref()).unwrap().unwrap();
    let words = ["Rock Ridge", "Joliet", "El Torito", "boots BIOS", "boots EFI", "boots EFI"];
    assert_eq!(facts.features, words);
}

/// The table in the image is the one that xorriso's own mkisofs writes.
#[test]
fn the_info_table_is_xorrisos() {
    let directory = tempfile::tempdir().unwrap();
    let isolinux = BootImage::Path(path("isolinux/isolinux.bin"));
    let boot = vec![BootEntry { info_table: true, ..entry(Platform::Bios, isolinux) }];
    let image = write(tree(), &Params { boot, ..Params::default() }, directory.path());
    let source = directory.path().join("source");
    let out = source.to_str().unwrap();
    run(
        "libarchive-tools",
        "sh",
        &["-c", &format!("mkdir -p '{out}' && bsdtar -xf '{}' -C '{out}'", image.display())],
    );
    let ours = fs_err::read(source.join("isolinux/isolinux.bin")).unwrap();
    let theirs = directory.path().join("theirs.iso");
    let flags = ["-as", "mkisofs", "-quiet", "-R", "-b", "isolinux/isolinux.bin", "-c", "boot.cat"];
    let more = ["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "-o"];
    run("xorriso", "xorriso", &[&flags[..], &more, &[theirs.to_str().unwrap(), out]].concat());
    let extracted = directory.path().join("extracted");
    fs_err::create_dir(&extracted).unwrap();
    let (theirs, to) = (theirs.to_str().unwrap(), extracted.to_str().unwrap());
    run("libarchive-tools", "bsdtar", &["-xf", theirs, "-C", to]);
    let theirs = fs_err::read(extracted.join("isolinux/isolinux.bin")).unwrap();
    assert_eq!(ours.len(), theirs.len());
    // All but the image's own place, which is another one.
    assert_eq!(ours[..12], theirs[..12]);
    assert_eq!(ours[16..], theirs[16..]);
    assert_ne!(ours[20..24], [0; 4]);
}

#[test]
fn floppy_disks_have_their_size() {
    for (emulation, len, word) in [
        (Emulation::Floppy12, 1_228_800, "fd1.2"),
        (Emulation::Floppy144, 1_474_560, "fd1.4"),
        (Emulation::Floppy288, 2_949_120, "fd2.8"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let params = |len: usize| {
            let floppy = BootImage::Content(Content::Bytes(vec![1; len].into()));
            let boot = vec![BootEntry { emulation, ..entry(Platform::Bios, floppy) }];
            Params { boot, ..Params::default() }
        };
        let image = write(plain(), &params(len), directory.path());
        let report = report(&image);
        assert!(report.contains(word), "{word} is not in {report}");
        let error = render(plain(), &params(len - 512), FIT).unwrap_err().to_string();
        assert!(
            error.contains(&format!("has {} bytes, this floppy disk has {len}", len - 512)),
            "{error}"
        );
    }
}

#[test]
fn a_system_area_learns_all_places() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let make = move |places: &vmimage::engine::filesystem::iso9660::Places| {
        *keep.lock().unwrap() = Some(places.clone());
        let end = Patch { offset: places.len - 512, bytes: vec![0xbb; 512] };
        Ok(vec![Patch { offset: 0, bytes: vec![0xaa; 512] }, end])
    };
    let area = SystemArea { files: vec![path("isolinux/isolinux.bin")], make: Arc::new(make) };
    let esp = Content::Bytes(vec![0xcc; 10_000].into());
    let params = Params {
        system_area: Some(area),
        tail: 4096,
        appended: vec![Appended { align: 1 << 20, content: esp }],
        padding: 150,
        ..Params::default()
    };
    let image = render(tree(), &params, FIT).unwrap();
    let at = directory.path().join("hybrid.iso");
    store(image.as_ref(), &at);
    let bytes = fs_err::read(&at).unwrap();
    let places = seen.lock().unwrap().clone().unwrap();
    assert_eq!((bytes.len() as u64, &bytes[..512]), (places.len, &[0xaa; 512][..]));
    assert_eq!(bytes[bytes.len() - 512..], [0xbb; 512]);
    assert_eq!(places.appended, [(1 << 20, 10_000)]);
    assert_eq!(bytes[1 << 20..(1 << 20) + 10_000], [0xcc; 10_000]);
    let (start, len) = places.files[&path("isolinux/isolinux.bin")];
    let find =
        ["-indev", at.to_str().unwrap(), "-find", "/isolinux/isolinux.bin", "-exec", "report_lba"];
    let lba = run("xorriso", "xorriso", &find);
    assert!(lba.contains(&format!("{} ,       20 ,    {len}", start / 2048)), "{lba} {start}");
    let volume = run("genisoimage", "isoinfo", &["-d", "-i", at.to_str().unwrap()]);
    assert!(volume.contains(&format!("Volume size is: {}", places.volume / 2048)), "{volume}");
    let exact = render(tree(), &params, Room::Exactly(places.len + 2048)).unwrap();
    assert_eq!(exact.len(), places.len + 2048);
    let outside = SystemArea::bytes(vec![1; 32_769]);
    let params = Params { system_area: Some(outside), ..Params::default() };
    assert!(render(tree(), &params, FIT).unwrap_err().to_string().contains("32768 bytes"));
}
