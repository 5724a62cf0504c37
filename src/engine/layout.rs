//! Gives every product and partition of a plan its place.
//!
//! Renders nothing. Invariant: regions are in order, do not overlap, and lie inside the disk.

use super::Env;
use super::base::{Content, Error, Extent, Kind, Origin, Patch};
use super::boot::Record;
use super::filesystem::Planned;
use super::partition::{self, Arranged, Ground, Hybrid, Scheme, Wish, arrange};
use super::plan::{Plan, Product, TablePlan};
use super::slot;
use super::volume::{Body, Volume};
use crate::manifest::types::{Disk, PartitionTable};
use crate::units::{ByteSize, SECTOR};

/// A disk whose every byte has a place.
#[derive(Debug)]
pub(super) struct Layout {
    /// Length of the disk.
    pub(super) len: u64,
    /// What lies where; the rest is zero.
    pub(super) regions: Vec<Placed>,
}

/// Something with its place.
#[derive(Debug)]
pub(super) struct Placed {
    /// Where it lies.
    pub(super) extent: Extent,
    /// What lies there.
    pub(super) thing: Thing,
    /// The document field it came from.
    pub(super) origin: Origin,
}

/// What has a place.
#[derive(Debug)]
pub(super) enum Thing {
    /// These bytes.
    Content(Content),
    /// A filesystem that is not rendered yet.
    Filesystem(Box<dyn Planned>),
}

/// Places what `plan` holds on `disk`.
pub(super) fn layout(plan: Plan, disk: &Disk, env: &Env<'_>) -> Result<Layout, Error> {
    let Plan { products, volumes, table, booting, size, .. } = plan;
    let mut regions: Vec<Placed> = Vec::with_capacity(products.len() + volumes.len());
    let mut end = 0;
    let mut whole = None;
    match table {
        Some(table) => {
            let arranged = arranged(&table, disk, &volumes, size.as_ref())?;
            whole = Some(arranged.len);
            let patches = tables(&table, disk, &volumes, &arranged)?;
            regions.extend(patches.into_iter().filter_map(patch));
            if let Some(record) = booting.record {
                let patches = boot(&record, &table, &volumes, &arranged)?;
                let origin = Origin::new("spec.boot");
                regions.extend(
                    patches
                        .into_iter()
                        .filter_map(patch)
                        .map(|p| Placed { origin: origin.clone(), ..p }),
                );
            }
            for (volume, place) in volumes.into_iter().zip(arranged.places) {
                regions.extend(placed(volume, place.extent, env)?);
            }
        }
        None => {
            for volume in volumes {
                let extent = Extent::new(0, volume.size);
                end = volume.size;
                regions.extend(extent.map(|e| placed(volume, e, env)).transpose()?.flatten());
            }
        }
    }
    for product in products {
        let Some(region) = place(product)? else { continue };
        end = end.max(region.extent.end());
        regions.push(region);
    }
    regions.sort_by_key(|region| region.extent);
    refuse_overlaps(&regions)?;
    let len = match (whole, size) {
        (Some(len), _) => len,
        (None, None) => ByteSize::bytes(end).round_up(SECTOR)?.get(),
        (None, Some((size, origin))) => fits(size, end).map_err(|e| e.at(&origin))?,
    };
    Ok(Layout { len, regions })
}

/// The places of all partitions.
fn arranged(
    table: &TablePlan,
    disk: &Disk,
    volumes: &[Volume],
    size: Option<&(ByteSize, Origin)>,
) -> Result<Arranged, Error> {
    let scheme = match disk.partition_table {
        PartitionTable::Mbr => Scheme::Mbr,
        PartitionTable::Gpt | PartitionTable::None => Scheme::Gpt,
    };
    let wish = |volume: &Volume| Wish {
        origin: volume.origin.clone(),
        size: volume.size,
        grow: volume.partition.grow,
        logical: volume.partition.logical,
    };
    let wishes: Vec<_> = volumes.iter().map(wish).collect();
    let len = size.map(|(size, _)| size.get());
    let ground = Ground { scheme, sector: table.sector, align: table.align, len };
    let at = size.map_or_else(|| Origin::new("spec.disk"), |(_, origin)| origin.clone());
    let arranged = arrange(&ground, &wishes).map_err(|e| e.at(&at))?;
    let (percent, bytes) = table.headroom;
    if len.is_some() || (percent, bytes) == (0, 0) {
        return Ok(arranged);
    }
    let used: u64 = volumes.iter().map(|volume| volume.size).sum();
    let more = ByteSize::bytes(used / 100 * u64::from(percent)).plus(ByteSize::bytes(bytes))?;
    let len = ByteSize::bytes(arranged.len).plus(more)?.round_up(table.align)?.get();
    arrange(&Ground { len: Some(len), ..ground }, &wishes).map_err(|e| e.at(&at))
}

/// The bytes of the tables.
fn tables(
    table: &TablePlan,
    disk: &Disk,
    volumes: &[Volume],
    arranged: &Arranged,
) -> Result<Vec<Patch>, Error> {
    let all = || volumes.iter().zip(&arranged.places);
    let mbr = |(volume, place): (&Volume, &partition::Place)| {
        slot::mbr(&volume.partition, volume.architecture, place.clone(), &volume.origin)
    };
    let origin = Origin::new("spec.disk.partitions");
    let placed = |patches: Result<Vec<Patch>, Error>| patches.map_err(|e| e.at(&origin));
    if disk.partition_table == PartitionTable::Mbr {
        let slots = all().map(mbr).collect::<Result<Vec<_>, _>>()?;
        return placed(partition::mbr(&slots, table.ids.signature, table.sector));
    }
    let slots = all().zip(&table.ids.partitions).map(|((volume, place), ids)| {
        let Volume { partition, architecture, origin, .. } = volume;
        slot::gpt(partition, *architecture, ids.guid, place.clone(), origin)
    });
    let slots = slots.collect::<Result<Vec<_>, _>>()?;
    let shown = |name: &String| all().find(|(volume, _)| volume.partition.name == *name);
    let shown = disk.hybrid.iter().filter_map(shown).map(mbr).collect::<Result<Vec<_>, _>>()?;
    let hybrid = Hybrid { slots: shown, signature: table.ids.signature };
    let hybrid = (!disk.hybrid.is_empty()).then_some(&hybrid);
    placed(partition::gpt(&slots, table.ids.disk, arranged.len, table.sector, hybrid))
}

/// The boot code in front of the table, and what it loads.
fn boot(
    record: &Record,
    table: &TablePlan,
    volumes: &[Volume],
    arranged: &Arranged,
) -> Result<Vec<Patch>, Error> {
    let core = match record {
        Record::Code(bytes) => return Ok(vec![Patch { offset: 0, bytes: bytes.clone() }]),
        Record::Grub(core) => core,
    };
    let origin = Origin::new("spec.boot.grub");
    let mut places = volumes.iter().zip(&arranged.places);
    let own = places.find(|(volume, _)| volume.partition.kind.as_deref() == Some("biosBoot"));
    let (room, what) = match own {
        Some((_, place)) => (Some(place.extent), "the partition of type biosBoot"),
        None => {
            let first = arranged.places.iter().map(|place| place.extent.start()).min();
            let first = first.unwrap_or(arranged.len);
            (Extent::new(table.sector, first), "the gap before the first partition")
        }
    };
    let room = room.ok_or_else(|| {
        let message = format!("there is no room for GRUB's core image of {} bytes", core.len());
        Error::new(Kind::Document, message).at(&origin)
    })?;
    Ok(core.install(room, what).map_err(|e| e.at(&origin))?.into())
}

fn patch(patch: Patch) -> Option<Placed> {
    let Patch { offset, bytes } = patch;
    let extent = Extent::new(offset, offset + bytes.len() as u64)?;
    let thing = Thing::Content(Content::Bytes(bytes.into()));
    Some(Placed { extent, thing, origin: Origin::new("spec.disk.partitionTable") })
}

/// A partition's body at its place; none if it is empty.
fn placed(volume: Volume, extent: Extent, env: &Env<'_>) -> Result<Option<Placed>, Error> {
    let Volume { origin, body, .. } = volume;
    let (thing, len) = match body {
        Body::Empty => return Ok(None),
        Body::Content(content) => {
            let len = content.len();
            (Thing::Content(content), len)
        }
        Body::Filesystem(filesystem) => {
            let resized = filesystem.resized(extent.len(), env).map_err(|e| e.at(&origin))?;
            let len = resized.planned.len();
            (Thing::Filesystem(resized.planned), len)
        }
    };
    let extent = Extent::new(extent.start(), extent.start() + len);
    Ok(extent.map(|extent| Placed { extent, thing, origin }))
}

/// The region of `product`; none for an empty one.
fn place(product: Product) -> Result<Option<Placed>, Error> {
    let Product { origin, content, at } = product;
    let align = content.align();
    if !at.is_multiple_of(align) {
        let message = format!("must begin at a multiple of {align} bytes but its place is {at}");
        return Err(Error::new(Kind::Document, message).at(&origin));
    }
    let stop = ByteSize::bytes(at).plus(ByteSize::bytes(content.len()))?.get();
    let thing = Thing::Content(content);
    Ok(Extent::new(at, stop).map(|extent| Placed { extent, thing, origin }))
}

fn refuse_overlaps(regions: &[Placed]) -> Result<(), Error> {
    for pair in regions.windows(2) {
        let [first, second] = pair else { continue };
        if first.extent.end() > second.extent.start() {
            let message = format!(
                "begins at byte {} but {} ends at {}",
                second.extent.start(),
                first.origin,
                first.extent.end()
            );
            return Err(Error::new(Kind::Document, message).at(&second.origin));
        }
    }
    Ok(())
}

/// The disk's length if `size` is whole sectors and holds `end` bytes.
fn fits(size: ByteSize, end: u64) -> Result<u64, Error> {
    let refuse = |message| Err(Error::new(Kind::Document, message));
    if !size.is_multiple_of(SECTOR) {
        return refuse(format!("{} bytes are not whole sectors of {SECTOR} bytes", size.get()));
    }
    if size.get() < end {
        return refuse(format!("{size} is smaller than the content, which needs {end} bytes"));
    }
    Ok(size.get())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::base::tree::Time;
    use crate::engine::base::{Late, Placement, Scratch, SectorSource as _, Silent, Work};
    use crate::engine::boot::Booting;
    use crate::engine::bootloader::assets::Assets;
    use crate::engine::make::make;

    fn product(name: &str, bytes: &[u8], at: u64) -> Product {
        Product { origin: Origin::new(name), content: Content::Bytes(bytes.into()), at }
    }

    fn laid_out(products: Vec<Product>, size: Option<u64>) -> Result<Layout, Error> {
        let scratch = Scratch::new(std::path::Path::new("/nowhere"), 0);
        let work = Work { threads: 1, progress: &Silent };
        let scripts = crate::engine::Scripts::Refused;
        let assets = Assets::default();
        let env = Env { scratch: &scratch, time: Time::default(), work, scripts, assets: &assets };
        let size = size.map(|size| (ByteSize::bytes(size), Origin::new("spec.disk.size")));
        let plan = Plan {
            products,
            volumes: Vec::new(),
            table: None,
            booting: Booting::default(),
            direct: None,
            size,
        };
        layout(plan, &Disk::default(), &env)
    }

    /// A pointer to its own sector and the disk's length, as a boot loader's block list is.
    fn pointer() -> Content {
        let finish = |p: &Placement| {
            let mut bytes = (p.extents[0].start() / SECTOR).to_le_bytes().to_vec();
            bytes.extend(p.medium.to_le_bytes());
            bytes
        };
        let late = Late { len: 16, align: SECTOR, contiguous: true, finish: Box::new(finish) };
        Content::Late(Arc::new(late))
    }

    #[test]
    fn late_content_learns_its_place() {
        let late = |at| Product { origin: Origin::new("late"), content: pointer(), at };
        let head = || product("head", &[1; 700], 0);
        let medium = make(laid_out(vec![head(), late(1024)], Some(1 << 20)).unwrap()).unwrap();
        let mut bytes = [0; 16];
        medium.read_at(1024, &mut bytes).unwrap();
        assert_eq!(bytes[..8], 2u64.to_le_bytes());
        assert_eq!(bytes[8..], (1u64 << 20).to_le_bytes());
        let error = laid_out(vec![head(), late(1000)], None).unwrap_err();
        let says = "must begin at a multiple of 512 bytes but its place is 1000";
        assert_eq!((error.to_string().as_str(), error.origin().unwrap().as_str()), (says, "late"));
    }

    #[test]
    fn overlaps_and_overruns_are_refused_with_numbers() {
        let products = vec![product("a", &[1; 600], 0), product("b", &[1; 8], 512)];
        let error = laid_out(products, None).unwrap_err();
        assert_eq!(error.to_string(), "begins at byte 512 but a ends at 600");
        assert_eq!(error.origin().unwrap().as_str(), "b");

        for (size, says) in [(100, "not whole sectors"), (0, "needs 600 bytes"), (512, "needs 600")]
        {
            let error = laid_out(vec![product("a", &[1; 600], 0)], Some(size)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.origin().unwrap().as_str(), "spec.disk.size");
        }
    }

    #[test]
    fn a_place_beyond_64_bits_is_an_error() {
        assert!(laid_out(vec![product("a", &[1; 2], u64::MAX - 1)], None).is_err());
    }
}
