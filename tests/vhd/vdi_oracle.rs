//! VDI: our files read by qemu-img and 7zz; qemu-img's files read by us.

use fs_err as fs;
use vmimage::engine::base::{Silent, digest};
use vmimage::engine::format::vdi::Subformat;
use vmimage::engine::format::{FormatName, Params};

use crate::media::{Patched, all as media, giant};
use crate::qemu_img::{compare, info, output, qemu_img, sha256sum, text};
use crate::support::{SILENT, all, bytes, open, open_bytes, plain, seven_zip, vdi_params, write};

/// Name, qemu's options for the same, ours.
fn kinds() -> [(&'static str, &'static str, Params); 2] {
    [
        ("dynamic", "static=off", vdi_params(Subformat::Dynamic)),
        ("static", "static=on", vdi_params(Subformat::Static)),
    ]
}

/// `qemu-img check` on a VDI file: exit 0 is consistent, 63 would be "cannot check".
pub(crate) fn qemu_check(path: &std::path::Path) {
    let output = output("qemu-img", "qemu-utils", &["check", "-f", "vdi", text(path)]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(0), "{}: {said}", path.display());
}

#[test]
fn our_files_are_read_by_qemu_and_7zip() {
    let directory = tempfile::tempdir().unwrap();
    for medium in media() {
        let at = |name: &str| directory.path().join(format!("{}.{name}", medium.name));
        medium.reference(&at("raw"));
        let wanted = plain(&medium);
        for (kind, _, params) in kinds() {
            let path = at(kind);
            write(&medium, &params, &path);
            assert_eq!(info(&path, "vdi")["virtual-size"], medium.len, "{} {kind}", medium.name);
            qemu_check(&path);
            compare(&at("raw"), &path, "vdi");
            assert!(seven_zip(&path, "-tVDI") == wanted, "{} {kind}", medium.name);
            let image = open(&path, FormatName::Vdi);
            assert!(all(&*image).unwrap() == wanted, "{} {kind}", medium.name);
            let findings = image.check(&SILENT).unwrap();
            assert!(findings.is_clean(), "{} {kind}: {findings:?}", medium.name);
        }
        // Blocks that are zero are not in the file, but written zeros are not looked at twice.
        let blocks = |name: &str| (fs::metadata(at(name)).unwrap().len() >> 20) - 1;
        let held = wanted.chunks(1 << 20).filter(|block| block.iter().any(|b| *b != 0)).count();
        assert_eq!(blocks("dynamic"), held as u64, "{}", medium.name);
        assert_eq!(blocks("static"), medium.len.div_ceil(1 << 20), "{}", medium.name);
    }
}

#[test]
fn qemus_files_are_read_by_us() {
    let directory = tempfile::tempdir().unwrap();
    for medium in media() {
        let at = |name: &str| directory.path().join(format!("{}.{name}", medium.name));
        medium.reference(&at("raw"));
        for (kind, options, params) in kinds() {
            let path = at(kind);
            let args = ["convert", "-t", "unsafe", "-f", "raw", "-O", "vdi", "-o", options];
            qemu_img(&[&args[..], &[text(&at("raw")), text(&path)]].concat());
            let image = open(&path, FormatName::Vdi);
            assert_eq!(image.len(), medium.len, "{} {kind}", medium.name);
            assert_eq!(digest(&*image, &Silent).unwrap(), sha256sum(&at("raw")), "{kind}");
            let findings = image.check(&SILENT).unwrap();
            assert!(findings.is_clean(), "{} {kind}: {findings:?}", medium.name);
            assert_eq!(image.params(), params);
            let again = bytes(&*image, &image.params()).unwrap();
            assert_eq!(open_bytes(again, FormatName::Vdi).unwrap().params(), params);
        }
    }
}

#[test]
fn terabytes_of_nothing_cost_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // A fifth of the giant: qemu-img looks at every block, of which there are a million.
    let whole = giant();
    let mut patches = whole.patches;
    patches.retain(|(at, _)| *at < 1 << 40);
    let medium = Patched { len: 1 << 40, patches, ..whole };
    let at = |name: &str| directory.path().join(name);
    medium.reference(&at("raw"));
    for (kind, _, params) in kinds() {
        write(&medium, &params, &at(kind));
        assert_eq!(info(&at(kind), "vdi")["virtual-size"], medium.len);
        qemu_check(&at(kind));
        if kind == "dynamic" {
            // Of a static disk qemu would read a TiB of zeros.
            compare(&at("raw"), &at(kind), "vdi");
        }
        let image = open(&at(kind), FormatName::Vdi);
        assert!(image.check(&SILENT).unwrap().is_clean());
        let extents: u64 = image.extents().map(|extent| extent.len()).sum();
        assert!(extents <= 8 << 20, "{kind}: {extents}");
    }
}
