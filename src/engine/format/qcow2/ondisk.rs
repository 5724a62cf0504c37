//! The structures of a qcow2 file as they lie on disk.
//!
//! Decides nothing. Source: QEMU, docs/interop/qcow2.txt (qcow2.rst since QEMU 10); the section
//! is named at each item. Invariant: all numbers are big-endian, names are those of that document.

use std::mem::size_of;

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "QFI\xfb" (section "Header").
pub(super) const MAGIC: u32 = u32::from_be_bytes(*b"QFI\xfb");

/// Section "Header": the part that versions 2 and 3 have in common.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct HeaderV2 {
    pub(super) magic: U32,
    /// 2 or 3.
    pub(super) version: U32,
    /// Where the backing file's name lies, in bytes; 0 without one.
    pub(super) backing_file_offset: U64,

    /// Length of that name: at most 1023 bytes.
    pub(super) backing_file_size: U32,
    /// Base-2 logarithm of the cluster size: at least 9, in QEMU at most 21.
    pub(super) cluster_bits: U32,
    /// Virtual size in bytes.
    pub(super) size: U64,

    /// 0 none, 1 AES, 2 LUKS.
    pub(super) crypt_method: U32,
    /// Entries of the active L1 table. QEMU: at most 32 MiB of them.
    pub(super) l1_size: U32,
    /// Cluster-aligned.
    pub(super) l1_table_offset: U64,

    /// Cluster-aligned.
    pub(super) refcount_table_offset: U64,
    /// QEMU: at most 8 MiB of them.
    pub(super) refcount_table_clusters: U32,
    pub(super) nb_snapshots: U32,

    /// Cluster-aligned; ignored without snapshots.
    pub(super) snapshots_offset: U64,
}

/// Section "Header": what version 3 adds.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct HeaderV3 {
    /// Readers refuse bits that they do not know.
    pub(super) incompatible_features: U64,

    pub(super) compatible_features: U64,
    pub(super) autoclear_features: U64,

    /// Base-2 logarithm of the width of a reference count in bits: at most 6.
    pub(super) refcount_order: U32,
    /// At least 104, a multiple of 8.
    pub(super) header_length: U32,
}

/// Section "Additional fields (version 3 and higher)", with its "Header padding".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Additional {
    /// 0 zlib, 1 zstd; not 0 exactly if `INCOMPATIBLE_COMPRESSION` is set.
    pub(super) compression_type: u8,
    pub(super) padding: [u8; 7],
}

/// Section "Header extensions": stands before each extension's data, which is padded to 8 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Extension {
    pub(super) kind: U32,
    /// Length of the data without padding.
    pub(super) length: U32,
}

/// Section "Feature name table": one entry.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FeatureName {
    /// 0 incompatible, 1 compatible, 2 auto-clear.
    pub(super) kind: u8,
    pub(super) bit: u8,
    /// Padded with zeros.
    pub(super) name: [u8; 46],
}

/// Section "Bitmaps extension".
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BitmapsExtension {
    pub(super) nb_bitmaps: U32,
    pub(super) reserved: U32,
    /// Bytes of all directory entries.
    pub(super) bitmap_directory_size: U64,
    /// Cluster-aligned.
    pub(super) bitmap_directory_offset: U64,
}

/// Section "Bitmap directory": the start of an entry; extra data and the name follow, padded to 8
/// bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BitmapEntry {
    /// Cluster-aligned.
    pub(super) bitmap_table_offset: U64,
    /// Entries of the bitmap table.
    pub(super) bitmap_table_size: U32,
    pub(super) flags: U32,
    pub(super) kind: u8,
    pub(super) granularity_bits: u8,
    pub(super) name_size: U16,
    pub(super) extra_data_size: U32,
}

/// Section "Snapshots": the start of an entry of the snapshot table; extra data, ID and name
/// follow, padded to 8 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SnapshotEntry {
    /// Cluster-aligned.
    pub(super) l1_table_offset: U64,
    /// Entries of the L1 table.
    pub(super) l1_size: U32,
    pub(super) id_size: U16,
    pub(super) name_size: U16,
    pub(super) seconds: U32,
    pub(super) nanoseconds: U32,
    pub(super) vm_clock: U64,
    pub(super) vm_state_size: U32,
    pub(super) extra_data_size: U32,
}

const _: () = assert!(size_of::<BitmapsExtension>() == 24);
const _: () = assert!(size_of::<BitmapEntry>() == 24);
const _: () = assert!(size_of::<SnapshotEntry>() == 40);
const _: () = assert!(size_of::<HeaderV2>() == 72);
const _: () = assert!(size_of::<HeaderV3>() == 104 - 72);
const _: () = assert!(size_of::<Additional>() == 112 - 104);
const _: () = assert!(size_of::<Extension>() == 8);
const _: () = assert!(size_of::<FeatureName>() == 48);

/// `header_length` of version 3 without additional fields.
pub(super) const V3_LENGTH: u32 = 104;

// Bits of `incompatible_features`.
pub(super) const INCOMPATIBLE_DIRTY: u64 = 1 << 0;
pub(super) const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
pub(super) const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
pub(super) const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
pub(super) const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;

/// `compatible_features`: lazy refcounts.
pub(super) const COMPATIBLE_LAZY: u64 = 1 << 0;

/// `autoclear_features`: the bitmaps extension is consistent.
pub(super) const AUTOCLEAR_BITMAPS: u64 = 1 << 0;
/// `autoclear_features`: the external data file alone is the disk, too.
pub(super) const AUTOCLEAR_DATA_RAW: u64 = 1 << 1;

// Values of `Extension::kind`.
pub(super) const EXTENSION_END: u32 = 0;
pub(super) const EXTENSION_FEATURE_NAMES: u32 = 0x6803_f857;
pub(super) const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
pub(super) const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
pub(super) const EXTENSION_BITMAPS: u32 = 0x2385_2875;

/// Values of `Additional::compression_type`.
pub(super) const COMPRESSION_ZLIB: u8 = 0;
pub(super) const COMPRESSION_ZSTD: u8 = 1;

// Section "Cluster mapping": entries of L1 and L2 tables.

/// Bits 9-55: the host offset of a table or of a standard cluster.
pub(super) const ENTRY_OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// Bit 63: the reference count is exactly one.
pub(super) const ENTRY_COPIED: u64 = 1 << 63;
/// Bit 62 of an L2 entry: a compressed cluster.
pub(super) const ENTRY_COMPRESSED: u64 = 1 << 62;
/// Bit 0 of a standard cluster descriptor, version 3 only: reads as zeros.
pub(super) const ENTRY_ZERO: u64 = 1 << 0;
/// The unit in which a compressed cluster's length is counted.
pub(super) const COMPRESSED_SECTOR: u64 = 512;
/// Host offsets are below 64 PB.
pub(super) const OFFSET_BITS: u32 = 56;

/// Section "Extended L2 Entries": subclusters of a cluster.
pub(super) const SUBCLUSTERS: u64 = 32;
/// Section "Host cluster management": bits 9-63 of a refcount table entry.
pub(super) const REFCOUNT_OFFSET: u64 = !0x1ff;

// Limits of QEMU's implementation, named in the section "Header" and "Host cluster management".
pub(super) const MIN_CLUSTER_BITS: u32 = 9;
pub(super) const MAX_CLUSTER_BITS: u32 = 21;
/// With extended L2 entries: a subcluster has at least 512 bytes.
pub(super) const MIN_EXTENDED_BITS: u32 = 14;
pub(super) const MAX_L1_BYTES: u64 = 32 << 20;
pub(super) const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
pub(super) const MAX_BACKING_NAME: u32 = 1023;
pub(super) const MAX_REFCOUNT_ORDER: u32 = 6;
/// QEMU's QCOW_MAX_SNAPSHOTS.
pub(super) const MAX_SNAPSHOTS: u32 = 65_536;
/// QEMU's QCOW_MAX_SNAPSHOT_EXTRA_DATA.
pub(super) const MAX_SNAPSHOT_EXTRA: u32 = 1024;
/// QEMU's BME_MAX_TABLE_SIZE, in entries, and QEMU_BITMAPS_MAX.
pub(super) const MAX_BITMAP_TABLE: u32 = 0x800_0000;
pub(super) const MAX_BITMAPS: u32 = 65_535;
