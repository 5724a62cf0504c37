//! Hostile archives: each is refused with a message that says why, or does no harm.

use std::path::Path;
use std::sync::Arc;

use vmimage::engine::archive::Format;
use vmimage::engine::base::tree::Limits;
use vmimage::engine::base::{ByteSource, Error, Origin, Scratch};
use vmimage::engine::payload::{Glob, Unpack, unpack};

use crate::foreign::empty;
use crate::forged::{Tar, entry};
use crate::rows::{Rows, of_tree};

fn with(bytes: Vec<u8>, options: &Unpack) -> Result<Rows, Error> {
    let mut tree = empty();
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(directory.path(), 8 << 20);
    let source = Arc::new(ByteSource::new(bytes));
    let origin = Origin::new("contents[3].archive");
    unpack(&mut tree, source, options, &scratch, &origin)
        .inspect_err(|e| assert_eq!(e.origin(), Some(&origin), "{e}"))?;
    Ok(of_tree(&tree))
}

fn rows(bytes: Vec<u8>) -> Result<Rows, Error> {
    with(bytes, &Unpack::default())
}

fn names(rows: &Rows) -> String {
    let names = rows.iter().filter(|(_, row)| !row.what.starts_with("dir"));
    names.map(|(name, _)| name.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn refused(bytes: Vec<u8>, why: &str) {
    let error = rows(bytes).expect_err(why).to_string();
    assert!(error.contains(why), "{why}: {error}");
}

fn tar() -> Tar {
    Tar::default()
}

#[test]
fn paths_stay_inside() {
    refused(tar().file("../x", b"x").end(), "leads upwards");
    refused(tar().file("a/../../x", b"x").end(), "leads upwards");
    refused(
        tar().file("a/b\0", b"x").pax(b'x', &[("path", b"a\0b")]).file("c", b"").end(),
        "zero byte",
    );
    refused(tar().add(entry("a", b'1', 0).link("../../etc/passwd"), b"").end(), "leads upwards");
    refused(tar().file(&"a/".repeat(40), b"").file("", b"").end(), "no name");
    // An absolute path is one of the tree, as for every tar.
    assert_eq!(names(&rows(tar().file("/etc/x", b"x").end()).unwrap()), "etc/x");
    // Through links: inside of the tree alone.
    let through = tar()
        .add(entry("l", b'2', 0).link("/../../../etc"), b"")
        .file("l/passwd", b"x")
        .add(entry("m", b'2', 0).link("l/../.."), b"")
        .file("m/top", b"x");
    assert_eq!(names(&rows(through.end()).unwrap()), "etc/passwd l m top");
    let circle = tar()
        .add(entry("a", b'2', 0).link("b"), b"")
        .add(entry("b", b'2', 0).link("a"), b"")
        .file("a/x", b"x");
    refused(circle.end(), "40 symbolic links");
    refused(tar().file("a", b"").file("a/b", b"").end(), "a file is on the way");
    let deep = "d/".repeat(60);
    let options = Unpack { limits: Limits { depth: 50, ..Limits::default() }, ..Unpack::default() };
    let error = with(tar().add(entry(&deep[..99], b'5', 0), b"").end(), &options);
    assert!(error.is_ok(), "50 is allowed");
    let options = Unpack { limits: Limits { depth: 49, ..Limits::default() }, ..Unpack::default() };
    let error = with(tar().add(entry(&deep[..99], b'5', 0), b"").end(), &options).unwrap_err();
    assert!(error.to_string().contains("50 directories deep; 49 are allowed"), "{error}");
}

#[test]
fn hard_links_lead_somewhere() {
    let link = |name: &str, target: &str| entry(name, b'1', 0).link(target);
    let first = |rows: &Rows, name: &str| rows[name.as_bytes()].first.clone();
    // Before their target; over each other; to links that come later.
    let forward = tar().add(link("a", "b"), b"").add(link("b", "c"), b"").file("c", b"x").end();
    let seen = rows(forward).unwrap();
    assert_eq!((names(&seen).as_str(), first(&seen, "c")), ("a b c", b"a".to_vec()));
    refused(tar().add(link("a", "gone"), b"").end(), "\"a\" is a hard link to \"gone\"");
    refused(tar().add(link("a", "a"), b"").end(), "link to itself");
    refused(tar().add(link("a", "b"), b"").add(link("b", "a"), b"").end(), "not in the archive");
    refused(
        tar().add(entry("d", b'5', 0), b"").add(link("a", "d"), b"").end(),
        "second name of a directory",
    );
    // To a symbolic link: the link itself has two names.
    let symbolic = tar().add(entry("s", b'2', 0).link("/etc"), b"").add(link("t", "s"), b"").end();
    assert!(rows(symbolic).unwrap()[&b"t"[..]].what.contains("/etc"));
    // A name that something else took meanwhile.
    let taken = tar().add(link("a", "b"), b"").file("a", b"mine").file("b", b"x").end();
    assert_eq!(rows(taken).unwrap()[&b"a"[..]].bytes, b"mine");
    // Its target is not selected: the links are the file.
    let one = tar().file("bin/one", b"all in one").add(link("bin/two", "bin/one"), b"");
    let three = one.add(link("bin/three", "bin/two"), b"").end();
    let mut options = Unpack::default();
    options.selection.include = vec![Glob::new("bin/t*").unwrap()];
    let seen = with(three.clone(), &options).unwrap();
    assert_eq!(names(&seen), "bin/three bin/two");
    assert_eq!(first(&seen, "bin/two"), b"bin/three");
    assert_eq!(seen[&b"bin/two"[..]].bytes, b"all in one");
    options.selection.include = vec![Glob::new("nowhere").unwrap()];
    let error = with(three, &options).unwrap_err().to_string();
    assert!(error.contains("nothing in the archive is named by \"nowhere\""), "{error}");
    // The size of an old header counts for nothing; that of pax does.
    let old = tar().file("a", b"x").add(entry("b", b'1', 9).link("a"), b"").file("c", b"").end();
    assert_eq!(names(&rows(old).unwrap()), "a b c");
    let data = tar().file("a", b"x").pax(b'x', &[("size", b"1")]).add(link("b", "a"), b"x").end();
    refused(data, "is of type '1' and says 1 bytes");
}

#[test]
fn readers_cannot_be_told_two_stories() {
    // The size of pax counts for the member, not for what stands between (CVE-2025-62518).
    let inner = tar().file("smuggled", b"x").end();
    let size = inner.len().to_string();
    let hidden = tar()
        .pax(b'x', &[("size", size.as_bytes())])
        .add(entry("long", b'L', 6), b"outer\0")
        .add(entry("short", b'0', 0), &inner);
    let seen = rows(hidden.end()).unwrap();
    assert_eq!((names(&seen).as_str(), seen[&b"outer"[..]].bytes.len()), ("outer", inner.len()));
    refused(
        tar().pax(b'x', &[("path", b"a")]).pax(b'x', &[("path", b"b")]).file("c", b"").end(),
        "a second time",
    );
    refused(
        tar().pax(b'x', &[("path", b"a")]).add(entry("l", b'L', 2), b"b\0").file("c", b"").end(),
        "two names",
    );
    refused(tar().pax(b'g', &[("path", b"a")]).file("c", b"").end(), "gives all members one path");
    refused(tar().pax(b'g', &[("size", b"1")]).file("c", b"").end(), "gives all members one size");
    refused(
        tar().add(entry("s", b'2', 512).link("t"), &[b'x'; 512]).end(),
        "says 512 bytes; 0 are",
    );
    refused(tar().add(entry("d", b'5', 512), &[b'x'; 512]).end(), "says 512 bytes; 0 are");
    refused(tar().file("d/", b"x").end(), "a directory's name and the body of a file");
    let lone = [tar().file("a", b"").0, vec![0; 512], tar().file("b", b"").end()].concat();
    refused(lone, "one block of zeros; two are the end mark");
    refused(tar().pax(b'x', &[("path", b"a")]).end(), "announced a member");
    refused(tar().pax(b'x', &[("path", b"a")]).0, "inside of the header");
    // Without an end mark, and with something behind it.
    assert_eq!(names(&rows(tar().file("a", b"x").0).unwrap()), "a");
    let behind = [tar().file("a", b"").end(), tar().file("b", b"").end()].concat();
    assert_eq!(names(&rows(behind).unwrap()), "a");
    let mut cut = tar().file("a", &[b'x'; 600]).0;
    cut.truncate(1100);
    refused(cut, "says 600 bytes; the archive ends at 1100");
    // A global header counts until it is taken back.
    let global = tar().pax(b'g', &[("uid", b"7"), ("comment", b"x")]).file("a", b"").file("b", b"");
    let seen = rows(global.pax(b'g', &[("uid", b"")]).file("c", b"").end()).unwrap();
    let owner = |name: &str| seen[name.as_bytes()].owner.0;
    assert_eq!((owner("a"), owner("b"), owner("c")), (7, 7, 0));
}

#[test]
fn numbers_are_judged() {
    let binary = |size: &[u8]| tar().add(entry("a", b'0', 0).with(124, size), b"x").end();
    refused(binary(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "a size that is none");
    refused(binary(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "the archive ends at");
    refused(binary(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), "a size that is none");
    refused(binary(b"0000000009\0\0"), "a size that is none");
    let seen = rows(binary(b"\x80\0\0\0\0\0\0\0\0\0\0\x01")).unwrap();
    assert_eq!(seen[&b"a"[..]].bytes, b"x");
    let long = tar().add(entry("l", b'L', 1 << 30), b"").end();
    refused(long, "an extension of 1073741824 bytes; at most 2097152 are allowed");
    refused(
        tar().add(entry("a", b'0', 0).with(108, b"\xff\xff\xff\xff\xff\xff\xff\xff"), b"").end(),
        "an owner that is none",
    );
    refused(tar().add(entry("a", b'Z', 0), b"").end(), "of type 'Z'");
    refused(tar().add(entry("a", b'M', 0), b"").end(), "of type 'M'");
    let mut broken = tar().file("a", b"").end();
    broken[0] = b'b';
    let options = Unpack { format: Some(Format::Tar), ..Unpack::default() };
    assert!(with(broken, &options).unwrap_err().to_string().contains("checksum is wrong"));
    // A time before 1970, and nanoseconds.
    let times =
        tar().add(entry("a", b'0', 0).with(136, &[0xff; 12]), b"").pax(b'x', &[("mtime", b"-0.5")]);
    let seen = rows(times.file("b", b"").end()).unwrap();
    assert_eq!(seen[&b"a"[..]].time, (-1, 0));
    assert_eq!(seen[&b"b"[..]].time, (-1, 500_000_000));
    // Devices and odd owners.
    let device = entry("d", b'3', 0).with(329, b"0000005\0").with(337, b"0000001\0");
    let block = entry("e", b'4', 0).with(329, b"\x80\0\0\0\0\0\x0f\xff").with(337, b"0000377\0");
    let seen =
        rows(tar().add(device, b"").pax(b'x', &[("uid", b"4294967294")]).add(block, b"").end());
    let seen = seen.unwrap();
    assert_eq!(seen[&b"d"[..]].what, "character device 5,1");
    assert_eq!(seen[&b"e"[..]].what, "block device 4095,255");
    assert_eq!(seen[&b"e"[..]].owner, (4_294_967_294, 0));
}

#[test]
fn sparse_maps_are_judged() {
    let old = |map: &[u8], real: &str| {
        let header = entry("s", b'S', 4).with(257, b"ustar  \0").with(386, map);
        tar().add(header.with(483, real.as_bytes()), b"data").end()
    };
    let seen = rows(old(b"00000001000\x0000000000004\0", "00000010000")).unwrap();
    let bytes = &seen[&b"s"[..]].bytes;
    assert_eq!((bytes.len(), &bytes[512..516]), (4096, &b"data"[..]));
    let wrong = "does not fit its body";
    refused(old(b"00000001000\x0000000000005\0", "00000010000"), wrong);
    refused(old(b"00000001000\x0000000000004\0", "00000000777"), wrong);
    refused(
        old(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff00000000004\0", "00000010000"),
        wrong,
    );
    let pax =
        |records: &[(&str, &[u8])], body: &[u8]| tar().pax(b'x', records).file("s", body).end();
    let size: (&str, &[u8]) = ("GNU.sparse.size", b"100");
    let count: (&str, &[u8]) = ("GNU.sparse.numblocks", b"1");
    refused(pax(&[size, count], b"data"), wrong);
    refused(pax(&[size, count, ("GNU.sparse.map", b"96,5")], b"data5"), wrong);
    refused(pax(&[size, ("GNU.sparse.map", b"1")], b"data"), "no value of it");
    refused(
        pax(&[size, ("GNU.sparse.offset", b"1"), ("GNU.sparse.offset", b"1")], b""),
        "no value of it",
    );
    let one: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"100")];
    refused(pax(&one, b"9\n0\n4\n"), wrong);
    refused(pax(&one, &[b"99999999\n".as_slice(), &[b'1'; 503]].concat()), wrong);
    refused(pax(&one, &[b'1'; 512]), wrong);
    refused(pax(&[("GNU.sparse.major", b"2")], b""), wrong);
    // A huge hole costs nothing, but counts against the limits.
    let huge =
        pax(&[("GNU.sparse.size", b"9000000000000000000"), ("GNU.sparse.map", b"0,4")], b"data");
    refused(huge, "9000000000000000000 bytes; 17592186044416 are allowed");
}

#[test]
fn limits_hold() {
    let limited = |bytes: Vec<u8>, limits: Limits| {
        with(bytes, &Unpack { limits, ..Unpack::default() }).unwrap_err().to_string()
    };
    let three = tar().file("a", b"12").file("b", b"34").file("c", b"56").end();
    let limits = Limits::default();
    assert!(limited(three.clone(), Limits { nodes: 2, ..limits }).contains("more than 2 entries"));
    assert!(
        limited(three.clone(), Limits { total: 5, ..limits }).contains("more than the 5 bytes")
    );
    assert!(limited(three, Limits { file: 1, ..limits }).contains("has 2 bytes; 1 are allowed"));
    let attribute = tar().pax(b'x', &[("SCHILY.xattr.user.a", &[b'v'; 100])]).file("a", b"").end();
    assert!(limited(attribute, Limits { attributes: 99, ..limits }).contains("99 are allowed"));
    let many = [b'v'; 600_000];
    let both: [(&str, &[u8]); 2] = [("SCHILY.xattr.user.a", &many), ("SCHILY.xattr.user.b", &many)];
    refused(tar().pax(b'x', &both).file("a", b"").end(), "at most 1048576 are allowed");
}

#[test]
fn bombs_go_off_outside() {
    // 64 MiB of zeros in a few bytes, in each wrap, against a scratch of 8 MiB.
    for program in ["gzip -9", "xz", "zstd -19", "bzip2"] {
        let directory = tempfile::tempdir().unwrap();
        let command = format!("head -c 64M /dev/zero | {program} > bomb");
        crate::shell::shell(directory.path(), "xz-utils zstd bzip2", &command);
        let bytes = fs_err::read(directory.path().join("bomb")).unwrap();
        let error = rows(bytes.clone()).unwrap_err().to_string();
        assert!(error.contains("build.scratch.sizeLimit"), "{program}: {error}");
        let limits = Limits { total: 1 << 20, ..Limits::default() };
        let error = with(bytes, &Unpack { limits, ..Unpack::default() }).unwrap_err().to_string();
        assert!(error.contains("more than the 1048576 bytes"), "{program}: {error}");
    }
}

#[test]
fn what_is_no_archive_is_told() {
    refused(b"#!/bin/sh\n".to_vec(), "it is no archive: it begins with 23212f62696e2f73680a;");
    refused(Vec::new(), "it is no archive");
    refused(b"070701".to_vec(), "is cut off");
    refused(b"PK\x03\x04".to_vec(), "there is no directory");
    refused(b"!<arch>\n".to_vec(), "no member data.tar");
}

/// Every byte of an archive changed, one by one: an error or a tree, and never a panic.
fn flip(bytes: &[u8], format: Format) {
    for at in 0..bytes.len() {
        for bit in [1, 0x10, 0x80] {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= bit;
            let limits = Limits { nodes: 1000, total: 4 << 20, file: 1 << 20, ..Limits::default() };
            let options = Unpack { format: Some(format), limits, ..Unpack::default() };
            let mut tree = empty();
            let scratch = Scratch::new(&std::env::temp_dir(), 4 << 20);
            let source = Arc::new(ByteSource::new(flipped));
            if unpack(&mut tree, source, &options, &scratch, &Origin::new("x")).is_ok() {
                of_tree(&tree);
            }
        }
    }
    for len in 0..bytes.len() {
        let mut tree = empty();
        let options = Unpack { format: Some(format), ..Unpack::default() };
        let scratch = Scratch::new(&std::env::temp_dir(), 4 << 20);
        let source = Arc::new(ByteSource::new(bytes[..len].to_vec()));
        let _ = unpack(&mut tree, source, &options, &scratch, &Origin::new("x"));
    }
}

fn made(command: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let make = "mkdir d d/e; echo text > d/a; ln d/a d/b; ln -s a d/l; : > d/0; seq 99 > d/e/seq";
    crate::shell::shell(directory.path(), "cpio zip", &format!("{make}; {command}"));
    fs_err::read(directory.path().join("out")).unwrap()
}

#[test]
fn every_byte_may_be_wrong() {
    let sparse: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"100")];
    let body = [&b"1\n10\n4\n"[..], &[0; 505], b"data"].concat();
    let tar = tar()
        .pax(b'x', &sparse)
        .file("s", &body)
        .pax(b'x', &[("SCHILY.xattr.user.a", b"v"), ("mtime", b"1.5")])
        .add(entry("l", b'1', 0).link("s"), b"");
    flip(&tar.end()[..4096], Format::Tar);
    flip(&made("find d | cpio --quiet -o -H newc > out; truncate -s 1500 out"), Format::Cpio);
    flip(&made("find d | cpio --quiet -o -H crc > out; truncate -s 1500 out"), Format::Cpio);
    flip(&made("find d | cpio --quiet -o -H odc > out; truncate -s 1200 out"), Format::Cpio);
    flip(&made("zip -q -y -r out.zip d; mv out.zip out"), Format::Zip);
}

#[test]
fn a_changed_body_of_zip_and_crc_is_noticed() {
    for (command, format) in [
        ("zip -q -r out.zip d/e/seq; mv out.zip out", Format::Zip),
        ("zip -q -0 -r out.zip d/e/seq; mv out.zip out", Format::Zip),
        ("echo d/e/seq | cpio --quiet -o -H crc > out", Format::Cpio),
    ] {
        let bytes = made(command);
        for at in 130..200 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            let options = Unpack { format: Some(format), ..Unpack::default() };
            assert!(with(flipped, &options).is_err(), "{command}: byte {at}");
        }
    }
}

#[test]
fn zip_entries_do_not_share_bodies() {
    let bytes = made("printf x > one; zip -q -0 out.zip one; mv out.zip out");
    // The directory's entry twice: 46 bytes, the name and 24 bytes of extra fields.
    let end = bytes.len() - 22;
    let start = u32::from_le_bytes(bytes[end + 16..end + 20].try_into().unwrap()) as usize;
    let central = &bytes[start..end];
    let mut twice = [&bytes[..start], central, central, &bytes[end..]].concat();
    let end = twice.len() - 22;
    twice[end + 8] = 2;
    twice[end + 10] = 2;
    twice[end + 12..end + 16].copy_from_slice(&(2 * central.len() as u32).to_le_bytes());
    refused(twice, "two entries share the bytes");
    refused(made("printf x > one; zip -q -P secret out.zip one; mv out.zip out"), "is encrypted");
}

#[test]
fn a_directory_with_a_million_entries() {
    // 100,000 here: a tenth, for time's sake; memory is linear.
    let mut tar = Vec::with_capacity(60 << 20);
    for number in 0..100_000 {
        tar.extend(entry(&format!("d/{number:07}"), b'0', 0).sealed());
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("many");
    fs_err::write(&path, &tar).unwrap();
    let (tree, summary) = crate::foreign::unpacked(Path::new(&path), &Unpack::default()).unwrap();
    assert_eq!((tree.count(), summary.entries), (100_002, 100_000));
}
