//! `vmimage build` with every format, wrap and preset, judged by other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Desk, document, sha256sum, tool};

/// Builds the example with this name, as is.
fn example(name: &str) -> (Desk, Value) {
    let desk = Desk::new();
    let text = fs_err::read_to_string(format!("examples/{name}.yaml")).unwrap();
    desk.write("d.yaml", text);
    desk.run(&["build", "-f", "d.yaml"]).ok();
    let manifest = String::from_utf8(desk.read(&format!("{name}.build.json"))).unwrap();
    (desk, serde_json::from_str(&manifest).unwrap())
}

/// Runs a program of this Debian package and returns what it prints.
fn run<A: AsRef<OsStr>>(package: &str, program: &str, arguments: &[A]) -> String {
    let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    tool(package, program, &arguments)
}

/// The bytes of the disk in `file`, by qemu-img.
fn disk(desk: &Desk, file: &Path, format: &str) -> Vec<u8> {
    let raw = desk.path("converted");
    let (file, out) = (file.to_str().unwrap(), raw.to_str().unwrap());
    run("qemu-utils", "qemu-img", &["convert", "-f", format, "-O", "raw", file, out]);
    fs_err::read(raw).unwrap()
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
    let to = desk.path("unpacked");
    fs_err::create_dir_all(&to).unwrap();
    run("tar", "tar", &["-xf", archive, "-C", to.to_str().unwrap(), name]);
    to.join(name)
}

/// The disk in an output of the build manifest.
fn content(desk: &Desk, output: &Value) -> Vec<u8> {
    let mut file = desk.path(output["file"].as_str().unwrap());
    if let Some(wrap) = output["wrap"].as_str() {
        file = unwrapped(desk, &file, wrap);
    }
    match output["type"].as_str().unwrap() {
        "raw" if output["preset"] == "gce" => {
            fs_err::read(member(desk, &file, "disk.raw")).unwrap()
        }
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
fn judge(desk: &Desk, manifest: &Value) -> Vec<(String, usize)> {
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
        let len = manifest["virtualSize"].as_u64().unwrap() as usize;
        assert!(disk.len() >= len, "{output}: {}", disk.len());
        let head = sha256(&disk[..len]);
        assert_eq!(manifest["contentDigest"], head, "{output}");
        assert!(disk[len..].iter().all(|byte| *byte == 0), "{output}");
        sizes.push((output["name"].as_str().unwrap().to_owned(), disk.len()));
    }
    sizes
}

fn sha256(bytes: &[u8]) -> String {
    vmimage::manifest::source::digest(bytes)
}

#[test]
fn every_format_holds_the_disk() {
    let (desk, manifest) = example("formats");
    let sizes = judge(&desk, &manifest);
    assert_eq!(sizes.len(), 16);
    for (name, size) in sizes {
        // With sizing chs the disk is what cylinders, heads and sectors tell.
        let exact = name != "vhd";
        assert!(size == 8 << 20 || !exact && size > 8 << 20, "{name}: {size}");
    }
    assert!(desk.names().contains(&"formats.flat-flat.vmdk".to_owned()));
}

#[test]
fn every_preset_pads_and_says_so() {
    const MIB: usize = 1 << 20;
    let (desk, manifest) = example("presets");
    let expected = [
        ("azure.vhd", MIB),
        ("aws.vmdk", MIB),
        ("gce.tar.gz", 1 << 30),
        ("vsphere.ova", MIB),
        ("virtualbox.vdi", MIB),
        ("hyperv.vhdx", 3 * MIB),
        ("kubevirt.qcow2", MIB),
    ];
    let expected: Vec<_> =
        expected.into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
    assert_eq!(judge(&desk, &manifest), expected);
    for output in manifest["outputs"].as_array().unwrap() {
        let note = output["notes"][0].as_str().unwrap();
        assert!(note.starts_with("the disk is padded with zeros from 512 to "), "{note}");
    }
    // A fixed VHD is the disk and its footer.
    assert_eq!(desk.read("presets.azure.vhd").len(), MIB + 512);
    assert!(desk.read("presets.azure.vhd")[MIB..].starts_with(b"conectix"));
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
