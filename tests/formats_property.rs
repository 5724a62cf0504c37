//! Random sparse media through the writers and back.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[expect(dead_code, reason = "the samples are for the oracle tests")]
#[path = "support/media.rs"]
mod media;
#[path = "support/random.rs"]
mod random;

use std::sync::Arc;

use proptest::prelude::*;
use random::{Most, medium, parts_and_holes, plain};
use vmimage::engine::base::{ByteSource, MemorySink, SectorSource, Silent, Work};
use vmimage::engine::format::qcow2::{self, Compression, Image, Params};
use vmimage::engine::format::raw;

const MOST: Most = Most { sectors: 4_000, runs: 12, gap: 200_000, run: 150_000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        medium in medium(MOST),
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

        parts_and_holes(&image, wanted, window);
    }

    #[test]
    fn raw_and_its_stream_are_the_medium(medium in medium(MOST)) {
        let wanted = plain(&medium);
        let sink = MemorySink::default();
        raw::write(&medium, &sink, &Silent).unwrap();
        prop_assert!(sink.into_bytes() == wanted);
        let mut streamed = Vec::new();
        raw::stream(&medium, &mut streamed, &Silent).unwrap();
        prop_assert!(streamed == wanted);
    }
}
