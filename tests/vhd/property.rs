//! Random sparse media through the writers and back, and the same bytes from other sources.

use proptest::prelude::*;
use vmimage::engine::base::{ByteSource, MemorySink, Work};
use vmimage::engine::format::{FormatName, Output, Params, vdi, vhd, write as write_any};

use crate::media::{Noise, Patched};
use crate::support::{LABEL, SILENT, all, bytes, open_bytes, plain, vdi_params, vhd_params};

/// Gaps and runs as (gap, length, seed), laid out one after the other and cut at the end.
fn medium() -> impl Strategy<Value = Patched> {
    let run = (0u64..1_500_000, 1usize..150_000, any::<u64>());
    let sectors = prop_oneof![0u64..16, 0u64..10_000];
    (sectors, proptest::collection::vec(run, 0..8)).prop_map(|(sectors, runs)| {
        let len = sectors * 512;
        let (mut at, mut patches) = (0, Vec::new());
        for (gap, size, seed) in runs {
            at += gap;
            let room = usize::try_from(len.saturating_sub(at)).unwrap();
            let bytes = match seed % 4 {
                0 => vec![0; size.min(room)],
                _ => Noise(seed | 1).bytes(size.min(room)),
            };
            if !bytes.is_empty() {
                patches.push((at, bytes));
            }
            at += size as u64;
        }
        Patched { name: "random", len, patches }
    })
}

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
        medium in medium(),
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

        // Any part reads like the whole.
        let from = window.0 % (image.len() + 1);
        let len = window.1 % (image.len() - from + 1);
        let part = usize::try_from(from).unwrap()..usize::try_from(from + len).unwrap();
        let mut seen = vec![0xee; part.len()];
        image.read_at(from, &mut seen).unwrap();
        prop_assert!(seen == wanted[part]);

        // What is outside of the extents is zero.
        for extent in image.extents() {
            let extent = usize::try_from(extent.start()).unwrap()
                ..usize::try_from(extent.end()).unwrap();
            wanted[extent].fill(0);
        }
        prop_assert!(wanted.iter().all(|byte| *byte == 0));
    }
}
