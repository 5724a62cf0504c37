//! The first page of a Linux swap area.
//!
//! Decides nothing. Source: Linux, include/linux/swap.h, `union swap_header`. Invariant: numbers are
//! little-endian, as the machines write them that this program makes disks for.

use std::mem::size_of;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `swap_header.info`, from `INFO_AT` on: what lies before it is left for boot code.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Info {
    /// `VERSION`.
    pub(super) version: U32,
    /// Number of the last page.
    pub(super) last_page: U32,
    pub(super) bad_pages: U32,
    pub(super) uuid: [u8; 16],
    /// Filled up with zeros.
    pub(super) label: [u8; LABEL],
}

const _: () = assert!(size_of::<Info>() == 44);

/// Bytes of a label.
pub(super) const LABEL: usize = 16;
/// `swap_header.info` begins behind `bootbits`.
pub(super) const INFO_AT: usize = 1024;
/// The only version there is.
pub(super) const VERSION: u32 = 1;
/// `swap_header.magic.magic`: the last bytes of the page.
pub(super) const MAGIC: [u8; 10] = *b"SWAPSPACE2";
/// Page sizes that Linux knows of any machine.
pub(super) const PAGES: [u64; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
/// What mkswap(8) makes at least.
pub(super) const LEAST_PAGES: u64 = 10;
