//! GRUB: images made of the distribution's files.
//!
//! Runs no program of GRUB. Invariant: an image holds the modules that were asked for, after all
//! that they need, and nothing of this machine.

pub mod efi;
pub mod modules;
