//! The structures of zip as they lie in the archive.
//!
//! Decides nothing. PKWARE APPNOTE.TXT 6.3.10, section 4.3, numbers little endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// 4.3.7: before each body.
pub(super) const LOCAL: u32 = 0x0403_4b50;
/// 4.3.12: in the directory.
pub(super) const CENTRAL: u32 = 0x0201_4b50;
/// 4.3.16: the directory's end.
pub(super) const END: u32 = 0x0605_4b50;
/// 4.3.15: where `END64` lies.
pub(super) const LOCATOR64: u32 = 0x0706_4b50;
/// 4.3.14: the directory's end with larger numbers.
pub(super) const END64: u32 = 0x0606_4b50;

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Local {
    pub(super) signature: U32,
    pub(super) needed: U16,
    pub(super) flags: U16,
    pub(super) method: U16,
    pub(super) dos_time: U16,
    pub(super) dos_date: U16,
    pub(super) crc: U32,
    pub(super) packed: U32,
    pub(super) size: U32,
    pub(super) name_len: U16,
    pub(super) extra_len: U16,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Central {
    pub(super) signature: U32,
    /// The upper byte is the system: 3 is Unix, 0 is FAT, 19 is Darwin.
    pub(super) made_by: U16,
    pub(super) needed: U16,
    pub(super) flags: U16,
    pub(super) method: U16,
    pub(super) dos_time: U16,
    pub(super) dos_date: U16,
    pub(super) crc: U32,
    pub(super) packed: U32,
    pub(super) size: U32,
    pub(super) name_len: U16,
    pub(super) extra_len: U16,
    pub(super) comment_len: U16,
    pub(super) disk: U16,
    pub(super) internal: U16,
    /// On Unix, the upper half is the mode.
    pub(super) external: U32,
    pub(super) offset: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct End {
    pub(super) signature: U32,
    pub(super) disk: U16,
    pub(super) first_disk: U16,
    pub(super) here: U16,
    pub(super) count: U16,
    pub(super) len: U32,
    pub(super) offset: U32,
    pub(super) comment_len: U16,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Locator64 {
    pub(super) signature: U32,
    pub(super) disk: U32,
    pub(super) offset: U64,
    pub(super) disks: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct End64 {
    pub(super) signature: U32,
    pub(super) rest: U64,
    pub(super) made_by: U16,
    pub(super) needed: U16,
    pub(super) disk: U32,
    pub(super) first_disk: U32,
    pub(super) here: U64,
    pub(super) count: U64,
    pub(super) len: U64,
    pub(super) offset: U64,
}
