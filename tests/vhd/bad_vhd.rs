//! VHD files that are odd or damaged: read as qemu does, or refused with an exact message.

use std::ops::Range;

use vmimage::engine::format::FormatName;
use vmimage::engine::format::vhd::{Sizing, Subformat};

use crate::media::Patched;
use crate::qemu_img::{output, text};
use crate::support::{SILENT, all, bytes, open_bytes, plain, vhd_params};

/// Offsets of fields, from the specification.
pub(crate) const CREATOR: usize = 28;
pub(crate) const CURRENT_SIZE: usize = 48;
pub(crate) const GEOMETRY: usize = 56;
pub(crate) const DISK_TYPE: usize = 60;
pub(crate) const FOOTER: usize = 512;
pub(crate) const HEADER: Range<usize> = 512..1536;
pub(crate) const TABLE: usize = 1536;
pub(crate) const FIRST_BLOCK: usize = 2048;

/// One's complement of the sum of all other bytes, computed anew.
pub(crate) fn seal(structure: &mut [u8], at: usize) {
    structure[at..at + 4].fill(0);
    let sum: u32 = structure.iter().map(|byte| u32::from(*byte)).sum();
    structure[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
}

/// 5 MiB with data at the start, in the second block and at the end.
pub(crate) fn medium() -> Patched {
    let patches = vec![
        (0, b"first".repeat(1000)),
        (3 << 20, b"middle".repeat(30_000)),
        ((5 << 20) - 4, b"last".to_vec()),
    ];
    Patched { name: "bad", len: 5 << 20, patches }
}

pub(crate) fn file(subformat: Subformat) -> Vec<u8> {
    bytes(&medium(), &vhd_params(subformat, Sizing::Exact)).unwrap()
}

/// A file whose footer, or both, were changed and sealed.
pub(crate) fn with_footer(subformat: Subformat, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut file = file(subformat);
    let end = file.len() - FOOTER;
    let mut places = vec![end];
    places.extend((subformat == Subformat::Dynamic).then_some(0));
    for at in places {
        change(&mut file[at..at + FOOTER]);
        seal(&mut file[at..at + FOOTER], 64);
    }
    file
}

/// A dynamic file whose header was changed and sealed.
pub(crate) fn with_header(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut file = file(Subformat::Dynamic);
    change(&mut file[HEADER]);
    seal(&mut file[HEADER], 36);
    file
}

pub(crate) fn refusal(file: Vec<u8>) -> String {
    open_bytes(file, FormatName::Vhd).unwrap_err().to_string()
}

/// What `qemu-img info` says that the disk's size is.
fn qemu_size(file: &[u8]) -> Option<u64> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd.vhd");
    fs_err::write(&path, file).unwrap();
    let args = ["info", "--output=json", "-f", "vpc", text(&path)];
    let output = output("qemu-img", "qemu-utils", &args);
    let report: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
    report.map(|report| report["virtual-size"].as_u64().unwrap())
}

/// Who made the file decides whether size or geometry counts (qemu's iotest 146 and more).
#[test]
fn the_size_is_what_qemu_takes_it_for() {
    let creators: [&[u8; 4]; 13] = [
        b"win ",
        b"vpc ",
        b"qemu",
        b"qem2",
        b"d2v ",
        b"vbox",
        b"vs  ",
        b"tap\0",
        b"tap ",
        b"wa  ",
        b"CTXS",
        b"vmio",
        b"\0\0\0\0",
    ];
    // The second is the first size that qemu rounds 5 MiB to; the file has room for 5 MiB.
    let geometries: [(u16, u8, u8); 6] =
        [(100, 4, 17), (151, 4, 17), (65_535, 16, 255), (65_535, 16, 254), (0, 0, 0), (150, 4, 17)];
    let (mut read, mut refused) = (0, 0);
    for creator in creators {
        for (cylinders, heads, sectors) in geometries {
            let change = |footer: &mut [u8]| {
                footer[CREATOR..CREATOR + 4].copy_from_slice(creator);
                footer[GEOMETRY..GEOMETRY + 2].copy_from_slice(&cylinders.to_be_bytes());
                footer[GEOMETRY + 2] = heads;
                footer[GEOMETRY + 3] = sectors;
            };
            for subformat in [Subformat::Fixed, Subformat::Dynamic] {
                let file = with_footer(subformat, change);
                let qemu = qemu_size(&file);
                let room = if subformat == Subformat::Fixed { 5 << 20 } else { 6 << 20 };
                let name = format!("{} {cylinders} {heads} {sectors}", creator.escape_ascii());
                match open_bytes(file, FormatName::Vhd) {
                    Ok(image) => {
                        assert_eq!(Some(image.len()), qemu, "{name} {subformat:?}");
                        read += 1;
                    }
                    // qemu opens fixed disks that are longer than their file.
                    Err(e) => {
                        assert!(qemu.is_none_or(|size| size > room), "{name} {subformat:?}: {e}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(read > 100 && refused > 10, "{read} {refused}");
}

#[test]
fn odd_sizes_are_cut_to_sectors_as_qemu_does() {
    for size in [0u64, 1, 511, 512, 513, (5 << 20) - 1] {
        let change = |footer: &mut [u8]| {
            footer[CURRENT_SIZE..CURRENT_SIZE + 8].copy_from_slice(&size.to_be_bytes());
        };
        for subformat in [Subformat::Fixed, Subformat::Dynamic] {
            let file = with_footer(subformat, change);
            let qemu = qemu_size(&file);
            let image = open_bytes(file, FormatName::Vhd).unwrap();
            assert_eq!(Some(image.len()), qemu, "{size} {subformat:?}");
        }
    }
}

#[test]
fn footers_of_511_bytes_and_lost_footers() {
    for subformat in [Subformat::Fixed, Subformat::Dynamic] {
        let mut short = file(subformat);
        short.pop();
        assert_eq!(qemu_size(&short), Some(5 << 20));
        let image = open_bytes(short, FormatName::Vhd).unwrap();
        assert!(all(&*image).unwrap() == plain(&medium()));
        assert!(image.check(&SILENT).unwrap().is_clean(), "{subformat:?}");
    }
    let mut lost = file(Subformat::Dynamic);
    lost.truncate(lost.len() - FOOTER);
    assert_eq!(qemu_size(&lost), Some(5 << 20));
    let image = open_bytes(lost, FormatName::Vhd).unwrap();
    assert!(all(&*image).unwrap() == plain(&medium()));
    let findings = image.check(&SILENT).unwrap();
    let says = "the footer at the end is missing; its copy at offset 0 was used";
    assert_eq!((findings.errors, findings.listed[0].message.as_str()), (1, says));

    let mut broken = file(Subformat::Dynamic);
    let at = broken.len() - 400;
    broken[at] ^= 1;
    let image = open_bytes(broken, FormatName::Vhd).unwrap();
    assert!(all(&*image).unwrap() == plain(&medium()));
    let says = "the footer at the end is broken; its copy at offset 0 was used";
    assert_eq!(image.check(&SILENT).unwrap().listed[0].message, says);

    let mut lost = file(Subformat::Fixed);
    lost.truncate(lost.len() - FOOTER);
    let says = "no footer: neither the last 512 bytes, nor the last 511, nor the first 512 begin \
                with \"conectix\"";
    assert_eq!(refusal(lost), says);
    for len in [0, 1, 510, 511, 512, 1023] {
        assert_eq!(refusal(vec![0; len]), says);
    }
}

/// The guest of a fixed disk may write what looks like another disk to its first sectors.
#[test]
fn a_guest_cannot_change_what_its_disk_is() {
    let mut trap = file(Subformat::Fixed);
    let dynamic = file(Subformat::Dynamic);
    trap[..FIRST_BLOCK].copy_from_slice(&dynamic[..FIRST_BLOCK]);
    let image = open_bytes(trap.clone(), FormatName::Vhd).unwrap();
    assert!(all(&*image).unwrap() == trap[..5 << 20]);
}

#[test]
fn bad_footers_are_refused() {
    let mut file = file(Subformat::Fixed);
    file[(5 << 20) + 20] ^= 1;
    let found = u32::from_be_bytes(file[(5 << 20) + 64..][..4].try_into().unwrap());
    seal(&mut file[5 << 20..], 64);
    let wanted = u32::from_be_bytes(file[(5 << 20) + 64..][..4].try_into().unwrap());
    file[(5 << 20) + 64..][..4].copy_from_slice(&found.to_be_bytes());
    assert_eq!(
        refusal(file),
        format!(
            "footer at offset 5242880: checksum {found:#010x}, but its bytes give {wanted:#010x}"
        )
    );

    let size = |size: u64| {
        with_footer(Subformat::Fixed, move |footer| {
            footer[CURRENT_SIZE..CURRENT_SIZE + 8].copy_from_slice(&size.to_be_bytes());
        })
    };
    for bytes in [(5 << 20) + 512, 1 << 40, u64::MAX] {
        let told = bytes / 512 * 512;
        let says = format!(
            "a fixed disk of {told} bytes by its current size, but the file has 5242880 before its \
             footer"
        );
        assert_eq!(refusal(size(bytes)), says);
    }
    let chs = with_footer(Subformat::Fixed, |footer| {
        footer[CREATOR..CREATOR + 4].copy_from_slice(b"vpc ");
        footer[GEOMETRY..GEOMETRY + 4].copy_from_slice(&[0, 151, 4, 17]);
    });
    let says = "a fixed disk of 5257216 bytes by its geometry, but the file has 5242880 before its \
                footer";
    assert_eq!(refusal(chs), says);

    for kind in [0, 1, 5, 6, 0x0200_0000] {
        let file = with_footer(Subformat::Fixed, |footer| {
            footer[DISK_TYPE..DISK_TYPE + 4].copy_from_slice(&u32::to_be_bytes(kind));
        });
        let says = format!("disk type {kind}, allowed are 2 (fixed), 3 (dynamic)");
        assert_eq!(refusal(file), says);
    }
    let version = with_footer(Subformat::Fixed, |footer| footer[13] = 2);
    assert_eq!(refusal(version), "footer version 0x00020000, only 1.x is known");

    let more = with_footer(Subformat::Dynamic, |footer| {
        footer[CURRENT_SIZE..CURRENT_SIZE + 8].copy_from_slice(&(1u64 << 62).to_be_bytes());
    });
    let says = "a dynamic disk of 4611686018427387904 bytes, at most 2190433320960 are allowed";
    assert_eq!(refusal(more), says);
}

#[test]
fn footers_that_disagree_are_refused() {
    let mut file = file(Subformat::Dynamic);
    file[CURRENT_SIZE..CURRENT_SIZE + 8].copy_from_slice(&(4u64 << 20).to_be_bytes());
    seal(&mut file[..FOOTER], 64);
    let says = "the footer and its copy at offset 0 disagree: type 3, header at 512, 5242880 bytes \
                and type 3, header at 512, 4194304 bytes";
    assert_eq!(refusal(file.clone()), says);

    // A difference that does not matter to readers is found by `check`.
    file[CURRENT_SIZE..CURRENT_SIZE + 8].copy_from_slice(&(5u64 << 20).to_be_bytes());
    file[24] ^= 1;
    seal(&mut file[..FOOTER], 64);
    let image = open_bytes(file, FormatName::Vhd).unwrap();
    let findings = image.check(&SILENT).unwrap();
    assert_eq!(findings.listed[0].message, "the copy of the footer differs from the footer");
}
