//! squashfs and erofs as foreign tools see them, and foreign images as we see them.
//!
//! Needs squashfs-tools and erofs-utils, and root: owners, devices and `trusted.` attributes are
//! extracted as they are. A missing tool is a failure. Invariant: what is compared comes from the
//! tool on one side and from the tree on the other.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod erofs;
mod sample;
mod squashfs;

#[path = "../support/tool.rs"]
mod tool;
