//! VMDK files that are damaged or hostile: refused with what was found, or read as they were.
//!
//! Writes nothing that foreign tools read. Invariant: where bytes lie comes from the specification.

use fs_err as fs;
use vmimage::engine::base::{ByteSource, Deny, SectorSource};
use vmimage::engine::format::Image as _;
use vmimage::engine::format::vmdk::{Image, Subformat};

use crate::media::{Noise, Patched};
use crate::vmdk_files::{bytes, open, params, work};

/// A file in memory with these bytes changed: open, read all, check. What our reader says.
fn consequence(good: &[u8], patches: &[(usize, &[u8])], plain: &[u8]) -> Result<(), String> {
    let mut bad = good.to_vec();
    for (at, patch) in patches {
        bad[*at..][..patch.len()].copy_from_slice(patch);
    }
    consequence_of(bad, plain)
}

fn consequence_of(bad: Vec<u8>, plain: &[u8]) -> Result<(), String> {
    let image = Image::open(std::sync::Arc::new(ByteSource::new(bad)), &Deny)
        .map_err(|error| error.to_string())?;
    if image.len() != plain.len() as u64 {
        return Err(format!("another size, {}", image.len()));
    }
    let mut seen = vec![0xee; plain.len()];
    image.read_at(0, &mut seen).map_err(|error| error.to_string())?;
    if seen != plain {
        return Err("other contents".to_owned());
    }
    let extents = image.extents().take(1000).count();
    assert!(extents < 1000);
    let findings = image.check(&work(1)).map_err(|error| error.to_string())?;
    match findings.listed.first() {
        None => Ok(()),
        Some(finding) => Err(finding.message.clone()),
    }
}

fn small() -> Patched {
    let mut noise = Noise(3);
    let patches = vec![(0, noise.words(65_536)), (200_000, noise.words(9_000))];
    Patched { name: "mutated", len: 300 << 10, patches }
}

fn plain(medium: &Patched) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(medium.len).unwrap()];
    medium.read_at(0, &mut bytes).unwrap();
    bytes
}

/// What of the header may change unnoticed, at which byte and by which flip: the padding of a file
/// that has no second copy of it, and the flag that asks for the new line test, which is as good
/// a header without the test.
fn unnoticed(at: usize, flip: u8, subformat: Subformat) -> bool {
    subformat == Subformat::MonolithicSparse && (at >= 79 || (at, flip) == (8, 1))
}

#[test]
fn every_byte_of_a_header_matters() {
    let medium = small();
    let plain = plain(&medium);
    for subformat in [Subformat::MonolithicSparse, Subformat::StreamOptimized] {
        let good = bytes(&medium, &params(subformat), 1);
        assert_eq!(consequence_of(good.clone(), &plain), Ok(()));
        let footer = good.len() - 3 * 512..good.len();
        let more = (subformat == Subformat::StreamOptimized).then_some(footer);
        for at in (0..512).chain(more.into_iter().flatten()) {
            for flip in [0x01, 0x80, 0xff] {
                let silent = consequence(&good, &[(at, &[good[at] ^ flip])], &plain).is_ok();
                let marker_padding = at >= 512 && {
                    let sector = (good.len() - at - 1) / 512;
                    sector != 1 && at % 512 >= 16
                };
                let expected = marker_padding || unnoticed(at, flip, subformat);
                assert_eq!(silent, expected, "{subformat:?} byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn every_byte_of_the_tables_is_read_or_refused() {
    let medium = small();
    let plain = plain(&medium);
    for subformat in [Subformat::MonolithicSparse, Subformat::StreamOptimized] {
        let good = bytes(&medium, &params(subformat), 1);
        // The first entries of each table and directory, and the first bytes of each marker.
        let places = (21..128).chain(128..good.len() / 512).flat_map(|sector| {
            let from = sector * 512;
            from..from + 24
        });
        let mut refused = 0;
        for at in places.filter(|at| *at < 16_384 || subformat == Subformat::StreamOptimized) {
            for flip in [0x01, 0xff] {
                let told = consequence(&good, &[(at, &[good[at] ^ flip])], &plain);
                refused += u32::from(told.is_err());
            }
        }
        assert!(refused > 100, "{subformat:?}: {refused}");
        for cut in (0..1024).step_by(37).chain((0..good.len()).step_by(4000)) {
            let told = consequence_of(good[..cut].to_vec(), &plain);
            assert!(told.is_err(), "{subformat:?} cut at {cut}");
        }
    }
}

#[test]
fn bad_headers_are_refused_with_their_numbers() {
    let medium = small();
    let plain = plain(&medium);
    let sparse = bytes(&medium, &params(Subformat::MonolithicSparse), 1);
    for (patches, says) in [
        (vec![(4, &[4][..])], "vmdk file with version 4; 1 to 3 are known"),
        (vec![(0, b"COWD")], "the magic COWD: ESXi's own sparse type"),
        (vec![(9, b"\x01")], "flags 0x103; known are 0x30007"),
        (vec![(20, &[0])], "grainSize is 0 sectors, not a power of two from 8 to 2048"),
        (vec![(20, &[129])], "grainSize is 129 sectors, not a power of two"),
        (vec![(20, &[4])], "grainSize is 4 sectors, not a power of two"),
        (vec![(20, &[0, 0x10])], "grainSize is 4096 sectors, not a power of two"),
        (vec![(44, &[0, 0])], "numGTEsPerGT is 0, not a power of two up to 512"),
        (vec![(44, &[0, 4])], "numGTEsPerGT is 1024, not a power of two up to 512"),
        (vec![(12, &[0; 8])], "capacity is 0 sectors; 1 to 274877906944 are allowed"),
        (vec![(12, &[0xff; 8])], "capacity is 18446744073709551615 sectors"),
        (vec![(56, &[0xff, 0xff])], "gdOffset is 65535: 1 sectors do not lie there"),
        (vec![(56, &[0])], "gdOffset is 0: 1 sectors do not lie there"),
        (vec![(48, &[0xff; 8])], "rgdOffset is 18446744073709551615: 1 sectors do not"),
        (vec![(28, &[0, 1, 1])], "descriptorOffset is 65792: 20 sectors do not lie"),
        (vec![(28, &[0])], "no descriptor: one extent of a disk"),
        (vec![(36, &[0])], "descriptorSize is 0; 1 to 2048 are allowed"),
        (vec![(36, &[1, 8])], "descriptorSize is 2049; 1 to 2048 are allowed"),
        (vec![(36, &[0, 8])], "descriptorOffset is 1: 2048 sectors do not lie there"),
    ] {
        let told = consequence(&sparse, &patches, &plain).unwrap_err();
        assert!(told.contains(says), "{says}\n{told}");
    }
}

/// Where bytes are changed, and what they become.
type Change<'a> = (usize, &'a [u8]);

#[test]
fn bad_tables_and_markers_are_refused_with_their_numbers() {
    let medium = small();
    let plain = plain(&medium);
    let sparse = bytes(&medium, &params(Subformat::MonolithicSparse), 1);
    let stream = bytes(&medium, &params(Subformat::StreamOptimized), 1);
    let at_end = stream.len();
    let first_table = 22 * 512; // of the redundant directory; the main ones begin at 27
    let main_table = 27 * 512;
    let cases: Vec<(&Vec<u8>, Vec<Change<'_>>, &str)> = vec![
        (&sparse, vec![(72, &[1])], "uncleanShutdown is set: the disk was open for writing"),
        (&sparse, vec![(72, &[9])], "uncleanShutdown is 9, not 0 or 1"),
        (&sparse, vec![(73, b"\r")], "the file was sent as text"),
        (
            &sparse,
            vec![(77, &[1])],
            "compressAlgorithm 1 and the flag of compressed grains being 0",
        ),
        (
            &stream,
            vec![(77, &[2])],
            "compressAlgorithm 2 and the flag of compressed grains being 1",
        ),
        (&stream, vec![(10, &[1])], "compressed grains without markers"),
        (&sparse, vec![(56, &[0xff; 8])], "gdOffset names the footer, but the marker at"),
        (&stream, vec![(at_end - 1536, &[2])], "is (2, 0, 3), not (1, 0, 3) (sectors, size, type)"),
        (&stream, vec![(at_end - 512, &[1])], "is (1, 0, 0), not (0, 0, 0) (sectors, size, type)"),
        (&stream, vec![(at_end - 1024, b"X")], "the footer's magicNumber is 0x564d4458"),
        (&stream, vec![(at_end - 1024 + 12, &[1])], "the footer contradicts the header"),
        (&stream, vec![(at_end - 1024 + 64, &[1])], "the footer is not a copy of the header"),
        (&stream, vec![(at_end - 1024 + 56, &[0xff; 8])], "the footer's gdOffset does, too"),
        (&stream, vec![(at_end - 1024 + 57, &[0xff])], "sectors do not lie there"),
        (&sparse, vec![(512, b"#disk")], "the descriptor begins with \"#diskk Descr"),
        (&sparse, vec![(26 * 512, &[0xff; 4])], "the grain table 0 at sector 4294967295 does not"),
        (
            &sparse,
            vec![(main_table, &[0xff; 4])],
            "entry of grain 0 is sector 4294967295; the file",
        ),
        (&sparse, vec![(main_table, &[1, 0, 0, 0])], "other contents"),
        (&sparse, vec![(main_table, &[0x81])], "other contents"),
        (&sparse, vec![(first_table, &[0x81])], "grain table 0 and its redundant copy differ"),
        (&stream, vec![(128 * 512, &[128])], "lba is 128, not 0"),
        (&stream, vec![(128 * 512 + 8, &[0; 4])], "size is 0; 1 to 131072 bytes are allowed"),
        (&stream, vec![(128 * 512 + 8, &[0xff; 4])], "size is 4294967295; 1 to 131072 bytes"),
        (&stream, vec![(128 * 512 + 40, &[0xff; 9])], "compressed bytes of grain 0 at sector 128"),
    ];
    for (file, patches, says) in cases {
        let told = consequence(file, &patches, &plain).unwrap_err();
        assert!(told.contains(says), "{says}\n{told}");
    }
    // Neighbours in the disk at one place, tables in a grain, a file that goes on behind its end.
    let twice = [(main_table + 16, &sparse[main_table..main_table + 4])];
    let told = consequence(&sparse, &twice, &plain).unwrap_err();
    assert_eq!(told, "other contents");
    let longer = [&sparse[..], &[0; 65_536 * 2]].concat();
    let told = consequence_of(longer, &plain).unwrap_err();
    assert!(told.contains("256 sectors at sector 384 belong to nothing"), "{told}");
}

#[test]
fn overlaps_and_bombs_are_found() {
    // Two grains that are alike: that one lies where the other does is seen by the check alone.
    let mut noise = Noise(8);
    let words = noise.words(65_536);
    let patches = vec![(0, words.clone()), (65_536, words)];
    let medium = Patched { name: "alike", len: 128 << 10, patches };
    let plain = plain(&medium);
    let good = bytes(&medium, &params(Subformat::MonolithicSparse), 1);
    let table = 27 * 512;
    let other = 22 * 512;
    let same = &good[table..table + 4];
    let told = consequence(&good, &[(table + 4, same), (other + 4, same)], &plain).unwrap_err();
    assert!(told.contains("belongs to grain 1 and to something else"), "{told}");

    // A grain that unpacks to more than a grain, and one to less.
    let stream = bytes(&medium, &params(Subformat::StreamOptimized), 1);
    for (len, says) in
        [(70_000, "too small to accommodate"), (60_000, "they end after 60000 bytes of")]
    {
        let mut packed = vec![0; 1000];
        let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
        let size = compressor.zlib_compress(&vec![7; len], &mut packed).unwrap();
        let marker = (u32::try_from(size).unwrap()).to_le_bytes();
        let at = 128 * 512;
        let patches = [(at + 8, &marker[..]), (at + 12, &packed[..size])];
        let told = consequence(&stream, &patches, &plain).unwrap_err();
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn extents_outside_are_never_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let descriptor = |extents: &str| {
        format!(
            "# Disk DescriptorFile\r\nversion=1\r\nencoding=\"windows-1252\"\r\nCID=1\r\n\
             parentCID=ffffffff\r\ncreateType=\"twoGbMaxExtentFlat\"\r\n{extents}\r\n"
        )
    };
    fs::write(directory.path().join("f1"), b"0123456789abcdef".repeat(128)).unwrap();
    let path = directory.path().join("a.vmdk");
    let told = |extents: &str| {
        fs::write(&path, descriptor(extents)).unwrap();
        open(&path).map(|image| image.len()).map_err(|error| error.to_string())
    };
    assert_eq!(told("RW 3 FLAT \"f1\" 1\r\nRW 8 ZERO"), Ok(11 * 512));
    for name in ["/etc/shadow", "../f1", "sub/f1", "..", "C:\\f1", "."] {
        let text = told(&format!("RW 1 FLAT \"{name}\" 0")).unwrap_err();
        assert!(text.contains("which is no plain file name"), "{text}");
    }
    let text = told("RW 4 FLAT \"f1\" 1").unwrap_err();
    let says = "extent \"f1\" of 2048 bytes does not hold 4 sectors from sector 1 on";
    assert!(text.contains(says), "{text}");
    let text = told("RW 18446744073709551615 FLAT \"f1\" 1").unwrap_err();
    assert!(text.contains("does not hold 18446744073709551615 sectors"), "{text}");
    let text = told("RW 18446744073709551615 ZERO").unwrap_err();
    assert!(text.contains("an extent of 18446744073709551615 sectors behind 0 bytes"), "{text}");
    let text = told("RW 4 SPARSE \"f1\"").unwrap_err();
    assert!(text.contains("extent \"f1\": damaged vmdk file: the header's magicNumber"), "{text}");
    assert!(told("RW 1 FLAT \"missing\" 0").is_err());
    // A sparse extent that is shorter than the descriptor says.
    let file = bytes(&small(), &params(Subformat::MonolithicSparse), 1);
    fs::write(directory.path().join("s1"), file).unwrap();
    assert_eq!(told("RW 600 SPARSE \"s1\""), Ok(600 * 512));
    let text = told("RW 601 SPARSE \"s1\"").unwrap_err();
    assert!(text.contains("extent \"s1\" has 600 sectors; the descriptor says 601"), "{text}");
    // A raw disk that happens to begin with the first line of a descriptor.
    let long = [descriptor("RW 1 ZERO").into_bytes(), vec![0; 2 << 20]].concat();
    fs::write(&path, long).unwrap();
    let text = open(&path).unwrap_err().to_string();
    assert!(text.contains("a descriptor has at most 1048576"), "{text}");
}
