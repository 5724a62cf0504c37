//! Disks of ours with syslinux boot under SeaBIOS.
//!
//! Invariant: what is expected was computed in the machine out of a file that the loader read, and
//! is missing where the program is erased.

use std::time::Duration;

use vmimage::engine::bootloader::assets::Set;
use vmimage::engine::filesystem::{Params, Room, ext, fat};

use crate::payload::{program, said};
use crate::support::qemu::{Machine, Qemu};
use crate::support::sparse::noise;
use crate::support::tool::run;
use crate::world::{Disk, Place, assets, volume};

const PC: Machine<'_> = Machine { machine: "pc", bus: "ide", serial: true };
const CONFIG: &[u8] =
    b"SERIAL 0 115200\nPROMPT 0\nDEFAULT a\nLABEL a\n  KERNEL /sys/mboot.c32\n  APPEND /sum.bin --- /data\n";

fn module() -> Vec<u8> {
    noise(300_000, 9)
}

/// A volume whose program is run at once.
fn bootable(
    params: &Params,
    place: &Place,
) -> std::sync::Arc<dyn vmimage::engine::base::SectorSource> {
    bootable_with(params, place, &[])
}

fn bootable_with(
    params: &Params,
    place: &Place,
    more: &[(&str, &[u8])],
) -> std::sync::Arc<dyn vmimage::engine::base::SectorSource> {
    let read = |name: &str| assets().read(Set::Syslinux, &format!("modules/bios/{name}")).unwrap();
    let config =
        if matches!(params, Params::Fat(_)) { "/sys/syslinux.cfg" } else { "/sys/extlinux.conf" };
    let (mboot, com32) = (read("mboot.c32"), read("libcom32.c32"));
    let (sum, data) = (program(), module());
    let mut files: Vec<(&str, &[u8])> = vec![
        (config, CONFIG),
        ("/sys/mboot.c32", &mboot),
        ("/sys/libcom32.c32", &com32),
        ("/sum.bin", &sum),
        ("/data", &data),
    ];
    files.extend(more);
    volume(params, "/sys", &files, place)
}

/// The machine says the sum and goes off; with the program erased it says nothing.
fn boots(machine: Machine<'_>, disk: &Disk) {
    let (status, serial) = Qemu::start_file(machine, &disk.file, "raw").wait_for_off();
    let text = String::from_utf8_lossy(&serial);
    assert!(status.success() && text.contains(&said(&module())), "{status}: {text}");
}

fn boots_not(machine: Machine<'_>, disk: &Disk) {
    disk.erase(&program());
    let mut qemu = Qemu::start_file(machine, &disk.file, "raw");
    qemu.wait_for_serial(1);
    qemu.stays_on_for(Duration::from_secs(3));
    let text = String::from_utf8_lossy(&qemu.serial()).into_owned();
    assert!(!text.contains("SUM"), "{text}");
}

fn fat_params(bits: fat::Bits) -> Params {
    Params::Fat(fat::Params { bits: Some(bits), ..fat::Params::default() })
}

/// One partition from 1 MiB on, behind the code for such a table.
fn partitioned(table: &str, kind: &str, len: u64, params: &Params) -> Disk {
    const START: u64 = 1 << 20;
    let disk = Disk::new(START + len + (1 << 20));
    let script = disk.file.with_extension("sfdisk");
    let mark = if table == "gpt" { "attrs=LegacyBIOSBootable" } else { "bootable" };
    let text = format!("label: {table}\nstart=2048, size={}, type={kind}, {mark}\n", len / 512);
    fs_err::write(&script, text).unwrap();
    let command = format!("sfdisk -q {} <{}", disk.name(), script.display());
    run("fdisk", "sh", &["-c", &command]);
    let code = if table == "gpt" { "mbr/gptmbr.bin" } else { "mbr/mbr.bin" };
    disk.write(0, &assets().read(Set::Syslinux, code).unwrap());
    let medium = START + len + (1 << 20);
    let place = Place { start: START, room: Room::Exactly(len), medium };
    disk.put(START, bootable(params, &place).as_ref());
    disk
}

#[test]
fn a_floppy_disk_boots() {
    let floppy = Some(fat::Floppy::Kib1440);
    let params = Params::Fat(fat::Params { floppy, ..fat::Params::default() });
    let place = Place { start: 0, room: Room::Exactly(1_474_560), medium: 1_474_560 };
    let disk = Disk::new(1_474_560);
    disk.put(0, bootable(&params, &place).as_ref());
    let machine = Machine { bus: "floppy", ..PC };
    boots(machine, &disk);
    boots_not(machine, &disk);
}

#[test]
fn fat16_boots_in_a_partition_of_an_mbr() {
    let disk = partitioned("dos", "6", 32 << 20, &fat_params(fat::Bits::Sixteen));
    boots(PC, &disk);
    boots_not(PC, &disk);
}

#[test]
fn fat32_boots_in_a_partition_of_a_gpt() {
    let disk = partitioned("gpt", "U", 64 << 20, &fat_params(fat::Bits::ThirtyTwo));
    boots(PC, &disk);
    boots(Machine { machine: "q35", ..PC }, &disk);
    boots_not(PC, &disk);
}

#[test]
fn ext2_boots_in_a_partition_of_an_mbr() {
    let params = ext::Params { variant: ext::Variant::Ext2, ..ext::Params::default() };
    let disk = partitioned("dos", "83", 16 << 20, &Params::Ext(params));
    boots(PC, &disk);
    boots_not(PC, &disk);
}
