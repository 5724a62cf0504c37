//! Our writers judged by foreign readers, our reader by foreign writers.
//!
//! Foreign are qemu-img (all formats) and imago (qcow2 without zstd). Invariant: expectations come
//! from them or from plain file writes, never from our own code.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/media.rs"]
mod media;
#[path = "support/qemu_img.rs"]
mod qemu_img;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use imago::file::File as ImagoFile;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder as _, Storage as _};
use media::{Patched, all, giant, hello};
use qemu_img::{check, compare, info, qemu_img, run, sha256sum, text};
use vmimage::engine::base::{
    AtomicFile, ByteSource, Extent, FileSource, Kind, MemorySink, SectorSource, Silent, Work,
    digest,
};
use vmimage::engine::format::qcow2::{self, Compression, Image, Params};
use vmimage::engine::format::{FormatName, detect, raw};
use vmimage::inspect::inspect;

const COMPRESSIONS: [(&str, Compression); 3] =
    [("none", Compression::None), ("zlib", Compression::Zlib), ("zstd", Compression::Zstd)];

fn write_qcow2(medium: &Patched, compression: Compression, threads: usize, path: &Path) {
    let file = AtomicFile::create(path).unwrap();
    qcow2::write(
        medium,
        &file,
        &Params::compressed(compression),
        &Work { threads, progress: &Silent },
    )
    .unwrap();
    file.commit().unwrap();
}

fn qcow2_bytes(medium: &Patched, compression: Compression, threads: usize) -> Vec<u8> {
    let sink = MemorySink::default();
    qcow2::write(
        medium,
        &sink,
        &Params::compressed(compression),
        &Work { threads, progress: &Silent },
    )
    .unwrap();
    sink.into_bytes()
}

fn open(path: &Path) -> Image {
    Image::open(Arc::new(FileSource::open(path).unwrap())).unwrap()
}

/// Every byte as the independent reader imago sees it.
fn read_with_imago(path: &Path, offset: u64, len: usize) -> Vec<u8> {
    let options = imago::StorageOpenOptions::new().filename(path);
    let file = ImagoFile::open(options).unwrap();
    let image = imago::qcow2::Qcow2::<ImagoFile>::builder(file)
        .open(DenyImplicitOpenGate::default())
        .unwrap();
    let image = FormatAccess::new(image);
    let mut bytes = vec![0xee; len];
    image.read(&mut bytes, offset).unwrap();
    bytes
}

#[test]
fn raw_files_are_the_reference_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    for medium in all() {
        let at = |name: &str| directory.path().join(format!("{}.{name}", medium.name));
        medium.reference(&at("reference"));
        let file = AtomicFile::create(&at("raw")).unwrap();
        raw::write(&medium, &file, &Silent).unwrap();
        file.commit().unwrap();
        assert_eq!(sha256sum(&at("raw")), sha256sum(&at("reference")), "{}", medium.name);
        assert_eq!(info(&at("raw"), "raw")["virtual-size"], medium.len, "{}", medium.name);
        assert_eq!(fs::metadata(at("raw")).unwrap().len(), medium.len);

        let mut streamed = Vec::new();
        raw::stream(&medium, &mut streamed, &Silent).unwrap();
        assert!(streamed == fs::read(at("reference")).unwrap(), "{}", medium.name);
        assert_eq!(digest(&medium, &Silent).unwrap(), sha256sum(&at("reference")));
    }
}

#[test]
fn qcow2_files_are_read_by_qemu_and_imago() {
    let directory = tempfile::tempdir().unwrap();
    for medium in all() {
        let at = |name: &str| directory.path().join(format!("{}.{name}", medium.name));
        medium.reference(&at("reference"));
        let reference = fs::read(at("reference")).unwrap();
        for (name, compression) in COMPRESSIONS {
            let path = at(name);
            write_qcow2(&medium, compression, 2, &path);
            judge(&medium, name, &path, &at("reference"));
            let back = at(&format!("{name}.back"));
            qemu_img(&["convert", "-f", "qcow2", "-O", "raw", text(&path), text(&back)]);
            assert_eq!(sha256sum(&back), sha256sum(&at("reference")), "{} {name}", medium.name);
            if compression != Compression::Zstd {
                let seen = read_with_imago(&path, 0, reference.len());
                assert!(seen == reference, "{} {name}", medium.name);
            }
            let image = open(&path);
            assert_eq!(digest(&image, &Silent).unwrap(), sha256sum(&at("reference")));
        }
    }
}

/// What qemu-img says about a file of ours.
fn judge(medium: &Patched, compression: &str, path: &Path, reference: &Path) {
    let report = info(path, "qcow2");
    assert_eq!(report["format"], "qcow2");
    assert_eq!(report["virtual-size"], medium.len);
    assert_eq!(report["cluster-size"], 65_536);
    let details = &report["format-specific"]["data"];
    assert_eq!(details["compat"], "1.1");
    assert_eq!(details["refcount-bits"], 16);
    assert_eq!(details["lazy-refcounts"], false);
    assert_eq!(details["corrupt"], false);
    let wanted = if compression == "zstd" { "zstd" } else { "zlib" };
    assert_eq!(details["compression-type"], wanted);
    let report = check(path);
    if medium.name == "far" && compression == "zlib" {
        // A larger window than 4 KiB would have found the repetition.
        assert_eq!(report.get("compressed-clusters"), None);
    }
    compare(reference, path, "qcow2");
}

#[test]
fn terabytes_of_nothing_cost_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let medium = giant();
    let reference = directory.path().join("reference");
    medium.reference(&reference);
    let raw_path = directory.path().join("raw");
    let file = AtomicFile::create(&raw_path).unwrap();
    raw::write(&medium, &file, &Silent).unwrap();
    file.commit().unwrap();
    assert_eq!(info(&raw_path, "raw")["virtual-size"], medium.len);
    compare(&reference, &raw_path, "raw");
    for (name, compression) in COMPRESSIONS {
        let path = directory.path().join(name);
        write_qcow2(&medium, compression, 0, &path);
        assert!(fs::metadata(&path).unwrap().len() < 4 << 20);
        judge(&medium, name, &path, &reference);
        let image = open(&path);
        let mut covered = 0;
        for (at, bytes) in &medium.patches {
            let mut seen = vec![0xee; bytes.len()];
            image.read_at(*at, &mut seen).unwrap();
            assert!(seen == *bytes);
            if compression != Compression::Zstd {
                assert!(read_with_imago(&path, *at, bytes.len()) == *bytes);
            }
            let start = at / 65_536;
            covered += (at + bytes.len() as u64).div_ceil(65_536) - start;
        }
        let data: u64 = image.extents().map(Extent::len).sum();
        assert_eq!(data.div_ceil(65_536), covered);
    }
}

#[test]
fn zero_clusters_are_not_stored_and_small_ones_are_packed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    // Written zeros, no holes: header, L1, refcount block, refcount table.
    write_qcow2(&all()[2], Compression::None, 1, &path);
    assert_eq!(fs::metadata(&path).unwrap().len(), 4 * 65_536);
    fs::remove_file(&path).unwrap();
    // Two clusters that shrink share one host cluster.
    write_qcow2(&all()[3], Compression::Zlib, 1, &path);
    assert_eq!(fs::metadata(&path).unwrap().len(), 6 * 65_536);
}

#[test]
fn what_is_not_whole_sectors_or_too_large_is_refused_before_writing() {
    let refuse = |len: u64| {
        let medium = Patched { name: "refused", len, patches: vec![] };
        let sink = MemorySink::default();
        let error = qcow2::write(
            &medium,
            &sink,
            &Params::default(),
            &Work { threads: 0, progress: &Silent },
        )
        .unwrap_err();
        assert_eq!(error.kind(), Kind::Document);
        assert!(sink.into_bytes().is_empty());
        error.to_string()
    };
    assert_eq!(refuse(1000), "1000 bytes are not whole sectors of 512 bytes");
    // 32 MiB of L1 entries × 8192 L2 entries × 64 KiB = 2 PiB.
    assert!(refuse((2 << 50) + 512).contains("2251799813685248"));
}

/// Makes images of `medium` with qemu-img: arguments of `convert`, and what the census must show.
const FOREIGN: [&[&str]; 14] = [
    &[],
    &["-c"],
    &["-c", "-o", "compression_type=zstd"],
    &["-o", "compat=0.10"],
    &["-c", "-o", "compat=0.10"],
    &["-o", "cluster_size=512"],
    &["-c", "-o", "cluster_size=512"],
    &["-o", "cluster_size=2M"],
    &["-c", "-o", "cluster_size=2M"],
    &["-c", "-o", "cluster_size=2M,compression_type=zstd"],
    &["-o", "preallocation=metadata"],
    &["-o", "lazy_refcounts=on"],
    &["-o", "refcount_bits=1"],
    &["-S", "0", "-o", "refcount_bits=64"],
];

#[test]
fn images_of_qemu_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for medium in all() {
        let reference = directory.path().join(format!("{}.reference", medium.name));
        medium.reference(&reference);
        let wanted = sha256sum(&reference);
        for (n, options) in FOREIGN.iter().enumerate() {
            let path = directory.path().join(format!("{}.{n}", medium.name));
            let mut args = vec!["convert", "-f", "raw", "-O", "qcow2"];
            args.extend(*options);
            args.extend([text(&reference), text(&path)]);
            qemu_img(&args);
            let source = Arc::new(FileSource::open(&path).unwrap());
            assert_eq!(detect(&*source).unwrap(), FormatName::Qcow2);
            let report = inspect(source, FormatName::Qcow2)
                .unwrap_or_else(|e| panic!("{} {options:?}: {e}", medium.name));
            assert_eq!(report.virtual_size, medium.len, "{} {options:?}", medium.name);
            let seen = report.content.digest.unwrap();
            assert_eq!(seen, wanted, "{} {options:?}", medium.name);
            let details = report.details;
            let told = info(&path, "qcow2");
            assert_eq!(told["cluster-size"], details["clusterSize"]);
            let told = &told["format-specific"]["data"];
            let version = if told["compat"] == "0.10" { 2 } else { 3 };
            assert_eq!(details["version"], version);
            assert_eq!(told["refcount-bits"], details["refcountBits"]);
            let features = details["features"].as_array().unwrap();
            let lazy = features.iter().any(|name| name == "lazy refcounts");
            assert_eq!(told["lazy-refcounts"].as_bool().unwrap_or(false), lazy);
            if options.contains(&"-c") && medium.name == "text" {
                assert!(report.units.compressed > 0);
            }
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn zero_clusters_and_snapshots_of_qemu_are_understood() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    qemu_img(&["create", "-q", "-f", "qcow2", text(&path), "1M"]);
    let commands =
        ["write -P 7 0 256k", "write -z 64k 64k", "write -z -u 192k 64k", "write -z 512k 64k"];
    let mut args = vec!["-f", "qcow2"];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    args.push(text(&path));
    run("qemu-io", "qemu-utils", &args);
    qemu_img(&["snapshot", "-c", "before", text(&path)]);
    run("qemu-io", "qemu-utils", &["-f", "qcow2", "-c", "write -P 9 0 64k", text(&path)]);

    let report = inspect(Arc::new(FileSource::open(&path).unwrap()), FormatName::Qcow2).unwrap();
    let raw = directory.path().join("raw");
    qemu_img(&["convert", "-f", "qcow2", "-O", "raw", text(&path), text(&raw)]);
    assert_eq!(report.content.digest.unwrap(), sha256sum(&raw));
    assert_eq!(report.details["snapshots"], 1);
    assert_eq!(report.units.zero, 3);
    assert_eq!(report.units.data, 2);
    let data: Vec<_> = report.content.data.iter().map(|r| (r.start, r.end)).collect();
    assert_eq!(data, [(0, 65_536), (131_072, 196_608)]);
}

#[test]
fn files_that_name_others_or_hide_their_content_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().join("base");
    fs::write(&base, vec![1; 1 << 20]).unwrap();
    let data = directory.path().join("out\"side");
    let backing = format!("backing_file={},backing_fmt=raw", text(&base));
    let data_file = format!("data_file={}", text(&data));
    for (n, (options, says)) in [
        (vec!["-o", &backing], format!("backing file \"{}\"", text(&base))),
        (vec!["-o", &data_file], "external data file \"".to_owned()),
        (
            vec!["--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s"],
            "AES encryption".to_owned(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path: PathBuf = directory.path().join(n.to_string());
        let mut args = vec!["create", "-q", "-f", "qcow2"];
        args.extend(options);
        args.extend([text(&path), "1M"]);
        qemu_img(&args);
        let error = Image::open(Arc::new(FileSource::open(&path).unwrap())).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        assert!(error.to_string().contains(&says), "{error}");
    }
}

#[test]
fn headers_agree_with_qemu_and_the_golden_dumps() {
    let directory = tempfile::tempdir().unwrap();
    for (name, compression) in COMPRESSIONS {
        let ours = qcow2_bytes(&hello(), compression, 1);
        let path = directory.path().join(name);
        let kind = if name == "zstd" { "zstd" } else { "zlib" };
        let option = format!("compression_type={kind}");
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", &option, text(&path), "512"]);
        let theirs = fs::read(&path).unwrap();
        // All but the places of the tables (40-55) and, without zstd, the header's length.
        assert_eq!(ours[..40], theirs[..40], "{name}");
        assert_eq!(ours[56..100], theirs[56..100], "{name}");
        if compression == Compression::Zstd {
            assert_eq!(ours[100..112], theirs[100..112], "{name}");
        }
        let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/golden/hello-qcow2-{name}.txt"));
        let golden = fs::read_to_string(golden).unwrap();
        let golden: String =
            golden.lines().filter(|l| !l.starts_with('#')).flat_map(|l| [l, "\n"]).collect();
        assert_eq!(hexdump(&ours[..128]), golden, "{name}");
    }
}

/// The first columns of `hexdump -C`, nothing left out.
fn hexdump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (n, row) in bytes.chunks(16).enumerate() {
        let hex = |half: &[u8]| half.iter().map(|b| format!(" {b:02x}")).collect::<String>();
        text += &format!("{:08x} {} {}\n", n * 16, hex(&row[..8]), hex(&row[8..]));
    }
    text
}

/// These may only change together with `manifest::hash::WRITERS`: images that users made before
/// must be told apart from those that they make now.
#[test]
fn the_bytes_of_hello_are_pinned() {
    for ((name, compression), wanted) in COMPRESSIONS.into_iter().zip([
        "sha256:e0a750cfceb79fcefa0633a82774a718a933500deb7b60d01bf2de10e99fc5a5",
        "sha256:1abfe436a5d2c13e372311e1050fbab588cb82cb685f7385104121b89c71fd68",
        "sha256:acb6bda1b5c9de95cde84c05cb043498a50dce0d0dc49e1f576ee130a5dbf4f7",
    ]) {
        let bytes = ByteSource::new(qcow2_bytes(&hello(), compression, 1));
        assert_eq!(digest(&bytes, &Silent).unwrap(), wanted, "{name}");
    }
}
