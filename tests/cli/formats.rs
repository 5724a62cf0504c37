//! `vmimage build` with every format, wrap and preset, judged by other programs.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vmimage::manifest::parse;
use vmimage::manifest::source::digest;
use vmimage::manifest::types::{Format, FormatKind, Wrap};

use crate::support::{Desk, document, sha256sum, tool};

/// Builds those formats of an example that are wanted.
fn example(name: &str, wanted: impl Fn(&Format) -> bool) -> (Desk, Value) {
    let desk = Desk::new();
    let text = fs_err::read_to_string(format!("examples/{name}.yaml")).unwrap();
    let mut image = parse(&text, &[]).unwrap().remove(0).image;
    image.spec.formats.retain(wanted);
    desk.write("d.yaml", serde_json::to_string(&image).unwrap());
    desk.run(&["build", "-f", "d.yaml"]).ok();
    let manifest = String::from_utf8(desk.read(&format!("{name}.build.json"))).unwrap();
    (desk, serde_json::from_str(&manifest).unwrap())
}

/// Runs a program of this Debian package and returns what it prints.
fn run<A: AsRef<OsStr>>(package: &str, program: &str, arguments: &[A]) -> String {
    let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    tool(package, program, &arguments)
}

/// The disk in `file` as a raw file, by qemu-img.
fn disk(desk: &Desk, file: &Path, format: &str) -> PathBuf {
    let raw = desk.path("converted");
    let (file, out) = (file.to_str().unwrap(), raw.to_str().unwrap());
    run("qemu-utils", "qemu-img", &["convert", "-f", format, "-O", "raw", file, out]);
    raw
}

/// `file` without its wrap, by the program of the wrap.
fn unwrapped(desk: &Desk, file: &Path, wrap: &str) -> PathBuf {
    let (package, ending) = match wrap {
        "gzip" => ("gzip", "gz"),
        "xz" => ("xz-utils", "xz"),
        "zstd" => ("zstd", "zst"),
        other => panic!("{other}"),
    };
    let copy = desk.path(&format!("wrapped.{ending}"));
    fs_err::copy(file, &copy).unwrap();
    run(package, wrap, &["-q", "-d", "-f", copy.to_str().unwrap()]);
    desk.path("wrapped")
}

/// The member of a tar archive that ends so, unpacked by GNU tar.
fn member(desk: &Desk, archive: &Path, ending: &str) -> PathBuf {
    let archive = archive.to_str().unwrap();
    let list = run("tar", "tar", &["-tf", archive]);
    let name = list.lines().find(|name| name.ends_with(ending));
    let name = name.unwrap_or_else(|| panic!("{archive} holds {list}"));
    // Sparse: the disk of Compute Engine has a GiB.
    let to = desk.path("unpacked");
    let script = "tar -xOf \"$0\" \"$1\" | cp --sparse=always /dev/stdin \"$2\"";
    run("tar", "sh", &["-c", script, archive, name, to.to_str().unwrap()]);
    to
}

/// The disk in an output of the build manifest, as a raw file.
fn content(desk: &Desk, output: &Value) -> PathBuf {
    let mut file = desk.path(output["file"].as_str().unwrap());
    if let Some(wrap) = output["wrap"].as_str() {
        file = unwrapped(desk, &file, wrap);
    }
    match output["type"].as_str().unwrap() {
        "raw" if output["preset"] == "gce" => member(desk, &file, "disk.raw"),
        "ova" => disk(desk, &member(desk, &file, ".vmdk"), "vmdk"),
        "box" if output["options"]["provider"] == "libvirt" => {
            disk(desk, &member(desk, &file, "box.img"), "qcow2")
        }
        "box" => disk(desk, &member(desk, &file, ".vmdk"), "vmdk"),
        "vhd" => disk(desk, &file, "vpc"),
        kind => disk(desk, &file, kind),
    }
}

/// Every output's digest, size and disk, whose first bytes are those of `raw` and whose others are
/// zero. Returns the sizes of the disks.
fn judge(desk: &Desk, manifest: &Value) -> Vec<(String, u64)> {
    let outputs = manifest["outputs"].as_array().unwrap();
    let mut sizes = Vec::new();
    for output in outputs {
        let pair = [Some(output), output.get("companion")];
        for file in pair.into_iter().flatten() {
            let path = desk.path(file["file"].as_str().unwrap());
            assert_eq!(file["digest"], sha256sum(&path), "{file}");
            assert_eq!(file["size"], fs_err::metadata(&path).unwrap().len(), "{file}");
        }
        let disk = content(desk, output);
        let (len, size) =
            (manifest["virtualSize"].as_u64().unwrap(), disk.metadata().unwrap().len());
        assert!(size >= len, "{output}: {size}");
        let mut head = Vec::new();
        fs_err::File::open(&disk).unwrap().take(len).read_to_end(&mut head).unwrap();
        assert_eq!(manifest["contentDigest"], digest(&head), "{output}");
        let (skip, rest) = (format!("{len}:0"), (size - len).to_string());
        run("diffutils", "cmp", &["-i", &skip, "-n", &rest, disk.to_str().unwrap(), "/dev/zero"]);
        sizes.push((output["name"].as_str().unwrap().to_owned(), size));
    }
    sizes
}

/// The files of these types in `examples/formats.yaml`, wrapped or not.
#[track_caller]
fn formats(kinds: &[FormatKind], wrapped: bool, count: usize) -> Desk {
    let wanted =
        |format: &Format| kinds.contains(&format.kind) && (format.wrap != Wrap::None) == wrapped;
    let (desk, manifest) = example("formats", wanted);
    let sizes = judge(&desk, &manifest);
    assert_eq!(sizes.len(), count);
    for (name, size) in sizes {
        // With sizing chs the disk is what cylinders, heads and sectors tell.
        let exact = name != "vhd";
        assert!(size == 8 << 20 || !exact && size > 8 << 20, "{name}: {size}");
    }
    desk
}

#[test]
fn raw_and_qcow2_hold_the_disk() {
    formats(&[FormatKind::Raw, FormatKind::Qcow2], false, 3);
}

#[test]
fn vmdk_holds_the_disk() {
    let desk = formats(&[FormatKind::Vmdk], false, 3);
    assert!(desk.names().contains(&"formats.flat-flat.vmdk".to_owned()));
}

#[test]
fn vhd_holds_the_disk() {
    formats(&[FormatKind::Vhd], false, 2);
}

#[test]
fn vhdx_and_vdi_hold_the_disk() {
    formats(&[FormatKind::Vhdx, FormatKind::Vdi], false, 3);
}

#[test]
fn archives_hold_the_disk() {
    formats(&[FormatKind::Ova, FormatKind::Box], false, 3);
}

#[test]
fn wraps_hold_the_disk() {
    formats(&FormatKind::ALL, true, 2);
}

#[test]
fn every_format_is_built_at_once() {
    let (desk, manifest) = example("formats", |_| true);
    assert_eq!(manifest["outputs"].as_array().unwrap().len(), 16);
    // The document, the data of one VMDK and the build manifest.
    assert_eq!(desk.names().len(), 16 + 3);
}

/// The files of these types in `examples/presets.yaml`, with the sizes of their disks.
#[track_caller]
fn presets(expected: &[(&str, u64)]) -> Desk {
    let wanted = |format: &Format| expected.iter().any(|(name, _)| *name == format.name());
    let (desk, manifest) = example("presets", wanted);
    let expected: Vec<_> =
        expected.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    assert_eq!(judge(&desk, &manifest), expected);
    for output in manifest["outputs"].as_array().unwrap() {
        let note = output["notes"][0].as_str().unwrap();
        assert!(note.starts_with("the disk is padded with zeros from 512 to "), "{note}");
    }
    desk
}

const MIB: u64 = 1 << 20;

#[test]
fn presets_of_images_pad_and_say_so() {
    let desk = presets(&[("azure.vhd", 20 * MIB), ("aws.vmdk", MIB), ("kubevirt.qcow2", MIB)]);
    // A fixed VHD is the disk and its footer.
    assert_eq!(desk.read("presets.azure.vhd").len() as u64, 20 * MIB + 512);
    assert!(desk.read("presets.azure.vhd")[20 * MIB as usize..].starts_with(b"conectix"));
}

#[test]
fn presets_of_desks_pad_and_say_so() {
    presets(&[("virtualbox.vdi", MIB), ("hyperv.vhdx", 3 * MIB)]);
}

#[test]
fn presets_of_archives_pad_and_say_so() {
    presets(&[("gce.tar.gz", 1 << 30), ("vsphere.ova", MIB)]);
}

#[test]
fn what_was_padded_is_said_on_standard_error() {
    let desk = Desk::new();
    let spec = "  boot: {sector: {message: hi}}\n  formats: [{type: qcow2, preset: kubevirt}]\n";
    desk.write("d.yaml", document(spec));
    let note = "hello.qcow2: the disk is padded with zeros from 512 to 1048576 bytes: KubeVirt takes disks of whole MiB\n";
    let ran = desk.run(&["build", "-f", "d.yaml"]);
    assert!(ran.err.ends_with(note), "{}", ran.err);
    assert_eq!(desk.run(&["build", "-f", "d.yaml", "-q"]).err, "");
}
