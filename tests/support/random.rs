//! Random sparse media, and what holds for everything that reads them back.
//!
//! Writes nothing. Invariant: contents are zeros, words or noise, so that every way to store them is
//! taken.

use proptest::prelude::*;
use vmimage::engine::base::{SectorSource, is_zero};

use crate::media::{Noise, Patched};

/// How large a random medium may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// Sectors of 512 bytes.
    pub(crate) sectors: u64,
    /// Runs of data.
    pub(crate) runs: usize,
    /// Bytes between two of them.
    pub(crate) gap: u64,
    /// Bytes of one.
    pub(crate) run: usize,
}

/// Gaps and runs as (gap, length, seed), laid out one after the other and cut at the end.
pub(crate) fn medium(most: Most) -> impl Strategy<Value = Patched> {
    let run = (0..most.gap, 1..most.run, any::<u64>());
    let sectors = prop_oneof![0u64..16, 0..most.sectors];
    (sectors, proptest::collection::vec(run, 0..most.runs)).prop_map(|(sectors, runs)| {
        let len = sectors * 512;
        let (mut at, mut patches) = (0, Vec::new());
        for (gap, size, seed) in runs {
            at += gap;
            let room = size.min(usize::try_from(len.saturating_sub(at)).unwrap());
            let mut noise = Noise(seed | 1);
            let bytes = match seed % 4 {
                0 => vec![0; room],
                1 => noise.words(room),
                _ => noise.bytes(room),
            };
            if !bytes.is_empty() {
                patches.push((at, bytes));
            }
            at += size as u64;
        }
        Patched { name: "random", len, patches }
    })
}

/// The bytes of a medium.
pub(crate) fn plain(medium: &Patched) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(medium.len).unwrap()];
    for (at, patch) in &medium.patches {
        bytes[usize::try_from(*at).unwrap()..][..patch.len()].copy_from_slice(patch);
    }
    bytes
}

/// Any part reads like the whole, and what is outside of the extents is zero.
pub(crate) fn parts_and_holes(
    image: &dyn SectorSource,
    mut wanted: Vec<u8>,
    (from, len): (u64, u64),
) {
    assert_eq!(image.len(), wanted.len() as u64);
    let from = from % (image.len() + 1);
    let len = len % (image.len() - from + 1);
    let part = usize::try_from(from).unwrap()..usize::try_from(from + len).unwrap();
    let mut seen = vec![0xee; part.len()];
    image.read_at(from, &mut seen).unwrap();
    assert!(seen == wanted[part.clone()], "{part:?}");
    for extent in image.extents() {
        let start = usize::try_from(extent.start()).unwrap();
        wanted[start..usize::try_from(extent.end()).unwrap()].fill(0);
    }
    assert!(is_zero(&wanted));
}
