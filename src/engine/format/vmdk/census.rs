//! Counts how the grains of a VMDK are stored.
//!
//! Reads tables only. Invariant: every grain of a sparse extent is counted once.

use super::read::{Part, PartData};
use super::sparse::{Place, Sparse};
use crate::engine::base::{Error, Extent};
use crate::engine::format::Census;
use crate::units::SECTOR;

/// Counts the grains. Flat extents are counted in units of the first sparse extent's grains.
pub(super) fn census(parts: &[Part]) -> Result<Census, Error> {
    let unit = parts.iter().find_map(|part| match &part.data {
        PartData::Sparse(extent) => Some(extent.header.grain_bytes()),
        PartData::Zero | PartData::Flat(..) => None,
    });
    let unit = unit.unwrap_or(SECTOR);
    let mut census = Census { unit, ..Census::default() };
    for part in parts {
        match &part.data {
            PartData::Zero => census.zero += part.disk.len().div_ceil(unit),
            PartData::Flat(source, start) => {
                let end = start + part.disk.len();
                let runs = source.extents().take_while(|run| run.start() < end);
                let data: u64 = runs
                    .filter_map(|run| run.intersect(Extent::new(*start, end)?))
                    .map(|run| run.len())
                    .sum();
                census.data += data.div_ceil(unit);
                census.unallocated +=
                    part.disk.len().div_ceil(unit).saturating_sub(data.div_ceil(unit));
            }
            PartData::Sparse(extent) => {
                count(extent, &mut census)?;
            }
        }
    }
    Ok(census)
}

/// Adds the grains of a sparse extent.
fn count(extent: &Sparse, census: &mut Census) -> Result<(), Error> {
    let (entries, grains) = (extent.header.entries, extent.header.grains());
    for number in 0..extent.header.tables {
        let (first, end) = (number * entries, grains.min((number + 1) * entries));
        let Some(table) = extent.table(number)? else {
            census.unallocated += end - first;
            continue;
        };
        for grain in first..end {
            *match extent.place(&table, grain)? {
                Place::Unallocated => &mut census.unallocated,
                Place::Zero => &mut census.zero,
                Place::At(_) if extent.header.compressed => &mut census.compressed,
                Place::At(_) => &mut census.data,
            } += 1;
        }
    }
    Ok(())
}
