//! Random sparse media through the writers and back, and the same bytes from other sources.

use proptest::prelude::*;
use vmimage::engine::base::{ByteSource, MemorySink, Work};
use vmimage::engine::format::{FormatName, Output, Params, vdi, vhd, write as write_any};

use crate::random::{Most, medium, parts_and_holes};
use crate::support::{LABEL, SILENT, all, bytes, open_bytes, plain, vdi_params, vhd_params};

fn params() -> impl Strategy<Value = (FormatName, Params)> {
    use vhd::{Sizing, Subformat};
    let vhd = |subformat, sizing| (FormatName::Vhd, vhd_params(subformat, sizing));
    prop_oneof![
        Just(vhd(Subformat::Fixed, Sizing::Chs)),
        Just(vhd(Subformat::Fixed, Sizing::Exact)),
        Just(vhd(Subformat::Dynamic, Sizing::Chs)),
        Just(vhd(Subformat::Dynamic, Sizing::Exact)),
        Just((FormatName::Vdi, vdi_params(vdi::Subformat::Dynamic))),
        Just((FormatName::Vdi, vdi_params(vdi::Subformat::Static))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        medium in medium(Most { sectors: 10_000, runs: 8, gap: 1_500_000, run: 150_000 }),
        (format, params) in params(),
        window in (any::<u64>(), any::<u64>()),
    ) {
        let file = bytes(&medium, &params).unwrap();
        // Neither holes of the source nor threads change a byte.
        prop_assert!(bytes(&ByteSource::new(plain(&medium)), &params).unwrap() == file);
        let sink = MemorySink::default();
        let output = Output { label: LABEL, sink: &sink, companion: None };
        write_any(&medium, &output, &params, &Work { threads: 3, ..SILENT }).unwrap();
        prop_assert!(sink.into_bytes() == file);

        let image = open_bytes(file, format).unwrap();
        prop_assert!(image.len() >= medium.len);
        let mut wanted = plain(&medium);
        wanted.resize(usize::try_from(image.len()).unwrap(), 0);
        prop_assert!(all(&*image).unwrap() == wanted);
        prop_assert!(image.check(&SILENT).unwrap().is_clean());

        parts_and_holes(&*image, wanted, window);
    }
}
