//! The examples with contents: built by an ordinary user without any help, always the same bytes,
//! judged by the tools of those who would use them.
//!
//! Their inputs are made by `examples/inputs/make`. In a cluster they are built by `e2e/cases`, and
//! compared with the desk. Invariant: no expectation comes from our own program, but the pinned
//! digests, which say that nothing has changed.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "../support/tool.rs"]
mod tool;

mod desk;
mod disks;
mod roots;
mod same;
mod volumes;
