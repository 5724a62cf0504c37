//! VHD: our files read by qemu-img, 7zz and libvhdi; qemu-img's files read by us.

use std::path::Path;

use fs_err as fs;
use vmimage::engine::base::{Silent, digest};
use vmimage::engine::format::vhd::{Sizing, Subformat};
use vmimage::engine::format::{FormatName, Params, stream};

use crate::media::{Noise, Patched, all as media};
use crate::qemu_img::{compare, info, qemu_img, sha256sum, text};
use crate::support::{
    LABEL, SILENT, all, bytes, libvhdi, open, open_bytes, plain, seven_zip, vhd_params, write,
};

/// Name, qemu's options for the same, ours.
fn kinds() -> [(&'static str, &'static str, Params); 4] {
    [
        ("fixed-chs", "subformat=fixed,force_size=off", vhd_params(Subformat::Fixed, Sizing::Chs)),
        (
            "fixed-exact",
            "subformat=fixed,force_size=on",
            vhd_params(Subformat::Fixed, Sizing::Exact),
        ),
        (
            "dynamic-chs",
            "subformat=dynamic,force_size=off",
            vhd_params(Subformat::Dynamic, Sizing::Chs),
        ),
        (
            "dynamic-exact",
            "subformat=dynamic,force_size=on",
            vhd_params(Subformat::Dynamic, Sizing::Exact),
        ),
    ]
}

/// The bytes that a reader must see: those of the medium, and zeros to the rounded size.
fn padded(medium: &Patched, len: u64) -> Vec<u8> {
    let mut bytes = plain(medium);
    assert!(bytes.len() as u64 <= len);
    bytes.resize(usize::try_from(len).unwrap(), 0);
    bytes
}

#[test]
fn our_files_are_read_by_qemu_7zip_and_libvhdi() {
    let directory = tempfile::tempdir().unwrap();
    for medium in media() {
        let at = |name: &str| directory.path().join(format!("{}.{name}", medium.name));
        medium.reference(&at("raw"));
        for (kind, options, params) in kinds() {
            // The largest medium is tried with one rule of size only: it takes seconds.
            if medium.name == "mix" && kind.ends_with("chs") {
                continue;
            }
            let path = at(kind);
            write(&medium, &params, &path);
            // The size is what qemu makes of the same request.
            let theirs = at("theirs");
            let size = medium.len.to_string();
            qemu_img(&["create", "-q", "-f", "vpc", "-o", options, text(&theirs), &size]);
            let wanted = info(&theirs, "vpc")["virtual-size"].clone();
            let report = info(&path, "vpc");
            assert_eq!(report["virtual-size"], wanted, "{} {kind}", medium.name);
            assert_eq!(footer(&path)[40..64], footer(&theirs)[40..64], "{} {kind}", medium.name);
            fs::remove_file(&theirs).unwrap();
            let len = wanted.as_u64().unwrap();
            compare(&at("raw"), &path, "vpc");

            let wanted = padded(&medium, len);
            let image = open(&path, FormatName::Vhd);
            assert!(all(&*image).unwrap() == wanted, "{} {kind}", medium.name);
            let findings = image.check(&SILENT).unwrap();
            assert!(findings.is_clean(), "{} {kind}: {findings:?}", medium.name);
            assert!(libvhdi(&path, &at("vhdi")) == wanted, "{} {kind}", medium.name);
            // 7zz names a fixed disk and then looks into the disk, so its kind is said.
            assert!(seven_zip(&path, "-tVHD") == wanted, "{} {kind}", medium.name);
            if kind.starts_with("fixed") {
                let mut streamed = Vec::new();
                stream(&medium, &LABEL, &mut streamed, &params, &SILENT).unwrap();
                assert!(streamed == fs::read(&path).unwrap(), "{} {kind}", medium.name);
            }
        }
    }
}

/// The last 512 bytes of a file.
fn footer(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    bytes[bytes.len() - 512..].to_vec()
}

#[test]
fn qemus_files_are_read_by_us() {
    let directory = tempfile::tempdir().unwrap();
    for medium in media() {
        let at = |name: &str| directory.path().join(format!("{}.{name}", medium.name));
        medium.reference(&at("raw"));
        for (kind, options, _) in kinds() {
            if medium.name == "mix" && kind.ends_with("chs") {
                continue;
            }
            let (path, back) = (at(kind), at("back"));
            let args = ["convert", "-t", "unsafe", "-f", "raw", "-O", "vpc", "-o", options];
            qemu_img(&[&args[..], &[text(&at("raw")), text(&path)]].concat());
            qemu_img(&[
                "convert",
                "-t",
                "unsafe",
                "-f",
                "vpc",
                "-O",
                "raw",
                text(&path),
                text(&back),
            ]);
            let image = open(&path, FormatName::Vhd);
            assert_eq!(image.len(), fs::metadata(&back).unwrap().len(), "{} {kind}", medium.name);
            assert_eq!(digest(&*image, &Silent).unwrap(), sha256sum(&back), "{kind}");
            let findings = image.check(&SILENT).unwrap();
            assert!(findings.is_clean(), "{} {kind}: {findings:?}", medium.name);
            // Written again from what the image says about itself, it is of the same kind.
            let again = bytes(&*image, &image.params()).unwrap();
            let again = open_bytes(again, FormatName::Vhd).unwrap();
            assert_eq!(again.len(), image.len(), "{} {kind}", medium.name);
            assert_eq!(again.params(), image.params(), "{} {kind}", medium.name);
        }
    }
}

/// Close to 2040 GiB, the most that a dynamic disk holds; a medium of more is refused.
#[test]
fn the_largest_disks() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mut noise = Noise(11);
    let len = 2040 << 30;
    let patches = vec![
        (0, noise.words(70_000)),
        ((1 << 40) - 100_000, noise.words(200_000)),
        (len - 512, noise.bytes(512)),
    ];
    let medium = Patched { name: "largest", len, patches };
    medium.reference(&at("raw"));
    for (kind, _, params) in kinds() {
        write(&medium, &params, &at(kind));
        assert_eq!(info(&at(kind), "vpc")["virtual-size"], len, "{kind}");
        compare(&at("raw"), &at(kind), "vpc");
        let image = open(&at(kind), FormatName::Vhd);
        assert!(image.check(&SILENT).unwrap().is_clean(), "{kind}");
        let held: u64 = image.extents().map(|extent| extent.len()).sum();
        assert!(held <= 1 << 20, "{kind}: {held}");
    }
    let more = Patched { len: len + 512, patches: vec![], ..medium };
    for (kind, _, params) in kinds() {
        let path = at(&format!("{kind}.more"));
        if kind == "fixed-exact" {
            // Written up to 4095 GiB; qemu reads no more than 2040.
            write(&more, &params, &path);
            assert_eq!(open(&path, FormatName::Vhd).len(), more.len);
            continue;
        }
        let error = bytes(&more, &params).unwrap_err().to_string();
        let wanted = "2190433321472 bytes are too many for this VHD, at most 2190433320960 fit";
        assert_eq!(error, wanted, "{kind}");
    }
}

/// The sizes around which the geometry changes, and what qemu-img makes of them.
#[test]
fn every_geometry_is_that_of_qemu() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("theirs");
    let largest = 65_535 * 16 * 255;
    let near = |n: u64| [n - 1, n, n + 1];
    let edges = [17 * 4 * 1024, 17 * 16 * 1024, 31 * 16 * 1024, 65_535 * 16 * 63, largest];
    let sizes = (1..4).chain(edges.into_iter().flat_map(near)).chain([largest - 3000]);
    for sectors in sizes {
        let medium = Patched { name: "empty", len: sectors * 512, patches: vec![] };
        let size = medium.len.to_string();
        qemu_img(&["create", "-q", "-f", "vpc", text(&path), &size]);
        let theirs = footer(&path);
        let ours = bytes(&medium, &vhd_params(Subformat::Dynamic, Sizing::Chs)).unwrap();
        assert_eq!(ours[40..64], theirs[40..64], "{sectors} sectors");
    }
}
