//! The program as users run it: the real binary, real files, foreign tools as judges.
//!
//! Does not look inside. Invariant: what is expected here was computed by another tool or by hand.

#![cfg(all(feature = "cli", unix))]
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod atomic;
mod build;
mod builder;
mod cache;
mod device;
mod errors;
mod faults;
mod formats;
mod from_image;
mod images;
mod resize;
mod same_bytes;
mod support;
mod trees;
mod words;

#[path = "../support"]
mod shared {
    pub(crate) mod loopback;
    pub(crate) mod tool;
}
