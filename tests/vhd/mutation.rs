//! Every byte of headers, footers and tables of our files is broken: our reader, its check or
//! qemu-img notices, but for the bytes that are listed here with the reason; and files are cut.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vmimage::engine::base::Error;
use vmimage::engine::format::{FormatName, Params, vdi, vhd};

use crate::media::{Noise, Patched};
use crate::qemu_img::{output, text};
use crate::support::{SILENT, bytes, open_bytes, vdi_params, vhd_params};

/// Three MiB with two of data.
fn medium() -> Patched {
    let mut noise = Noise(5);
    let patches = vec![(0, noise.bytes(70_000)), ((5 << 19) - 7, noise.bytes(9_000))];
    Patched { name: "mutated", len: 3 << 20, patches }
}

/// Opens the file, reads parts of its disk, and judges it. True if all is well.
fn is_fine(file: Vec<u8>, format: FormatName) -> Result<bool, Error> {
    let image = open_bytes(file, format)?;
    let len = image.len();
    let mut buffer = vec![0; 4096];
    for at in [0, 65_536, 1 << 20, 5 << 19, len.saturating_sub(4096)] {
        if at.checked_add(4096).is_some_and(|end| end <= len) {
            image.read_at(at, &mut buffer)?;
        }
    }
    assert!(image.extents().take(100).count() < 100);
    image.census()?;
    image.details();
    Ok(len == 3 << 20 && image.check(&SILENT)?.is_clean())
}

/// Breaks the bytes in `places`. Returns those that our reader does not notice.
fn unnoticed(
    good: &[u8],
    format: FormatName,
    places: impl IntoIterator<Item = usize>,
) -> Vec<(usize, u8)> {
    assert!(is_fine(good.to_vec(), format).unwrap());
    let mut unnoticed = Vec::new();
    for at in places {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.to_vec();
            bad[at] ^= flip;
            match catch_unwind(AssertUnwindSafe(|| is_fine(bad, format))) {
                Err(_) => panic!("byte {at} ^ {flip:#x} panics"),
                Ok(Ok(true)) => unnoticed.push((at, flip)),
                Ok(_) => {}
            }
        }
    }
    unnoticed
}

fn cut(good: &[u8], format: FormatName) {
    let cuts = (0..2100).step_by(7).chain((0..good.len()).step_by(65_536));
    for cut in cuts {
        let result = catch_unwind(AssertUnwindSafe(|| is_fine(good[..cut].to_vec(), format)));
        let result = result.unwrap_or_else(|_| panic!("cut at {cut} panics"));
        assert!(!result.is_ok_and(|fine| fine), "cut at {cut} is not noticed");
    }
}

#[test]
fn every_byte_of_a_vhd_counts() {
    use vhd::{Sizing, Subformat};
    let file = bytes(&medium(), &vhd_params(Subformat::Fixed, Sizing::Exact)).unwrap();
    let end = file.len();
    assert_eq!(unnoticed(&file, FormatName::Vhd, end - 512..end), []);
    cut(&file, FormatName::Vhd);
    let file = bytes(&medium(), &vhd_params(Subformat::Dynamic, Sizing::Exact)).unwrap();
    let end = file.len();
    // Behind the two entries of the table is nothing that anybody reads.
    let places = [0..512, 512..1536, 1536..1544, end - 512..end];
    assert_eq!(unnoticed(&file, FormatName::Vhd, places.into_iter().flatten()), []);
    cut(&file, FormatName::Vhd);
    // A bitmap counts where its sectors hold data: block 0 has 70 000 bytes, 137 sectors, of which
    // the writer's noise leaves none zero.
    assert_eq!(unnoticed(&file, FormatName::Vhd, 2048..2048 + 17), []);
}

/// Bytes of a VDI header that nobody can check.
const FREE: [(Range<usize>, &str); 8] = [
    (0..0x40, "text for people"),
    (0x48..0x49, "the length of the header, which may be more than is known"),
    (0x50..0x54, "flags: none is known to change how a disk is read"),
    (0x54..0x154, "description for people"),
    (0x15c..0x168, "legacy geometry, not used"),
    (0x16c..0x170, "unused"),
    (0x188..0x1a8, "ids: any is as good"),
    (0x1c8..0x1d8, "geometry as a BIOS sees it, a hint"),
];

#[test]
fn every_byte_of_a_vdi_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mutated.vdi");
    for subformat in [vdi::Subformat::Dynamic, vdi::Subformat::Static] {
        let params: Params = vdi_params(subformat);
        let file = bytes(&medium(), &params).unwrap();
        let places = [0..0x1d8, 0x200..0x20c];
        for (at, flip) in unnoticed(&file, FormatName::Vdi, places.into_iter().flatten()) {
            let mut bad = file.clone();
            bad[at] ^= flip;
            // The block that was not allocated may be called zero: both read alike.
            let zero = at == 0x204 && bad[at] == 0xfe;
            if zero || FREE.iter().any(|(range, _)| range.contains(&at)) {
                continue;
            }
            fs_err::write(&path, bad).unwrap();
            let args = ["check", "-f", "vdi", text(&path)];
            let qemu = output("qemu-img", "qemu-utils", &args).status.code();
            assert_ne!(qemu, Some(0), "{subformat:?}: byte {at:#x} ^ {flip:#x}");
        }
        cut(&file, FormatName::Vdi);
    }
}
