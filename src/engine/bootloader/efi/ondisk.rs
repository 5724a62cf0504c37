//! The headers of a PE32+ file, which is what UEFI runs, as they lie in it.
//!
//! Decides nothing. Source: Microsoft, "PE Format" (learn.microsoft.com/windows/win32/debug/pe-format),
//! and for the DOS header the "MS-DOS Stub" section of it; the section is named at each item.
//! Invariant: all numbers are little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "MS-DOS Stub (Image Only)": the first bytes.
pub(in crate::engine::bootloader) const DOS_MAGIC: [u8; 2] = *b"MZ";
/// "MS-DOS Stub": where the offset of the PE signature stands.
pub(in crate::engine::bootloader) const DOS_NEW: u64 = 0x3c;
/// "Signature (Image Only)".
pub(in crate::engine::bootloader) const PE_MAGIC: [u8; 4] = *b"PE\0\0";
/// "Optional Header (Image Only)": PE32+.
pub(in crate::engine::bootloader) const PE32_PLUS: u16 = 0x20b;
/// "Optional Header (Image Only)": PE32, for processors of 32 bits.
pub(in crate::engine::bootloader) const PE32: u16 = 0x10b;
/// "Windows Subsystem": an EFI application.
pub(in crate::engine::bootloader) const EFI_APPLICATION: u16 = 10;
/// "Optional Header Data Directories": the signatures.
pub(in crate::engine::bootloader) const CERTIFICATES: usize = 4;
/// "Optional Header Data Directories": the base relocations.
pub(in crate::engine::bootloader) const RELOCATIONS: usize = 5;
/// "Optional Header Data Directories": debug data, which names file offsets.
pub(in crate::engine::bootloader) const DEBUG: usize = 6;
/// "The .reloc Section", "Base Relocation Types": 64 bits are moved.
pub(in crate::engine::bootloader) const DIR64: u16 = 10;

/// "Section Flags": code that is read and run.
pub(in crate::engine::bootloader) const CODE: u32 = 0x6000_0020;
/// "Section Flags": data that is read and written.
pub(in crate::engine::bootloader) const DATA: u32 = 0xc000_0040;
/// "Section Flags": data that is read.
pub(in crate::engine::bootloader) const READ_ONLY: u32 = 0x4000_0040;
/// "Section Flags": data that is read once and then thrown away.
pub(in crate::engine::bootloader) const DISCARDABLE: u32 = 0x4200_0040;

/// "COFF File Header (Object and Image)", with the signature before it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(in crate::engine::bootloader) struct Coff {
    pub(in crate::engine::bootloader) magic: [u8; 4],
    pub(in crate::engine::bootloader) machine: U16,
    pub(in crate::engine::bootloader) sections: U16,
    /// Seconds since 1970.
    pub(in crate::engine::bootloader) time: U32,
    pub(in crate::engine::bootloader) symbols_at: U32,
    pub(in crate::engine::bootloader) symbols: U32,
    pub(in crate::engine::bootloader) optional_len: U16,
    pub(in crate::engine::bootloader) characteristics: U16,
}

/// "Optional Header Standard Fields" and "Windows-Specific Fields" of PE32+, without directories.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(in crate::engine::bootloader) struct Optional {
    pub(in crate::engine::bootloader) magic: U16,
    pub(in crate::engine::bootloader) linker_version: [u8; 2],
    pub(in crate::engine::bootloader) code_size: U32,
    pub(in crate::engine::bootloader) data_size: U32,
    pub(in crate::engine::bootloader) bss_size: U32,
    pub(in crate::engine::bootloader) entry: U32,
    pub(in crate::engine::bootloader) code_base: U32,
    pub(in crate::engine::bootloader) image_base: U64,
    pub(in crate::engine::bootloader) section_alignment: U32,
    pub(in crate::engine::bootloader) file_alignment: U32,
    pub(in crate::engine::bootloader) system_version: [U16; 2],
    /// Linux tells here what its stub can do.
    pub(in crate::engine::bootloader) image_version: [U16; 2],
    pub(in crate::engine::bootloader) subsystem_version: [U16; 2],
    pub(in crate::engine::bootloader) reserved: U32,
    /// Of the image in memory, headers counted.
    pub(in crate::engine::bootloader) image_size: U32,
    /// Of all headers in the file, a multiple of `file_alignment`.
    pub(in crate::engine::bootloader) headers_size: U32,
    pub(in crate::engine::bootloader) checksum: U32,
    pub(in crate::engine::bootloader) subsystem: U16,
    pub(in crate::engine::bootloader) dll_characteristics: U16,
    pub(in crate::engine::bootloader) stack: [U64; 2],
    pub(in crate::engine::bootloader) heap: [U64; 2],
    pub(in crate::engine::bootloader) loader_flags: U32,
    pub(in crate::engine::bootloader) directories: U32,
}

/// "Optional Header Data Directories".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(in crate::engine::bootloader) struct Directory {
    pub(in crate::engine::bootloader) address: U32,
    pub(in crate::engine::bootloader) size: U32,
}

/// "Section Table (Section Headers)".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(in crate::engine::bootloader) struct SectionHeader {
    pub(in crate::engine::bootloader) name: [u8; 8],
    pub(in crate::engine::bootloader) virtual_size: U32,
    pub(in crate::engine::bootloader) virtual_address: U32,
    pub(in crate::engine::bootloader) raw_size: U32,
    pub(in crate::engine::bootloader) raw_at: U32,
    pub(in crate::engine::bootloader) relocations_at: U32,
    pub(in crate::engine::bootloader) lines_at: U32,
    pub(in crate::engine::bootloader) relocations: U16,
    pub(in crate::engine::bootloader) lines: U16,
    pub(in crate::engine::bootloader) flags: U32,
}

/// The start of a Linux kernel for x86: linux, Documentation/arch/x86/boot.rst, "The Real-Mode
/// Kernel Header".
pub(super) mod bzimage {
    /// `boot_flag`.
    pub(in crate::engine::bootloader::efi) const FLAG: (usize, [u8; 2]) = (0x1fe, [0x55, 0xaa]);
    /// `header`.
    pub(in crate::engine::bootloader::efi) const MAGIC: (usize, [u8; 4]) = (0x202, *b"HdrS");
    /// `kernel_version`: where the version's text lies, less 0x200.
    pub(in crate::engine::bootloader::efi) const VERSION: usize = 0x20e;
}

/// The start of a Linux kernel for arm64: linux, Documentation/arch/arm64/booting.rst, "Call the
/// kernel image".
pub(super) const ARM64_MAGIC: (usize, [u8; 4]) = (0x38, *b"ARM\x64");
/// linux, include/linux/pe.h, `LINUX_EFISTUB_MAJOR_VERSION`: from this on a kernel (5.8) takes its
/// initrd from whoever started it.
pub(super) const TAKES_INITRD: u16 = 1;
