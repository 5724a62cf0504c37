//! GRUB's kernel for UEFI, and the modules behind it, as they lie in their files.
//!
//! Decides nothing. Sources: "Tool Interface Standard ELF" 1.2 with the 64-bit structures of the
//! System V gABI, chapter 4; "System V ABI, AMD64 supplement" 1.0, 4.4.1 "Relocation Types"; GRUB's
//! own structures by measurement of images that grub-mkimage 2.06 made. Invariant: all numbers are
//! little-endian.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// gABI, "ELF Identification": ELF, 64 bits, little-endian, version 1.
pub(super) const ELF64: [u8; 7] = [0x7f, b'E', b'L', b'F', 2, 1, 1];
/// gABI, "ELF Header", `e_type`: relocatable.
pub(super) const RELOCATABLE: u16 = 1;
/// AMD64 supplement, 4.1.1: `EM_X86_64`.
pub(super) const X86_64: u16 = 62;

/// gABI, "Sections", `sh_type`.
pub(super) const SYMTAB: u32 = 2;
/// The same: relocations with addends.
pub(super) const RELA: u32 = 4;
/// The same: zeros that are not in the file.
pub(super) const NOBITS: u32 = 8;
/// The same: relocations without addends, which x86-64 does not use.
pub(super) const REL: u32 = 9;
/// gABI, "Sections", `sh_flags`: lies in memory.
pub(super) const ALLOC: u64 = 2;
/// The same: is run.
pub(super) const EXEC: u64 = 4;

/// gABI, "Symbol Table", `st_shndx`: of no section.
pub(super) const UNDEFINED: u16 = 0;
/// The same: a plain number.
pub(super) const ABSOLUTE: u16 = 0xfff1;

/// AMD64 supplement, table 4.9.
pub(super) const R_NONE: u32 = 0;
/// S + A, 64 bits.
pub(super) const R_64: u32 = 1;
/// S + A - P, 32 bits.
pub(super) const R_PC32: u32 = 2;
/// L + A - P, 32 bits; without a linkage table L is S.
pub(super) const R_PLT32: u32 = 4;

/// What the list of modules begins with.
pub(super) const MODULES: u32 = 0x676d_696d;
/// A module, as its file has it.
pub(super) const MODULE: u32 = 0;
/// Commands that are run first.
pub(super) const CONFIG: u32 = 2;
/// Where GRUB's files lie.
pub(super) const PREFIX: u32 = 3;

/// gABI, "ELF Header".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) ident: [u8; 16],
    pub(super) kind: U16,
    pub(super) machine: U16,
    pub(super) version: U32,
    pub(super) entry: U64,
    pub(super) segments_at: U64,
    pub(super) sections_at: U64,
    pub(super) flags: U32,
    pub(super) header_len: U16,
    pub(super) segment_len: U16,
    pub(super) segments: U16,
    pub(super) section_len: U16,
    pub(super) sections: U16,
    pub(super) names: U16,
}

/// gABI, "Sections", section header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Section {
    pub(super) name: U32,
    pub(super) kind: U32,
    pub(super) flags: U64,
    pub(super) address: U64,
    pub(super) offset: U64,
    pub(super) size: U64,
    /// Of relocations: the symbol table.
    pub(super) link: U32,
    /// Of relocations: the section that they change.
    pub(super) info: U32,
    pub(super) align: U64,
    pub(super) entry_len: U64,
}

/// gABI, "Symbol Table".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Symbol {
    pub(super) name: U32,
    pub(super) info: u8,
    pub(super) other: u8,
    pub(super) section: U16,
    pub(super) value: U64,
    pub(super) size: U64,
}

/// gABI, "Relocation".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Rela {
    pub(super) offset: U64,
    pub(super) kind: U32,
    pub(super) symbol: U32,
    pub(super) addend: I64,
}

/// The front of section `mods`, with pointers of 64 bits.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ModuleInfo {
    /// `MODULES`.
    pub(super) magic: U32,
    pub(super) padding: U32,
    /// Bytes of this structure.
    pub(super) offset: U64,
    /// Bytes of it and all objects.
    pub(super) size: U64,
}

/// Before each object.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ObjectHeader {
    pub(super) kind: U32,
    /// Bytes of this structure, the object and its padding.
    pub(super) size: U32,
}
