//! Composes the disk: a medium that renders each region when it is read.
//!
//! Pure; holds no whole image. Invariant: late contents are settled before the first read.

use std::fmt;

use super::base::{Content, Error, Extent, Kind, Placement, SectorSource, within};
use super::layout::{Layout, Region};

/// A finished disk.
pub struct Medium {
    len: u64,
    regions: Vec<Region>,
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Medium({} bytes, {} regions)", self.len, self.regions.len())
    }
}

/// Settles late contents and composes the disk.
pub fn make(layout: Layout) -> Result<Medium, Error> {
    let Layout { len, regions } = layout;
    let mut settled = Vec::with_capacity(regions.len());
    for Region { extent, content, origin } in regions {
        let placement = Placement { extents: vec![extent], medium: len };
        let content = content.settle(&placement).map_err(|e| e.at(&origin))?;
        settled.push(Region { extent, content, origin });
    }
    Ok(Medium { len, regions: settled })
}

impl Medium {
    /// Index of the first region that ends after `offset`.
    fn first_after(&self, offset: u64) -> usize {
        self.regions.partition_point(|region| region.extent.end() <= offset)
    }
}

impl SectorSource for Medium {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = within(self.len, offset, buffer.len(), Kind::Io)?;
        buffer.fill(0);
        let Some(wanted) = Extent::new(offset, end) else { return Ok(()) };
        for region in self.regions.iter().skip(self.first_after(offset)) {
            let Some(common) = region.extent.intersect(wanted) else { break };
            let into = (common.start() - offset) as usize..(common.end() - offset) as usize;
            let from = common.start() - region.extent.start();
            if let Some(part) = buffer.get_mut(into) {
                read_content(&region.content, from, part).map_err(|e| e.at(&region.origin))?;
            }
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        for region in self.regions.iter().skip(self.first_after(offset)) {
            let start = region.extent.start();
            let inner = match &region.content {
                Content::Sectors(source) => source.next_extent(offset.saturating_sub(start)),
                Content::Bytes(_) | Content::Late(_) => Extent::new(0, region.extent.len()),
            };
            let placed = inner.and_then(|e| Extent::new(start + e.start(), start + e.end()));
            let cut = placed.and_then(|e| Extent::new(e.start().max(offset), e.end()));
            if cut.is_some() {
                return cut;
            }
        }
        None
    }
}

fn read_content(content: &Content, from: u64, part: &mut [u8]) -> Result<(), Error> {
    match content {
        Content::Bytes(bytes) => super::base::read_exact_at(bytes, from, part),
        Content::Sectors(source) => source.read_at(from, part),
        Content::Late(_) => unreachable!("make settles late contents before the first read"),
    }
}
