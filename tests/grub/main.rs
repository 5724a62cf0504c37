//! GRUB for BIOS: core images against `grub-mkimage`, menus and kernels against GRUB itself, boots
//! under SeaBIOS in QEMU.
//!
//! Invariant: what is expected of a boot is computed by the program that is booted, or said by GRUB
//! itself; the same disk without that program does not show it.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod boots;
mod disk;
mod oracle;
mod others;
mod payload;
#[path = "../support/qemu.rs"]
#[expect(dead_code, reason = "shared with others")]
mod qemu;
mod refused;
mod systems;
#[path = "../support/trees.rs"]
#[expect(dead_code, reason = "shared with others")]
mod trees;
