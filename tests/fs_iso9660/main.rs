//! ISO 9660 images judged by xorriso, isoinfo, bsdtar, 7z and blkid, and theirs read by us.
//!
//! Invariant: what is expected of our images comes from these tools.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod boot;
mod limits;
mod read;
mod sample;
#[path = "../support/tool.rs"]
mod tool;
mod write;
