//! What UEFI runs: PE files judged by binutils, pefile and grub-mkimage, and booted under OVMF.
//!
//! Invariant: what is expected of a file comes from a foreign tool or from the parts it was made of;
//! what is expected of a boot can be computed by the booted payload only.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod boots;
mod grub;
mod hostile;
mod image;
mod made;
#[path = "../support/ovmf.rs"]
mod ovmf;
#[path = "../support/tool.rs"]
mod tool;
