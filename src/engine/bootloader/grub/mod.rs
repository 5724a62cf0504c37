//! GRUB: its images made as its own tools make them, its menus, and what it can load.
//!
//! Has no code of GRUB. Invariant: what GRUB would refuse at boot is refused before a byte is
//! written, where it can be known.

mod elf;
pub mod kernel;
pub mod menu;
pub mod modules;
mod ondisk;
pub mod pc;
