//! Gives every product of a plan its place.
//!
//! Pure. Renders nothing. Invariant: regions are in order, do not overlap, and lie inside the disk.

use super::base::{Error, Extent, Kind, Region};
use super::plan::{Place, Plan, Product};
use crate::units::{ByteSize, SECTOR};

/// A disk whose every byte has a place.
#[derive(Debug)]
pub struct Layout {
    /// Length of the disk.
    pub len: u64,
    /// What lies where; the rest is zero.
    pub regions: Vec<Region>,
}

/// Places the products of `plan`.
pub fn layout(plan: Plan) -> Result<Layout, Error> {
    let mut regions: Vec<Region> = Vec::with_capacity(plan.products.len());
    let mut end = 0;
    for product in plan.products {
        let Some(region) = place(product, end)? else { continue };
        end = end.max(region.extent.end());
        regions.push(region);
    }
    regions.sort_by_key(|region| region.extent);
    refuse_overlaps(&regions)?;
    let len = match plan.size {
        None => ByteSize::bytes(end).round_up(SECTOR)?.get(),
        Some((size, origin)) => fits(size, end).map_err(|e| e.at(&origin))?,
    };
    Ok(Layout { len, regions })
}

/// The region of `product` when everything before it ends at `end`; none for an empty product.
fn place(product: Product, end: u64) -> Result<Option<Region>, Error> {
    let Product { origin, content, place } = product;
    let align = content.align();
    let start = match place {
        Place::At(offset) => offset,
        Place::After { align: wanted } => {
            let both = ByteSize::bytes(end).round_up(wanted.max(1))?;
            both.round_up(align)?.get()
        }
    };
    if !start.is_multiple_of(align) {
        let message = format!("must begin at a multiple of {align} bytes but its place is {start}");
        return Err(Error::new(Kind::Document, message).at(&origin));
    }
    let stop = ByteSize::bytes(start).plus(ByteSize::bytes(content.len()))?.get();
    Ok(Extent::new(start, stop).map(|extent| Region { extent, content, origin }))
}

fn refuse_overlaps(regions: &[Region]) -> Result<(), Error> {
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
    use crate::engine::base::{Content, Late, Origin, Placement, SectorSource as _};
    use crate::engine::make::make;

    fn product(name: &str, bytes: &[u8], place: Place) -> Product {
        Product { origin: Origin::new(name), content: Content::Bytes(bytes.into()), place }
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
        let late = Product {
            origin: Origin::new("late"),
            content: pointer(),
            place: Place::After { align: 1 },
        };
        let products = vec![product("head", &[1; 700], Place::At(0)), late];
        let size = Some((ByteSize::mib(1), Origin::new("size")));
        let medium = make(layout(Plan { products, size }).unwrap()).unwrap();
        let mut bytes = [0; 16];
        medium.read_at(1024, &mut bytes).unwrap();
        assert_eq!(bytes[..8], 2u64.to_le_bytes());
        assert_eq!(bytes[8..], (1u64 << 20).to_le_bytes());
    }

    #[test]
    fn overlaps_and_overruns_are_refused_with_numbers() {
        let products =
            vec![product("a", &[1; 600], Place::At(0)), product("b", &[1; 8], Place::At(512))];
        let error = layout(Plan { products, size: None }).unwrap_err();
        assert_eq!(error.to_string(), "begins at byte 512 but a ends at 600");
        assert_eq!(error.origin().unwrap().as_str(), "b");

        for (size, says) in [(100, "not whole sectors"), (0, "needs 600 bytes"), (512, "needs 600")]
        {
            let products = vec![product("a", &[1; 600], Place::At(0))];
            let size = Some((ByteSize::bytes(size), Origin::new("spec.disk.size")));
            let error = layout(Plan { products, size }).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.origin().unwrap().as_str(), "spec.disk.size");
        }
    }

    #[test]
    fn a_place_beyond_64_bits_is_an_error() {
        let products = vec![
            product("a", &[1; 2], Place::At(u64::MAX - 1)),
            product("b", &[1], Place::After { align: 512 }),
        ];
        assert!(layout(Plan { products, size: None }).is_err());
    }
}
