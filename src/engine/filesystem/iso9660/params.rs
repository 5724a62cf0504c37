//! What an ISO 9660 image can be told.
//!
//! Decides nothing. Invariant: two parameters are equal only if they make the same bytes of the same
//! tree.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::engine::base::tree::TreePath;
use crate::engine::base::{Content, Error, Patch};

/// Parameters.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document")]
pub struct Params {
    /// At most 32 bytes, lower case allowed (`cidata`); Joliet has its first 16 characters. The
    /// request's label, if it has one, goes before it.
    pub volume_id: String,
    /// What can use the system area: at most 32 bytes.
    pub system_id: String,
    /// Who publishes the volume: at most 128 bytes.
    pub publisher: String,
    /// Who prepared it.
    pub preparer: String,
    /// What it holds.
    pub application: String,
    /// Which names, and whether files may have several extents.
    pub level: Level,
    /// POSIX names, owners, modes, links and devices.
    pub rock_ridge: bool,
    /// A second tree with UCS-2 names.
    pub joliet: bool,
    /// Joliet names of 103 characters instead of 64: more than the specification allows, read by all
    /// that matter.
    pub joliet_long: bool,
    /// Extended attributes are left out instead of refused.
    pub drop_attributes: bool,
    /// What firmware boots.
    pub boot: Vec<BootEntry>,
    /// Bytes before the first volume descriptor and at the very end.
    pub system_area: Option<SystemArea>,
    /// Bytes at the very end that the system area may write to: a second GPT.
    pub tail: u64,
    /// What lies behind the filesystem.
    pub appended: Vec<Appended>,
    /// Empty sectors behind the last file: 150 is what drives that read ahead of the end need.
    pub padding: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            volume_id: "ISOIMAGE".to_owned(),
            system_id: String::new(),
            publisher: String::new(),
            preparer: String::new(),
            application: String::new(),
            level: Level::Three,
            rock_ridge: true,
            joliet: true,
            joliet_long: false,
            drop_attributes: false,
            boot: Vec::new(),
            system_area: None,
            tail: 0,
            appended: Vec::new(),
            padding: 0,
        }
    }
}

/// ECMA-119 11: levels of interchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Names of 8.3 characters.
    One,
    /// Names of 31 characters.
    Two,
    /// The same, and files of 4 GiB and more.
    Three,
}

/// What firmware boots.
#[derive(Clone, Debug, PartialEq)]
pub struct BootEntry {
    /// Whose firmware.
    pub platform: Platform,
    /// What the image looks like to it.
    pub emulation: Emulation,
    /// The image.
    pub image: BootImage,
    /// Where it is loaded; 0 is 0x7c0.
    pub load_segment: u16,
    /// How many units of 512 bytes are loaded. By default 4 of a BIOS image, 1 of an emulated disk,
    /// and of an EFI image all; where that are 65536 or more the entry says 0, which to UEFI means
    /// to the end of the medium (UEFI 2.10, 13.3.2.1).
    pub load_sectors: Option<u16>,
    /// Bytes 8 to 63 of the image are a table with the places of the volume and of the image.
    pub info_table: bool,
    /// Bytes 2548 to 2555 are the place of what GRUB loads behind its first sectors.
    pub grub2_info: bool,
}

/// Whose firmware boots an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// 80x86.
    Bios,
    /// UEFI.
    Efi,
}

/// What a boot image looks like to a BIOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulation {
    /// Code that is loaded.
    None,
    /// A floppy disk of 1.2 MB: 1,228,800 bytes.
    Floppy12,
    /// A floppy disk of 1.44 MB: 1,474,560 bytes.
    Floppy144,
    /// A floppy disk of 2.88 MB: 2,949,120 bytes.
    Floppy288,
    /// A disk with a partition table of one partition.
    HardDisk,
}

impl Emulation {
    /// The bytes that an image must have.
    pub(super) const fn len(self) -> Option<u64> {
        match self {
            Self::None | Self::HardDisk => None,
            Self::Floppy12 => Some(1_228_800),
            Self::Floppy144 => Some(1_474_560),
            Self::Floppy288 => Some(2_949_120),
        }
    }
}

/// The image of a boot entry.
#[derive(Clone, Debug)]
pub enum BootImage {
    /// A file of the tree.
    Path(TreePath),
    /// What has no name in the image.
    Content(Content),
}

impl PartialEq for BootImage {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(one), Self::Path(other)) => one == other,
            (Self::Content(one), Self::Content(other)) => same(one, other),
            _ => false,
        }
    }
}

/// What lies behind the filesystem, as a partition.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Its place is a multiple of this; itself one of 2048.
    pub align: u64,
    /// What lies there.
    pub content: Content,
}

impl PartialEq for Appended {
    fn eq(&self, other: &Self) -> bool {
        self.align == other.align && same(&self.content, &other.content)
    }
}

fn same(one: &Content, other: &Content) -> bool {
    match (one, other) {
        (Content::Bytes(one), Content::Bytes(other)) => one == other,
        (Content::Sectors(one), Content::Sectors(other)) => Arc::ptr_eq(one, other),
        (Content::Late(one), Content::Late(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

/// Where everything came to lie, in bytes from the beginning of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Length of the image.
    pub len: u64,
    /// Bytes of the filesystem: what is appended lies behind.
    pub volume: u64,
    /// The boot catalog.
    pub catalog: Option<u64>,
    /// Place and length of each boot entry's image, in their order.
    pub boot: Vec<(u64, u64)>,
    /// Place and length of each appended content.
    pub appended: Vec<(u64, u64)>,
    /// Place and length of the files that were asked for.
    pub files: BTreeMap<TreePath, (u64, u64)>,
}

/// Makes bytes of the system area.
type Make = Arc<dyn Fn(&Places) -> Result<Vec<Patch>, Error> + Send + Sync>;

/// What lies in the first 32 KiB, which ISO 9660 leaves to others, and in `Params::tail`.
#[derive(Clone)]
pub struct SystemArea {
    /// The files whose places are wanted.
    pub files: Vec<TreePath>,
    /// Makes the bytes.
    pub make: Make,
}

impl SystemArea {
    /// These bytes from the beginning on.
    #[must_use]
    pub fn bytes(bytes: Vec<u8>) -> Self {
        let make = move |_: &Places| Ok(vec![Patch { offset: 0, bytes: bytes.clone() }]);
        Self { files: Vec::new(), make: Arc::new(make) }
    }
}

impl fmt::Debug for SystemArea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemArea").field("files", &self.files).finish_non_exhaustive()
    }
}

impl PartialEq for SystemArea {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && Arc::ptr_eq(&self.make, &other.make)
    }
}
