//! Disks and discs that boot, made by our own writers, broken, and told by `inspect`.
//!
//! Every fourth input is taken as the medium itself. Invariant judged here: whatever lies on a medium
//! without a format, `inspect` tells something.

use std::sync::{Arc, OnceLock};

use arbitrary::{Arbitrary, Unstructured};
use vmimage::engine::base::tree::{Kind, Meta, Missing, Time, Tree, TreePath};
use vmimage::engine::base::{ByteSource, Content, Extent, Origin, SectorSource};
use vmimage::engine::filesystem::iso9660::{self, BootEntry, BootImage, Emulation, Platform};
use vmimage::engine::filesystem::{Params, Room, fat};
use vmimage::engine::format::FormatName;
use vmimage::engine::partition::{self, MbrSlot, Place};

use crate::filesystem::{Seed, place, rendered};
use crate::{Broken, Case, Edit, loaders, made};

/// Where the partition of a disk begins: the gap before it holds GRUB's core.
const PARTITION: u64 = 32 << 10;

/// Inspects what the input describes.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    if kind % 4 == 3 {
        return inspect(Arc::new(ByteSource::new(rest.to_vec())));
    }
    let Ok(case) = Case::arbitrary(&mut Unstructured::new(rest)) else { return };
    let seed = &seeds()[usize::from(case.file) % count()];
    let edits = case.edits.iter().take(64);
    let edits = edits.map(|edit| Edit { at: place(edit.at, seed), value: edit.value.clone() });
    inspect(Arc::new(Broken::placed(Arc::clone(&seed.bytes), edits, case.cut)));
}

fn inspect(medium: Arc<dyn SectorSource>) {
    let empty = medium.is_empty();
    match vmimage::inspect::inspect(medium, FormatName::Raw) {
        Ok(report) => {
            let _text = report.text(false);
        }
        Err(error) => assert!(empty, "{error}"),
    }
}

fn seeds() -> &'static [Seed] {
    static SEEDS: OnceLock<Vec<Seed>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let images = [disk(), floppy(), disc()];
        images.into_iter().map(|image| Seed::new(image, false)).collect()
    })
}

/// How many media there are. New ones are added at the end, so that stored inputs keep their meaning.
#[must_use]
pub fn count() -> usize {
    seeds().len()
}

/// Everything that is looked for in a filesystem, but the programs of its loader.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let sections: [(&str, &[u8]); 5] = [
        made::CODE,
        (".linux", &[0; 16]),
        (".cmdline", b"quiet\0"),
        (".uname", b"6.1.0"),
        (".osrel", b"PRETTY_NAME=\"Fuzz 1\"\n"),
    ];
    // `struct grub_module_info64` with a prefix and nothing else.
    let mut mods = made::Bytes::default();
    mods.words(&[0x676d_696d, 0, 24, 0, 40, 0, 3, 16]).put(b"/grub\0\0\0");
    let stub: [(&str, &[u8]); 2] =
        [made::CODE, (".sdmagic", b"#### LoaderInfo: systemd-boot 252 ####\0")];
    let sbat: [(&str, &[u8]); 2] = [made::CODE, (".sbat", b"sbat,1,a,b,1,c\nshim,1,a,b,15,c\n")];
    let mut initrd = format!("070701{:0>64}{:0>40}", "0", "0000000b00000000").into_bytes();
    initrd.extend(b"TRAILER!!!\0\0\0\0\0\x1f\x8b\x08");
    vec![
        ("EFI/BOOT/BOOTX64.EFI", made::program(0x8664, &sections)),
        ("EFI/BOOT/BOOTAA64.EFI", made::program(0xaa64, &[made::CODE, ("mods", &mods.0)])),
        ("EFI/a/boot.efi", made::program(0x8664, &stub)),
        ("EFI/a/shim.efi", made::program(0x8664, &sbat)),
        ("boot/grub/grub.cfg", text("set timeout=5\nset default=\"0\"\nmenuentry 'A' {\n}\n")),
        ("boot/grub/i386-pc/normal.mod", text("GNU GRUB  version %s\x002.06\0")),
        ("syslinux/syslinux.cfg", text("DEFAULT a\nLABEL a\n MENU LABEL ^A\n KERNEL k\n")),
        ("ldlinux.sys", made::ldlinux()),
        ("loader/loader.conf", text("timeout 3\ndefault a\n")),
        ("loader/entries/a.conf", text("title A\nlinux /k\n")),
        ("startup.nsh", text("k initrd=i\r\n")),
        ("boot/vmlinuz", made::bzimage()),
        ("boot/netbsd", made::multiboot(1, false)),
        ("boot/initrd", initrd),
    ]
}

fn tree(files: Vec<(&str, Vec<u8>)>) -> Tree {
    let time = Time { seconds: 1_700_000_000, nanos: 0 };
    let origin = Origin::new("fuzz");
    let mut tree = Tree::new(Meta::directory(time), origin.clone());
    for (path, bytes) in files {
        let path = TreePath::new(path.as_bytes()).expect("a path");
        let (parent, name) = path.split().expect("a name");
        let missing = Missing::Make(Meta::directory(time));
        let parent = tree.directory_at(&parent, missing, &origin).expect("a directory");
        let file = Kind::File(Content::Bytes(bytes.into()));
        tree.put(parent, name.clone(), file, Meta::file(time), &origin).expect("a node");
    }
    tree
}

/// The bytes of a filesystem with all of `files`.
fn volume(params: &Params, sector: u64) -> Vec<u8> {
    rendered(params, tree(files()), Room::Fit { percent: 0, bytes: 0 }, sector)
}

/// A disk with GRUB for BIOS and one FAT partition, the active one.
fn disk() -> Vec<u8> {
    let fat = volume(&Params::Fat(fat::Params::default()), 512);
    let core = loaders::core();
    let extent = Extent::new(PARTITION, PARTITION + fat.len() as u64).expect("not empty");
    let place = Place { number: 1, extent, record: None };
    let slot = MbrSlot { place, kind: 0xef, active: true };
    let room = Extent::new(512, PARTITION).expect("not empty");
    let table = partition::mbr(&[slot], 7, 512).expect("a table of our own");
    let code = core.install(room, "the gap").expect("a core of our own");
    let mut disk = vec![0; PARTITION as usize];
    disk.extend(fat);
    for patch in table.iter().chain(&code) {
        disk[patch.offset as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    disk
}

/// A volume without a table that syslinux starts.
fn floppy() -> Vec<u8> {
    let params = fat::Params { oem_name: *b"SYSLINUX", ..fat::Params::default() };
    volume(&Params::Fat(params), 512)
}

/// A disc with GRUB for BIOS and a FAT for UEFI.
fn disc() -> Vec<u8> {
    let mut grub = b"cdrom read fails".to_vec();
    grub.resize(2048, 0);
    grub.extend(loaders::core().bytes());
    let fat = volume(&Params::Fat(fat::Params::default()), 512);
    let entry = |platform, image: Vec<u8>| BootEntry {
        platform,
        emulation: Emulation::None,
        image: BootImage::Content(Content::Bytes(image.into())),
        load_segment: 0,
        load_sectors: None,
        info_table: false,
        grub2_info: false,
    };
    let boot = vec![entry(Platform::Bios, grub), entry(Platform::Efi, fat)];
    volume(&Params::Iso9660(Box::new(iso9660::Params { boot, ..iso9660::Params::default() })), 2048)
}
