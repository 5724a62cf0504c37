//! FAT12, FAT16 and FAT32 with long names: what firmware, DOS and everybody else reads.
//!
//! Owners, groups, modes but "read only", and extended attributes do not exist here and are left
//! out; a file with several names becomes several files; links, devices, FIFOs and sockets are
//! refused. Invariant: a file lies in one run of clusters, in the order of the names.

mod boot;
mod choice;
mod directory;
mod geometry;
mod identity;
mod name;
mod ondisk;
mod plan;
mod read;
mod settle;
mod time;
mod write;

use std::sync::Arc;

use super::{Facts, Planned, Request};
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, SectorSource};

pub use super::BootCode;

/// How a FAT volume is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// The type; omitted: by the size of the volume.
    pub bits: Option<Bits>,
    /// Bytes of a cluster; omitted: by the size of the volume.
    pub cluster_size: Option<u64>,
    /// A floppy disk, whose size and shape are then fixed.
    pub floppy: Option<Floppy>,
    /// Copies of the FAT: 1 or 2.
    pub fats: u8,
    /// Entries of the root directory of FAT12 and FAT16; omitted: 512, or more if they are needed.
    pub root_entries: Option<u16>,
    /// Who made the volume; some old systems trust no other.
    pub oem_name: [u8; 8],
    /// The media byte; omitted: F8, or that of the floppy.
    pub media: Option<u8>,
    /// Names all in small letters take no long name but two bits that Windows NT and Linux know.
    pub case_flags: bool,
    /// What a BIOS runs; omitted: a program that passes on to the next disk.
    pub boot: Option<BootCode>,
}

/// A type of FAT by the bits of its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its number")]
pub enum Bits {
    #[default]
    Twelve,
    Sixteen,
    ThirtyTwo,
}

/// A kind of floppy disk by its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its number")]
pub enum Floppy {
    Kib720,
    Kib1200,
    Kib1440,
    Kib2880,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            bits: None,
            cluster_size: None,
            floppy: None,
            fats: 2,
            root_entries: None,
            // FAT 1.03, "Boot Sector and BPB": the setting least likely to cause trouble.
            oem_name: *b"MSWIN4.1",
            media: None,
            case_flags: false,
            boot: None,
        }
    }
}

/// Plans a volume.
pub fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    Ok(Box::new(plan::Plan::new(params, request)?))
}

/// What volume `medium` holds; none if it is no FAT.
pub fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    read::look(medium)
}

/// The tree in `medium`.
pub fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    read::read(medium, limits)
}
