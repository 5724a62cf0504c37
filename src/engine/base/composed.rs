//! A medium made of regions: each is rendered when it is read.
//!
//! Places nothing and holds no whole image. Invariants: regions are in order and do not overlap; what
//! lies in none of them is zero; late contents were settled before.

use std::fmt;

use super::{
    Content, Error, Extent, Kind, Origin, SectorSource, read_exact_at, read_pieces, within,
};

/// A content with its place.
#[derive(Clone, Debug)]
pub struct Region {
    /// Where it lies.
    pub extent: Extent,
    /// What lies there.
    pub content: Content,
    /// The document field it came from.
    pub origin: Origin,
}

/// The medium.
pub struct Composed {
    len: u64,
    regions: Vec<Region>,
}

impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Composed({} bytes, {} regions)", self.len, self.regions.len())
    }
}

impl Composed {
    /// A medium of `len` bytes.
    #[must_use]
    pub fn new(len: u64, regions: Vec<Region>) -> Self {
        debug_assert!(regions.is_sorted_by(|a, b| a.extent.end() <= b.extent.start()));
        Self { len, regions }
    }

    /// Index of the first region that ends after `offset`.
    fn first_after(&self, offset: u64) -> usize {
        self.regions.partition_point(|region| region.extent.end() <= offset)
    }
}

impl SectorSource for Composed {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Io)?;
        let regions = self.regions.iter().skip(self.first_after(offset));
        let pieces = regions.map(|region| (region.extent, region));
        read_pieces(pieces, offset, buffer, |region, from, part| {
            read_content(&region.content, from, part).map_err(|e| e.at(&region.origin))
        })
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
        Content::Bytes(bytes) => read_exact_at(bytes, from, part),
        Content::Sectors(source) => source.read_at(from, part),
        Content::Late(_) => unreachable!("late contents are settled before"),
    }
}
