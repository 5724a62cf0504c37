//! The 512-byte VM in its six formats.
//!
//! Invariant: sizes and formats are told by qemu-img, the ISO's catalog is read by the numbers of
//! El Torito 1.0, and the message by the serial line and the video memory of a machine.

use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use serde_json::Value;

use crate::artifacts;
use crate::desk::build;
use crate::qemu::{Machine, Qemu};
use crate::tool;

const NAME: &str = "512-byte-vm";

/// The files' last names, and what QEMU calls the formats.
const FORMATS: [(&str, &str); 6] = [
    ("raw", "raw"),
    ("qcow2", "qcow2"),
    ("vmdk", "vmdk"),
    ("vdi", "vdi"),
    ("vhd", "vpc"),
    ("iso", "raw"),
];

fn start(file: &Path, format: &str) -> Qemu {
    let cd = file.extension().is_some_and(|extension| extension == "iso");
    let bus = if cd { "ide,media=cdrom,readonly=on" } else { "ide" };
    Qemu::start_file(Machine { machine: "pc", bus, serial: true }, file, format)
}

#[test]
fn six_formats_say_hello_and_power_off_on_a_key() {
    let built = build(NAME, &[]);
    for (extension, format) in FORMATS {
        let mut qemu = start(&built.path(&format!("{NAME}.{extension}")), format);
        let screen = qemu.wait_for_screen("Hello World!");
        assert_eq!(screen.iter().filter(|line| *line == "Hello World!").count(), 1, "{screen:#?}");
        qemu.wait_for_serial(12);
        let name = format!("small-{extension}");
        qemu.command(&artifacts::picture(&name));
        qemu.stays_on_for(Duration::from_millis(500));
        qemu.press_return();
        let (status, serial) = qemu.wait_for_off();
        assert_eq!((status.code(), serial.as_slice()), (Some(0), &b"Hello World!"[..]), "{format}");
        artifacts::serial(&name, &serial);
    }
}

/// The same document with a sector of zeros that ends as a boot sector must.
#[test]
fn six_formats_say_nothing_without_the_program() {
    let zeros = "A".repeat(680);
    let source = format!("sector: {{source: {{inline: {{base64: {zeros}Vao=}}}}}}");
    let built = build(NAME, &[("sector: {message: \"Hello World!\"}", &source)]);
    let sector = fs::read(built.path(&format!("{NAME}.raw"))).unwrap();
    assert_eq!((sector.len(), &sector[508..]), (512, &[0, 0, 0x55, 0xaa][..]));
    for (extension, format) in FORMATS {
        let mut qemu = start(&built.path(&format!("{NAME}.{extension}")), format);
        qemu.wait_for_screen("Booting from");
        qemu.stays_on_for(Duration::from_secs(2));
        assert!(!qemu.screen().concat().contains("Hello"), "{format}");
        assert_eq!(qemu.serial(), b"", "{format}");
        qemu.command(&artifacts::picture(&format!("small-{extension}-zero")));
    }
}

#[test]
fn qemu_img_reads_the_sector_in_every_format() {
    let built = build(NAME, &[]);
    let raw = built.file(&format!("{NAME}.raw"));
    assert_eq!(fs::metadata(&raw).unwrap().len(), 512);
    for (extension, format) in &FORMATS[..5] {
        let file = built.file(&format!("{NAME}.{extension}"));
        let told = tool::run("qemu-utils", "qemu-img", &["info", "--output=json", &file]);
        let told: Value = serde_json::from_str(&told).unwrap();
        // A VHD's disk has whole cylinders: 1 of 4 heads with 17 sectors.
        let size = if *format == "vpc" { 4 * 17 * 512 } else { 512 };
        assert_eq!((&told["format"], &told["virtual-size"]), (&(*format).into(), &size.into()));
        if matches!(*format, "qcow2" | "vdi" | "vmdk") {
            tool::run("qemu-utils", "qemu-img", &["check", "-f", format, &file]);
        }
        let compare = ["compare", "-f", "raw", "-F", format, &raw, &file];
        tool::run("qemu-utils", "qemu-img", &compare);
    }
}

/// El Torito, 2.0 to 2.2: the boot record is in sector 17 and names the catalog's sector.
#[test]
fn the_iso_emulates_a_floppy_disk() {
    let built = build(NAME, &[]);
    let iso = fs::read(built.path(&format!("{NAME}.iso"))).unwrap();
    let sector = |number: usize| &iso[number * 2048..][..2048];
    assert_eq!(&sector(17)[..30], b"\0CD001\x01EL TORITO SPECIFICATION");
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap()) as usize;
    let catalog = sector(number(&sector(17)[71..75]));
    let words = catalog[..32].chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    assert_eq!(words.fold(0_u16, u16::wrapping_add), 0, "the validation entry's sum");
    assert_eq!((catalog[0], catalog[1], &catalog[30..32]), (1, 0, &[0x55, 0xaa][..]));
    // Bootable, a floppy disk of 1.44 MB, segment 7c0h, one sector of 512 bytes.
    assert_eq!((catalog[32], catalog[33]), (0x88, 2));
    assert_eq!((&catalog[34..36], &catalog[38..40]), (&[0, 0][..], &[1, 0][..]));
    let floppy = &iso[number(&catalog[40..44]) * 2048..][..1_474_560];
    assert_eq!(floppy[..512], fs::read(built.path(&format!("{NAME}.raw"))).unwrap());
    assert!(floppy[512..].iter().all(|byte| *byte == 0));
}
