//! Boot code: files to add, late contents and boot areas.
//!
//! Knows no document. Invariant: what is refused here is refused before a byte is written.

pub mod assets;
pub mod efi;
pub mod grub;
pub mod sector;
pub mod syslinux;
