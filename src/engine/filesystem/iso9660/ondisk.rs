//! The structures of an ISO 9660 image as they lie on disk.
//!
//! Decides nothing. Sources: ECMA-119 4th edition (ISO 9660), SUSP 1.12 (IEEE P1281), RRIP 1.12
//! (IEEE P1282), the Joliet specification of 1995, El Torito 1.0; the section is named at each item.
//! Invariant: names are those of the documents.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian as be, little_endian as le,
};

/// Bytes of a sector: ECMA-119 7.1.2.
pub(super) const SECTOR: u64 = 2048;

/// The first volume descriptor; before it lies the system area (ECMA-119 7.2.1).
pub(super) const FIRST_DESCRIPTOR: u64 = 16;

/// ECMA-119 9.1.2: identifies every volume descriptor.
pub(super) const STANDARD_ID: [u8; 5] = *b"CD001";

/// Types of volume descriptors: ECMA-119 9.1.1.
pub(super) const TYPE_BOOT: u8 = 0;
pub(super) const TYPE_PRIMARY: u8 = 1;
pub(super) const TYPE_SUPPLEMENTARY: u8 = 2;
pub(super) const TYPE_TERMINATOR: u8 = 255;

/// Joliet, "SVD Escape Sequences Field": UCS-2 level 3, and levels 1 and 2.
pub(super) const JOLIET_3: [u8; 3] = *b"%/E";
pub(super) const JOLIET: [[u8; 3]; 3] = [*b"%/@", *b"%/C", JOLIET_3];

/// File flags: ECMA-119 10.1.6.
pub(super) const FLAG_DIRECTORY: u8 = 0x02;
pub(super) const FLAG_ASSOCIATED: u8 = 0x04;
pub(super) const FLAG_MULTI_EXTENT: u8 = 0x80;

/// A directory record is at most this long: its length is a byte, and even (ECMA-119 10.1.1, 10.1.12).
pub(super) const MAX_RECORD: usize = 254;

/// Both-byte orders: ECMA-119 8.2.3, 8.3.3.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Both16 {
    pub(super) little: le::U16,
    pub(super) big: be::U16,
}

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Both32 {
    pub(super) little: le::U32,
    pub(super) big: be::U32,
}

impl Both16 {
    pub(super) const fn new(value: u16) -> Self {
        Self { little: le::U16::new(value), big: be::U16::new(value) }
    }
}

impl Both32 {
    pub(super) const fn new(value: u32) -> Self {
        Self { little: le::U32::new(value), big: be::U32::new(value) }
    }

    /// The little-endian half: the one that every reader takes.
    pub(super) const fn get(self) -> u32 {
        self.little.get()
    }
}

/// ECMA-119 10.1.5: the date in a directory record.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub(super) struct Date7 {
    /// Since 1900.
    pub(super) year: u8,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    /// Quarters of an hour east of Greenwich.
    pub(super) zone: i8,
}

/// ECMA-119 9.4.27.2: the date in a volume descriptor, as digits.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Date17 {
    /// Year, month, day, hour, minute, second, hundredths.
    pub(super) digits: [u8; 16],
    pub(super) zone: i8,
}

/// ECMA-119 10.1: what every directory record begins with; the identifier follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Record {
    pub(super) len: u8,
    /// Sectors of an extended attribute record before the data.
    pub(super) attribute_len: u8,
    pub(super) extent: Both32,
    pub(super) data_len: Both32,
    pub(super) date: Date7,
    pub(super) flags: u8,
    pub(super) unit_size: u8,
    pub(super) gap_size: u8,
    pub(super) volume: Both16,
    pub(super) id_len: u8,
}

/// Bytes of `Record`.
pub(super) const RECORD: usize = size_of::<Record>();

/// ECMA-119 7.6: a path table record in the little-endian table; the identifier follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PathL {
    pub(super) id_len: u8,
    pub(super) attribute_len: u8,
    pub(super) extent: le::U32,
    pub(super) parent: le::U16,
}

/// The same in the big-endian table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PathM {
    pub(super) id_len: u8,
    pub(super) attribute_len: u8,
    pub(super) extent: be::U32,
    pub(super) parent: be::U16,
}

/// ECMA-119 9.4 and 9.5: primary and supplementary volume descriptor.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Volume {
    pub(super) kind: u8,
    pub(super) id: [u8; 5],
    pub(super) version: u8,
    pub(super) flags: u8,
    pub(super) system_id: [u8; 32],
    pub(super) volume_id: [u8; 32],
    pub(super) unused_1: [u8; 8],
    pub(super) space: Both32,
    pub(super) escapes: [u8; 32],
    pub(super) set_size: Both16,
    pub(super) sequence: Both16,
    pub(super) block_size: Both16,
    pub(super) path_table_len: Both32,
    pub(super) path_l: le::U32,
    pub(super) path_l_second: le::U32,
    pub(super) path_m: be::U32,
    pub(super) path_m_second: be::U32,
    pub(super) root: Record,
    pub(super) root_id: u8,
    pub(super) volume_set: [u8; 128],
    pub(super) publisher: [u8; 128],
    pub(super) preparer: [u8; 128],
    pub(super) application: [u8; 128],
    pub(super) copyright: [u8; 37],
    pub(super) abstract_file: [u8; 37],
    pub(super) bibliography: [u8; 37],
    pub(super) created: Date17,
    pub(super) modified: Date17,
    pub(super) expires: Date17,
    pub(super) effective: Date17,
    /// ECMA-119 9.4.31: 1.
    pub(super) structure: u8,
    pub(super) unused_2: u8,
    pub(super) application_use: [u8; 512],
    pub(super) reserved: [u8; 653],
}

const _: () = assert!(size_of::<Volume>() == 2048 && RECORD == 33);

/// El Torito figure 7: the boot record volume descriptor.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BootRecord {
    pub(super) kind: u8,
    pub(super) id: [u8; 5],
    pub(super) version: u8,
    pub(super) system: [u8; 32],
    pub(super) unused: [u8; 32],
    pub(super) catalog: le::U32,
}

/// El Torito figure 7, offset 7: padded with zeros.
pub(super) const EL_TORITO: &[u8] = b"EL TORITO SPECIFICATION";

/// El Torito figure 2: the first entry of the catalog.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Validation {
    /// 1.
    pub(super) header: u8,
    pub(super) platform: u8,
    pub(super) reserved: [u8; 2],
    pub(super) id: [u8; 24],
    /// All words of the entry sum up to 0.
    pub(super) checksum: le::U16,
    /// 0x55, 0xaa.
    pub(super) key: [u8; 2],
}

/// El Torito figures 3 and 5: initial/default entry and section entry.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BootSlot {
    /// 0x88 bootable, 0 not.
    pub(super) indicator: u8,
    /// 0 no emulation, 1 1.2 MB, 2 1.44 MB, 3 2.88 MB, 4 hard disk.
    pub(super) media: u8,
    pub(super) load_segment: le::U16,
    pub(super) system: u8,
    pub(super) unused: u8,
    /// In units of 512 bytes.
    pub(super) sectors: le::U16,
    pub(super) start: le::U32,
    pub(super) rest: [u8; 20],
}

/// El Torito figure 4: section header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Section {
    /// 0x90, the last one 0x91.
    pub(super) header: u8,
    pub(super) platform: u8,
    pub(super) entries: le::U16,
    pub(super) id: [u8; 28],
}

pub(super) const BOOTABLE: u8 = 0x88;
pub(super) const SECTION_MORE: u8 = 0x90;
pub(super) const SECTION_LAST: u8 = 0x91;

/// SUSP 4.1: what every system use entry begins with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) signature: [u8; 2],
    pub(super) len: u8,
    pub(super) version: u8,
}

/// Bytes of `Entry`.
pub(super) const ENTRY: usize = size_of::<Entry>();

/// SUSP 5.1, behind `Entry`: continuation area.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Continuation {
    pub(super) block: Both32,
    pub(super) offset: Both32,
    pub(super) len: Both32,
}

/// SUSP 5.3, behind `Entry`: sharing protocol indicator.
pub(super) const SP: [u8; 3] = [0xbe, 0xef, 0];

/// RRIP 4.1.1, behind `Entry`: POSIX file attributes. Before 1.12 without the serial number.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Posix {
    pub(super) mode: Both32,
    pub(super) links: Both32,
    pub(super) uid: Both32,
    pub(super) gid: Both32,
    pub(super) serial: Both32,
}

/// RRIP 4.1.2, behind `Entry`: device numbers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DeviceNumbers {
    pub(super) high: Both32,
    pub(super) low: Both32,
}

/// RRIP 4.1.3.1: component flags of SL; the same first bit continues SL and NM.
pub(super) const CONTINUE: u8 = 1;
pub(super) const CURRENT: u8 = 2;
pub(super) const PARENT: u8 = 4;
pub(super) const ROOT: u8 = 8;

/// RRIP 4.1.6: flags of TF.
pub(super) const TF_CREATION: u8 = 1;
pub(super) const TF_MODIFY: u8 = 2;
pub(super) const TF_ACCESS: u8 = 4;
pub(super) const TF_ATTRIBUTES: u8 = 8;
pub(super) const TF_LONG: u8 = 0x80;

/// RRIP 4.3: the extension's identifier, descriptor and source.
pub(super) const ER_ID: &[u8] = b"IEEE_P1282";
pub(super) const ER_DESCRIPTOR: &[u8] =
    b"THE IEEE P1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
pub(super) const ER_SOURCE: &[u8] = b"PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT, PISCATAWAY, \
NJ, USA FOR THE P1282 SPECIFICATION.";

/// POSIX file types in a mode, as RRIP 4.1.1 lists them.
pub(super) const S_IFMT: u32 = 0o170_000;
pub(super) const S_IFSOCK: u32 = 0o140_000;
pub(super) const S_IFLNK: u32 = 0o120_000;
pub(super) const S_IFREG: u32 = 0o100_000;
pub(super) const S_IFBLK: u32 = 0o060_000;
pub(super) const S_IFDIR: u32 = 0o040_000;
pub(super) const S_IFCHR: u32 = 0o020_000;
pub(super) const S_IFIFO: u32 = 0o010_000;
