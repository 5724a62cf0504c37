//! Initial RAM filesystems, judged by GNU cpio, bsdtar, the compressors' own tools, kmod, and Linux.
//!
//! Invariant: a tool that is missing fails the test.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod boot;
mod joined;
mod machine;
mod modules;
mod newc;
mod packed;
mod tool;
#[expect(dead_code, reason = "most trees are for filesystems")]
#[path = "../support/trees.rs"]
mod trees;
