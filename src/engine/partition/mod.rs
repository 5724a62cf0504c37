//! Partition tables: written, read from untrusted disks, and moved when a disk changes its length.
//!
//! Fills no partition. Invariant: whatever a disk holds, reading ends after a bounded number of
//! sectors.

mod arrange;
mod gpt;
mod mbr;
mod ondisk;
mod resize;
mod write;

use serde::Serialize;

use crate::engine::base::{Error, SectorSource};

pub use arrange::{Arranged, Ground, Place, Scheme, Wish, arrange, first_logical, number};
pub use resize::{Moved, resized};
pub use write::{GptSlot, Hybrid, MbrSlot, gpt, mbr};

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Which kind.
    pub kind: Kind,
    /// The disk's id.
    pub id: String,
    /// Bytes of a sector. A master boot record does not say: 512.
    pub sector_size: u64,
    /// The partitions in order of their numbers.
    pub partitions: Vec<Partition>,
    /// What is wrong with the table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Which kind of partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The table of IBM PCs.
    Mbr,
    /// The table of UEFI.
    Gpt,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    /// Its number, as Linux counts.
    pub number: u32,
    /// Its type: two hexadecimal digits, or a GUID.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the type stands for, if it is a common one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<&'static str>,
    /// Its own id, as `PARTUUID=` names it.
    pub id: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Whether a BIOS boots it.
    pub bootable: bool,
}

/// The partition table of `medium`, if it has one.
pub fn read(medium: &dyn SectorSource) -> Result<Option<Table>, Error> {
    match gpt::read(medium)? {
        Some(table) => Ok(Some(table)),
        None => mbr::read(medium),
    }
}
