//! What a document boots: its loader's files go into the trees, its code beside them.
//!
//! ```text
//! trees ──kernel, initrd──▶ ──loader──▶ trees with menus and programs + Booting (codes, record)
//! ```
//!
//! Places nothing; the leaves in `bootloader` know the bytes. Invariant: after this no tree changes,
//! and every path that a menu names is in the tree that the loader reads.

mod direct;
mod disk;
mod efi;
mod files;
mod floppy;
mod grub;
mod initrd;
mod iso;
mod kernel;
mod place;
mod syslinux;

use super::base::tree::{Kind as NodeKind, Meta, Missing, Time, Tree, TreePath};
use super::base::{Content, Error, Kind, Origin};
use super::bootloader::efi::Machine;
use super::bootloader::grub::pc::Core;
use super::filesystem::BootCode;
use crate::manifest::types::Architecture;

pub(super) use direct::{Direct, direct};
pub(super) use disk::on_disk;
pub(super) use floppy::{floppy, image as floppy_image};
pub(super) use iso::on_iso;
pub(super) use kernel::sectors;

/// What stands on a disk outside of trees.
#[derive(Debug, Default)]
pub(super) struct Booting {
    /// What the firmware runs first on a disk with a table.
    pub(super) record: Option<Record>,
    /// The code of a volume, by the index of its partition.
    pub(super) code: Option<(usize, BootCode)>,
    /// The partition that is marked as the one to boot, if the document marks none.
    pub(super) active: Option<usize>,
}

/// The beginning of a disk.
#[derive(Debug)]
pub(super) enum Record {
    /// Code that needs to know nothing.
    Code(Vec<u8>),
    /// GRUB: boot code, and a core image behind it or in a partition of its own.
    Grub(Box<Core>),
}

/// The machine as UEFI names it.
fn machine(architecture: Architecture) -> Result<Machine, Error> {
    match architecture {
        Architecture::Amd64 => Ok(Machine::X64),
        Architecture::Arm64 => Ok(Machine::Arm64),
        Architecture::I386 => {
            let message = "architecture i386 has no UEFI here; amd64 and arm64 have";
            Err(Error::new(Kind::Document, message))
        }
    }
}

/// Puts a file into a tree; directories on the way are made.
fn put(
    tree: &mut Tree,
    path: &TreePath,
    content: Content,
    time: Time,
    origin: &Origin,
) -> Result<(), Error> {
    let Some((parent, name)) = path.split() else {
        let message = "a file is needed here, this is the root";
        return Err(Error::new(Kind::Document, message).at(origin));
    };
    let made = Missing::Make(Meta::directory(time));
    let directory = tree.directory_at(&parent, made, origin)?;
    tree.put(directory, name.clone(), NodeKind::File(content), Meta::file(time), origin)?;
    Ok(())
}

fn text(text: &[u8]) -> Content {
    Content::Bytes(text.into())
}
