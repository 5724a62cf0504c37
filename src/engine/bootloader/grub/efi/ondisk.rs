//! GRUB's kernel for UEFI, and the modules behind it, as they lie in their files.
//!
//! Decides nothing; ELF itself is `base::elf`. Sources: "System V ABI, AMD64 supplement" 1.0, 4.4.1
//! "Relocation Types"; GRUB's own structures by measurement of images that grub-mkimage 2.06 made.
//! Invariant: all numbers are little-endian.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

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
