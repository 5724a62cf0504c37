//! The structures of GRUB's images as they lie on disk.
//!
//! Decides nothing. Sources: GRUB 2.06, include/grub/offsets.h, include/grub/kernel.h and
//! include/grub/i386/pc/boot.h for the numbers; the files of Debian's grub-pc-bin for the measured
//! ones. Invariant: all numbers are little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a sector: GRUB for BIOS counts in no other unit, not even on a disc.
pub(super) const SECTOR: usize = 512;

/// Where `kernel.img` is linked to, and where it is unpacked from
/// (offsets.h, `GRUB_KERNEL_I386_PC_LINK_ADDR`).
pub(super) const KERNEL_ADDRESS: u32 = 0x9000;

/// Bytes that `diskboot.img` may load: from 0x8200 to 0x78000, where GRUB wants to have ended
/// (offsets.h, `GRUB_MEMORY_I386_PC_MAX..`; grub-mkimage counts from 0x9000 and so do we).
pub(super) const LARGEST_CORE: u64 = 0x78000 - KERNEL_ADDRESS as u64;

/// kernel.h, `GRUB_MODULE_MAGIC`: "mimg".
pub(super) const MODINFO_MAGIC: u32 = 0x676d_696d;

/// kernel.h, `struct grub_module_info32`: lies behind the kernel.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ModuleInfo {
    pub(super) magic: U32,
    /// Where the first object lies, from here on.
    pub(super) offset: U32,
    /// Bytes of this and of all objects.
    pub(super) size: U32,
}

/// kernel.h, `struct grub_module_header`: stands before each object.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Object {
    pub(super) kind: U32,
    /// Bytes, this header among them.
    pub(super) size: U32,
}

/// kernel.h, `OBJ_TYPE_ELF`: a module.
pub(super) const OBJECT_MODULE: u32 = 0;
/// kernel.h, `OBJ_TYPE_MEMDISK`.
pub(super) const OBJECT_MEMDISK: u32 = 1;
/// kernel.h, `OBJ_TYPE_CONFIG`.
pub(super) const OBJECT_CONFIG: u32 = 2;
/// kernel.h, `OBJ_TYPE_PREFIX`.
pub(super) const OBJECT_PREFIX: u32 = 3;

/// In `lzma_decompress.img` (offsets.h, `GRUB_DECOMPRESSOR_I386_PC_COMPRESSED_SIZE`).
pub(super) const COMPRESSED_AT: usize = 0x08;
/// The same, `..._UNCOMPRESSED_SIZE`.
pub(super) const UNCOMPRESSED_AT: usize = 0x0c;

/// The last entry of the block list, at the end of `diskboot.img`: boot.h,
/// `struct grub_pc_bios_boot_blocklist`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BlockList {
    pub(super) start: U64,
    pub(super) len: U16,
    pub(super) segment: U16,
}

/// Where it lies: the list grows downwards from the end of the sector.
pub(super) const BLOCK_LIST_AT: usize = SECTOR - size_of::<BlockList>();

/// Where the code behind `diskboot.img` is loaded: 0x8200 (boot.h,
/// `GRUB_BOOT_MACHINE_KERNEL_SEG` + 0x20).
pub(super) const LOAD_SEGMENT: u16 = 0x820;

/// In `boot.img`: the sector that it loads (boot.h, `GRUB_BOOT_MACHINE_KERNEL_SECTOR`).
pub(super) const BOOT_SECTOR_AT: usize = 0x5c;
/// The same, `..._DRIVE_CHECK`: a jump over code for BIOSes that give a wrong drive.
pub(super) const DRIVE_CHECK_AT: usize = 0x66;
/// That jump, and what stands there on a hard disk, so that the check is made.
pub(super) const DRIVE_CHECK: [u8; 2] = [0xeb, 0x05];
pub(super) const NO_JUMP: [u8; 2] = [0x90, 0x90];
/// Bytes of boot code in a master boot record: behind them are the disk's id and its table, where
/// `boot.img` has code for floppy disks.
pub(super) const CODE: usize = 0x1b8;

/// In `boot_hybrid.img`: the sector that it loads. Measured: the shipped code reads 0x1b0, while
/// a comment of libisofs says 92.
pub(super) const HYBRID_SECTOR_AT: usize = 0x1b0;
