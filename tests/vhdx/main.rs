//! VHDX files judged by foreign readers, and our reader by foreign writers and by damage.
//!
//! Foreign are qemu-img, 7zz and libvhdi (through its Python binding). Invariant: expectations come
//! from them, from plain file writes or from the specification, never from our own code.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "../support/media.rs"]
mod media;
#[expect(dead_code, reason = "check knows qcow2 only")]
#[path = "../support/qemu_img.rs"]
mod qemu_img;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/written.rs"]
mod written;

mod bad;
mod bad_blocks;
mod crash;
mod log;
mod mutation;
mod oracle;
mod property;
mod support;
