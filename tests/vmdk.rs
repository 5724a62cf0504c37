//! VMDK: our files judged by foreign readers and by the specification's rules, our reader by
//! foreign writers and by broken files.
//!
//! Foreign are qemu-img, 7-Zip and libvmdk. Invariant: expectations come from them, from the
//! specification or from plain file writes, never from our own code.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[expect(dead_code, reason = "the larger samples are for the other oracle tests")]
#[path = "support/media.rs"]
mod media;
#[expect(dead_code, reason = "some helpers are for qcow2")]
#[path = "support/qemu_img.rs"]
mod qemu_img;
#[path = "support/vmdk.rs"]
mod vmdk_files;
#[path = "support/vmdk_rules.rs"]
mod vmdk_rules;

use std::path::Path;

use fs_err as fs;
use media::{Noise, Patched, hello};
use proptest::prelude::*;
use qemu_img::{compare, info, output, qemu_img, run, sha256sum, text};
use vmdk_files::{
    ADAPTERS, ID, SUBFORMATS, bytes, open, params, sha256_by_7zip, sha256_by_libvmdk, work, write,
};
use vmimage::engine::base::{ByteSource, Deny, Error, MemorySink, SectorSource, Silent, digest};
use vmimage::engine::format::vmdk::{self, Image, Params, Subformat};
use vmimage::engine::format::{Image as _, Label, Output};

const MIB: u64 = 1 << 20;

/// Small media of every kind: a grain has 64 KiB, a grain table 32 MiB.
fn all() -> Vec<Patched> {
    let mut noise = Noise(42);
    let ends = |len: u64| vec![(0, b"first".to_vec()), (len - 4, b"last".to_vec())];
    let mixed = vec![
        (3, noise.words(70_000)),
        (200_000, noise.bytes(300_000)),
        (2 * MIB, vec![0; 100_000]),
        (3 * MIB - 7, noise.words(900_000)),
    ];
    // Grains on both sides of a table's end, and a table without any between.
    let tables = vec![(32 * MIB - 100_000, noise.words(200_000)), (97 * MIB, noise.bytes(66_000))];
    vec![
        hello(),
        Patched { name: "empty", len: MIB, patches: vec![] },
        Patched { name: "zeros", len: MIB, patches: vec![(0, vec![0; 1 << 20])] },
        Patched { name: "odd", len: 3 * MIB + 512, patches: ends(3 * MIB + 512) },
        Patched { name: "mixed", len: 5 * MIB, patches: mixed },
        Patched { name: "tables", len: 100 * MIB, patches: tables },
    ]
}

/// `qemu-img check` of a sparse file: it must end with 0.
fn qemu_check(path: &Path) {
    let output = output("qemu-img", "qemu-utils", &["check", "-f", "vmdk", text(path)]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Our own reader: contents, structure, and what it says of itself.
fn judge(path: &Path, reference: &Path, create_type: &str) -> Image {
    let image = open(path).unwrap();
    let name = path.display();
    assert_eq!(digest(&image, &Silent).unwrap(), sha256sum(reference), "{name}");
    let findings = image.check(&work(2)).unwrap();
    assert!(findings.is_clean(), "{name}: {findings:?}");
    assert_eq!(image.details()["createType"], create_type);
    let census = image.census().unwrap();
    let units = census.data + census.compressed + census.zero + census.unallocated;
    assert!(units >= image.len().div_ceil(census.unit), "{census:?}");
    image
}

#[test]
fn our_files_are_read_by_qemu_7zip_and_libvmdk() {
    let directory = tempfile::tempdir().unwrap();
    for medium in all() {
        let reference = directory.path().join(format!("{}.reference", medium.name));
        medium.reference(&reference);
        let wanted = sha256sum(&reference);
        for (name, subformat) in SUBFORMATS {
            let path = directory.path().join(format!("{}-{name}.vmdk", medium.name));
            write(&medium, &path, &params(subformat));
            let report = info(&path, "vmdk");
            assert_eq!(report["virtual-size"], medium.len);
            let specific = &report["format-specific"]["data"];
            assert_eq!(specific["create-type"], name);
            assert_eq!(specific["parent-cid"], u32::MAX);
            if subformat != Subformat::MonolithicFlat {
                qemu_check(&path);
                assert_eq!(sha256_by_7zip(&path), wanted, "7-Zip {}", path.display());
            }
            compare(&reference, &path, "vmdk");
            assert_eq!(sha256_by_libvmdk(&path), wanted, "libvmdk {}", path.display());
            judge(&path, &reference, name);
            if subformat == Subformat::StreamOptimized {
                vmdk_rules::judge(&fs::read(&path).unwrap(), medium.len);
            }
        }
    }
}

#[test]
fn the_descriptor_says_what_qemu_says() {
    let directory = tempfile::tempdir().unwrap();
    let medium = Patched { name: "words", len: 9 * MIB, patches: vec![(0, b"x".to_vec())] };
    let raw = directory.path().join("raw");
    medium.reference(&raw);
    // The content id is QEMU's random number; we tell the encoding, as VMware's programs do.
    let comparable = |text: &str| -> Vec<String> {
        let text = text.split('\0').next().unwrap();
        let lines = text.lines().filter(|l| !l.starts_with("CID=") && !l.starts_with("encoding="));
        lines.filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
    };
    let embedded = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        let from = if bytes.starts_with(b"KDMV") { 512 } else { 0 };
        String::from_utf8_lossy(&bytes[from..bytes.len().min(from + 10_240)]).into_owned()
    };
    for (name, subformat) in SUBFORMATS {
        for (adapter_name, adapter) in ADAPTERS {
            for hardware_version in [4, 10, 21] {
                let path = directory.path().join("a.vmdk");
                write(&medium, &path, &Params { subformat, adapter, hardware_version });
                let ours = embedded(&path);
                let options = format!(
                    "subformat={name},adapter_type={adapter_name},hwversion={hardware_version}"
                );
                qemu_img(&["convert", "-O", "vmdk", "-o", &options, text(&raw), text(&path)]);
                assert_eq!(comparable(&ours), comparable(&embedded(&path)), "{options}");
                // And our reader finds it again.
                let image = open(&path).unwrap();
                let found = vmimage::engine::format::Params::Vmdk(Params {
                    subformat,
                    adapter,
                    hardware_version,
                });
                assert_eq!(image.params(), found);
            }
        }
    }
}

#[test]
fn qemus_files_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for medium in all() {
        let reference = directory.path().join(format!("{}.reference", medium.name));
        medium.reference(&reference);
        for (n, (subformat, options)) in [
            ("monolithicSparse", "adapter_type=lsilogic"),
            ("monolithicSparse", "zeroed_grain=on,compat6=on"),
            ("monolithicFlat", "adapter_type=buslogic"),
            ("streamOptimized", "hwversion=11"),
            ("twoGbMaxExtentSparse", "adapter_type=legacyESX"),
            ("twoGbMaxExtentFlat", "adapter_type=ide"),
        ]
        .into_iter()
        .enumerate()
        {
            let path = directory.path().join(format!("{}-{n}.vmdk", medium.name));
            let options = format!("subformat={subformat},{options}");
            qemu_img(&["convert", "-O", "vmdk", "-o", &options, text(&reference), text(&path)]);
            judge(&path, &reference, subformat);
        }
    }
}

#[test]
fn disks_of_several_extents_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut noise = Noise(5);
    let gib = 1u64 << 30;
    let patches = vec![
        (1000, noise.words(100_000)),
        (2 * gib - 140_000, noise.words(300_000)),
        (5 * gib - 512, noise.bytes(512)),
    ];
    let medium = Patched { name: "long", len: 5 * gib, patches };
    let reference = directory.path().join("reference");
    medium.reference(&reference);
    for subformat in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let path = directory.path().join(format!("{subformat}.vmdk"));
        let options = format!("subformat={subformat}");
        qemu_img(&["convert", "-O", "vmdk", "-o", &options, text(&reference), text(&path)]);
        let image = open(&path).unwrap();
        assert_eq!(image.len(), medium.len);
        assert_eq!(image.details()["extentCount"], 3);
        assert!(image.check(&work(1)).unwrap().is_clean());
        let mut covered = 0;
        for (at, bytes) in &medium.patches {
            let mut seen = vec![0xee; bytes.len()];
            image.read_at(*at, &mut seen).unwrap();
            assert!(seen == *bytes, "{subformat} at {at}");
        }
        for extent in image.extents() {
            covered += extent.len();
        }
        assert!((400_000..MIB).contains(&covered), "{covered}");
        // Nothing is opened without a gate.
        let descriptor = ByteSource::new(fs::read(&path).unwrap());
        let error = Image::open(std::sync::Arc::new(descriptor), &Deny).unwrap_err();
        assert!(error.to_string().contains("001.vmdk\", which is not opened unless allowed"));
    }
}

#[test]
fn threads_holes_and_pipes_change_no_byte() {
    for medium in all().into_iter().filter(|medium| medium.len < 8 * MIB) {
        for subformat in [Subformat::MonolithicSparse, Subformat::StreamOptimized] {
            let params = params(subformat);
            let wanted = bytes(&medium, &params, 1);
            for threads in [2, 8] {
                assert!(bytes(&medium, &params, threads) == wanted, "{} {threads}", medium.name);
            }
            let mut dense = vec![0; usize::try_from(medium.len).unwrap()];
            medium.read_at(0, &mut dense).unwrap();
            assert!(bytes(&ByteSource::new(dense), &params, 2) == wanted, "{}", medium.name);
            let mut streamed = Vec::new();
            let label = Label { name: "a.vmdk", id: ID };
            let result = vmdk::stream(&medium, &label, &mut streamed, &params, &work(2));
            if subformat == Subformat::StreamOptimized {
                result.unwrap();
                assert!(streamed == wanted, "{}", medium.name);
            } else {
                assert!(result.unwrap_err().to_string().contains("streamOptimized"));
                assert!(streamed.is_empty());
            }
        }
    }
}

#[test]
fn no_longer_than_qemus() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw");
    // A program is what disks hold; so is text.
    let mut program = fs::read("/proc/self/exe").unwrap();
    program.truncate(6 << 20);
    let text_of_us = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let noise = Noise(77).bytes(1 << 20);
    let patches = vec![(0, program), (8 * MIB, text_of_us), (20 * MIB, noise)];
    let medium = Patched { name: "size", len: 40 * MIB, patches };
    medium.reference(&raw);
    for (name, subformat) in SUBFORMATS {
        let (ours, theirs) = (directory.path().join("a.vmdk"), directory.path().join("b.vmdk"));
        write(&medium, &ours, &params(subformat));
        let option = format!("subformat={name}");
        qemu_img(&["convert", "-O", "vmdk", "-o", &option, text(&raw), text(&theirs)]);
        let len = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(len(&ours) <= len(&theirs), "{name}: {} {}", len(&ours), len(&theirs));
        if subformat == Subformat::MonolithicSparse {
            assert_eq!(len(&ours), len(&theirs), "as qemu lays it out");
        }
    }
}

/// What is refused before the first byte.
#[test]
fn what_cannot_be_held_is_refused_unwritten() {
    let refused = |len: u64, name: &str, params: &Params| -> String {
        let medium = Patched { name: "x", len, patches: vec![] };
        let sink = MemorySink::default();
        let output = Output { label: Label { name, id: ID }, sink: &sink, companion: Some(&sink) };
        let error: Error = vmdk::write(&medium, &output, params, &work(1)).unwrap_err();
        assert!(sink.into_bytes().is_empty());
        error.to_string()
    };
    for (_, subformat) in SUBFORMATS {
        let good = params(subformat);
        assert_eq!(refused(0, "a", &good), "vmdk cannot hold a disk of 0 bytes");
        assert_eq!(refused(513, "a", &good), "513 bytes are not whole sectors of 512 bytes");
        assert!(refused(512, "a\"b", &good).contains("cannot be called"));
        for hardware_version in [0, 2, 23, u32::MAX] {
            let text = refused(512, "a", &Params { hardware_version, ..good.clone() });
            let says = format!("vmdk hardware version {hardware_version}; allowed are 3 to 22");
            assert_eq!(text, says);
        }
    }
    let text = refused(2 << 40, "a", &params(Subformat::MonolithicSparse));
    assert!(text.contains("2199023255552 bytes needs"), "{text}");
    assert!(refused(1 << 50, "a", &params(Subformat::StreamOptimized)).contains("grain tables"));
    let name = "n".repeat(10_000);
    assert!(refused(512, &name, &params(Subformat::StreamOptimized)).contains("room for 10240"));
}

#[test]
fn a_disk_of_terabytes_costs_its_tables_only() {
    let directory = tempfile::tempdir().unwrap();
    let len = 3u64 << 39; // 1.5 TiB
    let mut noise = Noise(9);
    let patches = vec![(0, noise.words(70_000)), (len - 512, vec![0xab; 512])];
    let medium = Patched { name: "giant", len, patches };
    for subformat in [Subformat::StreamOptimized, Subformat::MonolithicSparse] {
        let path = directory.path().join("giant.vmdk");
        write(&medium, &path, &params(subformat));
        let image = open(&path).unwrap();
        let mut seen = vec![0; 512];
        image.read_at(len - 512, &mut seen).unwrap();
        assert!(seen == medium.patches[1].1);
        if subformat == Subformat::StreamOptimized {
            assert!(fs::metadata(&path).unwrap().len() < 2 * MIB);
            assert!(image.check(&work(1)).unwrap().is_clean());
        }
        // qemu-img goes over all grains to compare or check: minutes. It can read one sector.
        assert_eq!(info(&path, "vmdk")["virtual-size"], len);
        let read = format!("read -P 0xab {} 512", len - 512);
        let told = run("qemu-io", "qemu-utils", &["-r", "-f", "vmdk", "-c", &read, text(&path)]);
        assert!(told.contains("read 512/512 bytes") && !told.contains("failed"), "{told}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        sectors in prop_oneof![1u64..300, 1u64..6_000],
        runs in proptest::collection::vec((0u64..200_000, 1usize..150_000, any::<u64>()), 0..8),
        compressed in any::<bool>(),
        threads in 1usize..4,
        window in (any::<u64>(), any::<u64>()),
    ) {
        let len = sectors * 512;
        let (mut at, mut plain) = (0u64, vec![0; usize::try_from(len).unwrap()]);
        for (gap, size, seed) in runs {
            let from = plain.len().min(usize::try_from(at + gap).unwrap());
            let to = plain.len().min(from + size);
            let mut noise = Noise(seed | 1);
            match seed % 3 {
                0 => plain[from..to].copy_from_slice(&noise.bytes(to - from)),
                1 => plain[from..to].copy_from_slice(&noise.words(to - from)),
                _ => {}
            }
            at = to as u64;
        }
        let kind = if compressed { Subformat::StreamOptimized } else { Subformat::MonolithicSparse };
        let file = bytes(&ByteSource::new(plain.clone()), &params(kind), threads);
        let image = Image::open(std::sync::Arc::new(ByteSource::new(file)), &Deny).unwrap();
        prop_assert_eq!(image.len(), len);
        let mut seen = vec![0xee; plain.len()];
        image.read_at(0, &mut seen).unwrap();
        prop_assert!(seen == plain);
        let from = window.0 % (len + 1);
        let part = usize::try_from(from).unwrap()
            ..usize::try_from(from + window.1 % (len - from + 1)).unwrap();
        let mut seen = vec![0xee; part.len()];
        image.read_at(from, &mut seen).unwrap();
        prop_assert!(seen == plain[part]);
        prop_assert!(image.check(&work(1)).unwrap().is_clean());
        // What is outside of the extents is zero.
        for extent in image.extents() {
            let range = usize::try_from(extent.start()).unwrap()
                ..usize::try_from(extent.end()).unwrap();
            plain[range].fill(0);
        }
        prop_assert!(plain.iter().all(|byte| *byte == 0));
    }
}

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
