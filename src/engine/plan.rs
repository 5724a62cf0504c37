//! Plans a disk: which products and partitions it holds, and how large each is at least.
//!
//! Reads inputs only where a size follows from the bytes. All defaults are decided here. Invariant:
//! a plan holds no choice but the places; everything after it follows from it.

use super::base::tree::Tree;
use super::base::{Content, Error, Kind, Origin};
use super::boot::{self, Booting, Direct};
use super::bootloader::sector;
use super::contents::{self, Trees};
use super::ids::Ids;
use super::inputs::Inputs;
use super::scripts;
use super::volume::{self, Volume};
use super::{Env, Given};
use crate::manifest::FieldPath;
use crate::manifest::types::{Disk, PartitionTable, Sector};
use crate::units::{ByteSize, SECTOR};

/// A planned disk.
#[derive(Debug)]
pub(super) struct Plan {
    /// What it holds outside of partitions.
    pub(super) products: Vec<Product>,
    /// Its partitions; without a table at most one, which is the whole disk.
    pub(super) volumes: Vec<Volume>,
    /// Its table.
    pub(super) table: Option<TablePlan>,
    /// What its firmware runs first.
    pub(super) booting: Booting,
    /// What lies beside it.
    pub(super) direct: Option<Direct>,
    /// Its size; none means as large as what it holds.
    pub(super) size: Option<(ByteSize, Origin)>,
}

/// A partition table that is to be written.
#[derive(Debug)]
pub(super) struct TablePlan {
    /// Its ids.
    pub(super) ids: Ids,
    /// Bytes of a sector.
    pub(super) sector: u64,
    /// Partitions begin at multiples of this.
    pub(super) align: u64,
    /// Room on top of the partitions where the disk has no size: per cent and bytes.
    pub(super) headroom: (u32, u64),
}

/// One planned product.
#[derive(Debug)]
pub(super) struct Product {
    /// The document field it came from.
    pub(super) origin: Origin,
    /// Its bytes.
    pub(super) content: Content,
    /// Where it must lie.
    pub(super) at: u64,
}

/// Plans the disk of a document.
pub(super) fn plan(given: &Given<'_>, env: &Env<'_>) -> Result<Plan, Error> {
    let spec = given.spec;
    let mut products = Vec::new();
    if let Some(sector) = spec.boot.as_ref().and_then(|boot| boot.sector.as_ref()) {
        products.push(boot_sector(sector, given.inputs)?);
    }
    let none = Disk::default();
    let disk = spec.disk.as_ref().unwrap_or(&none);
    let size = disk.size.map(|size| (size.0, Origin::new("spec.disk.size")));
    let empty = disk.partition_table == PartitionTable::None && disk.partitions.is_empty();
    if products.is_empty() && size.is_none() && empty {
        let message = "nothing to build: add boot, disk.partitions, or disk.size for an empty disk";
        return Err(Error::new(Kind::Document, message).at(&Origin::new("spec")));
    }
    let (ids, mut trees) = trees(disk, given, env)?;
    scripts::barrier(disk, &mut trees, env)?;
    let mut booting = boot::on_disk(disk, &ids, &mut trees, given, env)?;
    let direct = boot::direct(Some(disk), Some(&ids), &mut trees, given, env)?;
    let code = booting.code.take();
    let mut volumes = volume::volumes(disk, &ids, trees, code, given, env)?;
    if let Some(index) = booting.active {
        volume::activate(disk, &mut volumes, index);
    }
    let table = (disk.partition_table != PartitionTable::None).then(|| TablePlan {
        ids,
        sector: u64::from(disk.sector_size.0),
        align: disk.alignment.0.get(),
        headroom: volume::headroom(&disk.headroom),
    });
    Ok(Plan { products, volumes, table, booting, direct, size })
}

/// The trees of all partitions as the document's steps make them, and the ids that they name.
pub(super) fn trees(
    disk: &Disk,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<(Ids, Vec<Option<Tree>>), Error> {
    let ids = Ids::new(disk, given.seed).map_err(|e| e.at(&Origin::new("spec.disk")))?;
    let Trees(trees) = contents::trees(disk, &ids, given, env)?;
    Ok((ids, trees))
}

fn boot_sector(given: &Sector, inputs: &Inputs) -> Result<Product, Error> {
    let (origin, bytes) = sector_bytes(given, inputs)?;
    debug_assert!(bytes.len() as u64 <= SECTOR);
    Ok(Product { origin, content: Content::Bytes(bytes.into()), at: 0 })
}

/// The bytes of a boot sector, and the field they come from.
pub(super) fn sector_bytes(given: &Sector, inputs: &Inputs) -> Result<(Origin, Vec<u8>), Error> {
    Ok(match &given.message {
        Some(message) => {
            let origin = Origin::new("spec.boot.sector.message");
            (origin.clone(), sector::assemble(message).map_err(|e| e.at(&origin))?)
        }
        None => {
            let path = FieldPath::new("spec.boot.sector.source");
            let origin = Origin::new(path.as_str());
            let input = inputs.get(&path).ok_or_else(|| {
                Error::new(Kind::Document, "sector needs exactly one of: message, source")
                    .at(&origin)
            })?;
            (
                origin.clone(),
                input.bytes().and_then(|bytes| sector::take(&bytes)).map_err(|e| e.at(&origin))?,
            )
        }
    })
}
