//! The structures of a NetBSD kernel as they lie in its file: ELF, and the table of drivers.
//!
//! Decides nothing. Sources: System V Application Binary Interface, "gABI" (chapters 4 "Object
//! Files" and 5 "Program Loading"), for ELF; NetBSD's `sys/sys/device.h` for `struct cfdata`, whose
//! offsets are those that GCC gives (`-m32`, `-m64`; tests/netbsd asserts them with `offsetof`).
//! Invariant: all numbers are little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// gABI 4 "ELF Identification": the first four bytes.
pub(super) const MAGIC: [u8; 4] = *b"\x7fELF";

/// gABI 4 "ELF Identification": classes, and the only data encoding that is read.
pub(super) const CLASS_32: u8 = 1;
pub(super) const CLASS_64: u8 = 2;
pub(super) const LITTLE_ENDIAN: u8 = 1;

/// gABI 4 "ELF Header", `e_type`: an executable file at fixed addresses.
pub(super) const EXECUTABLE: u16 = 2;

/// gABI 4 "ELF Header", `e_machine`: Intel 80386 and AMD x86-64.
pub(super) const MACHINE_386: u16 = 3;
pub(super) const MACHINE_X86_64: u16 = 62;

/// gABI 5 "Program Header", `p_type`: a part that is loaded.
pub(super) const LOAD: u32 = 1;

/// gABI 4 "Sections", `sh_type`.
pub(super) const PROGBITS: u32 = 1;
pub(super) const SYMTAB: u32 = 2;
pub(super) const STRTAB: u32 = 3;

/// gABI 4 "Symbol Table": the type is in the low half of `st_info`; a data object.
pub(super) const OBJECT: u8 = 1;

/// gABI 4 "ELF Identification": the first 16 bytes of the header.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Ident {
    pub(super) magic: [u8; 4],
    pub(super) class: u8,
    pub(super) data: u8,
    pub(super) rest: [u8; 10],
}

/// gABI 4 "ELF Header" behind the identification, class 32.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header32 {
    pub(super) kind: U16,
    pub(super) machine: U16,
    pub(super) version: U32,
    pub(super) entry: U32,
    pub(super) segments: U32,
    pub(super) sections: U32,
    pub(super) flags: U32,
    pub(super) header_len: U16,
    pub(super) segment_len: U16,
    pub(super) segment_count: U16,
    pub(super) section_len: U16,
    pub(super) section_count: U16,
    pub(super) names: U16,
}

/// The same, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header64 {
    pub(super) kind: U16,
    pub(super) machine: U16,
    pub(super) version: U32,
    pub(super) entry: U64,
    pub(super) segments: U64,
    pub(super) sections: U64,
    pub(super) flags: U32,
    pub(super) header_len: U16,
    pub(super) segment_len: U16,
    pub(super) segment_count: U16,
    pub(super) section_len: U16,
    pub(super) section_count: U16,
    pub(super) names: U16,
}

/// gABI 5 "Program Header", class 32.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Segment32 {
    pub(super) kind: U32,
    pub(super) offset: U32,
    pub(super) virtual_address: U32,
    pub(super) physical_address: U32,
    pub(super) file_len: U32,
    pub(super) memory_len: U32,
    pub(super) flags: U32,
    pub(super) align: U32,
}

/// The same, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Segment64 {
    pub(super) kind: U32,
    pub(super) flags: U32,
    pub(super) offset: U64,
    pub(super) virtual_address: U64,
    pub(super) physical_address: U64,
    pub(super) file_len: U64,
    pub(super) memory_len: U64,
    pub(super) align: U64,
}

/// gABI 4 "Section Header", class 32.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Section32 {
    pub(super) name: U32,
    pub(super) kind: U32,
    pub(super) flags: U32,
    pub(super) address: U32,
    pub(super) offset: U32,
    pub(super) len: U32,
    pub(super) link: U32,
    pub(super) info: U32,
    pub(super) align: U32,
    pub(super) entry_len: U32,
}

/// The same, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Section64 {
    pub(super) name: U32,
    pub(super) kind: U32,
    pub(super) flags: U64,
    pub(super) address: U64,
    pub(super) offset: U64,
    pub(super) len: U64,
    pub(super) link: U32,
    pub(super) info: U32,
    pub(super) align: U64,
    pub(super) entry_len: U64,
}

/// gABI 4 "Symbol Table", class 32.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Symbol32 {
    pub(super) name: U32,
    pub(super) value: U32,
    pub(super) len: U32,
    pub(super) info: u8,
    pub(super) other: u8,
    pub(super) section: U16,
}

/// The same, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Symbol64 {
    pub(super) name: U32,
    pub(super) info: u8,
    pub(super) other: u8,
    pub(super) section: U16,
    pub(super) value: U64,
    pub(super) len: U64,
}

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
