//! The table of drivers of a NetBSD kernel as it lies in its file.
//!
//! Decides nothing. Source: NetBSD's `sys/sys/device.h` for `struct cfdata`, whose offsets are those
//! that GCC gives (`-m32`, `-m64`; tests/netbsd asserts them with `offsetof`). Invariant: all numbers
//! are little-endian.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// `struct cfdata` on i386.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Cfdata32 {
    /// `cf_name`; NULL ends the table.
    pub(super) name: U32,
    /// `cf_atname`.
    pub(super) attachment: U32,
    /// Until NetBSD 9: `short cf_unit, cf_fstate`. From 10 on (`device.h` 1.183):
    /// `unsigned int cf_unit:24; unsigned char cf_fstate`.
    pub(super) unit_state: [u8; 4],
    /// `cf_loc`.
    pub(super) locators: U32,
    /// `cf_flags`.
    pub(super) flags: U32,
    /// `cf_pspec`; NULL in a root entry.
    pub(super) parent: U32,
}

/// `struct cfdata` on amd64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Cfdata64 {
    pub(super) name: U64,
    pub(super) attachment: U64,
    pub(super) unit_state: [u8; 4],
    pub(super) padding: [u8; 4],
    pub(super) locators: U64,
    pub(super) flags: U32,
    pub(super) padding2: [u8; 4],
    pub(super) parent: U64,
}

/// `sys/sys/device.h`, `FSTATE_*`: what `cf_fstate` says of a driver's entry. 1 (`FSTATE_FOUND`) is
/// of running kernels only.
pub(super) const NOT_FOUND: u8 = 0;
pub(super) const STAR: u8 = 2;
/// Disabled: what `userconf disable` makes of `STAR` and of `NOT_FOUND`.
pub(super) const DISABLED_STAR: u8 = 3;
pub(super) const DISABLED_NOT_FOUND: u8 = 4;
