//! GRUB for UEFI on x86-64: a program with just the modules that are wanted.
//!
//! Signs nothing; firmware with Secure Boot takes the distribution's images alone, see
//! `efi::signed`. Invariant: the bytes are those of grub-mkimage 2.06 for the same files.

mod elf;
mod image;
mod ondisk;

use crate::engine::base::{Error, Kind};
use crate::engine::bootloader::assets::{Assets, Set};

use super::modules::closure;

/// GRUB stops reading its first commands at this; the file of its own that holds more is a menu.
const LARGEST_CONFIG: usize = 1 << 20;

/// What the program holds.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// Modules by name; what they need comes with them.
    pub modules: &'a [&'a str],
    /// Where GRUB's files lie: `/boot/grub` on the partition that the commands below set as root,
    /// or with a device, `(hd0,gpt2)/boot/grub`.
    pub prefix: &'a str,
    /// Commands that are run before anything is read from a disk; empty: none.
    pub config: &'a str,
    /// Lines for Secure Boot's revocation list, for who signs the program.
    pub sbat: Option<&'a [u8]>,
}

/// What finds a root filesystem by its UUID, shows a menu and boots: for `Params::modules`.
pub const MENU: &[&str] = &[
    "part_gpt",
    "part_msdos",
    "fat",
    "ext2",
    "btrfs",
    "iso9660",
    "normal",
    "configfile",
    "search",
    "search_fs_uuid",
    "search_label",
    "search_fs_file",
    "linux",
    "multiboot",
    "multiboot2",
    "chain",
    "serial",
    "terminal",
    "echo",
    "test",
    "minicmd",
    "halt",
    "reboot",
    "all_video",
    "gfxterm",
    "font",
];

/// The program.
pub fn image(assets: &Assets, params: &Params<'_>) -> Result<Vec<u8>, Error> {
    for (what, text) in [("prefix", params.prefix), ("config", params.config)] {
        if text.contains('\0') || text.len() > LARGEST_CONFIG {
            let message = format!("GRUB's {what} holds a zero byte or more than 1 MiB");
            return Err(Error::new(Kind::Document, message));
        }
    }
    let read = |name: &str| assets.read(Set::GrubEfiX64, name);
    let list = read("moddep.lst")?;
    let list = std::str::from_utf8(&list)
        .map_err(|_| Error::new(Kind::Input, "GRUB's moddep.lst is no text"))?;
    let mut objects = Vec::new();
    for name in closure(params.modules, list)? {
        objects.push((ondisk::MODULE, read(&format!("{name}.mod"))?.to_vec()));
    }
    let text = |text: &str| [text.as_bytes(), b"\0"].concat();
    if !params.config.is_empty() {
        objects.push((ondisk::CONFIG, text(params.config)));
    }
    objects.push((ondisk::PREFIX, text(params.prefix)));
    let kernel = elf::load(&read("kernel.img")?)?;
    image::image(&kernel, image::modules(&objects)?, params.sbat)
}
