//! VHD and VDI files judged by foreign readers, and our readers by foreign writers and by damage.
//!
//! Foreign are qemu-img, 7zz and libvhdi (through its Python binding). Invariant: expectations come
//! from them, from plain file writes or from hand calculations, never from our own code.
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

mod azure;
mod bad_dynamic;
mod bad_vdi;
mod bad_vhd;
mod mutation;
mod property;
mod support;
mod vdi_oracle;
mod vhd_oracle;
