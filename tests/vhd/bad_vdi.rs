//! VDI files that are odd or damaged: read as qemu does, or refused with an exact message.

use vmimage::engine::format::FormatName;
use vmimage::engine::format::vdi::Subformat;

use crate::media::Patched;
use crate::qemu_img::{output, text};
use crate::support::{SILENT, all, bytes, open_bytes, plain, vdi_params};

/// 5 MiB with data in the first, fourth and last MiB.
fn medium() -> Patched {
    let patches = vec![
        (0, b"first".repeat(1000)),
        (3 << 20, b"middle".repeat(30_000)),
        ((5 << 20) - 4, b"last".to_vec()),
    ];
    Patched { name: "bad", len: 5 << 20, patches }
}

/// A file of ours with little-endian numbers of 4 bytes changed.
fn with(fields: &[(usize, u32)]) -> Vec<u8> {
    let mut file = bytes(&medium(), &vdi_params(Subformat::Dynamic)).unwrap();
    for (at, value) in fields {
        file[*at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    file
}

fn refusal(file: Vec<u8>) -> String {
    open_bytes(file, FormatName::Vdi).unwrap_err().to_string()
}

fn found(fields: &[(usize, u32)]) -> Vec<String> {
    let image = open_bytes(with(fields), FormatName::Vdi).unwrap();
    let findings = image.check(&SILENT).unwrap();
    findings.listed.into_iter().map(|finding| finding.message).collect()
}

/// What `qemu-img info` says that the disk's size is.
fn qemu_size(file: &[u8]) -> Option<u64> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd.vdi");
    fs_err::write(&path, file).unwrap();
    let args = ["info", "--output=json", "-f", "vdi", text(&path)];
    let output = output("qemu-img", "qemu-utils", &args);
    let report: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
    report.map(|report| report["virtual-size"].as_u64().unwrap())
}

// Offsets of fields.
const SIGNATURE: usize = 0x40;
const VERSION: usize = 0x44;
const HEADER_SIZE: usize = 0x48;
const IMAGE_TYPE: usize = 0x4c;
const MAP_OFFSET: usize = 0x154;
const DATA_OFFSET: usize = 0x158;
const SECTOR_SIZE: usize = 0x168;
const DISK_SIZE: usize = 0x170;
const BLOCK_SIZE: usize = 0x178;
const BLOCK_EXTRA: usize = 0x17c;
const BLOCKS: usize = 0x180;
const ALLOCATED: usize = 0x184;
const LINK: usize = 0x1a8;
const PARENT: usize = 0x1b8;
const MAP: usize = 0x200;

#[test]
fn bad_headers_are_refused() {
    let cases: &[(&[(usize, u32)], &str)] = &[
        (&[(SIGNATURE, 1)], "signature 0x00000001, not 0xbeda107f"),
        (&[(VERSION, 0x0000_0001)], "version 0.1, only 1.0 and 1.1 are known"),
        (&[(VERSION, 0x0001_0002)], "version 1.2, only 1.0 and 1.1 are known"),
        (&[(VERSION, 0x0002_0001)], "version 2.1, only 1.0 and 1.1 are known"),
        (&[(IMAGE_TYPE, 0)], "image type 0, allowed are 1 (dynamic), 2 (static)"),
        (&[(IMAGE_TYPE, 5)], "image type 5, allowed are 1 (dynamic), 2 (static)"),
        (
            &[(IMAGE_TYPE, 3)],
            "image type 3: an undo disk, whose contents need the disk with the id \
             00000000-0000-0000-0000-000000000000; merge them first",
        ),
        (
            &[(IMAGE_TYPE, 4), (LINK, 0x0102_0304)],
            "image type 4: a differencing disk, whose contents need the disk with the id \
             01020304-0000-0000-0000-000000000000; merge them first",
        ),
        (
            &[(LINK, 1)],
            "link id 00000001-0000-0000-0000-000000000000: the disk builds on another, which is \
             not read",
        ),
        (
            &[(PARENT, 1)],
            "parent id 00000001-0000-0000-0000-000000000000: the disk builds on another, which is \
             not read",
        ),
        (&[(SECTOR_SIZE, 4096)], "sector size 4096, only 512 is known"),
        (&[(BLOCK_EXTRA, 512)], "block extra data 512, only 0 is known"),
        (&[(BLOCK_SIZE, 0)], "block size 0, allowed are powers of two from 4096"),
        (&[(BLOCK_SIZE, 1)], "block size 1, allowed are powers of two from 4096"),
        (&[(BLOCK_SIZE, 3 << 20)], "block size 3145728, allowed are powers of two from 4096"),
        (&[(BLOCKS, 4)], "4 blocks of 1048576 bytes, but a disk of 5242880 bytes needs 5"),
        (
            &[(DISK_SIZE + 4, u32::MAX), (DISK_SIZE, u32::MAX)],
            "disk size 18446744073709551615 is beyond all files",
        ),
        (
            &[(DISK_SIZE + 4, 0x2000), (BLOCKS, u32::MAX)],
            "a disk of 35184377331712 bytes in blocks of 1048576 needs a block map of 134217748 \
             bytes, at most 67108864 are read",
        ),
        (
            &[(HEADER_SIZE, 383)],
            "header size 383, allowed are 384 and more, to the block map at 512",
        ),
        (
            &[(HEADER_SIZE, 441)],
            "header size 441, allowed are 384 and more, to the block map at 512",
        ),
        (&[(MAP_OFFSET, 0)], "header size 400, allowed are 384 and more, to the block map at 0"),
        (&[(MAP_OFFSET, 513)], "block map offset 513 is no multiple of 512"),
        (&[(DATA_OFFSET, 1_048_577)], "data offset 1048577 is no multiple of 512"),
        (
            &[(DATA_OFFSET, 512)],
            "data offset 512 lies in the header or in the block map, which ends at 532",
        ),
        (
            &[(MAP_OFFSET, 0xffff_fe00)],
            "block map offset 4294966784: its 20 bytes do not lie in the file of 4194304 bytes",
        ),
    ];
    for (fields, says) in cases {
        assert_eq!(&refusal(with(fields)), says);
    }
    for len in [0, 1, 64, 455] {
        let says = format!("{len} bytes are too few for a header");
        assert_eq!(refusal(with(&[])[..len].to_vec()), says);
    }
}

#[test]
fn bad_maps_are_found() {
    assert_eq!(found(&[]), Vec::<String>::new());
    assert_eq!(found(&[(MAP, 2)]), ["map entries 0 and 4 both name block 2"]);
    assert_eq!(found(&[(MAP, 3)]), ["map entry 0 is 3: only 3 blocks are allocated"]);
    assert_eq!(
        found(&[(MAP, 0xffff_fffd)]),
        ["map entry 0 is 4294967293: only 3 blocks are allocated"]
    );
    for nothing in [u32::MAX, u32::MAX - 1] {
        assert_eq!(
            found(&[(MAP, nothing)]),
            ["header: 3 blocks allocated, but 2 entries of the map name one"]
        );
    }
    assert_eq!(
        found(&[(ALLOCATED, 4)]),
        ["header: 4 blocks allocated, but 3 entries of the map name one"]
    );
    assert_eq!(
        found(&[(ALLOCATED, 4), (MAP + 4, 3)]),
        ["map entry 1 is 3: the block does not lie in the file of 4194304 bytes"]
    );
    assert_eq!(
        found(&[(ALLOCATED, 2), (MAP, u32::MAX), (MAP + 16, 0)]),
        ["room for 1 blocks behind the allocated ones"]
    );
    assert_eq!(found(&[(BLOCKS, 6)]), ["header: 6 blocks, but the disk has 5"]);
    assert_eq!(found(&[(IMAGE_TYPE, 2)]).len(), 2);
}

#[test]
fn a_block_outside_of_the_file_fails_when_it_is_read() {
    let image = open_bytes(with(&[(MAP, 0xffff_fffd)]), FormatName::Vdi).unwrap();
    image.read_at(3 << 20, &mut [0; 4096]).unwrap();
    let error = image.read_at(5, &mut [0; 7]).unwrap_err().to_string();
    let says = "map entry 0 is 4294967293: 7 bytes at offset 4503599625273349 do not lie in the \
                file of 4194304 bytes";
    assert_eq!(error, says);
    assert!(image.extents().any(|extent| extent.start() == 0));
}

/// What qemu does not refuse, we read as it does; what we read beyond it is named here.
#[test]
fn odd_files_are_read() {
    // Sizes that are not whole sectors; version 1.0 and other blocks qemu does not read.
    let odd = with(&[(DISK_SIZE, (5 << 20) - 5)]);
    assert_eq!(qemu_size(&odd), Some(5 << 20));
    assert_eq!(open_bytes(odd, FormatName::Vdi).unwrap().len(), 5 << 20);
    let old = with(&[(VERSION, 0x0001_0000), (HEADER_SIZE, 384)]);
    assert_eq!(qemu_size(&old), None);
    let image = open_bytes(old, FormatName::Vdi).unwrap();
    assert!(all(&*image).unwrap() == plain(&medium()));
    // Zero and unallocated blocks, and blocks in another order.
    let zero = with(&[(MAP + 4, u32::MAX - 1)]);
    let image = open_bytes(zero, FormatName::Vdi).unwrap();
    assert!(all(&*image).unwrap() == plain(&medium()));
    let census = image.census().unwrap();
    assert_eq!((census.data, census.zero, census.unallocated), (3, 1, 1));
    // The same bytes as five blocks of 1 MiB are two and a half of 2 MiB.
    let mut large = bytes(&medium(), &vdi_params(Subformat::Static)).unwrap();
    for (at, value) in [(BLOCK_SIZE, 2u32 << 20), (BLOCKS, 3), (ALLOCATED, 3)] {
        large[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    large.resize(7 << 20, 0);
    let image = open_bytes(large, FormatName::Vdi).unwrap();
    assert!(all(&*image).unwrap() == plain(&medium()));
    assert!(image.check(&SILENT).unwrap().is_clean());
}

#[test]
fn a_medium_that_does_not_fit_is_refused() {
    let medium = |len| Patched { name: "large", len, patches: vec![] };
    let error = |len| bytes(&medium(len), &vdi_params(Subformat::Dynamic)).unwrap_err().to_string();
    assert_eq!(error(513), "513 bytes are not whole sectors of 512 bytes");
    let says = "17592186044928 bytes are too many for vdi, at most 17592186044416 are written";
    assert_eq!(error((16 << 40) + 512), says);
}
