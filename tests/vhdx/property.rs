//! Random sparse media through the writer and back.

use proptest::prelude::*;

use crate::random::{Most, medium, parts_and_holes};
use crate::support::{MIB, SILENT, all, bytes, dynamic, fixed, open_bytes, plain};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        medium in medium(Most { sectors: 12_000, runs: 8, gap: 1_500_000, run: 200_000 }),
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

        parts_and_holes(&*image, wanted, window);
        // A second file is the same as the first.
        prop_assert!(bytes(&*image, &params).unwrap() == bytes(&medium, &params).unwrap());
    }
}
