//! Our files read by qemu-img, 7zz and libvhdi; qemu-img's files read by us.

use std::path::Path;

use fs_err as fs;
use vmimage::engine::base::{MemorySink, Silent, Work};
use vmimage::engine::format::{self, Image, Output, Params};

use crate::media::{self, Noise, Patched};
use crate::qemu_img::{compare, info, output, qemu_img, text};
use crate::support::{
    LABEL, MIB, SILENT, all, bytes, dynamic, fixed, libvhdi, open, plain, seven_zip, write,
};

/// What qemu-img's check says: nothing to complain about.
fn check(path: &Path) {
    let output = output("qemu-img", "qemu-utils", &["check", "-f", "vhdx", text(path)]);
    let words = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(words.contains("No errors"), "{words}");
}

/// The kinds of file that a medium of this length is tried with: the long one not with all.
fn kinds(len: u64) -> Vec<(String, Params)> {
    let sizes = [0, MIB, 2 * MIB, 8 * MIB, 256 * MIB];
    let name = |kind: &str, size: u64| format!("{kind}-{}", size / MIB);
    let dynamic = sizes.map(|size| (name("dynamic", size), dynamic(size)));
    let fixed = sizes[..4].iter().map(|size| (name("fixed", *size), fixed(*size)));
    let all = dynamic.into_iter().chain(fixed);
    all.filter(|(name, _)| len < 32 * MIB || name.ends_with("-0")).collect()
}

fn is_clean(image: &dyn Image, what: &str) {
    let findings = image.check(&SILENT).unwrap();
    assert!(findings.is_clean(), "{what}: {findings:?}");
}

#[test]
fn our_files_are_read_by_qemu_7zip_and_libvhdi() {
    let directory = tempfile::tempdir().unwrap();
    for medium in media::all() {
        let at = |name: &str| directory.path().join(format!("{}.{name}", medium.name));
        medium.reference(&at("reference"));
        let wanted = plain(&medium);
        for (kind, params) in kinds(medium.len) {
            let path = at(&kind);
            let what = format!("{} {kind}", medium.name);
            write(&medium, &params, &path);
            let report = info(&path, "vhdx");
            assert_eq!(report["virtual-size"], medium.len, "{what}");
            check(&path);
            compare(&at("reference"), &path, "vhdx");
            assert!(libvhdi(&path, &at("vhdi")) == wanted, "{what}");
            // 7-Zip opens no disk that is not a multiple of 4096 bytes, QEMU's neither.
            if medium.len.is_multiple_of(4096) {
                assert!(seven_zip(&path, "-tVHDX") == wanted, "{what}");
            }
            let image = open(&path);
            assert!(all(&*image).unwrap() == wanted, "{what}");
            assert_eq!(image.params(), expected(&params, medium.len), "{what}");
            is_clean(&*image, &what);
            assert!(fs::metadata(&path).unwrap().len().is_multiple_of(MIB), "{what}");
            fs::remove_file(path).unwrap();
        }
    }
}

/// What the file says about itself: small disks have blocks of 1 MiB unless told otherwise.
fn expected(params: &Params, len: u64) -> Params {
    let Params::Vhdx(params) = params else { unreachable!() };
    assert!(len < 127 << 30);
    let block_size = if params.block_size == 0 { MIB } else { params.block_size };
    Params::Vhdx(vmimage::engine::format::vhdx::Params { block_size, ..params.clone() })
}

#[test]
fn terabytes_of_nothing_cost_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let medium = media::giant();
    let at = |name: &str| directory.path().join(name);
    medium.reference(&at("reference"));
    for (name, params, block) in [
        ("chosen", dynamic(0), 32 * MIB),
        ("small", dynamic(MIB), MIB),
        ("fixed", fixed(0), 32 * MIB),
    ] {
        let path = at(name);
        write(&medium, &params, &path);
        assert_eq!(info(&path, "vhdx")["virtual-size"], medium.len);
        assert_eq!(info(&path, "vhdx")["cluster-size"], block);
        check(&path);
        let image = open(&path);
        for (at, patch) in &medium.patches {
            let mut seen = vec![0; patch.len()];
            image.read_at(*at, &mut seen).unwrap();
            assert!(seen == *patch, "{name} at {at}");
            let words = format!("read -v {at} 512");
            let first = first_bytes(&qemu_io(&path, &words));
            assert_eq!(first, patch[..16], "{name} at {at}");
        }
        is_clean(&*image, name);
        let census = image.census().unwrap();
        assert_eq!(census.unit, block);
        let blocks = medium.len / block;
        assert_eq!(census.data + census.zero, blocks, "{census:?}");
        // The patch across the border of two tables of qcow2 needs two blocks.
        assert_eq!(census.data, if name == "fixed" { blocks } else { 5 });
        let covered: u64 = image.extents().map(|extent| extent.len()).sum();
        assert!(covered < 64 * MIB, "{name}: {covered}");
    }
}

fn qemu_io(path: &Path, words: &str) -> String {
    crate::qemu_img::run("qemu-io", "qemu-utils", &["-r", "-f", "vhdx", "-c", words, text(path)])
}

/// The first line of a dump: `00000000:  58 58 …  XX…`.
fn first_bytes(dump: &str) -> Vec<u8> {
    let line = dump.lines().next().unwrap();
    let (_, rest) = line.split_once(':').unwrap();
    let digits = rest.split_whitespace().take(16).collect::<String>();
    hex::decode(digits).unwrap()
}

#[test]
fn qemus_files_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for medium in media::all().into_iter().filter(|medium| medium.len < 32 * MIB) {
        let at = |name: &str| directory.path().join(format!("{}.{name}", medium.name));
        medium.reference(&at("reference"));
        let wanted = plain(&medium);
        for options in [
            "subformat=dynamic",
            "subformat=fixed",
            "subformat=dynamic,block_size=1M",
            "subformat=dynamic,block_size=256M",
            "subformat=dynamic,log_size=3M",
            "subformat=fixed,block_state_zero=off",
        ] {
            let path = at("vhdx");
            let from = at("reference");
            let args = ["convert", "-f", "raw", "-O", "vhdx", "-o", options];
            qemu_img(&[&args[..], &[text(&from), text(&path)]].concat());
            let image = open(&path);
            assert!(all(&*image).unwrap() == wanted, "{} {options}", medium.name);
            let Params::Vhdx(params) = image.params() else { unreachable!() };
            let fixed = options.contains("fixed");
            assert_eq!(params.subformat == vmimage::engine::format::vhdx::Subformat::Fixed, fixed);
            let findings = image.check(&SILENT).unwrap();
            // QEMU cuts the last block of such a file where the disk ends.
            let cut = options.contains("block_state_zero=off") && medium.len % MIB != 0;
            assert_eq!(findings.errors, u64::from(cut), "{} {options}: {findings:?}", medium.name);
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let mut noise = Noise(11);
    let patches = vec![
        (700, noise.bytes(70_000)),
        (MIB, vec![0; 1 << 20]),
        (4 * MIB - 5, noise.words(9_000)),
        (9 * MIB, noise.bytes(512)),
    ];
    let medium = Patched { name: "same", len: 9 * MIB + 512, patches };
    let dense = Patched { patches: vec![(0, plain(&medium))], ..medium.clone() };
    for params in [dynamic(0), dynamic(4 * MIB), fixed(0)] {
        let one = bytes(&medium, &params).unwrap();
        assert!(one == bytes(&dense, &params).unwrap());
        for threads in [2, 8] {
            let sink = MemorySink::default();
            let output = Output { label: LABEL, sink: &sink, companion: None };
            let work = Work { threads, progress: &Silent };
            format::write(&medium, &output, &params, &work).unwrap();
            assert!(one == sink.into_bytes(), "{threads} threads");
        }
    }
}

#[test]
fn impossible_disks_are_refused_before_anything_is_written() {
    for (len, params, says) in [
        (513, dynamic(0), "a disk of 513 bytes is not whole sectors of 512 bytes"),
        (
            (64 << 40) + 512,
            dynamic(0),
            "a disk of 70368744178176 bytes is too large for VHDX: it ends at 70368744177664",
        ),
        (
            512,
            fixed(3 * MIB),
            "VHDX blocks are a power of two from 1 MiB to 256 MiB, not 3145728 bytes",
        ),
        (
            512,
            dynamic(512 * MIB),
            "VHDX blocks are a power of two from 1 MiB to 256 MiB, not 536870912 bytes",
        ),
    ] {
        let medium = Patched { name: "impossible", len, patches: vec![] };
        let sink = MemorySink::default();
        let error = crate::support::put(&medium, &sink, &params).unwrap_err();
        assert_eq!(error.to_string(), says);
        assert!(sink.into_bytes().is_empty());
    }
}
