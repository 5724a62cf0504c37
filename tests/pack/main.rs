//! Wraps, archives and packages, judged by the tools of others.
//!
//! Invariant: a tool that is missing fails the test.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[expect(dead_code, reason = "the samples are for the oracle tests")]
#[path = "../support/media.rs"]
mod media;
#[expect(dead_code, reason = "made for qcow2")]
#[path = "../support/qemu_img.rs"]
mod tool;
mod wrap;
