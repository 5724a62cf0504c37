//! Every combination of options that the writer takes, and every one that it refuses.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use imago::file::File as ImagoFile;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder as _, Storage as _};
use proptest::prelude::*;
use vmimage::engine::base::{
    ByteSource, Error, Extent, Kind, MemorySink, PositionalSink, SectorSource, Silent,
};
use vmimage::engine::format::qcow2::{self, Compat, Compression, Image, Params, Preallocation};
use vmimage::engine::format::{self, Image as _};

use super::media::{Noise, Patched};
use super::qemu_img::{check, compare, info, output, qemu_img, run, sha256sum, text};
use super::{WORK, bytes, findings, open, sample, sum, write};

const CLUSTERS: [u64; 4] = [512, 4096, 65_536, 2 << 20];
const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Zlib, Compression::Zstd];
const PREALLOCATIONS: [Preallocation; 4] =
    [Preallocation::Off, Preallocation::Metadata, Preallocation::Falloc, Preallocation::Full];

/// All combinations, allowed or not.
fn all() -> Vec<Params> {
    let mut all = Vec::new();
    for cluster_size in CLUSTERS {
        for compression in COMPRESSIONS {
            for preallocation in PREALLOCATIONS {
                for (compat, lazy_refcounts) in [
                    (Compat::V2, false),
                    (Compat::V2, true),
                    (Compat::V3, false),
                    (Compat::V3, true),
                ] {
                    all.push(Params {
                        compat,
                        cluster_size,
                        compression,
                        lazy_refcounts,
                        preallocation,
                    });
                }
            }
        }
    }
    all
}

fn names(params: &Params) -> (&'static str, &'static str, &'static str) {
    let compat = if params.compat == Compat::V2 { "0.10" } else { "1.1" };
    let kind = if params.compression == Compression::Zstd { "zstd" } else { "zlib" };
    let preallocation = match params.preallocation {
        Preallocation::Off => "off",
        Preallocation::Metadata => "metadata",
        Preallocation::Falloc => "falloc",
        Preallocation::Full => "full",
    };
    (compat, kind, preallocation)
}

#[test]
fn qemu_refuses_what_we_refuse_in_the_same_words() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw");
    fs::write(&raw, [1; 4096]).unwrap();
    let mut refused = 0;
    for params in all() {
        let (compat, kind, preallocation) = names(&params);
        let options = format!(
            "compat={compat},compression_type={kind},cluster_size={},lazy_refcounts={},preallocation={preallocation}",
            params.cluster_size,
            if params.lazy_refcounts { "on" } else { "off" },
        );
        let path = directory.path().join("image");
        let mut args = vec!["convert", "-f", "raw", "-O", "qcow2", "-o", &options];
        if params.compression != Compression::None {
            args.push("-c");
        }
        args.extend([text(&raw), text(&path)]);
        let theirs = output("qemu-img", "qemu-utils", &args);
        let ours = params.validate(4096);
        assert_eq!(theirs.status.success(), ours.is_ok(), "{options}: {ours:?}");
        if let Err(error) = ours {
            refused += 1;
            let said = String::from_utf8_lossy(&theirs.stderr).into_owned();
            let message = error.to_string();
            let words = message.split(':').next().unwrap();
            assert!(said.contains(words), "{options}: {said} {message}");
            let sink = MemorySink::default();
            let error = qcow2::write(&sample(), &sink, &params, &WORK).unwrap_err();
            assert_eq!(error.kind(), Kind::Document);
            assert!(sink.into_bytes().is_empty());
        }
    }
    assert_eq!(refused, 124);
}

#[test]
fn every_allowed_combination_is_read_by_everyone() {
    let directory = tempfile::tempdir().unwrap();
    let medium = sample();
    let reference = directory.path().join("reference");
    medium.reference(&reference);
    let wanted = sha256sum(&reference);
    let plain = fs::read(&reference).unwrap();
    for params in all().into_iter().filter(|params| params.validate(medium.len).is_ok()) {
        let path = directory.path().join("image");
        write(&medium, &params, &path);
        let (compat, kind, _) = names(&params);
        let report = info(&path, "qcow2");
        assert_eq!(report["virtual-size"], medium.len, "{params:?}");
        assert_eq!(report["cluster-size"], params.cluster_size, "{params:?}");
        let data = &report["format-specific"]["data"];
        assert_eq!(data["compat"], compat, "{params:?}");
        if params.compat == Compat::V3 {
            assert_eq!(data["lazy-refcounts"], params.lazy_refcounts, "{params:?}");
            assert_eq!(data["compression-type"], kind, "{params:?}");
        }
        let checked = check(&path);
        compare(&reference, &path, "qcow2");
        if params.preallocation != Preallocation::Off {
            assert_eq!(checked["allocated-clusters"], checked["total-clusters"], "{params:?}");
        }
        let image = open(&path);
        assert_eq!(sum(&image), wanted, "{params:?}");
        let found = findings(&image);
        assert!(found.is_clean(), "{params:?}: {found:?}");
        let same = Params { preallocation: Preallocation::Off, ..params.clone() };
        assert_eq!(image.params(), format::Params::Qcow2(same));
        if params.compression != Compression::Zstd {
            assert!(imago(&path, plain.len()) == plain, "{params:?}");
        }
        room(&params, &path);
        fs::remove_file(&path).unwrap();
    }
}

/// What a preallocated file takes of its filesystem.
fn room(params: &Params, path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let taken = metadata.blocks() * 512;
    match params.preallocation {
        Preallocation::Metadata if params.cluster_size >= 4096 => {
            assert!(taken < metadata.len() - (2 << 20), "{params:?}: {taken}");
        }
        Preallocation::Falloc | Preallocation::Full => {
            // The tables' tails and the last cluster's need not be written.
            let least =
                if params.preallocation == Preallocation::Full { 5 << 20 } else { metadata.len() };
            assert!(taken >= least, "{params:?}: {taken} of {}", metadata.len());
        }
        _ => {}
    }
}

/// Every byte as the independent reader imago sees it.
fn imago(path: &Path, len: usize) -> Vec<u8> {
    let options = imago::StorageOpenOptions::new().filename(path);
    let file = ImagoFile::open(options).unwrap();
    let image = imago::qcow2::Qcow2::<ImagoFile>::builder(file)
        .open(DenyImplicitOpenGate::default())
        .unwrap();
    let mut bytes = vec![0xee; len];
    FormatAccess::new(image).read(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn libqcow_reads_the_header_of_every_version() {
    let directory = tempfile::tempdir().unwrap();
    for compat in [Compat::V2, Compat::V3] {
        let path = directory.path().join(format!("{compat:?}"));
        write(&sample(), &Params { compat, ..Params::default() }, &path);
        let told = run("qcowinfo", "libqcow-utils", &[text(&path)]);
        let version = if compat == Compat::V2 { "2" } else { "3" };
        let has = |name: &str, value: &str| {
            let mut lines = told.lines().filter(|line| line.trim().starts_with(name));
            assert!(lines.any(|line| line.contains(value)), "{told}");
        };
        has("Format version", version);
        has("Media size", "5243392");
    }
}

#[test]
fn threads_and_holes_change_no_byte() {
    let medium = sample();
    let mut whole = vec![0; medium.len as usize];
    medium.read_at(0, &mut whole).unwrap();
    let dense = Patched { name: "dense", len: medium.len, patches: vec![(0, whole)] };
    for params in all().into_iter().filter(|params| params.validate(medium.len).is_ok()) {
        if params.cluster_size == 512 || params.lazy_refcounts {
            continue;
        }
        let wanted = bytes(&medium, &params);
        for threads in [1, 8] {
            let sink = MemorySink::default();
            let work = vmimage::engine::base::Work { threads, progress: &Silent };
            qcow2::write(&dense, &sink, &params, &work).unwrap();
            assert!(sink.into_bytes() == wanted, "{params:?} {threads}");
        }
    }
}

/// A medium full of ones.
#[derive(Debug)]
struct Ones(u64);

impl SectorSource for Ones {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _: u64, buffer: &mut [u8]) -> Result<(), Error> {
        buffer.fill(1);
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        Extent::new(offset, self.0)
    }
}

#[test]
fn many_refcount_blocks_are_consistent() {
    // With clusters of 512 bytes a block counts 128 KiB and a cluster of table 8 MiB of file.
    let directory = tempfile::tempdir().unwrap();
    for compression in COMPRESSIONS {
        let path = directory.path().join(format!("{compression:?}"));
        let params = Params { cluster_size: 512, compression, ..Params::default() };
        let file = vmimage::engine::base::AtomicFile::create(&path).unwrap();
        qcow2::write(&Ones(18 << 20), &file, &params, &WORK).unwrap();
        file.commit().unwrap();
        assert_eq!(check(&path)["allocated-clusters"], 36 << 10);
        assert!(findings(&open(&path)).is_clean());
    }
}

#[test]
fn the_header_says_what_qemu_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("theirs");
    for (option, params) in [
        ("compat=0.10", Params { compat: Compat::V2, ..Params::default() }),
        ("cluster_size=4096", Params { cluster_size: 4096, ..Params::default() }),
        ("lazy_refcounts=on", Params { lazy_refcounts: true, ..Params::default() }),
    ] {
        let ours = bytes(&Patched { name: "small", len: 512, patches: vec![] }, &params);
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", option, text(&path), "512"]);
        let theirs = fs::read(&path).unwrap();
        assert_eq!(ours[..40], theirs[..40], "{option}");
        let end = if params.compat == Compat::V2 { 72 } else { 100 };
        assert_eq!(ours[56..end], theirs[56..end], "{option}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_empty_disk_has_no_table() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    let medium = Patched { name: "empty", len: 0, patches: vec![] };
    qemu_img(&["create", "-q", "-f", "qcow2", text(&theirs), "0"]);
    // Entries of the L1 table, and where it is.
    let table = |path: &Path| fs::read(path).unwrap()[36..48].to_vec();
    for params in all().into_iter().filter(|params| params.validate(0).is_ok()) {
        write(&medium, &params, &ours);
        assert_eq!(table(&ours), table(&theirs), "{params:?}");
        check(&ours);
        let found = findings(&open(&ours));
        assert!(found.is_clean(), "{params:?}: {found:?}");
        fs::remove_file(&ours).unwrap();
    }
}

fn any_params() -> impl Strategy<Value = Params> {
    let pick = |n: usize| proptest::sample::select((0..n).collect::<Vec<_>>());
    (9u32..=21, pick(2), pick(3), any::<bool>(), pick(4)).prop_filter_map("forbidden", |p| {
        let params = Params {
            compat: if p.1 == 0 { Compat::V2 } else { Compat::V3 },
            cluster_size: 1 << p.0,
            compression: COMPRESSIONS[p.2],
            lazy_refcounts: p.3,
            preallocation: PREALLOCATIONS[p.4],
        };
        params.validate(1 << 20).is_ok().then_some(params)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        params in any_params(),
        sectors in 0u64..3_000,
        runs in proptest::collection::vec((0u64..90_000, 1usize..60_000, any::<u64>()), 0..10),
        window in (any::<u64>(), any::<u64>()),
    ) {
        let len = sectors * 512;
        let (mut at, mut plain) = (0, vec![0; len as usize]);
        for (gap, size, seed) in runs {
            let from = (at + gap).min(len) as usize;
            let end = (from + size).min(len as usize);
            let mut noise = Noise(seed | 1);
            let run = if seed % 3 == 0 { noise.bytes(end - from) } else { noise.words(end - from) };
            plain[from..end].copy_from_slice(&run);
            at = end as u64;
        }
        let sink = MemorySink::default();
        qcow2::write(&ByteSource::new(plain.clone()), &sink, &params, &WORK).unwrap();
        let image = Image::open(Arc::new(ByteSource::new(sink.into_bytes()))).unwrap();
        prop_assert_eq!(image.len(), len);
        let mut seen = vec![0xee; plain.len()];
        image.read_at(0, &mut seen).unwrap();
        prop_assert!(seen == plain);
        let from = window.0 % (len + 1);
        let part = from as usize..(from + window.1 % (len - from + 1)) as usize;
        let mut seen = vec![0xee; part.len()];
        image.read_at(from, &mut seen).unwrap();
        prop_assert!(seen == plain[part]);
        for extent in image.extents() {
            plain[extent.start() as usize..extent.end() as usize].fill(0);
        }
        prop_assert!(plain.iter().all(|byte| *byte == 0));
        let found = image.check(&WORK).unwrap();
        prop_assert!(found.is_clean(), "{:?}", found);
    }
}

/// Counts what a `reserve` asks for.
struct Reserved(std::sync::Mutex<Vec<(u64, u64)>>, MemorySink);

impl PositionalSink for Reserved {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.1.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.1.set_len(len)
    }

    fn reserve(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.0.lock().unwrap().push((offset, len));
        Ok(())
    }
}

#[test]
fn exactly_the_file_is_reserved() {
    for cluster_size in CLUSTERS {
        let sink = Reserved(std::sync::Mutex::default(), MemorySink::default());
        let preallocation = Preallocation::Falloc;
        let params = Params { cluster_size, preallocation, ..Params::default() };
        qcow2::write(&sample(), &sink, &params, &WORK).unwrap();
        let file = sink.1.into_bytes().len() as u64;
        assert_eq!(sink.0.into_inner().unwrap(), [(0, file)]);
    }
}
