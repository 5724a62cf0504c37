//! `member` and `decompress`, with what GNU tar, cpio, zip, dpkg-deb, xorriso and compressors write.

use fs_err as fs;
use serde_json::{Value, json};
use vmimage::engine::Inputs;
use vmimage::engine::base::tree::Time;
use vmimage::engine::base::{Kind, Scratch, Silent};

use crate::shell::shell;
use crate::{field, resolve, sha256sum, sources, spec};

/// Text that a compressor can make shorter, and a tree with a file, a link and a second name.
fn made() -> tempfile::TempDir {
    let made = tempfile::tempdir().unwrap();
    fs::create_dir_all(made.path().join("root/boot")).unwrap();
    fs::create_dir_all(made.path().join("root/DEBIAN")).unwrap();
    fs::write(made.path().join("root/boot/kernel"), b"a kernel ".repeat(5000)).unwrap();
    let control = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\n\
                   Description: a\n";
    fs::write(made.path().join("root/DEBIAN/control"), control).unwrap();
    let command = "cd root; gzip -kn boot/kernel; ln -s boot/kernel vmlinuz; ln boot/kernel second
        tar -cf ../a.tar . ; tar -czf ../a.tgz ./boot/kernel ./boot/kernel.gz vmlinuz second
        find . | cpio --quiet -o -H newc > ../a.cpio; zip -qry ../a.zip .
        dpkg-deb -Zxz -b . ../a.deb; xorriso -outdev ../a.iso -map . / -commit
        cd ..; xz -k a.iso; mkdir nested; tar -cf nested/outer.tar a.tgz
        for c in gzip xz zstd bzip2 lz4; do $c -c < root/boot/kernel > kernel.$c; done";
    shell(made.path(), "cpio zip dpkg xorriso zstd lz4", &command.replace('\n', ";"));
    made
}

#[test]
fn members_of_archives() {
    let made = made();
    let sources = sources(made.path());
    let kernel = fs::read(made.path().join("root/boot/kernel")).unwrap();
    for file in ["a.tar", "a.tgz", "a.cpio", "a.zip", "a.deb", "a.iso", "a.iso.xz"] {
        for member in ["boot/kernel", "/boot/kernel", "./boot/kernel", "vmlinuz", "second"] {
            let source = json!({"file": file, "member": member});
            let (bytes, digest) =
                resolve(&sources, &source).unwrap_or_else(|e| panic!("{member} of {file}: {e}"));
            assert!(bytes == kernel, "{member} of {file} differs");
            assert_eq!(digest, sha256sum(made.path(), file), "the digest is that of the file");
        }
        // What is taken out may be compressed itself.
        let source = json!({"file": file, "member": "boot/kernel.gz", "decompress": "gzip"});
        assert!(resolve(&sources, &source).unwrap().0 == kernel, "{file}");
    }
    for (file, member, wanted) in [
        ("a.tar", "boot/none", "taking the member \"boot/none\": there is no \"/boot/none\""),
        ("a.iso", "boot", "is a directory; a file is wanted"),
        ("a.tar", "../boot/kernel", "it leads upwards"),
        ("kernel.gzip", "kernel", "it is no archive: it begins with 61206b65726e656c"),
    ] {
        let source = json!({"file": file, "member": member});
        let error = resolve(&sources, &source).unwrap_err();
        assert!(error.to_string().contains(wanted), "{file}: {error}");
        let origin = error.origin().unwrap().to_string();
        assert_eq!(origin, "spec.disk.partitions[0].contents[0].file.source");
    }
}

#[test]
fn compressed_files() {
    let made = made();
    let sources = sources(made.path());
    let kernel = fs::read(made.path().join("root/boot/kernel")).unwrap();
    for wrap in ["gzip", "xz", "zstd", "bzip2", "lz4"] {
        let file = format!("kernel.{wrap}");
        let digest = sha256sum(made.path(), &file);
        let all = |how: &str| json!({"file": file, "decompress": how, "digest": digest});
        for how in [wrap, "auto"] {
            assert!(resolve(&sources, &all(how)).unwrap() == (kernel.clone(), digest.clone()));
        }
        let packed = fs::read(made.path().join(&file)).unwrap();
        assert!(resolve(&sources, &all("none")).unwrap().0 == packed);
    }
    let plain = json!({"file": "root/boot/kernel", "decompress": "auto"});
    assert!(resolve(&sources, &plain).unwrap().0 == kernel);
    let wrong = json!({"file": "kernel.gzip", "decompress": "xz"});
    let error = resolve(&sources, &wrong).unwrap_err().to_string();
    assert!(error.contains("decompress: no xz file: it begins with \"1f8b08"), "{error}");
    let other = json!({"file": "kernel.gzip", "digest": format!("sha256:{}", "0".repeat(64))});
    let error = resolve(&sources, &other).unwrap_err().to_string();
    assert!(error.contains(&sha256sum(made.path(), "kernel.gzip")), "{error}");
}

#[test]
fn what_is_unpacked_counts_against_the_budget() {
    let made = made();
    let mut sources = sources(made.path());
    sources.scratch = Scratch::new(made.path(), 40_000);
    for source in [
        json!({"file": "kernel.xz", "decompress": "auto"}),
        json!({"file": "a.tgz", "member": "boot/kernel"}),
    ] {
        let error = resolve(&sources, &source).unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace, "{error}");
        assert!(error.to_string().contains("--scratch-limit"), "{error}");
        assert_eq!(sources.scratch.left(), 40_000);
    }
    // By reference nothing is written.
    resolve(&sources, &json!({"file": "a.tar", "member": "boot/kernel"})).unwrap();
}

/// An archive in an archive, and the bytes of a step.
#[test]
fn every_consumer_gets_the_final_bytes() {
    let made = made();
    let step = |source: Value| json!([{"archive": {"source": source}}]);
    let spec = spec(&step(json!({"file": "nested/outer.tar", "member": "a.tgz"})));
    let sources = sources(made.path());
    let inputs = Inputs::resolve_with(&spec, &sources, Time::default(), &Silent).unwrap();
    let input = inputs.get(&field("archive")).unwrap();
    assert!(input.bytes().unwrap() == fs::read(made.path().join("a.tgz")).unwrap());
}
