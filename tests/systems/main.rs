//! The systems of the examples, built from their documents by the program and booted in QEMU.
//!
//! Invariant: what is expected is computed by what was booted, and is missing once its code is zeros.
//! Serial logs and pictures of the screens are kept as artifacts.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "../support/artifacts.rs"]
mod artifacts;
#[path = "../support/guest.rs"]
mod guest;
#[path = "../support/listing.rs"]
#[expect(dead_code, reason = "other programs use the rest")]
mod listing;
#[path = "../support/qemu.rs"]
#[expect(dead_code, reason = "other programs use the rest")]
mod qemu;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/tool.rs"]
mod tool;

mod debian;
mod desk;
mod lites;
mod netbsd;
mod slim;
mod small;
mod tinyboot;
