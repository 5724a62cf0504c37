//! A user applies the hello document; the volume holds a disk that boots.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{
    Use, annotation, audit, boots, build_on_desk, case, foreign, in_cluster, kubectl, metric,
    mount, name, place, sha256sum, text,
};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello.yaml");

/// Ready comes by itself; the digests of the status are those that `sha256sum` finds, on the volume
/// and on the desk; the disk boots; what the build needed is gone, what describes it stays.
#[test]
fn hello_becomes_a_disk_that_boots() {
    case("010_hello", Use::Shared, async |space| {
        let before = in_cluster();
        kubectl(&["-n", &space.namespace, "apply", "-f", DOCUMENT]);
        let wait = ["wait", "--for=condition=Ready", "vmimg/hello", "--timeout=90s"];
        kubectl(&[&["-n", space.namespace.as_str()], &wait[..]].concat());
        let image = space.image("hello").await;
        let claim = space.complete_claim(&image).await;
        assert_eq!(text(&image, "/status/content/virtualSizeBytes"), "512");

        if foreign() {
            eprintln!("010: not run here: digests on the host, boot, audit log");
        } else {
            the_volume_holds(&image, &mount(&space, &name(&claim)));
            the_pod_was_admitted(&space.namespace);
        }
        space.has_jobs("hello", 0).await;
        space.has("Pod", "hello", 0).await;
        let kept = space.has("ConfigMap", "hello", 1).await;
        assert_eq!(name(&kept[0]), format!("{}-m", name(&claim)), "only the build manifest stays");
        the_manifest_is_whole(&claim, &kept[0]);

        let events = space.told("hello", "Published").await;
        assert_eq!(events.last().map(String::as_str), Some("Published"), "events: {events:?}");
        assert!(events.contains(&"Building".to_owned()), "events: {events:?}");
        let after = in_cluster();
        for (series, labels) in [
            ("vmimage_builds_total", "Succeeded"),
            ("vmimage_publish_total", "pvc"),
            ("vmimage_images", "ready=\"true\""),
        ] {
            let moved = (metric(&before, series, labels), metric(&after, series, labels));
            let rose = moved.0 < moved.1 || (series == "vmimage_images" && moved.1 >= 1.0);
            assert!(rose, "expected {series}{{{labels}}} to rise; seen: {moved:?}");
        }

        space.patch("VMImage", "hello", json!({"spec": {"suspend": true}})).await;
        let suspended = space.ready("hello").await;
        assert_eq!(place(&suspended), place(&image), "suspend changes nothing that is published");
    });
}

fn the_volume_holds(image: &Value, volume: &Path) {
    let mut entries: Vec<String> = fs_err::read_dir(volume)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    entries.sort();
    assert_eq!(entries, ["disk.img", "lost+found"], "entries of the volume");
    let disk = volume.join("disk.img");
    let meta = fs_err::metadata(&disk).unwrap();
    let seen = (meta.uid(), meta.gid(), meta.mode() & 0o7777, meta.len());
    assert_eq!(seen, (107, 107, 0o660, 1 << 20), "owner, group, mode and length of disk.img");
    assert_eq!(sha256sum(&disk), place(image).1, "digest of the target");
    let desk = build_on_desk(Path::new(DOCUMENT));
    let raw = sha256sum(&desk.path().join("hello.raw"));
    assert_eq!(text(image, "/status/content/digest"), raw, "digest of the content");
    boots(&disk, "Hello World!");
}

fn the_manifest_is_whole(claim: &Value, kept: &Value) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), text(kept, "/data/build.json")).unwrap();
    let digest = sha256sum(file.path());
    assert_eq!(annotation(claim, "vmimage.dev/manifest-digest"), digest, "digest of build.json");
    let manifest: Value = serde_json::from_str(&text(kept, "/data/build.json")).unwrap();
    assert_eq!(text(&manifest, "/contentDigest"), annotation(claim, "vmimage.dev/content-digest"));
}

fn the_pod_was_admitted(namespace: &str) {
    let labels = kubectl(&["get", "ns", namespace, "-o", "jsonpath={.metadata.labels}"]);
    assert!(labels.contains("\"pod-security.kubernetes.io/enforce\":\"restricted\""), "{labels}");
    let created: Vec<_> = audit(namespace)
        .into_iter()
        .filter(|e| e.verb == "create" && e.resource == "pods" && e.namespace == namespace)
        .map(|e| e.code)
        .collect();
    assert_eq!(created, ["201"], "answers to creating pods in {namespace}");
}
