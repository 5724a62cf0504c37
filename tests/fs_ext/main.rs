//! ext2, ext3 and ext4 judged by `e2fsck`, `dumpe2fs`, `debugfs` and `resize2fs`, and what `mke2fs`
//! makes read by us.
//!
//! Needs no root. Invariant: what is expected comes from those tools or from the tree, never from
//! our own reader alone.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "../support/tool.rs"]
mod tool;

mod big;
mod damage;
mod foreign;
mod same;
mod sample;
mod sizes;
mod written;
