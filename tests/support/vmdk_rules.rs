//! The rules that a stream-optimized VMDK must keep for vSphere and VirtualBox to take it.
//!
//! Written from VMware's "Virtual Disk Format 5.0" and from what users reported as refused; reads
//! the bytes by itself, front to back as an importer does. Invariant: knows nothing of our code.

use std::collections::BTreeMap;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Panics unless the file keeps all rules for a disk of `len` bytes.
pub(crate) fn judge(file: &[u8], len: u64) {
    assert_eq!(file.len() % 512, 0, "whole sectors");
    let header = &file[..512];
    judge_header(header, len);
    judge_descriptor(header, file, len);
    let tables = walk(file, len);
    let footer = &file[file.len() - 1024..file.len() - 512];
    let directory = u64_at(footer, 56);
    assert_eq!(directory * 512, tables.directory, "the footer finds the directory");
    let mut copy = header.to_vec();
    copy[56..64].copy_from_slice(&footer[56..64]);
    assert!(copy == footer, "the footer is the header, but for gdOffset");
}

fn judge_header(header: &[u8], len: u64) {
    assert_eq!(&header[..4], b"KDMV");
    assert_eq!(u32_at(header, 4), 3, "ESXi refuses another version");
    assert_eq!(u32_at(header, 8), 0x3_0001, "new line test, compressed grains, markers");
    assert_eq!(u64_at(header, 12), len / 512, "capacity");
    assert_eq!(u64_at(header, 20), 128, "grainSize");
    assert_eq!(u64_at(header, 28), 1, "descriptorOffset");
    assert_eq!(u64_at(header, 36), 20, "descriptorSize");
    assert_eq!(u32_at(header, 44), 512, "numGTEsPerGT");
    assert_eq!(u64_at(header, 48), 0, "rgdOffset: a stream has one directory");
    assert_eq!(u64_at(header, 56), u64::MAX, "gdOffset: see the footer");
    assert_eq!(u64_at(header, 64), 128, "overHead");
    assert_eq!(header[72], 0, "uncleanShutdown");
    assert_eq!(&header[73..77], b"\n \r\n");
    assert_eq!(u16_at(header, 77), 1, "deflate");
    assert!(header[79..].iter().all(|byte| *byte == 0));
}

fn judge_descriptor(header: &[u8], file: &[u8], len: u64) {
    let at = usize::try_from(u64_at(header, 28) * 512).unwrap();
    let room = usize::try_from(u64_at(header, 36) * 512).unwrap();
    let text = file[at..at + room].split(|byte| *byte == 0).next().unwrap();
    let text = std::str::from_utf8(text).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("# Disk DescriptorFile"), "VirtualBox insists on it");
    assert_eq!(lines.next(), Some("version=1"), "VMware looks at the first line of all");
    let value = |name: &str| -> &str {
        let mut found = text.lines().filter_map(|line| line.strip_prefix(name));
        let value = found.next().unwrap_or_else(|| panic!("no line {name}"));
        assert!(found.next().is_none(), "two lines {name}");
        value.trim_start_matches([' ', '=']).trim_matches('"')
    };
    assert_eq!(value("createType="), "streamOptimized");
    assert_eq!(value("parentCID="), "ffffffff");
    let cid = value("CID=");
    assert!(cid.len() == 8 && cid != "ffffffff", "{cid}");
    assert_eq!(value("ddb.toolsVersion"), "2147483647", "unmanaged tools");
    assert!(["ide", "buslogic", "lsilogic"].contains(&value("ddb.adapterType")));
    assert!((3..=22).contains(&value("ddb.virtualHWVersion").parse::<u32>().unwrap()));
    let heads: u64 = value("ddb.geometry.heads").parse().unwrap();
    assert_eq!(heads, if value("ddb.adapterType") == "ide" { 16 } else { 255 });
    assert_eq!(value("ddb.geometry.sectors"), "63");
    let cylinders: u64 = value("ddb.geometry.cylinders").parse().unwrap();
    assert_eq!(cylinders, len / 512 / 63 / heads);
    let mut extents = text.lines().filter(|line| line.starts_with("RW "));
    let extent = extents.next().unwrap();
    assert!(extent.starts_with(&format!("RW {} SPARSE \"", len / 512)) && extent.ends_with('"'));
    assert!(extents.next().is_none());
}

struct Tables {
    /// Where the directory lies, in bytes.
    directory: u64,
}

/// Goes from marker to marker as a reader of a stream does; all must be in order.
fn walk(file: &[u8], len: u64) -> Tables {
    let mut at = usize::try_from(u64_at(file, 64) * 512).unwrap();
    // The first sectors of the grains since the last table, by their numbers.
    let mut open: BTreeMap<u64, u32> = BTreeMap::new();
    let mut last = None;
    let mut tables: BTreeMap<u64, u32> = BTreeMap::new();
    let mut directory = None;
    loop {
        let (val, size, kind) = (u64_at(file, at), u32_at(file, at + 8), u32_at(file, at + 12));
        if size != 0 {
            assert!(directory.is_none(), "a grain behind the directory");
            assert!(val % 128 == 0 && val < len / 512, "lba {val}");
            let grain = val / 128;
            assert!(last.is_none_or(|last| last < grain), "grains come in order");
            assert!(open.keys().all(|other| other / 512 == grain / 512), "a table was due");
            last = Some(grain);
            open.insert(grain, u32::try_from(at / 512).unwrap());
            let end = at + 12 + size as usize;
            assert_eq!(file[at + 12] & 0xf, 8, "a zlib stream");
            at = end.next_multiple_of(512);
            assert!(file[end..at].iter().all(|byte| *byte == 0), "padding");
            continue;
        }
        assert!(file[at + 16..at + 512].iter().all(|byte| *byte == 0), "the rest of a marker");
        let body = at + 512;
        let len = usize::try_from(val).unwrap() * 512;
        match kind {
            1 => {
                assert_eq!(len, 2048, "a grain table");
                let number = open.keys().next().expect("grains before their table") / 512;
                for index in 0..512u64 {
                    let entry = u32_at(file, body + usize::try_from(index).unwrap() * 4);
                    let wanted = open.remove(&(number * 512 + index)).unwrap_or(0);
                    assert_eq!(entry, wanted, "entry {index} of table {number}");
                }
                tables.insert(number, u32::try_from(body / 512).unwrap());
            }
            2 => {
                assert!(open.is_empty() && directory.is_none());
                let count = len / 4;
                for number in 0..count as u64 {
                    let entry = u32_at(file, body + usize::try_from(number).unwrap() * 4);
                    assert_eq!(entry, tables.get(&number).copied().unwrap_or(0));
                }
                directory = Some(body as u64);
            }
            3 => assert_eq!(len, 512, "the footer"),
            0 => {
                assert_eq!((val, body), (0, file.len()), "the end");
                return Tables { directory: directory.expect("a directory before the end") };
            }
            other => panic!("marker type {other} at {at}"),
        }
        at = body + len;
    }
}
