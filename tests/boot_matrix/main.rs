//! Documents of every kind of loader, built by the program and booted in QEMU; the documents that are
//! refused; and the table of `docs/boot.md`, whose cells name these tests.
//!
//! Invariant: what is expected is computed by what the loader started, and stands in no file.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod bios;
mod files;
mod initrds;
mod iso;
#[path = "../support/ovmf.rs"]
mod ovmf;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "../grub/payload.rs"]
mod payload;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "../support/qemu.rs"]
mod qemu;
mod refused;
mod table;
#[path = "../support/tool.rs"]
mod tool;
mod uefi;
mod world;
