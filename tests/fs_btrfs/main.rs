//! btrfs judged by the tools of btrfs-progs.
//!
//! Invariant: what is expected comes from these tools or from the tree, not from our own code.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod read;
mod sample;
#[path = "../support/sparse.rs"]
mod sparse;
#[path = "../support/tool.rs"]
mod tool;
mod write;
