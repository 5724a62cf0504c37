//! ELF headers as they lie in modules (System V ABI, gABI chapter 4 "Object Files"; elf.h).
//!
//! Judges nothing. Invariant: fields are bytes; `elf` reads them in the file's byte order.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// What an ELF file begins with.
pub(super) const MAGIC: [u8; 4] = *b"\x7fELF";

/// e_ident[EI_CLASS].
pub(super) const CLASS_32: u8 = 1;
/// See `CLASS_32`.
pub(super) const CLASS_64: u8 = 2;

/// e_ident[EI_DATA].
pub(super) const LITTLE: u8 = 1;
/// See `LITTLE`.
pub(super) const BIG: u8 = 2;

/// e_type of what is not linked yet, as modules are.
pub(super) const RELOCATABLE: u64 = 1;

/// The first bytes, the same in both classes (e_ident, e_type, e_machine).
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Ident {
    pub(super) magic: [u8; 4],
    pub(super) class: u8,
    pub(super) data: u8,
    pub(super) rest: [u8; 10],
    pub(super) kind: [u8; 2],
    pub(super) machine: [u8; 2],
}

/// Elf64_Ehdr behind e_machine.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header64 {
    pub(super) ident: Ident,
    pub(super) version: [u8; 4],
    pub(super) entry: [u8; 8],
    pub(super) segments: [u8; 8],
    pub(super) sections: [u8; 8],
    pub(super) flags: [u8; 4],
    pub(super) size: [u8; 2],
    pub(super) segment_size: [u8; 2],
    pub(super) segment_count: [u8; 2],
    pub(super) section_size: [u8; 2],
    pub(super) section_count: [u8; 2],
    pub(super) names: [u8; 2],
}

/// Elf32_Ehdr.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header32 {
    pub(super) ident: Ident,
    pub(super) version: [u8; 4],
    pub(super) entry: [u8; 4],
    pub(super) segments: [u8; 4],
    pub(super) sections: [u8; 4],
    pub(super) flags: [u8; 4],
    pub(super) size: [u8; 2],
    pub(super) segment_size: [u8; 2],
    pub(super) segment_count: [u8; 2],
    pub(super) section_size: [u8; 2],
    pub(super) section_count: [u8; 2],
    pub(super) names: [u8; 2],
}

/// Elf64_Shdr, to sh_size.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Section64 {
    pub(super) name: [u8; 4],
    pub(super) kind: [u8; 4],
    pub(super) flags: [u8; 8],
    pub(super) address: [u8; 8],
    pub(super) offset: [u8; 8],
    pub(super) size: [u8; 8],
}

/// Elf32_Shdr, to sh_size.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Section32 {
    pub(super) name: [u8; 4],
    pub(super) kind: [u8; 4],
    pub(super) flags: [u8; 4],
    pub(super) address: [u8; 4],
    pub(super) offset: [u8; 4],
    pub(super) size: [u8; 4],
}

const _: () = {
    assert!(size_of::<Ident>() == 20);
    assert!(size_of::<Header64>() == 64);
    assert!(size_of::<Header32>() == 52);
    assert!(size_of::<Section64>() == 40);
    assert!(size_of::<Section32>() == 24);
};
