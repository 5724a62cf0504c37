//! Random sparse media through the writers and back.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[expect(dead_code, reason = "the samples are for the oracle tests")]
#[path = "support/media.rs"]
mod media;

use std::sync::Arc;

use media::{Noise, Patched};
use proptest::prelude::*;
use vmimage::engine::base::{ByteSource, MemorySink, SectorSource, Silent, Work};
use vmimage::engine::format::qcow2::{self, Compression, Image, Params};
use vmimage::engine::format::raw;

/// Gaps and runs as (gap, length, seed), laid out one after the other and cut at the end.
fn medium() -> impl Strategy<Value = Patched> {
    let run = (0u64..200_000, 1usize..150_000, any::<u64>());
    let sectors = prop_oneof![0u64..16, 0u64..4_000];
    (sectors, proptest::collection::vec(run, 0..12)).prop_map(|(sectors, runs)| {
        let len = sectors * 512;
        let (mut at, mut patches) = (0, Vec::new());
        for (gap, size, seed) in runs {
            at += gap;
            let room = usize::try_from(len.saturating_sub(at)).unwrap();
            let mut noise = Noise(seed | 1);
            let bytes = match seed % 4 {
                0 => noise.bytes(size.min(room)),
                1 => vec![0; size.min(room)],
                _ => noise.words(size.min(room)),
            };
            if !bytes.is_empty() {
                patches.push((at, bytes));
            }
            at += size as u64;
        }
        Patched { name: "random", len, patches }
    })
}

fn plain(medium: &Patched) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(medium.len).unwrap()];
    for (at, patch) in &medium.patches {
        bytes[usize::try_from(*at).unwrap()..][..patch.len()].copy_from_slice(patch);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        medium in medium(),
        compression in prop_oneof![
            Just(Compression::None), Just(Compression::Zlib), Just(Compression::Zstd)
        ],
        threads in 1usize..4,
        window in (any::<u64>(), any::<u64>()),
    ) {
        let wanted = plain(&medium);
        let sink = MemorySink::default();
        qcow2::write(&medium, &sink, &Params::compressed(compression), &Work { threads, progress: &Silent }).unwrap();
        let image = Image::open(Arc::new(ByteSource::new(sink.into_bytes()))).unwrap();
        prop_assert_eq!(image.len(), medium.len);
        let mut seen = vec![0xee; wanted.len()];
        image.read_at(0, &mut seen).unwrap();
        prop_assert!(seen == wanted);

        // Any part reads like the whole.
        let from = window.0 % (medium.len + 1);
        let len = window.1 % (medium.len - from + 1);
        let part = usize::try_from(from).unwrap()..usize::try_from(from + len).unwrap();
        let mut seen = vec![0xee; part.len()];
        image.read_at(from, &mut seen).unwrap();
        prop_assert!(seen == wanted[part]);

        // What is outside of the extents is zero.
        let mut outside = wanted;
        for extent in image.extents() {
            let extent = usize::try_from(extent.start()).unwrap()
                ..usize::try_from(extent.end()).unwrap();
            outside[extent].fill(0);
        }
        prop_assert!(outside.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn raw_and_its_stream_are_the_medium(medium in medium()) {
        let wanted = plain(&medium);
        let sink = MemorySink::default();
        raw::write(&medium, &sink, &Silent).unwrap();
        prop_assert!(sink.into_bytes() == wanted);
        let mut streamed = Vec::new();
        raw::stream(&medium, &mut streamed, &Silent).unwrap();
        prop_assert!(streamed == wanted);
    }
}
