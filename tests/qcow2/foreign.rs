//! Files that qemu made: every option of its own, subclusters, backing chains, external data
//! files and snapshots.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fs_err as fs;
use vmimage::engine::base::{Error, FileSource, Gate, Kind, Role, SectorSource};
use vmimage::engine::format::Image as _;
use vmimage::engine::format::qcow2::Image;

use super::qemu_img::{info, qemu_img, run, sha256sum, text};
use super::{findings, open, open_with, sample, sum};

/// Opens what lies in one directory, and notes what was asked for.
#[derive(Debug, Default)]
struct Inside {
    directory: PathBuf,
    asked: Mutex<Vec<(Role, String)>>,
}

impl Inside {
    fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<(Role, String)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Gate for Inside {
    fn open(&self, role: Role, name: &[u8]) -> Result<Arc<dyn SectorSource>, Error> {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let path = self.directory.join(&name);
        self.asked.lock().unwrap().push((role, name));
        Ok(Arc::new(FileSource::open(&path)?))
    }
}

fn qemu_io(path: &Path, commands: &[&str]) {
    let mut args = vec!["-f", "qcow2"];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    args.push(text(path));
    run("qemu-io", "qemu-utils", &args);
}

/// What qemu reads from a file.
fn theirs(path: &Path) -> String {
    let raw = path.with_extension("raw-by-qemu");
    qemu_img(&["convert", "-f", "qcow2", "-O", "raw", text(path), text(&raw)]);
    let sum = sha256sum(&raw);
    fs::remove_file(&raw).unwrap();
    sum
}

#[test]
fn every_option_of_qemu_is_read_and_clean() {
    let directory = tempfile::tempdir().unwrap();
    let (reference, path) = (directory.path().join("reference"), directory.path().join("image"));
    let medium = sample();
    medium.reference(&reference);
    let wanted = sha256sum(&reference);
    let mut all: Vec<Vec<String>> = Vec::new();
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        all.push(vec!["-o".into(), format!("refcount_bits={bits}")]);
        all.push(vec!["-o".into(), format!("refcount_bits={bits},cluster_size=512")]);
    }
    for size in ["512", "4k", "64k", "2M"] {
        for kind in ["zlib", "zstd"] {
            let options = format!("cluster_size={size},compression_type={kind}");
            all.push(vec!["-c".into(), "-o".into(), options.clone()]);
            all.push(vec!["-c".into(), "-W".into(), "-o".into(), options]);
        }
        all.push(vec!["-c".into(), "-o".into(), format!("cluster_size={size},compat=0.10")]);
    }
    for size in ["16k", "64k", "2M"] {
        let options = format!("extended_l2=on,cluster_size={size}");
        all.push(vec!["-o".into(), options.clone()]);
        all.push(vec!["-c".into(), "-o".into(), options]);
    }
    for how in ["metadata", "falloc", "full"] {
        all.push(vec!["-o".into(), format!("preallocation={how}")]);
        all.push(vec!["-S".into(), "0".into(), "-o".into(), format!("preallocation={how}")]);
    }
    for options in all {
        let mut args = vec!["convert", "-f", "raw", "-O", "qcow2"];
        args.extend(options.iter().map(String::as_str));
        args.extend([text(&reference), text(&path)]);
        qemu_img(&args);
        let image = open(&path);
        assert_eq!(sum(&image), wanted, "{options:?}");
        let found = findings(&image);
        assert!(found.is_clean(), "{options:?}: {found:?}");
        let details = image.header();
        let told = info(&path, "qcow2");
        assert_eq!(told["cluster-size"], details.cluster_size);
        let data = &told["format-specific"]["data"];
        assert_eq!(data["refcount-bits"], details.refcount_bits);
        let extended = data["extended-l2"].as_bool().unwrap_or(false);
        assert_eq!(extended, details.extended_l2);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn subclusters_are_read_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", "extended_l2=on", text(&path), "4M"]);
    qemu_io(
        &path,
        &[
            "write -P 7 0 2k",
            "write -P 8 6k 4k",
            "write -z 4k 2k",
            "write -z 64k 10k",
            "write -P 9 128k 64k",
            "write -z 140k 4k",
            "write -P 3 2M 512",
            "write -z 1M 64k",
        ],
    );
    let image = open(&path);
    assert_eq!(sum(&image), theirs(&path));
    let data: Vec<_> = image.extents().map(|e| (e.start() >> 10, e.end() >> 10)).collect();
    assert_eq!(data, [(0, 2), (6, 10), (128, 140), (144, 192), (2048, 2050)]);
    assert!(findings(&image).is_clean());
    let census = image.census().unwrap();
    assert_eq!((census.data, census.zero, census.unallocated), (3, 2, 59));
}

#[test]
fn backing_files_are_read_through_the_gate() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let gate = Inside::new(directory.path());
    sample().reference(&at("base.raw"));
    let create = |base: &str, format: &str, name: &str, size: &str, options: &str| {
        let place = at(name);
        let named = format!("{options}backing_file={base},backing_fmt={format}");
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", &named, text(&place), size]);
        place
    };
    // The second is longer than its base, the third shorter, the fourth has subclusters.
    let one = create("base.raw", "raw", "one", "8M", "");
    qemu_io(&one, &["write -P 1 64k 100k", "write -z 1M 128k", "write -P 2 7M 64k"]);
    let two = create("one", "qcow2", "two", "3M", "");
    qemu_io(&two, &["write -P 5 10k 1k", "discard 2M 64k"]);
    let three = create("two", "qcow2", "three", "4M", "extended_l2=on,");
    qemu_io(&three, &["write -P 6 70k 1k", "write -z 3M 64k"]);
    for (path, asked) in [(&one, 1), (&two, 2), (&three, 3)] {
        let image = open_with(path, &gate);
        assert_eq!(sum(&image), theirs(path), "{}", path.display());
        assert_eq!(gate.asked().len(), asked);
        assert!(findings(&image).is_clean());
    }
    let image = open_with(&three, &gate);
    assert_eq!(image.header().backing_file.as_deref(), Some("two"));
    assert_eq!(gate.asked()[2], (Role::Backing, "base.raw".to_owned()));
    // Nothing that is not data is claimed to be: the holes of the base shine through.
    let data: u64 = image.extents().map(vmimage::engine::base::Extent::len).sum();
    assert!(data < 3 << 20, "{data}");

    for (format, package) in [("vmdk", "vmdk"), ("vpc", "vpc"), ("vdi", "vdi"), ("vhdx", "vhdx")] {
        let base = at(&format!("base.{package}"));
        qemu_img(&["convert", "-f", "raw", "-O", format, text(&at("base.raw")), text(&base)]);
        let path = create(&format!("base.{package}"), format, &format!("on-{format}"), "2M", "");
        // These readers are other parts' work: opened, or refused by them, never as raw.
        match Image::open_with(Arc::new(FileSource::open(&path).unwrap()), &gate) {
            Ok(image) => assert_eq!(sum(&image), theirs(&path), "{format}"),
            Err(error) => assert_eq!(error.kind(), Kind::Unsupported, "{error}"),
        }
    }
}

#[test]
fn chains_end() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Inside::new(directory.path());
    let at = |n: usize| directory.path().join(n.to_string());
    fs::write(at(0), vec![1; 1 << 20]).unwrap();
    for n in 1..=10 {
        let format = if n == 1 { "raw" } else { "qcow2" };
        let named = format!("backing_file={},backing_fmt={format}", n - 1);
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", &named, text(&at(n)), "1M"]);
    }
    assert_eq!(sum(&open_with(&at(8), &gate)), sha256sum(&at(0)));
    let error = Image::open_with(Arc::new(FileSource::open(&at(9)).unwrap()), &gate).unwrap_err();
    let says = "qcow2 file with backing file \"0\": more than 8 files below each other";
    assert_eq!(error.to_string(), says);
    // A file that is its own backing file ends the same way.
    let named = "backing_file=own,backing_fmt=qcow2";
    let own = directory.path().join("own");
    qemu_img(&["create", "-q", "-u", "-f", "qcow2", "-o", named, text(&own), "1M"]);
    let error = Image::open_with(Arc::new(FileSource::open(&own).unwrap()), &gate).unwrap_err();
    assert!(error.to_string().contains("more than 8 files"), "{error}");
}

#[test]
fn external_data_files_are_read_through_the_gate() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Inside::new(directory.path());
    for raw in ["on", "off"] {
        let path = directory.path().join(format!("image-{raw}"));
        let named =
            format!("data_file={}/data-{raw},data_file_raw={raw}", directory.path().display());
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", &named, text(&path), "2M"]);
        qemu_io(&path, &["write -P 1 0 64k", "write -P 2 1M 100k", "write -z 0 1k"]);
        let image = open_with(&path, &gate);
        assert_eq!(sum(&image), theirs(&path), "{raw}");
        assert!(findings(&image).is_clean(), "{raw}: {:?}", findings(&image));
        assert_eq!(image.header().raw_data_file, raw == "on");
        let (role, name) = gate.asked().remove(0);
        assert_eq!(role, Role::DataFile);
        assert_eq!(name, image.header().data_file.clone().unwrap());
        let refused = Image::open(Arc::new(FileSource::open(&path).unwrap())).unwrap_err();
        assert!(refused.to_string().contains("external data file"), "{refused}");
    }
}

#[test]
fn snapshots_and_bitmaps_are_counted_and_the_active_state_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    qemu_img(&["create", "-q", "-f", "qcow2", text(&path), "64M"]);
    qemu_io(&path, &["write -P 1 0 1M", "write -z 1M 64k", "write -z -u 128k 64k"]);
    qemu_img(&["snapshot", "-c", "first", text(&path)]);
    qemu_io(&path, &["write -P 2 0 64k"]);
    qemu_img(&["snapshot", "-c", "second with a longer name", text(&path)]);
    qemu_io(&path, &["write -P 3 32M 64k"]);
    qemu_img(&["bitmap", "--add", "-g", "64k", text(&path), "b0"]);
    qemu_img(&["bitmap", "--add", "-g", "512", text(&path), "another"]);
    qemu_io(&path, &["write -P 4 10M 3M"]);
    let image = open(&path);
    assert_eq!(sum(&image), theirs(&path));
    assert_eq!(image.header().snapshots, 2);
    let found = findings(&image);
    assert!(found.is_clean(), "{found:?}");
}
