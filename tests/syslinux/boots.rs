//! Disks of ours with syslinux boot under SeaBIOS.
//!
//! Invariant: what is expected was computed in the machine out of a file that the loader read, and
//! is missing where the program is erased.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use vmimage::engine::base::SectorSource;
use vmimage::engine::bootloader::syslinux::menu::{Boot, Config, Entry, Menu, Serial, Wait};
use vmimage::engine::bootloader::syslinux::{
    Isolinux, Parts, Table, Volume, hybrid, modules, record,
};
use vmimage::engine::filesystem::{Params, Room, ext, fat, iso9660};

use crate::payload::{program, said};
use crate::support::qemu::{Machine, Qemu};
use crate::support::sparse::noise;
use crate::support::tool::run;
use crate::world::{Disk, Place, assets, bytes, parts, path, put, render, tree, volume};

pub(crate) const PC: Machine<'_> = Machine { machine: "pc", bus: "ide", serial: true };
/// The config that runs the program at once.
fn config() -> Config {
    let modules = vec![(path("/data"), String::new())];
    let boot = Boot::Multiboot { kernel: path("/sum.bin"), arguments: String::new(), modules };
    Config {
        serial: Some(Serial { port: 0, baud: 115_200 }),
        wait: Wait::No,
        menu: None,
        default: 0,
        entries: vec![Entry { label: "sum".to_owned(), title: None, boot }],
    }
}

fn module() -> Vec<u8> {
    noise(300_000, 9)
}

/// A volume with this config in /sys, beside the program and other files.
fn bootable(
    params: &Params,
    place: &Place,
    config: &Config,
    more: &[(&str, &[u8])],
) -> Arc<dyn SectorSource> {
    let kind = if matches!(params, Params::Fat(_)) { Volume::Fat } else { Volume::Ext };
    let text = config.text().unwrap();
    let own = format!("/sys/{}", kind.config());
    let modules = modules(&assets(), &config.modules()).unwrap();
    let modules: Vec<_> = modules.iter().map(|(name, m)| (format!("/sys/{name}"), m)).collect();
    let (sum, data) = (program(), module());
    let mut files: Vec<(&str, &[u8])> =
        vec![(&own, text.as_bytes()), ("/sum.bin", &sum), ("/data", &data)];
    files.extend(modules.iter().map(|(name, module)| (name.as_str(), &module[..])));
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
    partitioned_with((table, kind, len), params, &config(), &[])
}

pub(crate) fn partitioned_with(
    (table, kind, len): (&str, &str, u64),
    params: &Params,
    config: &Config,
    more: &[(&str, &[u8])],
) -> Disk {
    const START: u64 = 1 << 20;
    let disk = Disk::new(START + len + (1 << 20));
    let script = disk.file.with_extension("sfdisk");
    let mark = if table == "gpt" { "attrs=LegacyBIOSBootable" } else { "bootable" };
    let text = format!("label: {table}\nstart=2048, size={}, type={kind}, {mark}\n", len / 512);
    fs_err::write(&script, text).unwrap();
    let command = format!("sfdisk -q {} <{}", disk.name(), script.display());
    run("fdisk", "sh", &["-c", &command]);
    let table = if table == "gpt" { Table::Gpt } else { Table::Mbr };
    disk.write(0, &record(&assets(), table).unwrap());
    let medium = START + len + (1 << 20);
    let place = Place { start: START, room: Room::Exactly(len), medium };
    disk.put(START, bootable(params, &place, config, more).as_ref());
    disk
}

#[test]
fn a_floppy_disk_boots() {
    let floppy = Some(fat::Floppy::Kib1440);
    let params = Params::Fat(fat::Params { floppy, ..fat::Params::default() });
    let place = Place { start: 0, room: Room::Exactly(1_474_560), medium: 1_474_560 };
    let disk = Disk::new(1_474_560);
    disk.put(0, bootable(&params, &place, &config(), &[]).as_ref());
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

/// A disk that is a volume as a whole.
#[test]
fn ext2_boots_without_a_partition() {
    let params = ext::Params { variant: ext::Variant::Ext2, ..ext::Params::default() };
    let place = Place { start: 0, room: Room::Exactly(8 << 20), medium: 8 << 20 };
    let disk = Disk::new(8 << 20);
    disk.put(0, bootable(&Params::Ext(params), &place, &config(), &[]).as_ref());
    boots(PC, &disk);
    boots_not(PC, &disk);
}

/// The config, the module and the program lie behind the first group of blocks, and so do the
/// inodes of the first two: only a descriptor of a later group tells where they are.
fn ext4_far(toggles: &[&str]) -> Disk {
    let toggles = toggles.iter().map(|toggle| (*toggle).to_owned()).collect();
    let params = ext::Params { toggles, ..ext::Params::default() };
    // Inodes and blocks are given out in the order of names.
    let filler = noise(20 << 20, 3);
    let names: Vec<_> = (0..3000).map(|n| format!("/sys/a{n}")).collect();
    let mut more: Vec<(&str, &[u8])> = vec![("/aaa", &filler)];
    more.extend(names.iter().map(|name| (name.as_str(), &b""[..])));
    let disk = partitioned_with(("gpt", "L", 300 << 20), &Params::Ext(params), &config(), &more);
    let volume = format!("{}?offset={}", disk.name(), 1 << 20);
    let tell = |request: &str| run("e2fsprogs", "debugfs", &["-R", request, &volume]);
    for file in ["/sys/extlinux.conf", "/sys/mboot.c32"] {
        assert!(!tell(&format!("imap {file}")).contains("block group 0"), "{file}");
    }
    for file in ["/sys/extlinux.conf", "/sys/mboot.c32", "/sum.bin"] {
        // Of 1 KiB.
        let block: u64 = tell(&format!("bmap {file} 0")).trim().parse().unwrap();
        assert!(block > 8192, "{file} lies in block {block}");
    }
    disk
}

#[test]
fn ext4_boots_from_files_behind_the_first_group() {
    let disk = ext4_far(&["-64bit"]);
    boots(PC, &disk);
    boots_not(PC, &disk);
}

/// With descriptors of 64 bytes, too: syslinux 6.04 knows them. Older ones do not.
#[test]
fn ext4_boots_with_64bit_and_older_versions_are_refused() {
    boots(PC, &ext4_far(&[]));
    let mut program = fs_err::read("/usr/bin/syslinux").unwrap();
    let banner = b"\r\nSYSLINUX 6.04 \0";
    let at = program.windows(banner.len()).position(|window| window == banner).unwrap();
    program[at + 14] = b'3';
    let (new, old) = (parts(), Parts::from_program(&program).unwrap());
    assert_eq!((new.version(), old.version()), ((6, 4), (6, 3)));
    let features = ["extent".to_owned(), "64bit".to_owned()];
    assert_eq!(Volume::of("ext4", &features, 512, &new).unwrap(), Volume::Ext);
    assert_eq!(Volume::of("ext4", &features[..1], 512, &old).unwrap(), Volume::Ext);
    for (name, sector, why) in [
        ("ext4", 512, "6.3 cannot read ext4 with the feature 64bit: add \"-64bit\""),
        ("btrfs", 512, "not on btrfs"),
        ("vfat", 4096, "this one has 4096"),
    ] {
        let error = Volume::of(name, &features, sector, &old).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// A menu on the serial line, whose second entry is the default.
#[test]
fn a_menu_boots_its_default() {
    let mut config = config();
    let reboot = Boot::Module { name: "cat.c32".to_owned(), arguments: "/data".to_owned() };
    config.entries.insert(0, Entry { label: "no".to_owned(), title: None, boot: reboot });
    config.entries[1].title = Some("Adds up (really)".to_owned());
    config.default = 1;
    config.wait = Wait::Tenths(NonZeroU16::new(10).unwrap());
    for graphical in [false, true] {
        config.menu = Some(Menu { title: "What to do?".to_owned(), graphical });
        let params = fat_params(fat::Bits::Sixteen);
        let disk = partitioned_with(("dos", "e", 32 << 20), &params, &config, &[]);
        let (_, serial) = Qemu::start_file(PC, &disk.file, "raw").wait_for_off();
        let text = String::from_utf8_lossy(&serial);
        assert!(text.contains(&said(&module())), "{text}");
        if !graphical {
            assert!(text.contains("What to do?") && text.contains("Adds up (really)"), "{text}");
        }
    }
}

/// An ISO image with isolinux; where it lies in it.
fn iso(config: &Config) -> (Arc<dyn SectorSource>, u64) {
    let isolinux = Isolinux::read(&assets()).unwrap();
    let text = config.text().unwrap();
    let mut tree = tree();
    let image = path("/isolinux/isolinux.bin");
    put(&mut tree, &image, bytes(&isolinux.image));
    put(&mut tree, &path("/isolinux/ldlinux.c32"), bytes(&isolinux.library));
    put(&mut tree, &path("/isolinux/isolinux.cfg"), bytes(text.as_bytes()));
    put(&mut tree, &path("/sum.bin"), bytes(&program()));
    put(&mut tree, &path("/data"), bytes(&module()));
    for (name, module) in modules(&assets(), &config.modules()).unwrap() {
        put(&mut tree, &path(&format!("/isolinux/{name}")), bytes(&module));
    }
    let boot = vec![iso9660::BootEntry {
        platform: iso9660::Platform::Bios,
        emulation: iso9660::Emulation::None,
        image: iso9660::BootImage::Path(image.clone()),
        load_segment: 0,
        load_sectors: Some(4),
        info_table: true,
        grub2_info: false,
    }];
    let found = Arc::new(std::sync::Mutex::new(0));
    let place = Arc::clone(&found);
    let make = move |places: &iso9660::Places| {
        *place.lock().unwrap() = places.boot[0].0;
        let mut bytes = hybrid(&assets(), places.boot[0].0)?;
        bytes.extend([0x78, 0x56, 0x34, 0x12, 0, 0]);
        // As isohybrid has it: active, from sector 0 on, of type 17h.
        bytes.extend([0x80, 0, 1, 0, 0x17, 0xfe, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(u32::try_from(places.len / 512).unwrap().to_le_bytes());
        bytes.resize(510, 0);
        bytes.extend([0x55, 0xaa]);
        Ok(vec![vmimage::engine::base::Patch { offset: 0, bytes }])
    };
    let system_area = Some(iso9660::SystemArea { files: Vec::new(), make: Arc::new(make) });
    // Whole cylinders of 64 x 32 sectors, which isohybrid fills up to.
    let params = iso9660::Params { boot, system_area, ..iso9660::Params::default() };
    let room = Room::Exactly(2 << 20);
    let place = Place { start: 0, room, medium: 2 << 20 };
    let medium = render(&Params::Iso9660(Box::new(params)), tree, &place);
    let at = *found.lock().unwrap();
    (medium, at)
}

#[test]
fn an_iso_image_boots_as_a_cd_and_as_a_disk() {
    let (medium, _) = iso(&config());
    let disk = Disk::new(medium.len());
    disk.put(0, medium.as_ref());
    let cd = Machine { bus: "ide,media=cdrom", ..PC };
    boots(cd, &disk);
    boots(PC, &disk);
    boots(Machine { machine: "q35", ..PC }, &disk);
    boots_not(cd, &disk);
}

/// Our code and table are what `isohybrid` writes over the same image without them.
#[test]
fn a_hybrid_is_as_isohybrid_makes_it() {
    let (medium, _) = iso(&config());
    let disk = Disk::new(medium.len());
    disk.put(0, medium.as_ref());
    let ours = disk.read(0, 512);
    disk.write(0, &[0; 512]);
    run("syslinux-utils", "isohybrid", &["--id", "0x12345678", disk.name()]);
    let mut theirs = disk.read(0, 512);
    // Cylinders, heads and sectors of the end, which mean nothing here.
    theirs[451..454].copy_from_slice(&ours[451..454]);
    assert_eq!(ours, theirs);
}
