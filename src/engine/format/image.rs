//! What every opened image file can tell, whatever its format.
//!
//! Reads nothing itself. Invariant: lists have a bounded length, whatever the file says.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{FormatName, Params};
use crate::engine::base::{Error, SectorSource, Work};

/// An opened image file: its virtual disk as a medium, and what is known about the file.
pub trait Image: SectorSource {
    /// The format.
    fn format(&self) -> FormatName;

    /// What the file's headers say. The names are lowerCamelCase and a contract with scripts.
    fn details(&self) -> Map<String, Value>;

    /// How a file of the same kind is written: what `resize` writes again.
    fn params(&self) -> Params;

    /// How the units of the disk are stored.
    fn census(&self) -> Result<Census, Error>;

    /// Judges the structure of the whole file: more than reading needs. What it finds is no
    /// error; an error is that it could not look.
    fn check(&self, work: &Work<'_>) -> Result<Findings, Error>;
}

/// How many units of the virtual disk are stored how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Census {
    /// Bytes of a unit: cluster, grain or block.
    pub unit: u64,
    /// Stored as they are.
    pub data: u64,
    /// Compressed.
    pub compressed: u64,
    /// Marked as zero.
    pub zero: u64,
    /// Not mentioned.
    pub unallocated: u64,
}

/// What `check` found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// The first findings, at most `Findings::MOST`.
    pub listed: Vec<Finding>,
    /// Wrong, so that contents are lost or will be.
    pub errors: u64,
    /// Allocated in the file but used by nothing: room, no contents.
    pub leaks: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The offset in the file of what is wrong.
    pub offset: u64,
    /// The field or structure, what it holds, and what is allowed.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Contents are lost or will be.
    Error,
    /// Room is lost.
    Leak,
}

impl Findings {
    /// How many findings are listed; all are counted.
    pub const MOST: usize = 100;

    /// Adds a finding.
    pub fn add(&mut self, severity: Severity, offset: u64, message: impl Into<String>) {
        match severity {
            Severity::Error => self.errors += 1,
            Severity::Leak => self.leaks += 1,
        }
        if self.listed.len() < Self::MOST {
            self.listed.push(Finding { severity, offset, message: message.into() });
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.errors == 0 && self.leaks == 0
    }
}
