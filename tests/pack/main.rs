//! Wraps, archives and packages, judged by the tools of others.
//!
//! Invariant: a tool that is missing fails the test.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod made;
#[expect(dead_code, reason = "the samples are for the oracle tests")]
#[path = "../support/media.rs"]
mod media;
mod ova;
mod tar;
mod tar_bad;
#[path = "../support/qemu_img.rs"]
mod tool;
mod vagrant;
mod wrap;
