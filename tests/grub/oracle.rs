//! Our core images beside those of `grub-mkimage` (package grub-common).

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use lzma_rust2::LzmaReader;
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::grub::pc::{self, CoreParams};

/// What stands before the compressed part: diskboot.img and lzma_decompress.img.
fn head() -> usize {
    let len = |name| fs::metadata(Path::new("/usr/lib/grub/i386-pc").join(name)).unwrap().len();
    usize::try_from(len("diskboot.img") + len("lzma_decompress.img")).unwrap()
}

/// Runs grub-mkimage.
fn theirs(params: &CoreParams, format: &str) -> Vec<u8> {
    let desk = tempfile::tempdir().unwrap();
    let path = |name: &str| desk.path().join(name);
    let mut command = Command::new("grub-mkimage");
    command.args(["-O", format, "-p", &params.prefix, "-o"]).arg(path("core"));
    for (option, bytes) in [("-c", &params.config), ("-m", &params.memdisk)] {
        if let Some(bytes) = bytes {
            fs::write(path(option), bytes).unwrap();
            command.arg(option).arg(path(option));
        }
    }
    let status = command.args(&params.modules).status();
    assert!(status.expect("apt install grub-common grub-pc-bin").success());
    fs::read(path("core")).unwrap()
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// The payload of a core image by the sizes in it.
fn unpacked(core: &[u8]) -> Vec<u8> {
    let (packed, len) = (number(core, 512 + 8), number(core, 512 + 12));
    assert_eq!(core.len(), head() + packed, "the compressed size");
    let body = &core[head()..];
    let mut reader = LzmaReader::new(body, len as u64, 3, 0, 2, 64 << 10, None).unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), len, "the uncompressed size");
    bytes
}

fn params(modules: &str, prefix: &str) -> CoreParams {
    CoreParams {
        modules: modules.split_whitespace().map(str::to_owned).collect(),
        prefix: prefix.to_owned(),
        ..CoreParams::default()
    }
}

fn same(params: &CoreParams) {
    let ours = pc::core(params, &Assets::default()).unwrap();
    let theirs = theirs(params, "i386-pc");
    let (mine, other) = (unpacked(ours.bytes()), unpacked(&theirs));
    let first = mine.iter().zip(&other).position(|(one, other)| one != other);
    assert_eq!((mine.len(), first), (other.len(), None), "{params:?}");
    assert_eq!(ours.unpacked(), mine.len() as u64);
    // All before the compressed part but the three numbers that depend on its length.
    let masked = |core: &[u8]| {
        let mut head = core[..head()].to_vec();
        head[508..510].fill(0);
        head[512 + 8..512 + 12].fill(0);
        head
    };
    assert!(masked(ours.bytes()) == masked(&theirs), "{params:?}");
    let sectors = u16::from_le_bytes(ours.bytes()[508..510].try_into().unwrap());
    assert_eq!(usize::from(sectors), (ours.bytes().len() - 512).div_ceil(512));
    let theirs_sectors = u16::from_le_bytes(theirs[508..510].try_into().unwrap());
    assert_eq!(usize::from(theirs_sectors), (theirs.len() - 512).div_ceil(512), "as they count");
    // Packed faster than theirs, and not much worse.
    assert!(ours.bytes().len() < theirs.len() * 11 / 10, "{params:?}");
}

#[test]
fn payloads_are_those_of_grub_mkimage() {
    same(&params("biosdisk part_msdos ext2", "(,msdos1)/boot/grub"));
    same(&params("biosdisk part_msdos ext2 multiboot", "/boot/grub"));
    same(&params(
        "normal linux multiboot multiboot2 part_gpt fat iso9660 btrfs",
        "(hd0,gpt2)/grub",
    ));
    same(&params("serial terminal gfxterm font all_video search_fs_uuid configfile", ""));
    same(&params("zfs minicmd test gcry_rsa chain biosdisk", "/"));
    for len in 0..9 {
        let config = "x".repeat(len).into_bytes();
        same(&CoreParams { config: Some(config), ..params("biosdisk", "/boot") });
        same(&params("biosdisk", &"/boot/grub"[..len]));
    }
    let disk: Vec<u8> = (0..1500_u32).map(|n| (n * 7 % 251) as u8).collect();
    let config = Some(b"set prefix=(memdisk)/\n".to_vec());
    same(&CoreParams {
        memdisk: Some(disk),
        config,
        ..params("memdisk tar", "(memdisk)/boot/grub")
    });
}

/// Every module of the distribution, one by one, in one image each of those that fit.
#[test]
fn the_order_of_all_modules_is_that_of_grub_mkimage() {
    let list = fs::read_to_string("/usr/lib/grub/i386-pc/moddep.lst").unwrap();
    let names = list.lines().map(|line| line.split_once(':').unwrap().0);
    // The kernel stands in the list, too, and is no module.
    let names: Vec<&str> = names.filter(|name| *name != "kernel").collect();
    assert!(names.len() > 200);
    for some in names.chunks(24) {
        let params = params(&some.join(" "), "/");
        match pc::core(&params, &Assets::default()) {
            Ok(_) => same(&params),
            Err(e) => assert!(e.to_string().contains("too large"), "{e}"),
        }
    }
}

#[test]
fn a_disc_begins_with_cdboot() {
    let params = params("biosdisk iso9660 normal", "/boot/grub");
    let ours = pc::core(&params, &Assets::default()).unwrap().disc(&Assets::default()).unwrap();
    let theirs = theirs(&params, "i386-pc-eltorito");
    assert!(ours[..2048] == theirs[..2048]);
    assert!(unpacked(&ours[2048..]) == unpacked(&theirs[2048..]));
}
