//! Parents, block tables and sizes that cannot be: refused, or found by a check.

use std::sync::Arc;

use vmimage::engine::base::{ByteSource, Error, Extent, Kind};

use crate::bad::{BAT, ITEMS, Long, METADATA, TABLES, good, put, refused, with};
use crate::crash::seal;
use crate::media::Patched;
use crate::support::{MIB, SILENT, all, bytes, dynamic, fixed, open_bytes, open_source};

#[test]
fn a_parent_is_refused_by_name() {
    let parent = with(ITEMS + 4, &[2]);
    let says = |name: &str| format!("it is a differencing disk; its parent {name} is not opened");
    refused("no locator", parent.clone(), Kind::Unsupported, &says("(without a path)"));
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let pairs = [("parent_linkage", "{83ed0ec3}"), ("relative_path", "..\\..\\etc\\shadow\n")];
    let mut table = Vec::new();
    let mut texts = Vec::new();
    for (key, value) in pairs {
        let (key, value) = (utf16(key), utf16(value));
        let at = 20 + 12 * pairs.len() as u32 + texts.len() as u32;
        table.extend(at.to_le_bytes());
        table.extend((at + key.len() as u32).to_le_bytes());
        table.extend((key.len() as u16).to_le_bytes());
        table.extend((value.len() as u16).to_le_bytes());
        texts.extend(key);
        texts.extend(value);
    }
    let item = [&[9; 16][..], &[0, 0, 2, 0], &table, &texts].concat();
    let locate = |item: &[u8]| {
        let mut file = parent.clone();
        file[METADATA + 10] = 6;
        let entry = METADATA + 32 + 5 * 32;
        let id = [
            0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34,
            0xab, 0x0c,
        ];
        put(&mut file, entry, &id);
        put(&mut file, entry + 16, &(70_000u32).to_le_bytes());
        put(&mut file, entry + 20, &(item.len() as u32).to_le_bytes());
        file[entry + 24] = 4;
        put(&mut file, METADATA + 70_000, item);
        file
    };
    let named = says("\"..\\\\..\\\\etc\\\\shadow\\n\"");
    refused("named", locate(&item), Kind::Unsupported, &named);
    for cut in 0..item.len() {
        let error = open_bytes(locate(&item[..cut])).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{cut}: {error}");
    }
}

#[test]
fn blocks_must_lie_where_blocks_may() {
    let entry = |entry: u64| with(BAT + 16, &entry.to_le_bytes());
    for (value, why) in [
        (6, "offset 0 is in the header section"),
        (1 << 20 | 6, "offset 1048576 is in the log at 1048576..2097152"),
        (2 << 20 | 6, "offset 2097152 is in the region of the metadata at 2097152..3145728"),
        (3 << 20 | 6, "offset 3145728 is in the region of the BAT at 3145728..4194304"),
        (6 << 20 | 6, "1048576 bytes at 6291456 go beyond the end of the file at 6291456"),
        (
            0xfff_ffff_ffff << 20 | 6,
            "1048576 bytes at 18446744073708503040 go beyond the end of the file at 6291456",
        ),
        (5 << 20 | 4, "the state 4 is reserved"),
        (5 << 20 | 5, "the state 5 is reserved"),
        (5 << 20 | 7, "the block is partly in a parent, but the disk has none"),
        (5 << 20 | 14, "reserved bits are set"),
    ] {
        let says = format!("the BAT entry of block 2 is {value:#x}: {why}");
        refused("entry", entry(value), Kind::Damaged, &says);
        let image = open_bytes(entry(value)).unwrap();
        let findings = image.check(&SILENT).unwrap();
        assert_eq!(findings.listed[0].message, says);
        // Whoever walks the extents comes across the error, too.
        let last = image.extents().last().unwrap();
        assert_eq!(last, Extent::new(2 * MIB, 3 * MIB).unwrap());
        assert!(image.census().is_err());
    }
    for value in [0, 1, 2, 3, 5 << 20, 5 << 20 | 1, 5 << 20 | 2, 5 << 20 | 3] {
        let image = open_bytes(entry(value)).unwrap();
        let bytes = all(&*image).unwrap();
        assert!(bytes[2 << 20..].iter().all(|byte| *byte == 0), "{value:#x}");
        assert!(image.extents().all(|extent| extent.end() <= 2 * MIB), "{value:#x}");
    }
}

#[test]
fn check_finds_what_reading_does_not() {
    let found = |file: Vec<u8>| {
        let findings = open_bytes(file).unwrap().check(&SILENT).unwrap();
        let listed = findings.listed.iter();
        listed.map(|f| format!("{} {}", f.offset, f.message)).collect::<Vec<_>>()
    };
    assert_eq!(found(good()), [""; 0]);
    let twice = with(BAT + 8, &(4u64 << 20 | 6).to_le_bytes());
    let says =
        "the BAT entry of block 1 is 0x400006: offset 4194304 is used by something else, too";
    assert_eq!(found(twice), [format!("{} {says}", BAT + 8)]);
    let unmapped = with(BAT + 16, &(5u64 << 20 | 3).to_le_bytes());
    assert_eq!(found(unmapped), [""; 0]);
    let leak = with(BAT + 16, &[0; 8]);
    assert_eq!(found(leak), ["5242880 1 MiB are used by nothing"]);
    let mut longer = good();
    longer.extend([0; 512]);
    let says = "6291968 the file has 6291968 bytes, not a multiple of 1048576";
    assert_eq!(found(longer), [says]);
    let flags = with(METADATA + 32 + 24, &[6]);
    assert_eq!(
        found(flags),
        [
            "2097184 the metadata item {caa16737-fa36-4d43-b3b6-33f0aa44e76b}: the flags are 6, not 4"
        ]
    );
    // The id of the disk, one byte further.
    let inside = with(METADATA + 32 + 2 * 32 + 16, &[0x11]);
    let says = "2097152 a metadata item has 4 bytes at 65568 of its region: something else ends at \
                65569, the region at 1048576";
    assert_eq!(found(inside), [says]);
    let mut empty = with(METADATA + 10, &[7]);
    assert_eq!(
        found(empty.clone()),
        ["2097152 the metadata item {00000000-0000-0000-0000-000000000000} is there twice"]
    );
    empty[METADATA + 32 + 6 * 32] = 1;
    assert_eq!(found(empty), [""; 0]);
    let mut tables = good();
    tables[TABLES[1] + 1000] = 1;
    seal(&mut tables[TABLES[1]..TABLES[1] + (64 << 10)]);
    assert_eq!(found(tables), ["262144 the two region tables differ"]);
}

/// Seventeen blocks of 256 MiB: the sector bitmap's entry is the one behind sixteen.
#[test]
fn sector_bitmaps_are_not_there_without_a_parent() {
    let medium = Patched { name: "bitmap", len: 17 << 28, patches: vec![(1 << 32, vec![7; 512])] };
    let sink = vmimage::engine::base::MemorySink::default();
    crate::support::put(&medium, &Cut(&sink), &dynamic(256 * MIB)).unwrap();
    let file = sink.into_bytes();
    let open = |entry: u64| {
        let mut file = file.clone();
        put(&mut file, BAT + 16 * 8, &entry.to_le_bytes());
        open_source(Arc::new(Long { front: ByteSource::new(file), len: 260 * MIB })).unwrap()
    };
    for (entry, errors) in [(0, 0), (2, 0), (4 << 20 | 6, 1), (4 << 20, 1)] {
        let image = open(entry);
        let findings = image.check(&SILENT).unwrap();
        assert_eq!((findings.errors, findings.leaks), (errors, 0), "{findings:?}");
        let mut byte = [0];
        image.read_at((1 << 32) + 99, &mut byte).unwrap();
        assert_eq!(byte, [7]);
        assert_eq!(image.census().unwrap().zero, 16);
    }
}

/// Takes writes but no length: memory for what was written only.
struct Cut<'a>(&'a vmimage::engine::base::MemorySink);

impl vmimage::engine::base::PositionalSink for Cut<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.0.write_at(offset, bytes)
    }

    fn set_len(&self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn every_cut_is_refused_or_noticed() {
    for good in [good(), {
        let medium = Patched { name: "cut", len: 2 * MIB, patches: vec![(0, vec![1; 99])] };
        bytes(&medium, &fixed(MIB)).unwrap()
    }] {
        let whole = all(&*open_bytes(good.clone()).unwrap()).unwrap();
        for cut in (0..good.len()).step_by(65_537) {
            let seen = open_bytes(good[..cut].to_vec()).and_then(|image| {
                image.check(&SILENT)?;
                all(&*image)
            });
            assert!(seen.is_err(), "{cut} of {}", whole.len());
        }
    }
}
