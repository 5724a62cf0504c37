//! The disk in every seed: a little text, noise, zeros, and data at the end.
//!
//! Invariant: the same bytes every time.

use vmimage::engine::base::{Error, Extent, SectorSource};

/// 600 KiB: enough for more than one unit of most formats.
#[derive(Debug)]
pub(crate) struct Medium;

const LEN: u64 = 600 << 10;
const DATA: [(u64, u64); 3] = [(0, 700), (66_000, 140_000), (LEN - 512, LEN)];

impl SectorSource for Medium {
    fn len(&self) -> u64 {
        LEN
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        for (at, byte) in (offset..).zip(buffer) {
            let inside = DATA.iter().any(|(start, end)| (*start..*end).contains(&at));
            // Text below 100,000, noise above.
            let noise = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
            let text = b"hello, disk! "[(at % 13) as usize];
            *byte = match (inside, at < 100_000) {
                (false, _) => 0,
                (true, true) => text,
                (true, false) => noise | 1,
            };
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let (start, end) = DATA.into_iter().find(|(_, end)| *end > offset)?;
        Extent::new(start.max(offset), end)
    }
}
