//! Hostile files, one fault each, with the exact error; and every byte of our headers flipped.

use std::collections::BTreeSet;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::{ByteSource, Error, Gate, Role, SectorSource, Silent, digest};
use vmimage::engine::format::Image as _;
use vmimage::engine::format::qcow2::{Compat, Compression, Image, Params};

use super::media::{Noise, Patched};
use super::qemu_img::{output, text};
use super::{WORK, bytes};

const CLUSTER: usize = 65_536;

/// Two clusters that differ, in a disk of 300 KiB: header, L1, L2, then the data.
fn small(params: &Params) -> Vec<u8> {
    let mut noise = Noise(3);
    let patches = vec![(0, noise.words(65_536)), (200_000, noise.words(9_000))];
    bytes(&Patched { name: "small", len: 300 << 10, patches }, params)
}

fn all(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let image = Image::open(Arc::new(ByteSource::new(bytes)))?;
    let mut seen = vec![0xee; usize::try_from(image.len()).unwrap().min(1 << 20)];
    image.read_at(0, &mut seen)?;
    Ok(seen)
}

/// A file with some of its bytes changed is refused with these words.
#[track_caller]
fn refused(compression: Compression, patches: &[(usize, &[u8])], says: &str) {
    let mut bytes = small(&Params::compressed(compression));
    for (at, patch) in patches {
        if bytes.len() < at + patch.len() {
            bytes.resize(at + patch.len(), 0);
        }
        bytes[*at..][..patch.len()].copy_from_slice(patch);
    }
    let error = all(bytes).unwrap_err();
    assert_eq!(error.to_string(), says);
}

#[test]
fn tables_that_lead_astray_are_refused() {
    let entry = |value: u64| value.to_be_bytes();
    let (l1, l2) = (CLUSTER, 2 * CLUSTER);
    let none = |patches: &[(usize, &[u8])], says: &str| refused(Compression::None, patches, says);
    none(
        &[(l1, &entry(1 << 63 | 0x20200))],
        "damaged qcow2 file: L2 table of 65536 bytes at offset 131584; clusters have 65536 bytes, \
         the file has 458752",
    );
    none(
        &[(l1, &entry(1 << 63 | 1 << 50))],
        "damaged qcow2 file: L2 table of 65536 bytes at offset 1125899906842624; clusters have \
         65536 bytes, the file has 458752",
    );
    none(
        &[(l1, &entry(1 << 56 | 0x20000))],
        "damaged qcow2 file: L1 entry 0 is 0x100000000020000: reserved bits are set",
    );
    for (value, why) in [
        (1 << 63 | 0x30002, "reserved bits are set"),
        (1 << 63 | 1 << 56 | 0x30000, "reserved bits are set"),
        (1 << 63 | 0x30200, "the offset is not aligned"),
        (1 << 63 | 1 << 50, "it does not lie in the file"),
        (1 << 63, "it does not lie in the file"),
        (3 << 62 | 0x30000, "a compressed cluster cannot be written in place"),
        (1 << 62 | 1 << 50, "it does not lie in the file"),
        (1 << 62 | 0x100, "it does not lie in the file"),
    ] {
        none(
            &[(l2, &entry(value))],
            &format!("damaged qcow2 file: L2 entry 0 is {value:#x}: {why} (L2 table 0)"),
        );
    }
    // Version 2 knows no zero clusters.
    none(
        &[(7, &[2]), (l2, &entry(1))],
        "damaged qcow2 file: L2 entry 0 is 0x1: reserved bits are set (L2 table 0)",
    );
}

#[test]
fn compressed_clusters_that_are_none_are_refused() {
    let (l2, data) = (2 * CLUSTER, 3 * CLUSTER);
    for (compression, why) in [
        (Compression::Zlib, "deflate decompression error: invalid block type"),
        (Compression::Zstd, "Unknown frame descriptor"),
    ] {
        refused(
            compression,
            &[(data, &[0xff; 64])],
            &format!(
                "damaged qcow2 file: compressed cluster at offset 196608: {} compressed bytes do \
                 not unpack to 65536 bytes: {why}",
                packed_len(compression)
            ),
        );
    }
    // A stream of ten bytes, well formed and too short.
    let mut short = flate(&[7; 10]);
    short.resize(512, 0);
    refused(
        Compression::Zlib,
        &[(data, &short), (l2, &(1u64 << 62 | data as u64).to_be_bytes())],
        "damaged qcow2 file: compressed cluster at offset 196608: 512 compressed bytes do not \
         unpack to 65536 bytes: they end after 10",
    );
}

/// Bytes that the descriptor of the first cluster counts.
fn packed_len(compression: Compression) -> u64 {
    let bytes = small(&Params::compressed(compression));
    let entry = u64::from_be_bytes(bytes[2 * CLUSTER..][..8].try_into().unwrap());
    ((entry >> 54 & 0xff) + 1) * 512
}

fn flate(bytes: &[u8]) -> Vec<u8> {
    // One stored block: final, length and its complement.
    let len = u16::try_from(bytes.len()).unwrap();
    [&[1][..], &len.to_le_bytes(), &(!len).to_le_bytes(), bytes].concat()
}

#[test]
fn a_longer_stream_fills_its_cluster_as_in_qemu() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = small(&Params::compressed(Compression::Zlib));
    let (l2, data) = (2 * CLUSTER, file.len());
    let long = [&[0][..], &[0xff, 0xff, 0, 0], &[7; 65_535], &flate(&[7; 1000])].concat();
    file.resize(data + 2 * CLUSTER, 0);
    file[data..][..long.len()].copy_from_slice(&long);
    file[l2..][..8].copy_from_slice(&(1u64 << 62 | 129 << 54 | data as u64).to_be_bytes());
    assert_eq!(all(file.clone()).unwrap()[..CLUSTER], [7; CLUSTER]);
    let path = directory.path().join("long");
    fs::write(&path, file).unwrap();
    let args = ["-r", "-f", "qcow2", "-c", "read -P 7 0 64k", text(&path)];
    let told = output("qemu-io", "qemu-utils", &args);
    assert!(told.status.success() && !String::from_utf8_lossy(&told.stdout).contains("failed"));
}

/// Panics when it is asked.
#[derive(Debug)]
struct Never;

impl Gate for Never {
    fn open(&self, role: Role, name: &[u8]) -> Result<Arc<dyn SectorSource>, Error> {
        panic!("{role} {name:?} is asked for")
    }
}

/// Opens anything as a megabyte of ones.
#[derive(Debug)]
struct Anything;

impl Gate for Anything {
    fn open(&self, _: Role, _: &[u8]) -> Result<Arc<dyn SectorSource>, Error> {
        Ok(Arc::new(ByteSource::new(vec![1; 1 << 20])))
    }
}

/// A file that names a backing file, with the format as an extension if there is one.
fn backed(name: &[u8], format: Option<&[u8]>) -> Arc<dyn SectorSource> {
    let mut bytes = small(&Params::default());
    bytes[8..20].copy_from_slice(&[0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, name.len() as u8]);
    bytes[1024..][..name.len()].copy_from_slice(name);
    if let Some(format) = format {
        let head = [0xe2, 0x79, 0x2a, 0xca, 0, 0, 0, format.len() as u8];
        bytes[104..112].copy_from_slice(&head);
        bytes[112..][..format.len()].copy_from_slice(format);
    }
    Arc::new(ByteSource::new(bytes))
}

#[test]
fn names_of_protocols_never_reach_the_gate() {
    for name in [
        &b"json:{\"driver\":\"file\"}"[..],
        b"nbd://host/x",
        b"nbd:unix:/x",
        b"http://host/x",
        b"fd:3",
        b"file:x",
        b"a\0b",
    ] {
        let error = Image::open_with(backed(name, Some(b"raw")), &Never).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no protocols") || text.contains("zero byte"), "{text}");
    }
    // A colon behind a slash belongs to the name.
    let image = Image::open_with(backed(b"./a:b", Some(b"raw")), &Anything).unwrap();
    assert_eq!(image.header().backing_file.as_deref(), Some("./a:b"));
    let mut seen = [0; 1];
    image.read_at(100_000, &mut seen).unwrap();
    assert_eq!(seen, [1]);
}

#[test]
fn formats_of_backing_files_are_named_and_never_guessed() {
    for (format, says) in [
        (None, "of no format"),
        (Some(&b"qed"[..]), "of format \"qed\""),
        (Some(b"RAW\n"), "of format \"RAW\\n\""),
    ] {
        let error = Image::open_with(backed(b"base", format), &Anything).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let denied = Image::open(backed(b"/etc/passwd", None)).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "the image names the backing file \"/etc/passwd\", which is not opened unless allowed"
    );
    // A raw base is raw, even if it looks like something else.
    assert!(Image::open_with(backed(b"base", Some(b"qcow2")), &Anything).is_err());
}

/// One compressed cluster that all entries share: each read is bounded.
#[test]
fn a_bomb_of_shared_clusters_is_read_piece_by_piece() {
    let mut file = small(&Params::compressed(Compression::Zlib));
    let entry = file[2 * CLUSTER..][..8].to_vec();
    file[24..32].copy_from_slice(&(512u64 << 20).to_be_bytes());
    for n in 0..8192 {
        file[2 * CLUSTER + n * 8..][..8].copy_from_slice(&entry);
    }
    let image = Image::open(Arc::new(ByteSource::new(file))).unwrap();
    let mut seen = vec![0; 3 << 20];
    image.read_at(200 << 20, &mut seen).unwrap();
    assert!(seen.chunks(CLUSTER).all(|cluster| *cluster == seen[..CLUSTER]));
    assert!(!image.check(&WORK).unwrap().is_clean());
}

/// Bytes of the header that may hold anything, by the specification.
fn meaningless(params: &Params) -> BTreeSet<usize> {
    let mut free = BTreeSet::new();
    free.extend(16..20); // backing_file_size: without a backing file
    free.extend(38..40); // l1_size: more than the disk needs is allowed, as far as it fits
    free.extend(64..72); // snapshots_offset: without snapshots
    if params.compat == Compat::V2 {
        free.extend(72..80); // an extension of no known kind, or the end: both have no data
        return free;
    }
    free.extend(80..88); // compatible features: unknown ones are ignored; lazy refcounts is told
    free.extend(88..96); // auto-clear features: unknown ones are ignored
    if params.compression == Compression::Zstd {
        free.extend(105..112); // padding of the compression type
        free.extend(112..168); // the name of the feature, for messages of old readers
        free.extend(168..176); // as the next
    } else {
        free.extend(104..112); // an extension of no known kind, or the end: both have no data
    }
    free
}

#[test]
fn every_byte_of_a_header_matters() {
    for params in [
        Params::default(),
        Params { compat: Compat::V2, ..Params::default() },
        Params::compressed(Compression::Zlib),
        Params::compressed(Compression::Zstd),
    ] {
        let good = small(&params);
        let whole = all(good.clone()).unwrap();
        let image = Image::open(Arc::new(ByteSource::new(good.clone()))).unwrap();
        let details = image.header().clone();
        let end = match (params.compat, params.compression) {
            (Compat::V2, _) => 80,
            (_, Compression::Zstd) => 176,
            _ => 112,
        };
        let free = meaningless(&params);
        for at in 0..end {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                let noticed = all(bad.clone()).map_or(true, |seen| seen != whole) || {
                    let image = Image::open(Arc::new(ByteSource::new(bad))).unwrap();
                    *image.header() != details || !image.check(&WORK).unwrap().is_clean()
                };
                assert!(noticed || free.contains(&at), "{params:?}: byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn a_file_of_a_size_beyond_all_is_not_checked() {
    #[derive(Debug)]
    struct Long(ByteSource);
    impl SectorSource for Long {
        fn len(&self) -> u64 {
            1 << 62
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
            buffer.fill(0);
            if offset < self.0.len() { self.0.read_at(offset, buffer) } else { Ok(()) }
        }
        fn next_extent(&self, _: u64) -> Option<vmimage::engine::base::Extent> {
            None
        }
    }
    let long = Long(ByteSource::new(small(&Params::default())));
    let image = Image::open(Arc::new(long)).unwrap();
    digest(&image, &Silent).unwrap();
    let error = image.check(&WORK).unwrap_err();
    assert_eq!(
        error.to_string(),
        "qcow2 file with 4611686018427387904 bytes is too large to be checked, the limit is \
         70368744177664"
    );
}
