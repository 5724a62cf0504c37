//! Random sparse media through the writer and back.

use proptest::prelude::*;

use crate::media::{Noise, Patched};
use crate::support::{MIB, SILENT, all, bytes, dynamic, fixed, open_bytes, plain};

/// Gaps and runs as (gap, length, seed), laid out one after the other and cut at the end.
fn medium() -> impl Strategy<Value = Patched> {
    let run = (0u64..1_500_000, 1usize..200_000, any::<u64>());
    let sectors = prop_oneof![0u64..16, 0u64..12_000];
    (sectors, proptest::collection::vec(run, 0..8)).prop_map(|(sectors, runs)| {
        let len = sectors * 512;
        let (mut at, mut patches) = (0, Vec::new());
        for (gap, size, seed) in runs {
            at += gap;
            let room = usize::try_from(len.saturating_sub(at)).unwrap();
            let mut noise = Noise(seed | 1);
            let bytes = match seed % 3 {
                0 => vec![0; size.min(room)],
                _ => noise.bytes(size.min(room)),
            };
            if !bytes.is_empty() {
                patches.push((at, bytes));
            }
            at += size as u64;
        }
        Patched { name: "random", len, patches }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        medium in medium(),
        params in prop_oneof![
            Just(dynamic(0)), Just(dynamic(2 * MIB)), Just(fixed(0)), Just(fixed(4 * MIB))
        ],
        window in (any::<u64>(), any::<u64>()),
    ) {
        let wanted = plain(&medium);
        let file = bytes(&medium, &params).unwrap();
        let image = open_bytes(file).unwrap();
        prop_assert_eq!(image.len(), medium.len);
        prop_assert!(all(&*image).unwrap() == wanted);
        prop_assert!(image.check(&SILENT).unwrap().is_clean());

        // Any part reads like the whole.
        let from = window.0 % (medium.len + 1);
        let len = window.1 % (medium.len - from + 1);
        let part = usize::try_from(from).unwrap()..usize::try_from(from + len).unwrap();
        let mut seen = vec![0xee; part.len()];
        image.read_at(from, &mut seen).unwrap();
        prop_assert!(seen == wanted[part]);

        // What is outside of the extents is zero, and a second file is the same as the first.
        let mut outside = wanted;
        for extent in image.extents() {
            let start = usize::try_from(extent.start()).unwrap();
            outside[start..usize::try_from(extent.end()).unwrap()].fill(0);
        }
        prop_assert!(vmimage::engine::base::is_zero(&outside));
        prop_assert!(bytes(&*image, &params).unwrap() == bytes(&medium, &params).unwrap());
    }
}
