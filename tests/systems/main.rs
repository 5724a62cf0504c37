//! The systems of `examples/`, built as a user builds them and booted in QEMU.
//!
//! Their inputs are made by the scripts in `examples/inputs`. Invariant: each boot is expected to say
//! what only the program in the image can work out, and with zeros for that program it does not.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "../support/artifacts.rs"]
mod artifacts;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/tool.rs"]
mod tool;

mod debian;
mod slim;
mod tinyboot;
