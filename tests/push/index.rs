//! Tags that name one image for each architecture.
//!
//! Invariant: what a tag names is read by curl and Python.

use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::{ByteSource, Error, Kind};
use vmimage::publish::container::{self, File};
use vmimage::publish::volume::Published;

use crate::docker::Served;
use crate::shell::shell;
use crate::{Wanted, registry, write};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Real {
    directory: tempfile::TempDir,
    served: Served,
}

impl Real {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start(directory.path(), None, None);
        Self { directory, served }
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    fn push(
        &self,
        architecture: &'static str,
        text: &str,
        index: bool,
    ) -> Result<Published, Error> {
        let file = File::new(container::RAW_DISK, Arc::new(ByteSource::new(text.as_bytes())));
        let wanted = Wanted { architecture, index, ..Wanted::of(&["v1"]) };
        wanted.push(&[file], &registry(&self.served.host, None))
    }

    /// Puts a manifest by curl.
    fn put(&self, kind: &str, text: &str) {
        write(self.at(), "put", text.as_bytes());
        let url = format!("http://{}/v2/team/disk/manifests/v1", self.served.host);
        let put = format!("curl -sSf -X PUT -H 'Content-Type: {kind}' --data-binary @put {url}");
        shell(self.at(), "curl", &put);
    }

    /// Platforms and digests of the index, and anything else in it.
    fn index(&self) -> String {
        let script = format!(
            "curl -sSf -H 'Accept: {INDEX}' http://{}/v2/team/disk/manifests/v1 > index\n\
             python3 - <<'EOF'\n\
             import json\n\
             i = json.load(open('index'))\n\
             for m in i.pop('manifests'):\n    \
                 p = m.pop('platform', None)\n    \
                 print(p and '/'.join(str(v) for v in p.values()), m.pop('digest'), m.pop('mediaType'), m)\n\
             print(i)\n\
             EOF",
            self.served.host
        );
        shell(self.at(), "curl", &script)
    }
}

fn line(platform: &str, published: &Published, size: u64) -> String {
    format!("{platform} {} {MANIFEST} {{'size': {size}}}\n", published.digest)
}

fn tail() -> String {
    format!("{{'schemaVersion': 2, 'mediaType': '{INDEX}'}}")
}

/// Bytes of a manifest, by curl.
fn size(real: &Real, published: &Published) -> u64 {
    let url = format!("http://{}/v2/team/disk/manifests/{}", real.served.host, published.digest);
    shell(real.at(), "curl", &format!("curl -sSf -H 'Accept: {MANIFEST}' {url} | wc -c"))
        .parse()
        .unwrap()
}

#[test]
fn each_architecture_has_its_entry() {
    let real = Real::start();
    let arm = real.push("arm64", "arm", true).unwrap();
    let x86 = real.push("amd64", "x86", true).unwrap();
    let len = size(&real, &arm);
    let two = line("amd64/linux", &x86, len) + &line("arm64/linux", &arm, len);
    assert_eq!(real.index(), two.clone() + &tail());
    // The order of pushes does not show.
    let other = Real::start();
    other.push("amd64", "x86", true).unwrap();
    other.push("arm64", "arm", true).unwrap();
    assert_eq!(other.index(), two + &tail());
    let newer = real.push("arm64", "newer", true).unwrap();
    assert!(!newer.reused && real.push("arm64", "newer", true).unwrap().reused);
    let two = line("amd64/linux", &x86, len) + &line("arm64/linux", &newer, len);
    assert_eq!(real.index(), two + &tail());
}

#[test]
fn foreign_entries_stay() {
    let real = Real::start();
    let one = real.push("amd64", "one", false).unwrap();
    let two = real.push("amd64", "two", false).unwrap();
    let len = size(&real, &one);
    let entry = |digest: &str, more: &str| {
        format!(r#"{{"mediaType": "{MANIFEST}", "digest": "{digest}", "size": {len}{more}}}"#)
    };
    // docker-registry wants that an index' images are there: the same one stands for all.
    let entries = [
        entry(&one.digest, ""),
        entry(
            &one.digest,
            r#", "platform": {"os": "windows", "architecture": "amd64", "os.version": "10.0"}, "x": 1"#,
        ),
        entry(
            &one.digest,
            r#", "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
                "annotations": {"a": "b"}"#,
        ),
        entry(&one.digest, r#", "platform": {"os": "linux", "architecture": "amd64"}"#),
    ];
    let text = format!(
        r#"{{"schemaVersion": 2, "mediaType": "{INDEX}", "manifests": [{}],
            "annotations": {{"c": "d"}}, "unknown": [1]}}"#,
        entries.join(", ")
    );
    real.put(INDEX, &text);
    real.push("amd64", "two", true).unwrap();
    let wanted = line("amd64/linux", &two, len)
        + &line("amd64/windows/10.0", &one, len)
        + &format!(
            "arm/linux/v7 {} {MANIFEST} {{'size': {len}, 'annotations': {{'a': 'b'}}}}\n",
            one.digest
        )
        + &line("None", &one, len)
        + &tail().replace("'}", "', 'annotations': {'c': 'd'}}");
    assert_eq!(real.index(), wanted);
}

#[test]
fn a_plain_image_is_taken_in_if_it_is_ours() {
    let real = Real::start();
    let x86 = real.push("amd64", "x86", false).unwrap();
    let arm = real.push("arm64", "arm", true).unwrap();
    let len = size(&real, &arm);
    let two = line("amd64/linux", &x86, len) + &line("arm64/linux", &arm, len);
    assert_eq!(real.index(), two + &tail());
    // The same image alone, first without an index and then in one.
    let real = Real::start();
    real.push("amd64", "x86", false).unwrap();
    assert!(real.push("amd64", "x86", true).unwrap().reused);
    assert_eq!(real.index(), line("amd64/linux", &x86, len) + &tail());
}

#[test]
fn an_image_of_other_making_stays() {
    let real = Real::start();
    let ours = real.push("amd64", "x86", false).unwrap();
    let url = format!("http://{}/v2/team/disk/manifests", real.served.host);
    // The same, without the annotation.
    let script = format!(
        "curl -sSf -H 'Accept: {MANIFEST}' {url}/{} | python3 -c 'import json, sys\n\
         m = json.load(sys.stdin); del m[\"annotations\"]; print(json.dumps(m))'",
        ours.digest
    );
    let foreign = shell(real.at(), "curl", &script);
    real.put(MANIFEST, &foreign);
    let error = real.push("arm64", "arm", true).unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    let text = error.to_string();
    let name = format!("{}/team/disk:v1 is an image of other making", real.served.host);
    assert!(text.starts_with(&name) && text.contains("use another tag"), "{text}");
    let kept = shell(real.at(), "curl", &format!("curl -sSf -H 'Accept: {MANIFEST}' {url}/v1"));
    assert_eq!(kept, foreign);
}
