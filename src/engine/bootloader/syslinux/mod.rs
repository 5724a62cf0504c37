//! syslinux on FAT, extlinux on ext, isolinux on ISO 9660: their files patched and placed as their
//! own installers do it, without running one.
//!
//! Versions 6.x for BIOS. Writes no filesystem and no partition table, and holds no byte of syslinux:
//! all comes out of the distribution's files. Invariant: whatever those files hold, what is refused
//! is refused before anything is placed.

mod carve;
mod elf;
mod install;
mod iso;
pub mod menu;
mod modules;
mod ondisk;
mod record;

pub use carve::Parts;
pub use install::{Installed, Make, Volume, install};
pub use iso::Isolinux;
pub use modules::modules;
pub use record::{Table, hybrid, record};
