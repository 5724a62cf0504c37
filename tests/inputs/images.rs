//! Container images as inputs: from a registry, from layouts and from archives that umoci and
//! skopeo write.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};
use vmimage::engine::Inputs;
use vmimage::engine::base::tree::{Time, Tree};
use vmimage::engine::base::{Error, Scratch, Silent};
use vmimage::sources::Sources;

use crate::registry::Served;
use crate::{ROOM, field, resolve, sha256sum, shell, sources, spec};

/// A layout with an image for amd64 and one for 386, each of two layers; also as archives.
pub(crate) fn made() -> tempfile::TempDir {
    let made = tempfile::tempdir().unwrap();
    let at = |name: &str| made.path().join(name);
    fs::create_dir_all(at("tree/etc")).unwrap();
    fs::create_dir_all(at("tree/gone")).unwrap();
    fs::write(at("tree/etc/motd"), "hello\n".repeat(1000)).unwrap();
    fs::write(at("tree/gone/file"), "x").unwrap();
    for architecture in ["amd64", "386"] {
        fs::write(at("tree/etc/arch"), architecture).unwrap();
        fs::write(at("second"), format!("second of {architecture}")).unwrap();
        let command = format!(
            "mkdir {architecture}; I={architecture}/image; umoci init --layout $I
             umoci new --image $I:one
             umoci config --image $I:one --os linux --architecture {architecture}
             chmod 4711 tree/etc/motd; touch -d @1700000000 tree/etc/* second
             umoci insert --image $I:one tree /
             umoci insert --image $I:one --whiteout /gone
             umoci insert --image $I:one second /etc/second"
        );
        shell(made.path(), "umoci", &command.replace('\n', ";"));
    }
    shell(made.path(), "skopeo", "skopeo copy -q oci:amd64/image:one oci-archive:oci.tar");
    shell(
        made.path(),
        "skopeo",
        "skopeo copy -q oci:amd64/image:one docker-archive:docker.tar:a:b",
    );
    shell(made.path(), "gzip", "gzip -kn docker.tar");
    join(made.path());
    shell(made.path(), "zstd", "tar -C both -c . | zstd -q > both.tar.zst");
    made
}

/// Makes the layout `both`, whose index names an index of both images.
fn join(directory: &Path) {
    let mut list = String::new();
    for architecture in ["amd64", "386"] {
        shell(
            directory,
            "coreutils",
            &format!("mkdir -p both; cp -r {architecture}/image/* both/"),
        );
        let (digest, size) = manifest(&directory.join(architecture).join("image"));
        let comma = if list.is_empty() { "" } else { "," };
        write!(
            list,
            r#"{comma}{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{size},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#
        )
        .unwrap();
    }
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{list}]}}"#);
    fs::write(directory.join("index"), &index).unwrap();
    let digest = sha256sum(directory, "index");
    fs::rename(directory.join("index"), directory.join("both/blobs/sha256").join(&digest[7..]))
        .unwrap();
    let size = index.len();
    let outer = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{INDEX}","digest":"{digest}","size":{size}}}]}}"#
    );
    fs::write(directory.join("both/index.json"), outer).unwrap();
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Digest and length of the first thing that a layout names.
pub(crate) fn manifest(layout: &Path) -> (String, u64) {
    let index: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let first = &index["manifests"][0];
    (first["digest"].as_str().unwrap().to_owned(), first["size"].as_u64().unwrap())
}

/// The files of the image step with this source, and the digest.
fn image(sources: &Sources, source: &Value, platform: &str) -> Result<(String, String), Error> {
    let step = match platform {
        "" => json!({"source": source}),
        platform => json!({"source": source, "platform": platform}),
    };
    let spec = spec(&json!([{"image": step}]));
    let inputs = Inputs::resolve_with(&spec, sources, Time::default(), &Silent)?;
    let input = inputs.get(&field("image")).unwrap();
    assert!(input.bytes().is_err() && input.size > 0);
    Ok((list(input.tree()?), input.digest.clone()))
}

/// Path, mode, time and bytes of everything.
fn list(tree: &Tree) -> String {
    let mut list = String::new();
    for step in tree.walk() {
        let node = tree.node(step.node);
        let bytes = match vmimage::engine::payload::member(tree, &step.path) {
            Ok(vmimage::engine::base::Content::Sectors(source)) => {
                let mut bytes = vec![0; source.len() as usize];
                source.read_at(0, &mut bytes).unwrap();
                String::from_utf8(bytes).unwrap()
            }
            _ => String::new(),
        };
        let short: String = bytes.chars().take(20).collect();
        let (mode, len) = (node.meta.mode, bytes.len());
        writeln!(list, "{} {mode:o} {} {len} {short:?}", step.path, node.meta.modified.seconds)
            .unwrap();
    }
    list
}

/// A registry with one user, `user` with the password `password`.
pub(crate) struct Registry(Served);

impl Registry {
    pub(crate) fn start(directory: &Path) -> Self {
        Self(Served::start(directory, Some(("user", "password")), None))
    }

    /// Pushes a layout.
    pub(crate) fn push(&self, directory: &Path, layout: &str) {
        let command = format!(
            "skopeo copy -q --all --dest-tls-verify=false --dest-creds user:password \
             oci:{layout} docker://{}/team/{layout}:v1",
            self.0.host
        );
        shell(directory, "skopeo", &command);
    }

    /// Writes a pull secret.
    pub(crate) fn docker_config(&self, directory: &Path) -> PathBuf {
        // printf 'user:password' | base64
        let auths = json!({"auths": {&self.0.host: {"auth": "dXNlcjpwYXNzd29yZA=="}}});
        fs::create_dir_all(directory.join("secret")).unwrap();
        let config = directory.join("secret/.dockerconfigjson");
        fs::write(&config, auths.to_string()).unwrap();
        config
    }

    /// A source of the image `both`, pinned.
    pub(crate) fn source(&self, digest: &str) -> Value {
        let oci = json!({"image": format!("{}/team/both", self.0.host), "insecure": true});
        json!({"oci": oci, "digest": digest})
    }
}

#[test]
fn one_image_in_every_form() {
    let made = made();
    let sources = sources(made.path());
    let (wanted, digest) = image(&sources, &json!({"file": "amd64/image"}), "").unwrap();
    assert_eq!(digest, manifest(&made.path().join("amd64/image")).0);
    assert!(wanted.contains("/etc/arch 644 1700000000 5 \"amd64\""), "{wanted}");
    assert!(wanted.contains("/etc/motd 4711 1700000000 6000 "), "{wanted}");
    assert!(wanted.contains("\"second of amd64\"") && !wanted.contains("gone"), "{wanted}");
    for file in ["docker.tar", "docker.tar.gz", "oci.tar", "both.tar.zst"] {
        // A layout in an archive counts as its image; every file may be pinned itself.
        let own = sha256sum(made.path(), file);
        let (files, found) = image(&sources, &json!({"file": file}), "").unwrap();
        let counts = match file {
            "oci.tar" => digest.clone(),
            "both.tar.zst" => manifest(&made.path().join("both")).0,
            _ => own.clone(),
        };
        assert_eq!((&files, found), (&wanted, counts), "{file}");
        let pinned = json!({"file": file, "digest": own});
        assert_eq!(image(&sources, &pinned, "").unwrap(), (wanted.clone(), own), "{file}");
    }
    for file in ["oci.tar", "both.tar.zst"] {
        let pinned = json!({"file": file, "digest": digest});
        assert_eq!(image(&sources, &pinned, "").unwrap(), (wanted.clone(), digest.clone()));
    }
    let packed = json!({"file": "docker.tar.gz", "decompress": "gzip"});
    assert_eq!(image(&sources, &packed, "").unwrap().0, wanted);
    // A volume has what a desk has.
    let mut on_volume = crate::sources(Path::new("/"));
    on_volume.mounts.claims.insert("images".to_owned(), made.path().to_owned());
    let claim = |path: &str| json!({"pvc": {"claimName": "images", "path": path}});
    for path in ["amd64/image", "/amd64/image", "oci.tar"] {
        assert_eq!(image(&on_volume, &claim(path), "").unwrap().0, wanted, "{path}");
    }
    // An index is named by its own digest, and what it names by theirs.
    let both = json!({"file": "both"});
    let (files, outer) = image(&sources, &both, "").unwrap();
    assert_eq!((files.as_str(), &outer), (wanted.as_str(), &manifest(&made.path().join("both")).0));
    let (other, _) = image(&sources, &both, "linux/386").unwrap();
    assert!(other.contains("\"second of 386\""), "{other}");
    let pinned = json!({"file": "both", "digest": digest});
    assert_eq!(image(&sources, &pinned, "").unwrap(), (wanted, digest));
    assert_eq!(sources.scratch.left(), ROOM, "nothing is left behind");
}

#[test]
fn an_image_that_is_none_is_told() {
    let made = made();
    let sources = sources(made.path());
    let zeros = format!("sha256:{}", "0".repeat(64));
    fs::create_dir(made.path().join("empty")).unwrap();
    for (source, platform, wanted) in [
        (json!({"file": "both"}), "linux/arm64", "there is no image for linux/arm64; there are"),
        (json!({"file": "amd64/image"}), "linux/386", "the image is for linux/amd64; linux/386 is"),
        (json!({"file": "amd64/image", "digest": zeros}), "", "no image has the digest sha256:000"),
        (json!({"file": "empty"}), "", "index.json"),
        (json!({"file": "second"}), "", "inside of the header"),
        (json!({"file": "none"}), "", "none"),
        (json!({"file": "oci.tar", "digest": zeros}), "", "no image has the digest sha256:000"),
        (json!({"file": "docker.tar", "digest": zeros}), "", "the bytes have digest sha256:"),
    ] {
        let error = image(&sources, &source, platform).unwrap_err().to_string();
        assert!(error.contains(wanted), "{source}: {error}");
    }
    // One byte of a layer, of a configuration, of a manifest.
    let blobs = made.path().join("amd64/image/blobs/sha256");
    for blob in fs::read_dir(&blobs).unwrap() {
        let path = blob.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(&path, bad).unwrap();
        let found = image(&sources, &json!({"file": "amd64/image"}), "");
        // What no manifest names any more is not read.
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match found {
            Ok(_) => assert!(!is_used(made.path(), &name), "{name} is used"),
            Err(error) => assert!(error.to_string().contains(&name), "{error}"),
        }
        fs::write(&path, good).unwrap();
    }
    assert_eq!(sources.scratch.left(), ROOM, "nothing is left behind");
}

/// Whether the image in use names the blob.
fn is_used(directory: &Path, name: &str) -> bool {
    let (digest, _) = manifest(&directory.join("amd64/image"));
    let manifest = directory.join("amd64/image/blobs/sha256").join(&digest[7..]);
    digest.ends_with(name) || fs::read_to_string(manifest).unwrap().contains(name)
}

#[test]
fn files_of_an_image_in_a_registry() {
    let made = made();
    let registry = Registry::start(made.path());
    registry.push(made.path(), "both");
    let (digest, _) = manifest(&made.path().join("both"));
    let mut sources = sources(made.path());
    let error = image(&sources, &registry.source(&digest), "").unwrap_err().to_string();
    assert!(error.contains("wants a name and a password, none are given"), "{error}");
    let config = registry.docker_config(made.path());
    sources.docker_config = Some(config);
    let (wanted, _) = image(&sources, &json!({"file": "both"}), "").unwrap();
    assert_eq!(
        image(&sources, &registry.source(&digest), "").unwrap(),
        (wanted.clone(), digest.clone())
    );
    // By a pull secret, a tag, and the digest of one platform's manifest.
    sources.docker_config = None;
    sources.mounts.secrets.insert("pull".to_owned(), made.path().join("secret"));
    let (one, _) = manifest(&made.path().join("386/image"));
    let with = |name: &str, more: Value| {
        let image = format!("{}/team/both{name}", registry.0.host);
        let mut oci = json!({"image": image, "insecure": true, "pullSecretRef": {"name": "pull"}});
        oci.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"oci": oci})
    };
    let tagged = with(":v1", json!({}));
    assert_eq!(image(&sources, &tagged, "").unwrap(), (wanted, digest.clone()));
    let pinned = with(&format!("@{one}"), json!({}));
    let (files, found) = image(&sources, &pinned, "linux/386").unwrap();
    assert!(files.contains("\"second of 386\"") && found == one);
    let mut two = pinned.clone();
    two["digest"] = json!(digest);
    let error = image(&sources, &two, "").unwrap_err().to_string();
    assert!(error.contains(&format!("is named with {one}, but digest is {digest}")), "{error}");
    // A file out of it.
    let (bytes, found) = resolve(&sources, &with(":v1", json!({"path": "/etc/second"}))).unwrap();
    assert_eq!((bytes.as_slice(), found), (&b"second of amd64"[..], digest));
    let error = resolve(&sources, &with(":v1", json!({}))).unwrap_err().to_string();
    assert!(error.contains("a container image is no file"), "{error}");
    let error = resolve(&sources, &with(":v2", json!({}))).unwrap_err().to_string();
    assert!(error.contains("/v2/team/both/manifests/v2 answered 404"), "{error}");
    sources.scratch = Scratch::new(made.path(), 200);
    let error = image(&sources, &tagged, "").unwrap_err().to_string();
    assert!(error.contains("build.scratch.sizeLimit"), "{error}");
    assert_eq!(sources.scratch.left(), 200);
}
