//! Files of boot loaders, of any bytes: syslinux' programs, images and modules, GRUB's kernel, modules
//! and the list of what they need.
//!
//! Readers that take a set of files get a directory of their own, which is removed after each input.
//! Invariants judged here: what is installed has the length that was announced, and a module comes
//! once, after what it needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vmimage::engine::base::tree::TreePath;
use vmimage::engine::base::{ByteSource, Content, Extent, Placement};
use vmimage::engine::bootloader;
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::grub::{efi, modules, pc};
use vmimage::engine::bootloader::syslinux::{self, Isolinux, Parts, Volume};

use crate::{made, pieces};

/// Reads what the first byte chooses, and says whether something came of it.
pub fn run(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else { return false };
    match kind % 5 {
        0 => syslinux(Parts::from_program(rest).ok()),
        1 => {
            let parts = pieces(rest, 3);
            syslinux(Parts::from_files(parts[0], parts[1], parts[2].into()).ok())
        }
        2 => {
            let mut desk = Desk::new();
            desk.put("syslinux/modules/bios/menu.c32", rest);
            desk.put("syslinux/modules/bios/ldlinux.c32", rest);
            desk.put("syslinux/modules/bios/libutil.c32", &made::c32());
            desk.put("isolinux/isolinux.bin", rest);
            let modules = syslinux::modules(&desk.assets(), &["menu.c32"]);
            let isolinux = Isolinux::read(&desk.assets());
            modules.is_ok() || isolinux.is_ok()
        }
        3 => grub(&pieces(rest, 3)),
        _ => closure(&String::from_utf8_lossy(rest)),
    }
}

/// Puts what was found on a volume of each kind, in one piece and in many.
fn syslinux(parts: Option<Parts>) -> bool {
    let Some(parts) = parts.map(Arc::new) else { return false };
    let _version = parts.version();
    for (volume, directory) in [(Volume::Fat, &b""[..]), (Volume::Ext, b"boot/syslinux")] {
        let directory = TreePath::new(directory).expect("a path");
        let Ok(installed) = syslinux::install(&parts, volume, &directory) else { continue };
        for (name, content) in installed.files {
            let Content::Late(late) = content else { continue };
            let extent = |from: u64, to: u64| Extent::new(from, to).expect("not empty");
            let whole = vec![extent(1 << 20, (1 << 20) + late.len)];
            let sectors = (0..late.len.div_ceil(512)).map(|n| extent(n << 10, (n << 10) + 512));
            for extents in [whole, sectors.collect()] {
                let placement = Placement { extents, medium: 1 << 30, volume: 0 };
                assert_eq!((late.finish)(&placement).len() as u64, late.len, "{name}");
                assert_eq!((installed.code)(&[placement]).len(), 512);
            }
        }
    }
    true
}

/// A list of modules, a kernel (for BIOS and for UEFI) and a module.
fn grub(files: &[&[u8]]) -> bool {
    let mut desk = Desk::new();
    desk.grub(files);
    let assets = desk.assets();
    let params = pc::CoreParams { modules: vec!["m".to_owned()], ..pc::CoreParams::default() };
    let core = pc::core(&params, &assets);
    if let Ok(core) = &core {
        let room = Extent::new(512, 1 << 20).expect("not empty");
        let _patches = core.install(room, "the gap");
        assert!(core.unpacked() >= files[2].len() as u64);
    }
    let params = efi::Params { modules: &["m"], prefix: "/g", config: "", sbat: None };
    let Ok(program) = efi::image(&assets, &params) else { return core.is_ok() };
    let found = bootloader::efi::read(&ByteSource::new(program));
    found.expect("our image is read").expect("our image is a program");
    true
}

/// GRUB's core with this module, which `media` puts onto disks; all of it made by hand.
#[must_use]
pub fn core() -> pc::Core {
    let mut desk = Desk::new();
    let module = [b"\x7fELF".as_slice(), b"GNU GRUB  version %s\0", b"2.06\0"].concat();
    desk.grub(&[b"m:\n", &made::grub_pc(), &module]);
    let params = pc::CoreParams {
        modules: vec!["m".to_owned()],
        prefix: "(,msdos1)/boot/grub".to_owned(),
        config: Some(b"set root=x\n".to_vec()),
        memdisk: None,
    };
    pc::core(&params, &desk.assets()).expect("our files make a core")
}

/// The order of modules.
fn closure(list: &str) -> bool {
    let name = list.split(':').next().unwrap_or_default().trim();
    let Ok(order) = modules::closure(&[name], list) else { return false };
    let once: BTreeSet<_> = order.iter().collect();
    assert_eq!(once.len(), order.len(), "a module comes twice");
    assert_eq!(order.last().map(String::as_str), Some(name), "what was asked for comes last");
    true
}

/// A directory with files of boot loaders.
struct Desk(PathBuf);

impl Desk {
    /// In memory, where there is such a place: each input writes some files.
    fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        Self(place.join(format!("vmimage-fuzz-{}", std::process::id())))
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        let parent = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).expect("a directory of our own");
        std::fs::write(path, bytes).expect("a file of our own");
    }

    /// Those of GRUB for BIOS and for UEFI: a list, a kernel and the module `m`.
    fn grub(&mut self, files: &[&[u8]]) {
        // Where `boot.img` and `diskboot.img` are patched, and what `inspect` knows them by.
        let mut boot = vec![0x90; 512];
        boot[0x66..0x68].copy_from_slice(&[0xeb, 5]);
        boot[0x180..0x187].copy_from_slice(b"GRUB \0\0");
        let mut disk = vec![0x90; 512];
        disk[0x180..0x188].copy_from_slice(b"loading\0");
        for set in ["grub/i386-pc", "grub/x86_64-efi"] {
            let names = ["moddep.lst", "kernel.img", "m.mod"];
            for (name, bytes) in names.iter().zip(files) {
                self.put(&format!("{set}/{name}"), bytes);
            }
        }
        self.put("grub/i386-pc/boot.img", &boot);
        self.put("grub/i386-pc/diskboot.img", &disk);
        self.put("grub/i386-pc/lzma_decompress.img", &[0x90; 2848]);
    }

    fn assets(&self) -> Assets {
        Assets::only(vec![self.0.clone()])
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}
