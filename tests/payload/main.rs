//! Archives and container images into a tree, judged by the tools that write them.
//!
//! Invariant: a tool that is missing fails the test.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod bad;
mod foreign;
mod forged;
mod made;
mod oci;
mod options;
mod rows;
#[path = "../support/shell.rs"]
mod shell;
