//! OVA: read by GNU tar, 7zip, sha256sum, xmllint and qemu-img, and by us.

use std::path::Path;

use vmimage::engine::base::Kind;
use vmimage::engine::format::package::{
    DiskBus, Firmware, Form, Machine, Nic, OsType, PackageKind, Recipe, ova,
};

use super::made::{bytes, content, disk, machine, open, open_bytes, write};
use super::tool::{compare, info, run, sha256sum, text};

const BUSES: [DiskBus; 5] =
    [DiskBus::Ide, DiskBus::Sata, DiskBus::Scsi, DiskBus::Nvme, DiskBus::Virtio];
const NICS: [Nic; 5] = [Nic::None, Nic::E1000, Nic::E1000e, Nic::Vmxnet3, Nic::Virtio];
const SYSTEMS: [OsType; 9] = [
    OsType::Other,
    OsType::Linux,
    OsType::Debian,
    OsType::Ubuntu,
    OsType::Rhel,
    OsType::FreeBsd,
    OsType::NetBsd,
    OsType::OpenBsd,
    OsType::Windows,
];

pub(crate) fn valid(ovf: &Path) {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/ovf.rng");
    let args = ["--noout", "--nonet", "--relaxng", text(&rules), text(ovf)];
    run("xmllint", "libxml2-utils", &args);
}

#[test]
fn everyone_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "hello.ova", &super::made::ova(), 2).unwrap();
    let listed = run("tar", "tar", &["--list", "--file", text(&path)]);
    assert_eq!(listed, "hello.ovf\nhello.mf\nhello-disk1.vmdk\n");
    run("7zz", "7zip", &["t", text(&path)]);
    run("tar", "tar", &["-C", text(directory.path()), "-xf", text(&path)]);
    let at = |name: &str| directory.path().join(name);
    valid(&at("hello.ovf"));

    let manifest = fs_err::read_to_string(at("hello.mf")).unwrap();
    let line = |name: &str| {
        format!("SHA256({name})= {}\n", sha256sum(&at(name)).trim_start_matches("sha256:"))
    };
    assert_eq!(manifest, line("hello.ovf") + &line("hello-disk1.vmdk"));

    let vmdk = at("hello-disk1.vmdk");
    let raw = at("reference");
    disk().reference(&raw);
    compare(&raw, &vmdk, "vmdk");
    let details = &info(&vmdk, "vmdk")["format-specific"]["data"];
    assert_eq!(details["create-type"], "streamOptimized");
    let ovf = fs_err::read_to_string(at("hello.ovf")).unwrap();
    let len = fs_err::metadata(&vmdk).unwrap().len();
    assert!(ovf.contains(&format!("ovf:size=\"{len}\"")), "{ovf}");
    assert!(ovf.contains("ovf:capacity=\"3145728\""), "{ovf}");
}

#[test]
fn headers_are_ustar_and_say_nothing_of_us() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "hello.ova", &super::made::ova(), 2).unwrap();
    let args = ["--list", "--verbose", "--numeric-owner", "--utc", "--full-time", "--file"];
    let listed = run("tar", "tar", &[&args[..], &[text(&path)]].concat());
    for line in listed.lines() {
        assert!(line.starts_with("-rw-r--r-- 0/0 "), "{line}");
        assert!(line.contains(" 1970-01-01 00:00:00 "), "{line}");
    }
    let file = fs_err::read(&path).unwrap();
    assert_eq!(&file[257..265], b"ustar\x0000");
    assert!(file.len().is_multiple_of(10_240));
}

#[test]
fn we_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "hello.ova", &super::made::ova(), 2).unwrap();
    let package = open(&path, PackageKind::Ova).unwrap();
    let names: Vec<_> = package.entries().iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["hello.ovf", "hello.mf", "hello-disk1.vmdk"]);
    assert!(content(&package).unwrap() == bytes(&disk()));
    let wanted = r#"{"cpus":1,"hardware":"vmx-13","memory":536870912,"name":"hello","osId":102}"#;
    assert_eq!(serde_json::to_string(package.details()).unwrap(), wanted);
}

#[test]
fn every_machine_is_described_by_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    let firmware = [Firmware::Bios, Firmware::Efi];
    let mut number = 0;
    for disk_bus in BUSES {
        for nic in NICS {
            let firmware = firmware[number % 2];
            let os_type = SYSTEMS[number % SYSTEMS.len()];
            let name = "a <b> & \"c\"".to_owned();
            let machine = Machine { name, disk_bus, nic, firmware, os_type, ..machine() };
            let params = ova::Params {
                hardware_version: 7 + number as u32 % 14,
                ..ova::Params::new(machine)
            };
            let recipe = Recipe { form: Form::Ova(params), wrap: None };
            let path = write(directory.path(), "m.ova", &recipe, 2).unwrap();
            run("tar", "tar", &["-C", text(directory.path()), "-xf", text(&path), "m.ovf"]);
            valid(&directory.path().join("m.ovf"));
            let package = open(&path, PackageKind::Ova).unwrap();
            assert_eq!(package.details()["name"], "a <b> & \"c\"");
            let efi = package.details().get("firmware").is_some_and(|f| f == "efi");
            assert_eq!(efi, firmware == Firmware::Efi);
            number += 1;
        }
    }
}

#[test]
fn sha1_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let params = ova::Params { digest: ova::Digest::Sha1, ..ova::Params::new(machine()) };
    let recipe = Recipe { form: Form::Ova(params), wrap: None };
    let path = write(directory.path(), "hello.ova", &recipe, 2).unwrap();
    run("tar", "tar", &["-C", text(directory.path()), "-xf", text(&path)]);
    let manifest = fs_err::read_to_string(directory.path().join("hello.mf")).unwrap();
    for (line, name) in manifest.lines().zip(["hello.ovf", "hello-disk1.vmdk"]) {
        let sum = run("sha1sum", "coreutils", &[text(&directory.path().join(name))]);
        assert_eq!(line, format!("SHA1({name})= {}", sum.split(' ').next().unwrap()));
    }
    assert!(content(&open(&path, PackageKind::Ova).unwrap()).is_ok());
}

#[test]
fn same_bytes_on_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let made = |threads| {
        fs_err::read(write(directory.path(), "a.ova", &super::made::ova(), threads).unwrap())
            .unwrap()
    };
    let one = made(1);
    assert!(made(2) == one && made(8) == one);
}

/// Everything but what fills blocks and what follows the end mark is under a checksum or a digest.
#[test]
fn every_changed_byte_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "hello.ova", &super::made::ova(), 2).unwrap();
    let good = fs_err::read(&path).unwrap();
    let package = open(&path, PackageKind::Ova).unwrap();
    let mut filled = 0;
    let mut parts = Vec::new();
    for entry in package.entries() {
        let body = filled + 512;
        let size = usize::try_from(entry.size).unwrap();
        parts.push(filled..body + size);
        filled = (body + size).next_multiple_of(512);
    }
    let disk = parts.pop().unwrap();
    // Of the disk's file the header is enough: every byte more would take minutes.
    parts.push(disk.start..disk.start + 512 + 1024);
    parts.push(disk.end - 1024..disk.end);
    let tried = parts.into_iter().flatten();
    let mut unnoticed = Vec::new();
    for at in tried {
        let mut bad = good.clone();
        bad[at] ^= 0x03;
        if open_bytes(bad, PackageKind::Ova).and_then(|package| content(&package)).is_ok() {
            unnoticed.push(at);
        }
    }
    // The manifest is under no digest itself: the space behind a line does not matter.
    unnoticed.retain(|at| !good[*at].is_ascii_whitespace());
    assert!(unnoticed.is_empty(), "{unnoticed:?} of {}", good.len());
}

#[test]
fn an_ova_streams_only_through_a_temporary_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "a.ova", &super::made::ova(), 2).unwrap();
    let label =
        vmimage::engine::format::Label { name: "a.ova", id: uuid::Uuid::from_u128(0x1234_5678) };
    let mut streamed = Vec::new();
    let mut stream = |scratch| {
        let recipe = super::made::ova();
        let work = super::made::WORK;
        vmimage::engine::format::package::stream(
            &disk(),
            &label,
            &mut streamed,
            &recipe,
            scratch,
            &work,
        )
    };
    let error = stream(None).unwrap_err();
    assert_eq!(error.kind(), Kind::Document);
    let wanted = "an OVA cannot be written to a pipe: the size and the digest of its disk are known last but stand first";
    assert_eq!(error.to_string(), wanted);
    stream(Some(directory.path())).unwrap();
    assert!(streamed == fs_err::read(&path).unwrap());
}
