//! Plans a disk: which products and partitions it holds, and how large each is at least.
//!
//! Reads inputs only where a size follows from the bytes. All defaults are decided here. Invariant:
//! a plan holds no choice but the places; everything after it follows from it.

use super::base::tree::Tree;
use super::base::{Content, Error, Kind, Origin};
use super::boot::{self, Booting, Direct};
use super::bootloader::sector::{self, Front};
use super::contents::{self, Trees};
use super::filesystem::{BootCode, Params, fat};
use super::ids::Ids;
use super::inputs::Inputs;
use super::volume::{self, Volume};
use super::{Env, Given, params, scripts};
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
    let sector = spec.boot.as_ref().and_then(|boot| boot.sector.as_ref());
    if let Some(sector) = sector.filter(|_| !spec.has_volumes()) {
        products.push(boot_sector(sector, given.inputs)?);
    }
    let none = Disk::default();
    let disk = spec.disk.as_ref().unwrap_or(&none);
    let size = disk.size.map(|size| (size.0, Origin::new("spec.disk.size")));
    let empty = disk.partition_table == PartitionTable::None && disk.partitions.is_empty();
    if products.is_empty() && size.is_none() && empty {
        let message = "nothing to build: add boot.sector, disk.partitions, iso, or disk.size for an empty disk";
        return Err(Error::new(Kind::Document, message).at(&Origin::new("spec")));
    }
    let (ids, mut trees) = trees(disk, given, env)?;
    scripts::barrier(disk, &mut trees, env)?;
    let mut booting = boot::on_disk(disk, &ids, &mut trees, given, env)?;
    let direct = boot::direct(Some(disk), Some(&ids), &mut trees, given, env)?;
    let code = booting.code.take();
    let code = sector_code(disk, sector, given.inputs)?.or(code);
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

/// The boot sector of a disk that is one FAT volume: the code around its parameters.
fn sector_code(
    disk: &Disk,
    sector: Option<&Sector>,
    inputs: &Inputs,
) -> Result<Option<(usize, BootCode)>, Error> {
    let filesystem = disk.partitions.first().and_then(|partition| partition.filesystem.as_ref());
    let (Some(sector), Some(filesystem)) = (sector, filesystem) else { return Ok(None) };
    let Params::Fat(fat) = params::of(filesystem, true)? else { return Ok(None) };
    // Without a word about the bits, there is room for the parameters of each.
    let front = match (fat.bits, fat.floppy) {
        (Some(fat::Bits::Twelve | fat::Bits::Sixteen), _) | (None, Some(_)) => Front::Fat,
        _ => Front::Fat32,
    };
    let (_, bytes) = sector_bytes(sector, front, inputs)?;
    Ok(Some((0, BootCode::fixed(bytes))))
}

fn boot_sector(given: &Sector, inputs: &Inputs) -> Result<Product, Error> {
    let (origin, bytes) = sector_bytes(given, Front::Bare, inputs)?;
    debug_assert!(bytes.len() as u64 <= SECTOR);
    Ok(Product { origin, content: Content::Bytes(bytes.into()), at: 0 })
}

/// The bytes of a boot sector, and the field they come from.
pub(super) fn sector_bytes(
    given: &Sector,
    front: Front,
    inputs: &Inputs,
) -> Result<(Origin, Vec<u8>), Error> {
    if let Some(message) = &given.message {
        let origin = Origin::new("spec.boot.sector.message");
        let bytes = sector::assemble(message, front).map_err(|e| e.at(&origin))?;
        return Ok((origin, bytes));
    }
    let path = FieldPath::new("spec.boot.sector.source");
    let origin = Origin::new(path.as_str());
    let input = inputs.get(&path).ok_or_else(|| {
        let message = "sector needs exactly one of: message, source";
        Error::new(Kind::Document, message).at(&origin)
    })?;
    let take = if front == Front::Bare { sector::take } else { sector::take_on_fat };
    let bytes = input.bytes().and_then(|bytes| take(&bytes)).map_err(|e| e.at(&origin))?;
    Ok((origin, bytes))
}
