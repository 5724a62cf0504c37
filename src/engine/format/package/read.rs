//! Lists and opens packages.
//!
//! Being built.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::engine::base::{Error, Kind, PositionalSink as _, SectorSource, Spool, Work};
use crate::engine::format::FormatName;

/// A kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageKind {
    /// A tar with an OVF descriptor.
    Ova,
    /// A Vagrant box.
    Box,
}

/// A file in a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

/// A disk that a package describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The name of its file in the package.
    pub file: String,
    /// The format of that file.
    pub format: FormatName,
    /// How many bytes the package says that it has.
    pub capacity: Option<u64>,
}

/// An open package.
#[derive(Debug)]
pub struct Package(());

impl Package {
    /// Judges an untrusted file. What is compressed around it is unpacked into `spool`, at most
    /// `limit` bytes.
    pub fn open(
        _source: Arc<dyn SectorSource>,
        _kind: PackageKind,
        spool: Spool,
        limit: u64,
    ) -> Result<Self, Error> {
        spool.set_len(limit.min(0))?;
        Err(Error::new(Kind::Unsupported, "packages are being built"))
    }

    /// The files in it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &[]
    }

    /// The disks that it describes.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        &[]
    }

    /// What its descriptor says. The names are lowerCamelCase and a contract with scripts.
    #[must_use]
    pub fn details(&self) -> Map<String, Value> {
        Map::new()
    }

    /// The file of a disk, once its digest is what the manifest says, where there is one.
    pub fn disk(&self, disk: &Disk, _work: &Work<'_>) -> Result<Arc<dyn SectorSource>, Error> {
        Err(Error::new(Kind::Unsupported, format!("{}: packages are being built", disk.file)))
    }
}
