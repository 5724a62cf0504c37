//! ELF as it lies in files: headers, segments, sections, symbols, relocations.
//!
//! Decides nothing. Sources: System V Application Binary Interface, "gABI", chapters 4 "Object Files"
//! and 5 "Program Loading"; AMD64 supplement 1.0, 4.1.1 and 4.4.1. Invariant: all numbers are
//! little-endian, as on every machine that images are made for.
#![expect(missing_docs, reason = "fields are those of the gABI, in its order")]

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// gABI 4 "ELF Identification": the first four bytes.
pub const MAGIC: [u8; 4] = *b"\x7fELF";

/// gABI 4 "ELF Identification": classes, and the only data encoding that is read.
pub const CLASS_32: u8 = 1;
pub const CLASS_64: u8 = 2;
pub const LITTLE_ENDIAN: u8 = 1;

/// gABI 4 "ELF Header", `e_type`: what is not linked yet, and an executable file at fixed addresses.
pub const RELOCATABLE: u16 = 1;
pub const EXECUTABLE: u16 = 2;

/// gABI 4 "ELF Header", `e_machine`: Intel 80386 and AMD x86-64.
pub const MACHINE_386: u16 = 3;
pub const MACHINE_X86_64: u16 = 62;

/// gABI 5 "Program Header", `p_type`: a part that is loaded.
pub const LOAD: u32 = 1;

/// gABI 4 "Sections", `sh_type`: bytes of the program, symbols, names, relocations with addends, zeros
/// that are not in the file, relocations without addends.
pub const PROGBITS: u32 = 1;
pub const SYMTAB: u32 = 2;
pub const STRTAB: u32 = 3;
pub const RELA: u32 = 4;
pub const NOBITS: u32 = 8;
pub const REL: u32 = 9;

/// gABI 4 "Sections", `sh_flags`: lies in memory, is run.
pub const ALLOC: u32 = 2;
pub const EXEC: u32 = 4;

/// gABI 4 "Symbol Table": the type is in the low half of `st_info`; a data object.
pub const OBJECT: u8 = 1;
/// gABI 4 "Symbol Table", `st_shndx`: of no section, and a plain number.
pub const UNDEFINED: u16 = 0;
pub const ABSOLUTE: u16 = 0xfff1;

/// gABI 4 "ELF Identification": the first 16 bytes of the header.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ident {
    pub magic: [u8; 4],
    pub class: u8,
    pub data: u8,
    pub rest: [u8; 10],
}

/// gABI 4 "ELF Header" behind the identification, class 32.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header32 {
    pub kind: U16,
    pub machine: U16,
    pub version: U32,
    pub entry: U32,
    pub segments: U32,
    pub sections: U32,
    pub flags: U32,
    pub header_len: U16,
    pub segment_len: U16,
    pub segment_count: U16,
    pub section_len: U16,
    pub section_count: U16,
    pub names: U16,
}

/// The same, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header64 {
    pub kind: U16,
    pub machine: U16,
    pub version: U32,
    pub entry: U64,
    pub segments: U64,
    pub sections: U64,
    pub flags: U32,
    pub header_len: U16,
    pub segment_len: U16,
    pub segment_count: U16,
    pub section_len: U16,
    pub section_count: U16,
    pub names: U16,
}

/// gABI 5 "Program Header", class 32.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Segment32 {
    pub kind: U32,
    pub offset: U32,
    pub virtual_address: U32,
    pub physical_address: U32,
    pub file_len: U32,
    pub memory_len: U32,
    pub flags: U32,
    pub align: U32,
}

/// The same, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Segment64 {
    pub kind: U32,
    pub flags: U32,
    pub offset: U64,
    pub virtual_address: U64,
    pub physical_address: U64,
    pub file_len: U64,
    pub memory_len: U64,
    pub align: U64,
}

/// gABI 4 "Section Header", class 32.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Section32 {
    pub name: U32,
    pub kind: U32,
    pub flags: U32,
    pub address: U32,
    pub offset: U32,
    pub len: U32,
    pub link: U32,
    pub info: U32,
    pub align: U32,
    pub entry_len: U32,
}

/// The same, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Section64 {
    pub name: U32,
    pub kind: U32,
    pub flags: U64,
    pub address: U64,
    pub offset: U64,
    pub len: U64,
    pub link: U32,
    pub info: U32,
    pub align: U64,
    pub entry_len: U64,
}

/// gABI 4 "Symbol Table", class 32.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Symbol32 {
    pub name: U32,
    pub value: U32,
    pub len: U32,
    pub info: u8,
    pub other: u8,
    pub section: U16,
}

/// The same, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Symbol64 {
    pub name: U32,
    pub info: u8,
    pub other: u8,
    pub section: U16,
    pub value: U64,
    pub len: U64,
}

/// gABI 4 "Relocation", with an addend, class 64.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Rela64 {
    pub offset: U64,
    pub kind: U32,
    pub symbol: U32,
    pub addend: I64,
}

const _: () = {
    assert!(size_of::<Ident>() + size_of::<Header64>() == 64);
    assert!(size_of::<Ident>() + size_of::<Header32>() == 52);
    assert!(size_of::<Segment64>() == 56 && size_of::<Segment32>() == 32);
    assert!(size_of::<Section64>() == 64 && size_of::<Section32>() == 40);
    assert!(size_of::<Symbol64>() == 24 && size_of::<Symbol32>() == 16);
    assert!(size_of::<Rela64>() == 24);
};
