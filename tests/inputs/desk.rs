//! `vmimage build` with images and ConfigMaps as inputs.

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};

use crate::images::{Registry, made, manifest};
use crate::{sha256sum, shell};

/// Builds the document and returns what the program printed, or its message.
pub(crate) fn build(directory: &Path, document: &str, flags: &[&str]) -> Result<String, String> {
    fs::write(directory.join("document.yaml"), document).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vmimage"))
        .args(["build", "-q", "-f", "document.yaml", "-o", "out"])
        .args(flags)
        .current_dir(directory)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// A disk with an ext4 whose ids are given: they do not depend on where its files come from.
fn document(step: &Value) -> String {
    let filesystem = json!({"type": "ext4", "uuid": "12345678-1234-5678-1234-567812345678"});
    let contents = json!([{"image": step}]);
    let partitions = json!([{"name": "root", "filesystem": filesystem, "contents": contents}]);
    let disk = json!({"partitionTable": "None", "partitions": partitions});
    json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage", "metadata": {"name": "disk"},
        "spec": {"disk": disk}})
    .to_string()
}

#[test]
fn an_image_gives_the_same_disk_wherever_it_lies() {
    let made = made();
    let at = made.path();
    let registry = Registry::start(at);
    registry.push(at, "both");
    let (digest, _) = manifest(&at.join("both"));
    let source = registry.source(&digest);
    let step = |source: Value| json!({"source": source, "exclude": ["etc/arch"], "path": "/a"});
    let pvc = json!({"pvc": {"claimName": "images", "path": "both"}, "digest": digest});
    let config = registry.docker_config(at);
    let config = config.to_str().unwrap();
    let mut digests = Vec::new();
    for (source, flags) in [
        (json!({"file": "both"}), &[][..]),
        (json!({"file": "both.tar.zst"}), &[]),
        (pvc, &["--pvc", "images=."]),
        (source.clone(), &["--docker-config", config]),
    ] {
        build(at, &document(&step(source)), flags).unwrap();
        digests.push(sha256sum(at, "out/disk.raw"));
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
    let disk = "debugfs -R 'stat /a/etc/motd' out/disk.raw 2>&1; e2fsck -fn out/disk.raw 2>&1";
    let said = shell(at, "e2fsprogs", disk);
    assert!(said.contains("Mode:  04711") && said.contains("Size: 6000"), "{said}");
    let said = shell(at, "e2fsprogs", "debugfs -R 'ls /a/etc' out/disk.raw 2>&1");
    assert!(said.contains("second") && !said.contains("arch"), "{said}");
    // Where the digest is the same, the hash of the document is, too.
    let hash = |source: Value, flags: &[&str]| {
        build(at, &document(&step(source)), flags).unwrap();
        let text = fs::read(at.join("out/disk.build.json")).unwrap();
        let built: Value = serde_json::from_slice(&text).unwrap();
        built["contentHash"].as_str().unwrap().to_owned()
    };
    let by_registry = hash(source.clone(), &["--docker-config", config]);
    assert_eq!(hash(json!({"file": "both"}), &[]), by_registry);
    // A guarded desk says which flag lets the registry be asked.
    let error = build(at, &document(&step(source)), &["--restrict-sources"]).unwrap_err();
    assert!(error.contains("--allow-source-http"), "{error}");
}

#[test]
fn config_maps_beside_the_document() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path();
    let sector = |key: &str| {
        format!(
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: disk}}\nspec:\n  \
             boot: {{sector: {{source: {{configMapKeyRef: {{name: files, key: {key}}}}}}}}}\n"
        )
    };
    let mut bytes = vec![0x90; 510];
    bytes.extend([0x55, 0xaa]);
    fs::write(at.join("sector"), &bytes).unwrap();
    let coded = shell(at, "coreutils", "base64 -w0 sector");
    let map = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: files}}\ndata: {{a: b}}\n\
         binaryData: {{sector: {coded}}}\n"
    );
    build(at, &(sector("sector") + &map), &[]).unwrap();
    assert!(fs::read(at.join("out/disk.raw")).unwrap().starts_with(&bytes));
    // Its place in the stream does not matter, a directory comes first.
    build(at, &format!("{map}---\n{}", sector("sector")), &[]).unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    let flags = ["--configmap", "files=empty"];
    let error = build(at, &(sector("sector") + &map), &flags).unwrap_err();
    assert!(error.contains("has no key \"sector\"; it has: "), "{error}");
    let error = build(at, &(sector("none") + &map), &[]).unwrap_err();
    assert!(
        error.contains("ConfigMap \"files\" has no key \"none\"; it has: a, sector"),
        "{error}"
    );
    let error = build(at, &(sector("a") + &map), &[]).unwrap_err();
    assert!(error.contains("spec.boot.sector.source"), "{error}");
    let error = build(at, &(sector("sector") + &map.replace("a: b", "a: 1")), &[]).unwrap_err();
    assert!(error.contains("document.yaml:10:") && error.contains("must be text"), "{error}");
    let error = build(at, &map, &[]).unwrap_err();
    assert!(error.contains("there is no document in this text"), "{error}");
}
