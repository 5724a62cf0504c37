//! Archives and descriptors that must be refused, each with its words.

use std::sync::Arc;

use vmimage::engine::archive::tar::{Archive, Dialect, Writer};
use vmimage::engine::base::{ByteSource, Error, Kind, StreamSink as _};
use vmimage::engine::format::package::PackageKind;

use super::made::{WORK, open_bytes};
use super::tool::{run, text};

/// A member as the `tar` crate writes it: any type, name and size.
fn member(kind: u8, name: &[u8], said: &[u8], body: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(0o644);
    header.as_old_mut().size[..said.len()].copy_from_slice(said);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &[u8], body: &[u8]) -> Vec<u8> {
    member(b'0', name, format!("{:011o}", body.len()).as_bytes(), body)
}

fn extension(kind: u8, body: &[u8]) -> Vec<u8> {
    member(kind, b"ext", format!("{:011o}", body.len()).as_bytes(), body)
}

fn open(parts: &[Vec<u8>]) -> Result<Archive, Error> {
    let bytes = [parts.concat(), vec![0; 1024]].concat();
    Archive::open(Arc::new(ByteSource::new(bytes)))
}

#[test]
fn archives_that_are_not_what_they_should_be() {
    let mut broken = file(b"a", b"x");
    broken[0] = b'b';
    let large = [&b"\x80\0\0\0"[..], &(1u64 << 62).to_be_bytes()].concat();
    let negative = [0xff; 12];
    let long = extension(b'L', &vec![b'a'; 70_000]);
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vec![broken], "the header at 0 has the checksum "),
        (vec![vec![b'x'; 512]], "the header at 0 is none: it has no checksum"),
        (vec![file(b"../x", b"")], "the header at 0 names \"../x\", with an empty"),
        (vec![file(b"/etc/shadow", b"")], "an absolute path"),
        (
            vec![file(b"a", b""), file(b"./a", b"")],
            "the header at 512 names \"a\", which was there before",
        ),
        (
            vec![member(b'1', b"a", b"00000000000", b"")],
            "is of type '1'; only files and directories",
        ),
        (vec![member(b'2', b"a", b"00000000000", b"")], "is of type '2'"),
        (vec![member(b'3', b"a", b"00000000000", b"")], "is of type '3'"),
        (vec![member(b'6', b"a", b"00000000000", b"")], "is of type '6'"),
        (vec![member(b'S', b"a", b"00000000000", b"")], "is of type 'S'"),
        (
            vec![member(b'0', b"a", &large, b"")],
            "says 4611686018427387904 bytes; the archive ends at 1536",
        ),
        (vec![member(b'0', b"a", &negative, b"")], "says 18446744073709551615 bytes"),
        (vec![member(b'0', b"a", b"zzz", b"")], "has no size"),
        (
            vec![member(b'0', b"a", b"00000010000", b"")],
            "says 4096 bytes; the archive ends at 1536",
        ),
        (vec![long], "is an extension of 70000 bytes; at most 65536 are allowed"),
        (vec![extension(b'K', b"x"), file(b"a", b"")], "is a link"),
        (
            vec![extension(b'L', b"../../x\0"), file(b"a", b"")],
            "the header at 1024 names \"../../x\"",
        ),
        (vec![extension(b'x', b"13 path=../x\n"), file(b"a", b"")], "names \"../x\""),
        (
            vec![extension(b'x', b"12 size=99x\n"), file(b"a", b"")],
            "has an extended size that is no number",
        ),
        (vec![extension(b'x', b"12 size=9999\n"), file(b"a", b"")], "records"),
        (vec![extension(b'x', b"99 path=a\n"), file(b"a", b"")], "records"),
        (vec![extension(b'x', b"3 a"), file(b"a", b"")], "records"),
        (vec![extension(b'x', b"22 GNU.sparse.major=1\n"), file(b"a", b"")], "is a sparse file"),
        (
            vec![extension(b'g', b"9 path=x\n"), file(b"a", b"")],
            "gives all members one name or size",
        ),
        (vec![extension(b'x', b"14 size=99999\n"), file(b"a", b"")], "says 99999 bytes"),
    ];
    for (parts, why) in cases {
        let error = open(&parts).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(error.to_string().starts_with("tar: "), "{error}");
        assert!(error.to_string().contains(why), "{error} instead of {why}");
    }
    let error = Archive::open(Arc::new(ByteSource::new(file(b"a", b"x")))).unwrap_err();
    assert_eq!(error.to_string(), "tar: the archive ends at 1024 without an end mark");
}

/// The extended size moves the next header: both readers must agree where it is.
#[test]
fn an_extended_size_wins_over_the_header() {
    let hidden = file(b"hidden", b"");
    let size = hidden.len().to_string();
    let record = format!("{} size={size}\n", size.len() + 9);
    let parts = [
        extension(b'x', record.as_bytes()),
        member(b'0', b"a", b"00000000000", &hidden),
        file(b"b", b"seen"),
    ];
    let archive = open(&parts).unwrap();
    let names: Vec<_> = archive.members().iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tar");
    fs_err::write(&path, [parts.concat(), vec![0; 1024]].concat()).unwrap();
    assert_eq!(run("tar", "tar", &["-tf", text(&path)]), "a\nb\n");
    let member = archive.find("b").unwrap().clone();
    assert_eq!(archive.read(&member, 4).unwrap(), b"seen");
    let error = archive.read(&member, 3).unwrap_err();
    assert_eq!(error.to_string(), "\"b\" has 4 bytes; at most 3 are allowed");
}

#[test]
fn a_million_members_are_refused_early() {
    let many: Vec<Vec<u8>> = (0..4097).map(|n| file(format!("f{n}").as_bytes(), b"")).collect();
    let error = open(&many).unwrap_err();
    assert!(error.to_string().contains("is one more than the 4096 allowed"), "{error}");
}

fn package(ovf: &str, manifest: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(Dialect::Ustar, &mut bytes);
    writer.member("a.ovf", ovf.as_bytes()).unwrap();
    if let Some(manifest) = manifest {
        writer.member("a.mf", manifest.as_bytes()).unwrap();
    }
    writer.begin("a.vmdk", 4).unwrap();
    writer.write(b"disk").unwrap();
    writer.finish().unwrap();
    bytes
}

fn ovf(href: &str, rest: &str) -> String {
    format!(
        r#"<Envelope><References><File href="{href}" id="f" {rest}/></References><DiskSection><Disk diskId="d" fileRef="f" capacity="1"/></DiskSection></Envelope>"#
    )
}

#[test]
fn names_in_a_descriptor_lead_nowhere() {
    for href in ["../a.vmdk", "/etc/shadow", "file:///etc/shadow", "http://x/a.vmdk", "", "b.vmdk"]
    {
        let error = open_bytes(package(&ovf(href, ""), None), PackageKind::Ova).unwrap_err();
        let wanted = format!("the package names \"{href}\", which is no file in it");
        assert_eq!(error.to_string(), wanted);
    }
    let opened = open_bytes(package(&ovf("a.vmdk", "size=\"4\""), None), PackageKind::Ova).unwrap();
    assert_eq!(opened.disks()[0].file, "a.vmdk");
}

#[test]
fn descriptors_and_manifests_that_do_not_fit_the_archive() {
    let zeros = "0".repeat(64);
    let sum = |name: &str| format!("SHA256({name})= {zeros}\n");
    let good = ovf("a.vmdk", "");
    for (ovf, manifest, why) in [
        (ovf("a.vmdk", "size=\"5\""), None, "\"a.vmdk\" has 4 bytes; the descriptor says 5"),
        (
            ovf("a.vmdk", "compression=\"gzip\""),
            None,
            "the file \"a.vmdk\" is compressed or cut in chunks",
        ),
        (
            ovf("a.vmdk", "chunkSize=\"1\""),
            None,
            "the file \"a.vmdk\" is compressed or cut in chunks",
        ),
        (
            good.replace("fileRef=\"f\"", "fileRef=\"g\""),
            None,
            "the disk \"d\" refers to the file \"g\", which is not described",
        ),
        (good.clone(), Some(sum("b")), "the manifest names \"b\", which is not in the package"),
        (
            good.clone(),
            Some("x".to_owned()),
            "line 1 of the manifest is no \"SHA256(name)= hex\" (or SHA1, SHA512)",
        ),
    ] {
        let opened = open_bytes(package(&ovf, manifest.as_deref()), PackageKind::Ova);
        assert_eq!(opened.unwrap_err().to_string(), why);
    }
    let opened = open_bytes(package(&good, Some(&sum("a.ovf"))), PackageKind::Ova);
    assert!(opened.unwrap_err().to_string().starts_with("\"a.ovf\" has the SHA256 "));
    let opened = open_bytes(package(&good, Some(&sum("a.vmdk"))), PackageKind::Ova).unwrap();
    let error = opened.disk(&opened.disks()[0], &WORK).unwrap_err();
    assert!(error.to_string().ends_with(&format!("; the manifest says {zeros}")), "{error}");
    // The manifest of some writers names itself, and that cannot be right.
    let opened = open_bytes(package(&good, Some(&sum("a.mf"))), PackageKind::Ova).unwrap();
    let error = opened.disk(&opened.disks()[0], &WORK).unwrap_err();
    assert_eq!(error.to_string(), "the manifest does not name \"a.vmdk\"");
}

#[test]
fn archives_without_or_with_two_descriptors() {
    let of = |names: &[&str]| {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(Dialect::Ustar, &mut bytes);
        names.iter().for_each(|name| writer.member(name, b"<Envelope/>").unwrap());
        writer.finish().unwrap();
        bytes
    };
    let refused = |names: &[&str], kind| open_bytes(of(names), kind).unwrap_err().to_string();
    assert_eq!(refused(&["a.txt"], PackageKind::Ova), "the package has no .ovf file");
    assert_eq!(
        refused(&["a.ovf", "b.ovf"], PackageKind::Ova),
        "the package has two .ovf files: \"a.ovf\" and \"b.ovf\""
    );
    assert_eq!(
        refused(&["box.img"], PackageKind::Box),
        "the package names \"metadata.json\", which is no file in it"
    );
    assert!(
        refused(&["metadata.json"], PackageKind::Box)
            .starts_with("metadata.json is no JSON object")
    );
    let error = open_bytes(b"abc".to_vec(), PackageKind::Box).unwrap_err();
    assert_eq!(error.to_string(), "3 bytes are too short for a box");
}
