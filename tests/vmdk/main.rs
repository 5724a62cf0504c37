//! VMDK: our files judged by foreign readers and by the specification's rules, our reader by
//! foreign writers and, in `bad`, by broken files.
//!
//! Foreign are qemu-img, 7-Zip and libvmdk. Invariant: expectations come from them, from the
//! specification or from plain file writes, never from our own code.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[expect(dead_code, reason = "the larger samples are for the other oracle tests")]
#[path = "../support/media.rs"]
mod media;
#[expect(dead_code, reason = "some helpers are for qcow2")]
#[path = "../support/qemu_img.rs"]
mod qemu_img;
#[path = "../support/vmdk.rs"]
mod vmdk_files;
#[path = "../support/vmdk_rules.rs"]
mod vmdk_rules;

mod bad;

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
