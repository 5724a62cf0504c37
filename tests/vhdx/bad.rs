//! Damaged and hostile files: each is refused with what was found and what is allowed.

use vmimage::engine::base::{ByteSource, Error, Extent, Kind, SectorSource};

use crate::crash::{SECTOR, seal};
use crate::media::{Noise, Patched};
use crate::support::{MIB, SILENT, all, bytes, dynamic, open_bytes};

pub(crate) const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
pub(crate) const TABLES: [usize; 2] = [192 << 10, 256 << 10];
pub(crate) const METADATA: usize = 2 << 20;
pub(crate) const ITEMS: usize = METADATA + (64 << 10);
pub(crate) const BAT: usize = 3 << 20;

/// A file followed by zeros.
#[derive(Debug)]
pub(crate) struct Long {
    pub(crate) front: ByteSource,
    pub(crate) len: u64,
}

impl Long {
    /// Long enough for a log of 65 MiB behind the file.
    pub(crate) fn with_log(file: Vec<u8>) -> Self {
        Self { front: ByteSource::new(file), len: 100 * MIB }
    }
}

impl SectorSource for Long {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        buffer.fill(0);
        let there = self.front.len().saturating_sub(offset).min(buffer.len() as u64);
        if there == 0 { Ok(()) } else { self.front.read_at(offset, &mut buffer[..there as usize]) }
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        self.front.next_extent(offset)
    }
}

/// Three MiB, of which the first and the last are there.
pub(crate) fn good() -> Vec<u8> {
    let mut noise = Noise(31);
    let patches = vec![(0, noise.bytes(9000)), (2 * MIB, noise.bytes(9000))];
    bytes(&Patched { name: "bad", len: 3 * MIB, patches }, &dynamic(MIB)).unwrap()
}

pub(crate) fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The file with both headers changed, their checksums right.
pub(crate) fn headers(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut file = good();
    for at in HEADERS {
        change(&mut file[at..at + SECTOR]);
        seal(&mut file[at..at + SECTOR]);
    }
    file
}

/// The file with both region tables changed, their checksums right.
pub(crate) fn tables(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut file = good();
    for at in TABLES {
        change(&mut file[at..at + (64 << 10)]);
        seal(&mut file[at..at + (64 << 10)]);
    }
    file
}

/// The file with these bytes somewhere.
pub(crate) fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = good();
    put(&mut file, at, bytes);
    file
}

pub(crate) fn refused(name: &str, file: Vec<u8>, kind: Kind, says: &str) {
    let front = match kind {
        Kind::Damaged => "the VHDX file is damaged: ",
        _ => "the VHDX file is not supported: ",
    };
    let found = open_bytes(file).and_then(|image| all(&*image));
    let error = found.map(|bytes| bytes.len()).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (kind, format!("{front}{says}")), "{name}");
}

#[test]
fn headers_must_be_right() {
    let damaged = |name: &str, file, says: &str| refused(name, file, Kind::Damaged, says);
    damaged(
        "short",
        good()[..1 << 19].to_vec(),
        "524288 bytes are shorter than its headers, 1048576",
    );
    damaged("nothing", vec![], "0 bytes are shorter than its headers, 1048576");
    damaged("signature", with(0, b"vhdxfilf"), "it begins with \"vhdxfilf\", not \"vhdxfile\"");
    let mut both = with(HEADERS[0], b"haed");
    put(&mut both, HEADERS[1] + 4, &[1, 2, 3, 4]);
    let crc = u32::from_le_bytes(good()[HEADERS[1] + 4..][..4].try_into().unwrap());
    damaged(
        "both headers",
        both,
        &format!(
            "both headers are bad: at 65536: the signature is \"haed\", not \"head\"; at 131072: \
             the checksum is 0x04030201, not {crc:#010x}"
        ),
    );
    let mut same = good();
    for (at, byte) in HEADERS.into_iter().zip([1, 2]) {
        same[at + 8] = 7;
        same[at + 20] = byte;
        seal(&mut same[at..at + SECTOR]);
    }
    damaged("same number", same, "both headers have SequenceNumber 7, but they differ");
    let place = |length, offset| {
        format!(
            "the log has {length} bytes at {offset}: not whole MiB between the headers and the \
             end of the file at 6291456"
        )
    };
    let log = |length: u32, offset: u64| {
        headers(|header| {
            put(header, 68, &length.to_le_bytes());
            put(header, 72, &offset.to_le_bytes());
        })
    };
    for (length, offset) in
        [(1 << 20, 0), (1 << 20, 4096), (4096, 1 << 20), (1 << 20, 6 << 20), (1 << 20, !0 << 20)]
    {
        damaged("log", log(length, offset), &place(length, offset));
    }
    damaged(
        "log in the metadata",
        log(2 << 20, 1 << 20),
        "the log at 1048576..3145728 and the region of the metadata at 2097152..3145728 overlap",
    );
    let version = headers(|header| header[66] = 2);
    refused("version", version, Kind::Unsupported, "the header's Version is 2, known is 1");
    // A strange log that is empty does not matter.
    assert!(open_bytes(headers(|header| header[64] = 9)).is_ok());
}

#[test]
fn the_newer_header_counts_and_one_copy_is_enough() {
    for (broken, expected) in [(0, 2), (1, 1)] {
        let mut file = good();
        for (at, number) in HEADERS.into_iter().zip([1, 2]) {
            file[at + 32] = number;
            seal(&mut file[at..at + SECTOR]);
        }
        file[HEADERS[broken]] ^= 1;
        file[TABLES[broken]] ^= 1;
        let image = open_bytes(file).unwrap();
        let id = image.details()["dataWriteId"].as_str().unwrap().to_owned();
        assert_eq!(&id[6..8], format!("{expected:02x}"), "{id}");
        let findings = image.check(&SILENT).unwrap();
        assert_eq!(findings.errors, 2, "{findings:?}");
        assert!(all(&*image).unwrap() == all(&*open_bytes(good()).unwrap()).unwrap());
    }
}

#[test]
fn region_tables_must_be_right() {
    let damaged = |name: &str, file, says: &str| refused(name, file, Kind::Damaged, says);
    let mut both = with(TABLES[0], b"x");
    put(&mut both, TABLES[1], b"y");
    damaged(
        "both",
        both,
        "both region tables are bad: at 196608: the signature is \"xegi\", not \"regi\"; at \
         262144: the signature is \"yegi\", not \"regi\"",
    );
    let count = |count: u32| tables(move |table| put(table, 8, &count.to_le_bytes()));
    damaged("count", count(2048), "the region table has 2048 entries, at most 2047 fit");
    damaged(
        "huge count",
        count(u32::MAX),
        "the region table has 4294967295 entries, at most 2047 fit",
    );
    damaged("none", count(0), "the region table does not name the BAT");
    damaged("one", count(1), "the region table does not name the metadata");
    let bat = |offset: u64, length: u32| {
        tables(move |table| {
            put(table, 32, &offset.to_le_bytes());
            put(table, 40, &length.to_le_bytes());
        })
    };
    for (offset, length) in [
        (0, 1 << 20),
        (512 << 10, 1 << 20),
        (3 << 20, 0),
        (3 << 20, 4096),
        (3 << 20, 0xfff0_0000),
        (6 << 20, 1 << 20),
        (!0 << 20, 1 << 20),
    ] {
        let says = format!(
            "the region of the BAT has {length} bytes at {offset}: not whole MiB between the \
             headers and the end of the file at 6291456"
        );
        damaged("place of the BAT", bat(offset, length), &says);
    }
    damaged(
        "BAT in the log",
        bat(1 << 20, 1 << 20),
        "the log at 1048576..2097152 and the region of the BAT at 1048576..2097152 overlap",
    );
    let twice = tables(|table| table.copy_within(16..48, 48));
    damaged("twice", twice, "the region of the BAT is there twice");
    let required = |required: u8| {
        tables(move |table| {
            table[8] = 3;
            put(table, 80, &[7; 16]);
            put(table, 96, &(5u64 << 20).to_le_bytes());
            put(table, 104, &(1u32 << 20).to_le_bytes());
            table[108] = required;
        })
    };
    let says = "it requires the region {07070707-0707-0707-0707-070707070707}, which is not known";
    refused("unknown", required(1), Kind::Unsupported, says);
    // It lies where a block does.
    damaged(
        "block in an unknown region",
        required(0),
        "the BAT entry of block 2 is 0x500006: offset 5242880 is in a region that is not known at \
         5242880..6291456",
    );
}

#[test]
fn metadata_must_be_right() {
    let damaged = |name: &str, file, says: &str| refused(name, file, Kind::Damaged, says);
    let unsupported = |name: &str, file, says: &str| refused(name, file, Kind::Unsupported, says);
    let entry = |index: usize| METADATA + 32 + index * 32;
    damaged(
        "signature",
        with(METADATA, b"metadatb"),
        "the metadata table at 2097152 begins with \"metadatb\", not \"metadata\"",
    );
    let count = |count: u16| with(METADATA + 10, &count.to_le_bytes());
    damaged("count", count(2048), "the metadata table has 2048 entries, at most 2047 fit");
    damaged("missing", count(4), "the metadata item Physical Sector Size is missing");
    damaged("none", count(0), "the metadata item File Parameters is missing");
    for (offset, length) in [(0, 8), (65_535, 8), (u32::MAX, 8), (1 << 20, 8), (65_536, 0x10_0001)]
    {
        let mut file = with(entry(0) + 16, &u32::to_le_bytes(offset));
        put(&mut file, entry(0) + 20, &u32::to_le_bytes(length));
        let says = format!(
            "the metadata item File Parameters has {length} bytes at {offset} of its region: \
             allowed are 1048576 bytes from 65536 to 1048576"
        );
        damaged("place", file, &says);
    }
    damaged(
        "length",
        with(entry(1) + 20, &[9]),
        "the metadata item Virtual Disk Size has 9 bytes, not 8",
    );
    let mut twice = good();
    twice.copy_within(entry(1)..entry(2), entry(5));
    twice[METADATA + 10] = 6;
    damaged("twice", twice, "the metadata item Virtual Disk Size is there twice");
    let mut unknown = with(entry(5), &[8; 16]);
    unknown[METADATA + 10] = 6;
    assert!(open_bytes(unknown.clone()).is_ok());
    unknown[entry(5) + 24] = 4;
    let says =
        "it requires the metadata item {08080808-0808-0808-0808-080808080808}, which is not known";
    unsupported("unknown", unknown, says);
    for block in [0, 1 << 19, 3 << 20, 512 << 20, u32::MAX] {
        let says =
            format!("VHDX blocks are a power of two from 1 MiB to 256 MiB, not {block} bytes");
        damaged("block", with(ITEMS, &block.to_le_bytes()), &says);
    }
    let size = |size: u64| with(ITEMS + 8, &size.to_le_bytes());
    damaged("size", size(1000), "a disk of 1000 bytes is not whole sectors of 512 bytes");
    damaged(
        "huge",
        size(1 << 63),
        "a disk of 9223372036854775808 bytes is too large for VHDX: it ends at 70368744177664",
    );
    damaged(
        "more blocks than the BAT has",
        size(64 << 40),
        "the region of the BAT has 1048576 bytes, but a disk of 70368744177664 bytes in blocks of \
         1048576 needs 537001976",
    );
    let sector = |at: usize, size: u32| with(ITEMS + at, &size.to_le_bytes());
    damaged("logical", sector(32, 1024), "Logical Sector Size is 1024, allowed are 512 and 4096");
    damaged("physical", sector(36, 0), "Physical Sector Size is 0, allowed are 512 and 4096");
    unsupported(
        "4096",
        sector(32, 4096),
        "its logical sectors have 4096 bytes: readers disagree about such disks, only 512 are read",
    );
}
