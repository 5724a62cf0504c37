//! Vagrant boxes: read by GNU tar, gzip, xmllint and qemu-img, and by us.

use vmimage::engine::base::Kind;
use vmimage::engine::codec::wrap::Wrap;
use vmimage::engine::format::package::PackageKind;
use vmimage::engine::format::package::Recipe;
use vmimage::engine::format::package::vagrant::Provider;

use super::made::{boxed, bytes, content, disk, open, write};
use super::tool::{check, compare, run, text};

#[test]
fn everyone_reads_the_disk() {
    for (provider, files, format) in [
        (
            Provider::VirtualBox,
            &["metadata.json", "Vagrantfile", "box.ovf", "box-disk001.vmdk"][..],
            "vmdk",
        ),
        (Provider::Libvirt, &["metadata.json", "Vagrantfile", "box.img"], "qcow2"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let path = write(directory.path(), "a.box", &boxed(provider), 2).unwrap();
        run("gzip", "gzip", &["-t", "-S", ".box", text(&path)]);
        let listed = run("tar", "tar", &["--gzip", "--list", "--file", text(&path)]);
        assert_eq!(listed.lines().collect::<Vec<_>>(), files);
        run("tar", "tar", &["-C", text(directory.path()), "-xzf", text(&path)]);
        let raw = at("reference");
        disk().reference(&raw);
        let image = at(files.last().unwrap());
        compare(&raw, &image, format);
        match provider {
            Provider::VirtualBox => super::ova::valid(&at("box.ovf")),
            Provider::Libvirt => {
                check(&image);
            }
        }
        let metadata = fs_err::read_to_string(at("metadata.json")).unwrap();
        let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        assert_eq!(metadata["provider"], provider.as_str());
        if provider == Provider::Libvirt {
            assert_eq!(metadata["format"], "qcow2");
            assert_eq!(metadata["virtual_size"], 1);
        }
        let vagrantfile = fs_err::read_to_string(at("Vagrantfile")).unwrap();
        assert_eq!(
            vagrantfile.contains("base_mac = \"080027345678\""),
            provider == Provider::VirtualBox
        );
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), files.len() + 2);
    }
}

#[test]
fn we_read_it() {
    let directory = tempfile::tempdir().unwrap();
    for provider in Provider::ALL {
        let path = write(directory.path(), "a.box", &boxed(provider), 2).unwrap();
        let package = open(&path, PackageKind::Box).unwrap();
        assert!(content(&package).unwrap() == bytes(&disk()));
        assert_eq!(package.details()["provider"], provider.as_str());
    }
}

#[test]
fn what_the_tools_pack_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let path = write(directory.path(), "a.box", &boxed(Provider::Libvirt), 2).unwrap();
    let inside = at("in");
    fs_err::create_dir(&inside).unwrap();
    run("tar", "tar", &["-C", text(&inside), "-xzf", text(&path)]);
    for format in ["gnu", "oldgnu", "ustar", "posix", "v7"] {
        for pack in ["--gzip", "--xz", "--zstd", "--no-auto-compress"] {
            let packed = at("b.box");
            let format = format!("--format={format}");
            let args = [&format, pack, "-C", text(&inside), "-cf", text(&packed), "."];
            run("tar", "tar", &args);
            let package = open(&packed, PackageKind::Box).unwrap();
            assert!(content(&package).unwrap() == bytes(&disk()), "{format} {pack}");
        }
    }
}

#[test]
fn same_bytes_on_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    for provider in Provider::ALL {
        let made = |threads| {
            fs_err::read(write(directory.path(), "a.box", &boxed(provider), threads).unwrap())
                .unwrap()
        };
        let one = made(1);
        assert!(made(2) == one && made(8) == one);
    }
}

#[test]
fn a_bomb_stops_at_the_limit_and_a_box_is_not_wrapped() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "a.box", &boxed(Provider::Libvirt), 2).unwrap();
    let source = std::sync::Arc::new(vmimage::engine::base::FileSource::open(&path).unwrap());
    let opened = vmimage::engine::format::package::Package::open(
        source,
        PackageKind::Box,
        directory.path(),
        10_000,
        &super::made::WORK,
    );
    let error = opened.unwrap_err();
    assert_eq!(error.to_string(), "gzip unpacks to more than the 10000 bytes that are allowed");
    let recipe = Recipe { wrap: Some(Wrap::Xz), ..boxed(Provider::Libvirt) };
    let error = write(directory.path(), "b.box", &recipe, 1).unwrap_err();
    assert_eq!(error.kind(), Kind::Document);
    assert_eq!(error.to_string(), "a tar.gz cannot be wrapped in xz: it is gzip already");
    assert!(!directory.path().join("b.box").exists());
}
