//! Dynamic and differencing VHDs that are damaged: refused with an exact message, or found by a check.

use vmimage::engine::format::FormatName;
use vmimage::engine::format::vhd::{Sizing, Subformat};

use crate::bad_vhd::{
    CURRENT_SIZE, DISK_TYPE, FIRST_BLOCK, FOOTER, HEADER, TABLE, file, medium, refusal, seal,
    with_footer, with_header,
};
use crate::media::Patched;
use crate::support::{SILENT, all, bytes, open_bytes, plain, vhd_params};

#[test]
fn a_differencing_disk_is_refused_by_name() {
    let mut file = with_footer(Subformat::Dynamic, |footer| footer[DISK_TYPE + 3] = 4);
    let path: Vec<u8> = ".\\base \u{e9}.vhd".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = file.len() - 2 * FOOTER;
    file[at..at + path.len()].copy_from_slice(&path);
    let header = &mut file[HEADER];
    for (n, unit) in "base.vhd".encode_utf16().enumerate() {
        header[64 + 2 * n..][..2].copy_from_slice(&unit.to_be_bytes());
    }
    // Two locators: a good one, and one that points behind the file.
    header[576..580].copy_from_slice(b"W2ru");
    header[584..588].copy_from_slice(&u32::try_from(path.len()).unwrap().to_be_bytes());
    header[592..600].copy_from_slice(&(at as u64).to_be_bytes());
    header[600..604].copy_from_slice(b"W2ku");
    header[608..612].copy_from_slice(&u32::MAX.to_be_bytes());
    header[616..624].copy_from_slice(&(u64::MAX - 5).to_be_bytes());
    seal(header, 36);
    let says = "disk type 4: a differencing disk, whose contents need its parent; merge them \
                first; the parent is \"base.vhd\", W2ru \".\\\\base é.vhd\", W2ku not readable";
    assert_eq!(refusal(file.clone()), says);
    file[HEADER].fill(0);
    let says = "disk type 4: a differencing disk, whose contents need its parent; merge them \
                first; the parent is not readable";
    assert_eq!(refusal(file), says);
}

#[test]
fn bad_headers_are_refused() {
    let u32_at = |at: usize, value: u32| {
        with_header(move |header| header[at..at + 4].copy_from_slice(&value.to_be_bytes()))
    };
    let u64_at = |at: usize, value: u64| {
        with_header(move |header| header[at..at + 8].copy_from_slice(&value.to_be_bytes()))
    };
    for block in [0, 1, 511, 512, 2048, 3 << 20, u32::MAX] {
        let says =
            format!("dynamic header: block size {block}, allowed are powers of two from 4096");
        assert_eq!(refusal(u32_at(32, block)), says);
    }
    let says = "dynamic header: max table entries 3, but a disk of 5242880 bytes needs 1280";
    assert_eq!(refusal(u32_at(32, 4096)), says);
    let says = "dynamic header: max table entries 2, but a disk of 5242880 bytes needs 3";
    assert_eq!(refusal(u32_at(28, 2)), says);
    // More entries than are needed are not read.
    let image = open_bytes(u32_at(28, u32::MAX), FormatName::Vhd).unwrap();
    assert!(all(&*image).unwrap() == plain(&medium()));

    let len = file(Subformat::Dynamic).len() as u64;
    for at in [len - 11, u64::MAX - 11, u64::MAX] {
        let says = format!(
            "dynamic header: table offset {at}: the 12 bytes of the table do not lie in the file \
             of {len} bytes"
        );
        assert_eq!(refusal(u64_at(16, at)), says);
    }
    assert_eq!(refusal(u32_at(24, 0x20000)), "header version 0x00020000, only 1.x is known");
    let cookie = with_header(|header| header[0] = b'\n');
    let says = "dynamic header at offset 512: cookie \"\\nxsparse\", not \"cxsparse\"";
    assert_eq!(refusal(cookie), says);
    let mut file = file(Subformat::Dynamic);
    file[600] ^= 1;
    assert!(refusal(file).starts_with("dynamic header at offset 512: checksum 0x"));

    for at in [len - 1023, u64::MAX - 1023, u64::MAX] {
        let file = with_footer(Subformat::Dynamic, |footer| {
            footer[16..24].copy_from_slice(&at.to_be_bytes());
        });
        let says = format!(
            "footer: data offset {at}: the 1024 bytes of the dynamic header there do not lie in \
             the file of {len} bytes"
        );
        assert_eq!(refusal(file), says);
    }
}

/// A table of 16 GiB is named by a file that is sparse: it is refused before it is read.
#[test]
fn a_huge_table_is_refused() {
    let size = 2040u64 << 30;
    let mut file = with_footer(Subformat::Dynamic, |footer| {
        footer[CURRENT_SIZE..CURRENT_SIZE + 8].copy_from_slice(&size.to_be_bytes());
    });
    let header = &mut file[HEADER];
    header[28..32].copy_from_slice(&u32::MAX.to_be_bytes());
    header[32..36].copy_from_slice(&4096u32.to_be_bytes());
    seal(header, 36);
    let says = "dynamic header: block size 4096 needs a table of 2139095040 bytes, at most \
                33554432 are read";
    assert_eq!(refusal(file), says);
}

/// What `check` says about a dynamic file whose table or bitmaps were changed.
fn found(change: impl Fn(&mut [u8])) -> Vec<String> {
    let mut file = file(Subformat::Dynamic);
    change(&mut file);
    let image = open_bytes(file, FormatName::Vhd).unwrap();
    let findings = image.check(&SILENT).unwrap();
    findings.listed.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn bad_tables_are_found() {
    let entry = |n: usize, value: u32| {
        move |file: &mut [u8]| {
            file[TABLE + 4 * n..TABLE + 4 * n + 4].copy_from_slice(&value.to_be_bytes());
        }
    };
    let len = file(Subformat::Dynamic).len();
    let end = len - FOOTER;
    assert_eq!(found(|_| {}), Vec::<String>::new());
    // Three blocks at sectors 4, 4101 and 8198.
    // Its bitmap is then among the data, and says something about it by chance.
    assert_eq!(found(entry(1, 5000))[0], "block 2 at 4197376 overlaps block 1");
    assert_eq!(
        found(entry(1, 4)),
        ["block 1 at 2048 overlaps block 0", "room for 1 blocks that no table entry names"]
    );
    assert_eq!(found(entry(1, u32::MAX)), ["room for 1 blocks that no table entry names"]);
    assert_eq!(
        found(entry(2, 9000)),
        [
            format!("table entry 2 is 9000: the block ends at 6705664, the data at {end}"),
            "room for 1 blocks that no table entry names".to_owned()
        ]
    );
    assert_eq!(
        found(entry(0, 0)),
        [
            "block 0 at 0 overlaps the copy of the footer",
            "block 0 at 0 overlaps the header",
            "block 0 at 0 overlaps the table",
            "bitmap of block 0: sector 0 is said to be unwritten, but holds data",
        ]
    );
    // Bit 0 is the most significant one: sectors 0 and 2048 + 1 of the disk hold data.
    assert_eq!(
        found(|file| file[FIRST_BLOCK] = 0x7f),
        ["bitmap of block 0: sector 0 is said to be unwritten, but holds data"]
    );
    let second = FIRST_BLOCK + 512 + (2 << 20);
    assert_eq!(
        found(|file| file[second + 256] = 0xbf),
        ["bitmap of block 1: sector 2049 is said to be unwritten, but holds data"]
    );
    assert_eq!(found(|file| file[second] = 0), Vec::<String>::new());
}

#[test]
fn a_block_outside_of_the_file_fails_when_it_is_read() {
    let mut file = file(Subformat::Dynamic);
    file[TABLE + 4..TABLE + 8].copy_from_slice(&0xffff_fffeu32.to_be_bytes());
    let len = file.len();
    let image = open_bytes(file, FormatName::Vhd).unwrap();
    image.read_at(0, &mut [0; 4096]).unwrap();
    let error = image.read_at(2 << 20, &mut [0; 1]).unwrap_err().to_string();
    let says = format!(
        "table entry 1 is 4294967294: the block at offset 2199023255040 does not lie in the file \
         of {len} bytes"
    );
    assert_eq!(error, says);
    // It is an extent, so that whoever copies the disk meets the error.
    assert!(image.extents().any(|extent| extent.start() == 2 << 20));
}

#[test]
fn parameters_are_refused_before_anything_is_written() {
    let odd = Patched { name: "odd", len: 513, patches: vec![] };
    let says = "513 bytes are not whole sectors of 512 bytes";
    for subformat in [Subformat::Fixed, Subformat::Dynamic] {
        let error = bytes(&odd, &vhd_params(subformat, Sizing::Exact)).unwrap_err();
        assert_eq!(error.to_string(), says);
    }
    let creator = |creator: &[u8; 4]| {
        let params =
            vmimage::engine::format::vhd::Params { creator: Some(*creator), ..Default::default() };
        bytes(&medium(), &vmimage::engine::format::Params::Vhd(params))
    };
    let error = creator(b"a\xffb\n").unwrap_err().to_string();
    let says = "creator \"a\\xffb\\n\", allowed are four printable ASCII characters";
    assert_eq!(error, says);
    let image = open_bytes(creator(b"win ").unwrap(), FormatName::Vhd).unwrap();
    assert_eq!(image.details()["creator"], "win ");
    assert_eq!(image.len(), 5_257_216);
}
