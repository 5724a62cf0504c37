//! syslinux, extlinux and isolinux: what we place is what their own installers place, and it boots.
//!
//! Needs the Debian packages of each tool it names. Invariant: an expectation comes from a foreign
//! tool or is computed by the program that was booted.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "../support"]
mod support {
    #[expect(dead_code, reason = "other programs use the rest")]
    pub(crate) mod qemu;
    #[expect(dead_code, reason = "other programs use the rest")]
    pub(crate) mod sparse;
    pub(crate) mod tool;
}

mod boots;
mod linux;
mod oracle;
mod payload;
mod world;
