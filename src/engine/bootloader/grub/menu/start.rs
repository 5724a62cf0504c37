//! How GRUB gets from its core image to a menu or to a kernel: modules, prefix and first commands.
//!
//! Makes no image. Invariant: the first commands are in the language of the rescue shell, which has
//! no conditions and no blocks.

use std::collections::BTreeSet;

use super::super::pc::CoreParams;
use super::{Action, Menu, quote};
use crate::engine::base::{Error, Kind};

/// Where GRUB's files and kernels lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The filesystem.
    pub filesystem: Filesystem,
    /// The table that its partition is in.
    pub table: Table,
}

/// Filesystems that GRUB can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// ext2, ext3 and ext4.
    Ext,
    /// FAT12, FAT16 and FAT32.
    Fat,
    /// ISO 9660 with Rock Ridge or Joliet.
    Iso9660,
    /// btrfs.
    Btrfs,
}

/// Partition tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// None: the filesystem is the whole medium.
    None,
    /// A master boot record.
    Mbr,
    /// A GPT.
    Gpt,
}

/// How GRUB finds its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// On the disk it was loaded from: in the partition of this number, or without a partition.
    Own(Option<u32>),
    /// On the first disk whose filesystem has this UUID, as `blkid` prints it.
    Uuid(String),
    /// On the first disk whose filesystem has this file.
    File(Vec<u8>),
}

impl Access {
    /// The modules to read its disk through the BIOS.
    #[must_use]
    pub fn modules(self) -> Vec<&'static str> {
        let table = match self.table {
            Table::None => None,
            Table::Mbr => Some("part_msdos"),
            Table::Gpt => Some("part_gpt"),
        };
        let filesystem = match self.filesystem {
            Filesystem::Ext => "ext2",
            Filesystem::Fat => "fat",
            Filesystem::Iso9660 => "iso9660",
            Filesystem::Btrfs => "btrfs",
        };
        std::iter::once("biosdisk").chain(table).chain([filesystem]).collect()
    }
}

/// A core image that shows `menu`, whose text is the file `grub.cfg` in `directory` of the root, such
/// as `/boot/grub`. Every module the menu needs is in the image, so none need be in the filesystem.
pub fn menu_core(
    access: Access,
    root: &Root,
    directory: &str,
    menu: &Menu,
    commands: &str,
) -> Result<CoreParams, Error> {
    let (prefix, config) = find(access, root, directory)?;
    let modules = modules(access, root, menu.modules(commands));
    Ok(CoreParams {
        modules,
        prefix,
        config: (!config.is_empty()).then_some(config),
        memdisk: None,
    })
}

/// A core image that starts one kernel and has no menu. It is hardly smaller: of Debian's GRUB 2.06
/// `multiboot` needs `linux`, and that `normal`.
pub fn single_core(
    access: Access,
    root: &Root,
    action: &Action,
    commands: &str,
) -> Result<CoreParams, Error> {
    let what = "the entry without a menu";
    let (prefix, mut config) = find(access, root, "/")?;
    for line in action.commands(what)? {
        config.extend(line);
        config.push(b'\n');
    }
    config.extend(b"boot\n");
    let modules = modules(access, root, action.modules(commands));
    Ok(CoreParams { modules, prefix, config: Some(config), memdisk: None })
}

fn modules(access: Access, root: &Root, mut more: BTreeSet<String>) -> Vec<String> {
    let search = match root {
        Root::Own(_) => None,
        Root::Uuid(_) => Some("search_fs_uuid"),
        Root::File(_) => Some("search_fs_file"),
    };
    // Those that read the disk come first; the rest in an order that is always the same.
    let first: Vec<String> =
        access.modules().into_iter().chain(search).map(str::to_owned).collect();
    more.retain(|name| !first.contains(name));
    first.into_iter().chain(more).collect()
}

/// The prefix, and the commands that find the root.
fn find(access: Access, root: &Root, directory: &str) -> Result<(String, Vec<u8>), Error> {
    if !directory.starts_with('/') || directory.contains(|c: char| c == ')' || c.is_control()) {
        let message =
            format!("GRUB's directory {directory:?} does not begin with / or has ) in it");
        return Err(Error::new(Kind::Document, message));
    }
    let search = |command: &str, word: Vec<u8>| {
        let mut lines = [command.as_bytes(), b" ", &word, b" root\nset prefix=($root)"].concat();
        lines.extend(quote::word(directory.as_bytes()));
        lines.push(b'\n');
        (directory.to_owned(), lines)
    };
    match root {
        Root::Own(number) => {
            let kind = match access.table {
                Table::Gpt => "gpt",
                Table::Mbr | Table::None => "msdos",
            };
            let place = number.map(|number| format!("(,{kind}{number})")).unwrap_or_default();
            Ok((format!("{place}{directory}"), Vec::new()))
        }
        Root::Uuid(uuid) => {
            if uuid.is_empty() || !uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
                let message = format!("{uuid:?} is no UUID of a filesystem");
                return Err(Error::new(Kind::Document, message));
            }
            Ok(search("search.fs_uuid", uuid.clone().into_bytes()))
        }
        Root::File(path) => Ok(search("search.file", quote::path(path, "the file to search")?)),
    }
}
