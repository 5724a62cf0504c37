//! convert, compare, measure, digest and check, with qemu-img as judge.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Desk, Ran, sha256sum, tool};

/// A disk of 4 MiB with text, noise, written zeros and a hole.
pub(crate) fn disk(desk: &Desk, name: &str) {
    let mut bytes = vec![0u8; 4 << 20];
    let text = b"the same words over and over, ".iter().cycle();
    bytes[..200_000].iter_mut().zip(text).for_each(|(byte, letter)| *byte = *letter);
    let mut state = 0x9e37_79b9_u32;
    for byte in &mut bytes[1_000_000..1_300_000] {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = state.to_le_bytes()[0];
    }
    bytes[(4 << 20) - 1] = 1;
    desk.write(name, bytes);
}

#[track_caller]
fn qemu(arguments: &[&str], desk: &Desk) -> String {
    let at = |argument: &&str| match desk.path(argument) {
        path if path.exists() => path.into_os_string(),
        _ => argument.into(),
    };
    let arguments: Vec<_> = arguments.iter().map(at).collect();
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    tool("qemu-utils", "qemu-img", &arguments)
}

fn json(out: &str) -> Value {
    serde_json::from_str(out).unwrap()
}

#[test]
fn raw_and_qcow2_become_each_other() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    let wanted = sha256sum(&desk.path("a.raw"));
    for (n, options) in [
        &[][..],
        &["--compression", "zlib"],
        &["--compression=zstd", "--threads", "1"],
        &["-o", "compression=zstd", "--threads", "3"],
    ]
    .iter()
    .enumerate()
    {
        let out = format!("{n}.qcow2");
        desk.run(&[&["convert", "--from", "raw", "a.raw", &out], *options].concat()).ok();
        qemu(&["check", "-f", "qcow2", &out], &desk);
        qemu(&["compare", "-f", "raw", "-F", "qcow2", "a.raw", &out], &desk);
        desk.run(&["convert", "--from", "qcow2", &out, "back.raw", "-q"]).ok();
        assert_eq!(sha256sum(&desk.path("back.raw")), wanted);
        let digest = desk.run(&["digest", "--from", "qcow2", &out]).ok();
        assert_eq!(digest, format!("{wanted}\t{out}\n"));
    }
    assert!(desk.read("2.qcow2") == desk.read("3.qcow2"), "threads change no byte");
    // What qemu writes is read, too.
    qemu(&["convert", "-q", "-c", "-f", "raw", "-O", "qcow2", "a.raw", &path(&desk, "q")], &desk);
    desk.run(&["convert", "--detect", "q", "back.raw"]).ok();
    assert_eq!(sha256sum(&desk.path("back.raw")), wanted);
}

fn path(desk: &Desk, name: &str) -> String {
    desk.path(name).into_os_string().into_string().unwrap()
}

#[test]
fn holes_come_out_as_holes_however_the_source_lies() {
    use std::os::unix::fs::MetadataExt as _;
    let desk = Desk::new();
    disk(&desk, "dense.raw");
    desk.run(&["convert", "--from", "raw", "dense.raw", "sparse.raw"]).ok();
    let blocks = |name: &str| fs_err::metadata(desk.path(name)).unwrap().blocks() * 512;
    assert!(blocks("sparse.raw") <= 768 << 10, "{}", blocks("sparse.raw"));
    for from in ["dense.raw", "sparse.raw"] {
        desk.run(&["convert", "--from", "raw", from, &format!("{from}.qcow2")]).ok();
    }
    desk.run(&[
        "convert",
        "--from=raw",
        "--id=67e55044-10b1-426f-9247-bb680e5fe0c8",
        "sparse.raw",
        "dense.raw.qcow2",
    ])
    .ok();
    assert!(desk.read("dense.raw.qcow2") == desk.read("sparse.raw.qcow2"));
}

#[test]
fn sizes_that_are_no_whole_sectors_are_padded_where_the_format_needs_it() {
    let desk = Desk::new();
    desk.write("odd.raw", vec![7; 70_001]);
    let ran = desk.run(&["convert", "--from", "raw", "odd.raw", "odd.qcow2"]);
    assert!(ran.err.contains("70001 bytes; qcow2 makes it 70144: 143 zeros follow"), "{ran:?}");
    ran.ok();
    assert_eq!(
        json(&qemu(&["info", "--output=json", "-f", "qcow2", "odd.qcow2"], &desk))["virtual-size"],
        70_144
    );
    desk.run(&["convert", "--from", "raw", "odd.raw", "copy.img"]).ok();
    assert!(desk.read("copy.img") == vec![7; 70_001]);
    desk.run(&["compare", "--from-a", "raw", "--from-b", "qcow2", "odd.raw", "odd.qcow2"]).ok();
    for (bytes, name) in [(vec![], "none.raw"), (vec![1], "one.raw")] {
        desk.write(name, &bytes);
        desk.run(&["convert", "--from", "raw", name, "copy.img"]).ok();
        assert!(desk.read("copy.img") == bytes);
    }
}

#[test]
fn formats_and_options_are_named_or_refused_with_what_is_allowed() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    for (arguments, code, says) in [
        (&["a.raw", "b.qcow2"][..], 66, "name it with --from raw|qcow2|"),
        (&["--from", "raw", "a.raw", "b"], 65, "--format raw|qcow2|"),
        (&["--from", "raw", "a.raw", "b.qcow2", "-o", "a=b"], 65, "known: compat, clusterSize"),
        (&["--from", "raw", "a.raw", "b.qcow2", "--compression", "lz4"], 65, "none, zlib or zstd"),
        (&["--from", "raw", "a.raw", "b.raw", "--subformat", "x"], 65, "raw has no options"),
        (&["--from", "qcow2", "a.raw", "b.raw"], 66, "magic"),
        (&["--from", "raw", "none.raw", "b.raw"], 66, "none.raw"),
        (&["--from", "raw", ".", "b.raw"], 66, "not a regular file"),
        (&["--from", "qed", "a.raw", "b.raw"], 2, "possible values: raw, qcow2"),
        (&["--from", "raw", "--detect", "a.raw", "b.raw"], 2, "cannot be used with"),
        (&["--from", "raw", "a.raw", "b.raw", "-o", "plain"], 2, "NAME=VALUE"),
        (&["--from", "raw", "a.raw", "-", "--format", "qcow2"], 65, "cannot be written to a pipe"),
        (&["--from", "raw", "a.raw", "-", "--format", "raw", "--json"], 65, "--json"),
    ] {
        let ran = desk.run(&[&["convert"], arguments].concat());
        let said = format!("{}{}", ran.err, ran.out);
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert_eq!(desk.names(), ["a.raw"], "{arguments:?}");
    }
}

#[test]
fn a_raw_disk_streams_to_pipes() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    desk.run(&["convert", "--from", "raw", "a.raw", "a.qcow2", "--compression", "zlib"]).ok();
    let arguments = ["convert", "--from", "qcow2", "--format", "raw", "a.qcow2"];
    let out = desk.command(&[&arguments[..], &["-"]].concat()).output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert!(out.stdout == desk.read("a.raw"));

    let pipe = path(&desk, "pipe");
    tool("coreutils", "mkfifo", &[pipe.as_ref()]);
    let child = desk.command(&[&arguments[..], &["pipe"]].concat()).spawn().unwrap();
    let mut read = Vec::new();
    fs_err::File::open(&pipe).unwrap().read_to_end(&mut read).unwrap();
    Ran::from(child.wait_with_output().unwrap()).ok();
    assert!(read == desk.read("a.raw"));
    desk.run(&[&arguments[..], &["/dev/null"]].concat()).ok();
    let err = desk.run(&[&arguments[..], &["/dev/full"]].concat()).failed(67);
    assert!(err.contains("writing to /dev/full: No space left on device"), "{err}");
}

#[test]
fn standard_input_is_read_to_its_end() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    let mut command = desk.command(&["convert", "--from", "raw", "-", "b.qcow2"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&desk.read("a.raw")).unwrap();
    Ran::from(child.wait_with_output().unwrap()).ok();
    assert_eq!(desk.names(), ["a.raw", "b.qcow2"]);
    qemu(&["compare", "-f", "raw", "-F", "qcow2", "a.raw", "b.qcow2"], &desk);
}

#[test]
fn comparisons_are_answered_by_the_exit_code() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    let mut bytes = desk.read("a.raw");
    desk.run(&["convert", "--from", "raw", "a.raw", "a.qcow2", "--compression", "zstd"]).ok();
    bytes.resize(5 << 20, 0);
    desk.write("long.raw", &bytes);
    bytes[3_000_001] = 9;
    desk.write("other.raw", &bytes);
    let compare = |more: &[&str]| desk.run(&[&["compare", "--detect", "-q"], more].concat());
    assert_eq!(compare(&["a.raw", "a.qcow2"]).ok(), "a.raw and a.qcow2 are equal\n");
    let out = compare(&["a.qcow2", "long.raw"]).ok();
    assert_eq!(out, "a.qcow2 and long.raw are equal; long.raw has 1048576 more bytes, all zero\n");
    let ran = compare(&["a.qcow2", "long.raw", "--strict"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!(ran.out, "a.qcow2 and long.raw differ from byte 4194304 on: there a.qcow2 ends\n");
    let ran = compare(&["other.raw", "a.qcow2", "--json"]);
    assert_eq!(ran.code, Some(3));
    let wanted =
        serde_json::json!({"equal": false, "offset": 3_000_001, "sizes": [5 << 20, 4 << 20]});
    assert_eq!(json(&ran.out), wanted);
    desk.run(&["compare", "--from-a", "raw", "a.raw", "a.qcow2"]).failed(66);
}

#[test]
fn measures_hold() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    for (options, exact) in [
        (&["--format", "qcow2"][..], true),
        (&["--format", "raw"], true),
        (&["--format", "qcow2", "--compression", "zstd"], false),
        (&["--format", "qcow2", "--compression", "zstd", "--exact"], true),
    ] {
        let measured =
            desk.run(&[&["measure", "--from", "raw", "a.raw", "--json"], options].concat());
        let measured = json(&measured.ok());
        assert_eq!(measured["exact"], exact);
        let options: Vec<_> = options.iter().copied().filter(|o| *o != "--exact").collect();
        desk.run(&[&["convert", "--from", "raw", "a.raw", "out"], &options[..]].concat()).ok();
        let (real, told) = (desk.read("out").len() as u64, measured["required"].as_u64().unwrap());
        assert!(if exact { told == real } else { told >= real }, "{options:?}: {told} {real}");
    }
    // The same as qemu-img says for the plain format.
    let theirs =
        json(&qemu(&["measure", "--output=json", "-f", "raw", "-O", "raw", "a.raw"], &desk));
    let ours = json(&desk.run(&["measure", "--size", "4Mi", "--format", "raw", "--json"]).ok());
    assert_eq!(theirs["fully-allocated"], ours["required"]);
    desk.run(&["measure", "--size", "4Mi"]).failed(65);
    desk.run(&["measure", "--size", "4M", "--format", "raw"]).failed(65);
}

#[test]
fn partitions_are_those_that_sfdisk_sees() {
    let desk = Desk::new();
    for (label, script) in [
        (
            "gpt",
            "label: gpt\nsize=1MiB, type=U, name=\"ESP\"\nsize=512KiB, attrs=LegacyBIOSBootable\n",
        ),
        (
            "dos",
            "label: dos\nsize=1MiB, type=83, bootable\nsize=5MiB, type=5\nsize=512KiB\nsize=1MiB\n",
        ),
    ] {
        let name = format!("{label}.raw");
        fs_err::File::create(desk.path(&name)).unwrap().set_len(8 << 20).unwrap();
        desk.write("script", script);
        let shell = format!("sfdisk -q {name} < script && sfdisk --json {name}");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &shell]);
        desk.at_home(&mut command);
        let theirs = json(&Ran::from(command.output().unwrap()).ok());
        let ours = json(&desk.run(&["inspect", &name, "--json"]).ok());
        let theirs = theirs["partitiontable"]["partitions"].as_array().unwrap().clone();
        let ours = ours["partitions"]["partitions"].as_array().unwrap().clone();
        assert_eq!(theirs.len(), ours.len());
        for (their, our) in theirs.iter().zip(&ours) {
            let start = their["start"].as_u64().unwrap() * 512;
            assert_eq!(our["start"], start);
            assert_eq!(our["end"], start + their["size"].as_u64().unwrap() * 512);
            assert!(their["node"].as_str().unwrap().ends_with(&our["number"].to_string()));
            let kind = our["type"].as_str().unwrap();
            let kind = if label == "dos" { kind.trim_start_matches('0') } else { kind };
            assert!(their["type"].as_str().unwrap().eq_ignore_ascii_case(kind), "{their} {our}");
            assert_eq!(
                their.get("name").unwrap_or(&Value::Null),
                our.get("name").unwrap_or(&Value::Null)
            );
            let boots = their["bootable"] == true || their["attrs"] == "LegacyBIOSBootable";
            assert_eq!(our["bootable"], boots, "{their}");
        }
    }
}

#[test]
fn a_map_is_that_of_qemu() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    desk.run(&["convert", "--from", "raw", "a.raw", "a.qcow2"]).ok();
    let theirs = json(&qemu(&["map", "--output=json", "-f", "qcow2", "a.qcow2"], &desk));
    let ours = json(&desk.run(&["inspect", "a.qcow2", "--map", "--json"]).ok());
    let ranges = |map: &Value| -> Vec<(u64, u64, bool)> {
        let range = |r: &Value| {
            (r["start"].as_u64().unwrap(), r["length"].as_u64().unwrap(), r["data"] == true)
        };
        let mut merged: Vec<(u64, u64, bool)> = Vec::new();
        for (start, length, data) in map.as_array().unwrap().iter().map(range) {
            match merged.last_mut() {
                Some(last) if last.2 == data => last.1 += length,
                _ => merged.push((start, length, data)),
            }
        }
        merged
    };
    assert_eq!(ranges(&ours), ranges(&theirs));
    let drawn = |locale: &str| {
        let mut command = desk.command(&["inspect", "a.qcow2"]);
        Ran::from(command.env("LC_ALL", locale).env("COLUMNS", "50").output().unwrap()).ok()
    };
    let line = |text: &str| {
        text.lines().find_map(|line| line.strip_prefix("map")).unwrap().trim().to_owned()
    };
    // Cells of 128 KiB: 200000 bytes of text fill one and a half; the noise from 1000000 to 1300000
    // has 37 % of the eighth cell, all of the ninth and 92 % of the tenth.
    assert_eq!(line(&drawn("C")), "#+.....+#*.....................-");
    assert_eq!(line(&drawn("C.UTF-8")), "█▒·····▒█▓·····················░");
}

#[test]
fn documents_and_images_are_checked_by_the_same_verb() {
    let desk = Desk::with_hello();
    disk(&desk, "a.raw");
    assert_eq!(desk.run(&["check", "--from", "raw", "a.raw", "-q"]).ok(), "a.raw: sound\n");
    let out = desk.run(&["check", "--from", "raw", "a.raw", "--json"]).ok();
    let wanted = serde_json::json!([{
        "file": "a.raw", "format": "raw", "findings": {"listed": [], "errors": 0, "leaks": 0},
    }]);
    assert_eq!(json(&out), wanted);
    desk.run(&["check", "hello.yaml"]).ok();
    desk.run(&["check", "a.raw"]).failed(65);
    desk.run(&["check", "--from", "raw", "hello.yaml", "--set", "a=b"]).failed(2);
    assert!(Path::new(&path(&desk, "a.raw")).exists());
}

#[test]
fn what_is_around_an_image_is_unpacked_when_it_is_named_and_never_without_bound() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    let wanted = sha256sum(&desk.path("a.raw"));
    for (wrap, package, program, suffix) in [
        ("gzip", "gzip", "gzip", "gz"),
        ("xz", "xz-utils", "xz", "xz"),
        ("zstd", "zstd", "zstd", "zst"),
        ("bzip2", "bzip2", "bzip2", "bz2"),
        ("lz4", "lz4", "lz4", "lz4"),
    ] {
        let name = format!("a.raw.{suffix}");
        let shell = format!("{program} -1 -c a.raw > {name}");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &shell]);
        desk.at_home(&mut command);
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, Some(0), "apt-get install {package}: {ran:?}");
        let digest = |flags: &[&str]| desk.run(&[&["digest", "-q", &name], flags].concat());
        for flags in [&["--from", "raw", "--unwrap", wrap][..], &["--detect"]] {
            assert_eq!(digest(flags).ok(), format!("{wanted}\t{name}\n"));
        }
        // As a raw disk the file is just bytes.
        assert_ne!(digest(&["--from", "raw"]).ok(), format!("{wanted}\t{name}\n"));
        let limited = ["--from", "raw", "--unwrap", wrap, "--limit", "4194303"];
        let err = digest(&limited).failed(66);
        assert!(err.contains("more than the 4194303 bytes"), "{err}");
        assert!(desk.run(&["inspect", &name]).ok().contains(&wanted), "its name says it all");
        let err = desk.run(&["resize", "--from=raw", "--unwrap", wrap, &name, "9Mi"]).failed(65);
        assert!(err.contains("is packed; convert it first"), "{err}");
        let other = if wrap == "gzip" { "xz" } else { "gzip" };
        digest(&["--from", "raw", "--unwrap", other]).failed(66);
    }
    desk.run(&["convert", "--from=raw", "a.raw", "b.raw", "--wrap", "lz4"]).failed(2);
    desk.run(&["digest", "--from=raw", "a.raw", "--disk", "x"]).failed(65);
}

#[test]
fn a_vmdk_of_two_files_is_read_below_an_allowed_directory_only() {
    let desk = Desk::new();
    disk(&desk, "a.raw");
    let flat = ["--subformat", "monolithicFlat"];
    desk.run(&[&["convert", "--from=raw", "a.raw", "b.vmdk"][..], &flat].concat()).ok();
    assert_eq!(desk.names(), ["a.raw", "b-flat.vmdk", "b.vmdk"]);
    qemu(&["compare", "-f", "raw", "-F", "vmdk", "a.raw", "b.vmdk"], &desk);
    let err = desk.run(&["digest", "--from", "vmdk", "b.vmdk"]).failed(66);
    assert!(
        err.contains("extent file \"b-flat.vmdk\", which is not opened unless allowed"),
        "{err}"
    );
    let digest = desk.run(&["digest", "--from", "vmdk", "b.vmdk", "--allow-extents", "."]).ok();
    assert!(digest.starts_with(&sha256sum(&desk.path("a.raw"))), "{digest}");
    // The second file would be the input.
    fs_err::rename(desk.path("a.raw"), desk.path("c-flat.vmdk")).unwrap();
    let arguments = ["convert", "--from=raw", "c-flat.vmdk", "c.vmdk"];
    let err = desk.run(&[&arguments[..], &flat].concat()).failed(65);
    assert!(err.contains("c-flat.vmdk is the input"), "{err}");

    let stream = ["--format", "vmdk", "--subformat", "streamOptimized"];
    let arguments = ["convert", "--from=raw", "c-flat.vmdk", "-"];
    let out = desk.command(&[&arguments[..], &stream].concat()).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    desk.write("s.vmdk", out.stdout);
    qemu(&["compare", "-f", "raw", "-F", "vmdk", "c-flat.vmdk", "s.vmdk"], &desk);
}
