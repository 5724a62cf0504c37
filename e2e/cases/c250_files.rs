//! The files of all formats in a directory of a volume.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{
    Use, annotation, audit, build_on_desk, case, condition, foreign, in_cluster, kubectl, metric,
    mount, name, place, run, sha256sum, text, uid,
};
use crate::{hello, with};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// Names and digests of the files in a directory, by `sha256sum`; directories are left out.
fn digests(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let pair =
        |path: &Path| (path.file_name().unwrap().to_string_lossy().into_owned(), sha256sum(path));
    files.map(|entry| pair(&entry.path())).collect()
}

/// What lies in the directory is what the desk builds of the same document, and SHA256SUMS, whose
/// digest is the target's.
fn holds(directory: &Path, desk: &Path, image: &Value, target: usize) {
    let mut found = digests(directory);
    let sums = found.remove("SHA256SUMS").expect("SHA256SUMS is there");
    let told = |field: &str| text(image, &format!("/status/targets/{target}/current/{field}"));
    assert_eq!(told("digest"), sums, "digest of the target");
    assert_eq!(found, digests(desk), "files of the volume and of the desk");
    let directory_name = directory.to_str().unwrap();
    let check =
        ["-c", "cd \"$1\" && exec sha256sum --check --strict SHA256SUMS", "sh", directory_name];
    let checked = run("sh", &check);
    let good = checked.lines().filter(|line| line.ends_with(": OK")).count();
    assert_eq!(good, found.len(), "files that SHA256SUMS vouches for: {checked}");
    let mut size = 0;
    for file in found.keys().map(String::as_str).chain(["SHA256SUMS"]) {
        let meta = fs_err::metadata(directory.join(file)).unwrap();
        let seen = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
        assert_eq!(seen, (107, 107, 0o640), "owner, group and mode of {file}");
        size += meta.len();
    }
    assert_eq!(told("sizeBytes"), size.to_string(), "bytes of all files");
}

/// Every format of the examples: on the volume lies what the desk builds of the very same file.
#[test]
fn every_format_is_the_desks_byte_for_byte() {
    case("250_files", Use::Shared, async |space| {
        let before = in_cluster();
        let text_of =
            |name: &str| fs_err::read_to_string(format!("{EXAMPLES}/{name}.yaml")).unwrap();
        let documents = tempfile::tempdir().unwrap();
        let every = format!("{}  publish: [{{name: all, files: {{}}}}]\n", text_of("formats"));
        for (name, text) in [("formats", every), ("files", text_of("files"))] {
            let file = documents.path().join(format!("{name}.yaml"));
            fs_err::write(&file, text).unwrap();
            kubectl(&["-n", &space.namespace, "apply", "-f", file.to_str().unwrap()]);
        }
        for (name_of, path) in [("files", "images/hello"), ("formats", "")] {
            let image = space.ready(name_of).await;
            let claim = space.complete_claim(&image).await;
            assert_eq!(
                annotation(&claim, "vmimage.dev/size"),
                text(&image, "/status/targets/0/current/sizeBytes")
            );
            if foreign() {
                eprintln!("250: not run here: digests on the host");
                continue;
            }
            let volume = mount(&space, &name(&claim));
            let desk = build_on_desk(&documents.path().join(format!("{name_of}.yaml")));
            holds(&volume.join(path), desk.path(), &image, 0);
            let mut top: Vec<_> = fs_err::read_dir(&volume)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            top.retain(|entry| entry != "lost+found");
            assert_eq!(path.is_empty(), top.len() > 1, "beside the directory: {top:?}");
            let kept = space.has("ConfigMap", name_of, 1).await;
            let kept: Value = serde_json::from_str(&text(&kept[0], "/data/build.json")).unwrap();
            let file = desk.path().join(format!("{name_of}.build.json"));
            let file: Value = serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap();
            assert_eq!(kept, file, "the manifest in the ConfigMap and in the file");
        }
        let published = ("vmimage_publish_total", "files");
        let (was, is) = (
            metric(&before, published.0, published.1),
            metric(&in_cluster(), published.0, published.1),
        );
        assert!(is >= was + 2.0, "expected {published:?} to rise by 2; seen: {was} and {is}");
    });
}

fn shelf(compression: &str) -> Value {
    with(
        hello("shelf"),
        json!({
            "formats": [{"type": "raw"}, {"type": "qcow2", "qcow2": {"compression": compression}}],
            "publish": [{"name": "golden", "pvc": {}}, {"name": "shelf", "files": {}}],
        }),
    )
}

/// A disk and a directory of one document: an option of a format makes the directory anew and
/// leaves the disk; an erased status comes back without a build.
#[test]
fn a_disk_and_a_directory_live_side_by_side() {
    case("251_files_and_disk", Use::Shared, async |space| {
        space.apply("pair", shelf("zlib")).await;
        let first = space.ready("pair").await;
        space.has_jobs("pair", 0).await;
        let current =
            |image: &Value, field: &str| text(image, &format!("/status/targets/1/current/{field}"));
        let claims = space.has("PersistentVolumeClaim", "pair", 2).await;
        let digest = text(&first, "/status/content/digest");
        for claim in &claims {
            assert_eq!(annotation(claim, "vmimage.dev/content-digest"), digest, "{}", name(claim));
        }
        space.patch_status("pair", json!({"status": null})).await;
        let again = space.ready("pair").await;
        assert_eq!(again["status"]["targets"], first["status"]["targets"], "as it was");

        space.apply("pair", shelf("zstd")).await;
        let second = space.ready("pair").await;
        assert_eq!(place(&second), place(&first), "the disk stays");
        assert_ne!(current(&second, "ref/name"), current(&first, "ref/name"), "another directory");
        assert_ne!(current(&second, "digest"), current(&first, "digest"), "other files");
        assert_eq!(text(&second, "/status/content/digest"), digest, "of the same content");
        space.has("PersistentVolumeClaim", "pair", 3).await;
        space.has_jobs("pair", 0).await;
        if foreign() {
            eprintln!("251: not run here: digests on the host, audit log");
            return;
        }
        let document = tempfile::tempdir().unwrap();
        let file = document.path().join("pair.json");
        let whole = json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
            "metadata": {"name": "pair"}, "spec": shelf("zstd")});
        fs_err::write(&file, whole.to_string()).unwrap();
        let desk = build_on_desk(&file);
        holds(&mount(&space, &current(&second, "ref/name")), desk.path(), &second, 1);
        let jobs = audit(&space.namespace);
        let jobs =
            jobs.iter().filter(|e| e.verb == "create" && e.resource == "jobs" && e.code == "201");
        assert_eq!(jobs.count(), 3, "Jobs that were created: two, and one for the new option");
    });
}

/// A request that the files do not fit is final, told with both numbers, and leaves nothing on the
/// volume; a larger one is built on another claim.
#[test]
fn files_that_do_not_fit_are_final_until_the_request_grows() {
    case("252_files_too_small", Use::Shared, async |space| {
        let document = |request: &str| {
            with(
                hello("hello"),
                json!({
                    "disk": {"size": "8Mi"},
                    "formats": [{"type": "raw"}, {"type": "qcow2", "qcow2": {"preallocation": "full"}}],
                    "publish": [{"name": "golden", "files": {"pvc": {"name": format!("shelf-{}", request.to_lowercase()), "request": request}}}],
                }),
            )
        };
        space.apply("hello", document("1Mi")).await;
        let image = space.waits("hello", "VolumeTooSmall").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        assert!(message.contains("spec.publish[].files.pvc.request"), "{message:?}");
        // 8 MiB for raw; 8, 1/4, 8 and 12 clusters of 64 KiB for qcow2; 1 beside them.
        assert!(message.contains(&format!("{} are enough", 26 << 20)), "{message:?}");
        let pods = space.has("Pod", "hello", 1).await;
        let exit = text(&pods[0], "/status/containerStatuses/0/state/terminated/exitCode");
        assert_eq!(exit, "67", "exit code of the builder");
        assert!(condition(&image, "Reconciling").is_none(), "it has stalled");
        let small = space.find("PersistentVolumeClaim", "shelf-1mi").await.unwrap();
        assert_eq!(annotation(&small, "vmimage.dev/complete"), "", "no mark");
        if !foreign() {
            assert_eq!(digests(&mount(&space, "shelf-1mi")), BTreeMap::new(), "nothing is left");
        }
        space.apply("hello", document("26Mi")).await;
        let image = space.ready("hello").await;
        assert_eq!(place(&image).0, "shelf-26mi");
        let claim = space.complete_claim(&image).await;
        assert_ne!(uid(&claim), uid(&small));
        space.has_jobs("hello", 0).await;
        space.has("PersistentVolumeClaim", "hello", 1).await;
    });
}
