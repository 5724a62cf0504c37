//! Kernel modules for an initramfs: chosen by name or alias out of a kernel package, with all that
//! they need, in the order in which they are loaded.
//!
//! Reads `.modinfo` of the modules themselves, so a package that depmod has not seen will do. Loads
//! nothing, and knows no configuration of modprobe. Invariants: the same tree and names give the same
//! choice; a module stands behind all that it depends on; damaged modules are errors.

mod elf;
mod info;
mod kernel;
mod pattern;
mod place;
mod select;

pub use kernel::Kernel;
pub use place::{LOAD_ORDER, Packing, firmware, place};

use crate::engine::base::Content;
use crate::engine::base::tree::TreePath;
use crate::engine::codec::wrap::Wrap;

/// What was chosen.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The kernel's version: the name of its directory, as `uname -r` prints it.
    pub version: String,
    /// What all of the modules say that they were built for; none without modules.
    pub vermagic: Option<String>,
    /// What machine they are for: e_machine of ELF (3 i386, 40 arm, 62 x86-64, 183 arm64); none
    /// without modules.
    pub machine: Option<u16>,
    /// The modules in the order in which they are loaded.
    pub modules: Vec<Module>,
    /// What was asked for and is part of the kernel itself.
    pub built_in: Vec<String>,
    /// What a module would rather have had beside it (`softdep`), and is nowhere.
    pub absent: Vec<String>,
}

/// A module.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name as the kernel has it: with `_`.
    pub name: String,
    /// Where it lies in the kernel's directory: `kernel/fs/btrfs/btrfs.ko.xz`.
    pub path: TreePath,
    /// Its file.
    pub content: Content,
    /// How the file is compressed.
    pub packed: Option<Wrap>,
    /// The files below `/lib/firmware` that it may ask for.
    pub firmware: Vec<String>,
}
