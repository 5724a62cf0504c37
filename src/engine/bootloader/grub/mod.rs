//! GRUB: its images made as its own tools make them, its menus, and what it can load.
//!
//! Has no code of GRUB and runs no program of it. Invariants: what GRUB would refuse at boot is refused
//! before a byte is written, where it can be known; an image holds the modules that were asked for,
//! after all that they need.

pub mod efi;
mod elf;
pub mod kernel;
pub mod menu;
pub mod modules;
mod ondisk;
pub mod pc;
