//! What GRUB for BIOS can load: Multiboot 1 and 2 kernels and Linux, judged before they are written.
//!
//! Loads nothing. Invariant: untrusted bytes cannot make it panic, and what it refuses names the
//! number that is wrong.

mod linux;
mod multiboot;

pub use linux::{Linux, linux};
pub use multiboot::{Multiboot, Version, multiboot};

/// Whether a kernel is compressed with gzip. GRUB unpacks it when the module `gzio` is there; what is
/// judged here is the unpacked one.
#[must_use]
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}
