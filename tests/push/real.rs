//! Pushes to docker-registry, pulled back by other programs.
//!
//! Invariant: no expectation comes from the code that pushes.

use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::{ByteSource, Kind};
use vmimage::oci::{Reference, Registry};
use vmimage::publish::container::{self, Compression, File};

use crate::docker::Served;
use crate::shell::shell;
use crate::{Wanted, bytes, client, disk, qcow2, registry, server, user, write};

/// How often the registry was asked to change something.
fn writes(directory: &std::path::Path) -> Vec<String> {
    let log = fs::read_to_string(directory.join("access.log")).unwrap();
    let methods = ["\"POST ", "\"PATCH ", "\"PUT "];
    log.lines()
        .filter(|line| methods.iter().any(|method| line.contains(method)))
        .map(ToOwned::to_owned)
        .collect()
}

/// What the manifest, the configuration and the layer of a tag hold, by tools alone.
const PULL: &str = r#"
    get() { curl -sSf --http1.1 $CURL -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$BASE/$1"; }
    get manifests/$TAG > manifest
    echo "manifest sha256:$(sha256sum < manifest | cut -d' ' -f1)"
    python3 - > parts <<'EOF'
import json
m = json.load(open('manifest'))
assert m['schemaVersion'] == 2, m
assert m['mediaType'] == 'application/vnd.oci.image.manifest.v1+json', m
assert m['config']['mediaType'] == 'application/vnd.oci.image.config.v1+json', m
[layer] = m['layers']
print(m['config']['digest'], layer['digest'], layer['size'], layer['mediaType'], m['annotations'])
EOF
    read config layer size kind annotations < parts
    echo "layer $size $kind $annotations"
    get blobs/$config > config; get blobs/$layer > layer
    [ "sha256:$(sha256sum < config | cut -d' ' -f1)" = $config ]
    [ "sha256:$(sha256sum < layer | cut -d' ' -f1)" = $layer ]
    [ $(stat -c %s layer) = $size ]
    case $kind in *+gzip) gzip -dc < layer > tar ;; *) cp layer tar ;; esac
    export plain=sha256:$(sha256sum < tar | cut -d' ' -f1)
    python3 - <<'EOF'
import json, os
c = json.load(open('config'))
assert c['rootfs'] == {'type': 'layers', 'diff_ids': [os.environ['plain']]}, c
assert c['created'] == '1970-01-01T00:00:00Z', c
print(c['os'], c['architecture'], c['config'])
EOF
    TZ=UTC tar --list --verbose --numeric-owner --full-time --file tar | tr -s ' '
    rm -rf out && mkdir out && tar --extract --directory out --file tar
"#;

/// Pulls a tag into `directory`; what there is to tell.
fn pulled(directory: &std::path::Path, base: &str, curl: &str, tag: &str) -> String {
    let script = format!("BASE={base} CURL='{curl}' TAG={tag}\n{PULL}");
    shell(directory, "curl", &script)
}

#[test]
fn a_disk_in_qcow2_behind_tls_and_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    server::certificates(at);
    let served = Served::start(at, Some(("user", "pass:word")), Some(("server.pem", "server.key")));
    let ca = fs::read(at.join("ca.pem")).unwrap();
    let image: Reference = format!("{}/team/disk", served.host).parse().unwrap();
    let push = |tags: &[&str]| {
        let registry = Registry::new(&image, &client(vec![ca.clone()]), user("pass:word"), false);
        Wanted::of(tags).push(&[qcow2(at)], &registry.pushing()).unwrap()
    };
    let stranger = Registry::new(&image, &client(Vec::new()), None, false).pushing();
    let error = Wanted::of(&["v1"]).push(&[qcow2(at)], &stranger).unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected, "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let first = push(&["v1", "latest"]);
    assert!(!first.reused);
    let base = format!("https://{}/v2/team/disk", served.host);
    let told = pulled(at, &base, "--cacert ca.pem -u user:pass:word", "v1");
    let wanted = format!(
        "manifest {}\nlayer {} application/vnd.oci.image.layer.v1.tar+gzip \
         {{'vmimage.dev/content-hash': '0011'}}\n\
         linux amd64 {{'Env': ['A=b c'], 'Labels': {{'vmimage.dev/content-hash': '0011'}}}}\n\
         dr-xr-xr-x 107/107 0 1970-01-01 00:00:00 disk/\n\
         -r--r----- 107/107 {} 1970-01-01 00:00:00 disk/disk.qcow2",
        first.digest,
        first.size,
        qcow2(at).source.len()
    );
    assert_eq!(told, wanted);
    write(at, "disk.raw", &bytes(&*disk()));
    shell(at, "qemu-utils", "qemu-img check out/disk/disk.qcow2");
    shell(at, "qemu-utils", "qemu-img compare -f raw -F qcow2 disk.raw out/disk/disk.qcow2");
    // Again: nothing is sent. A new tag is one manifest.
    let before = writes(at);
    // POST, PATCH and PUT of the layer, POST and PUT of the configuration, the manifest, two tags.
    assert_eq!(before.len(), 8, "{before:#?}");
    let again = push(&["v1", "latest"]);
    assert_eq!((&again.digest, again.size, again.reused), (&first.digest, first.size, true));
    assert_eq!(writes(at), before);
    assert!(push(&["v2"]).reused);
    let after = writes(at);
    assert_eq!(after.len(), 9, "{after:#?}");
    assert!(after[8].contains("PUT /v2/team/disk/manifests/v2 "), "{}", after[8]);
}

#[test]
fn a_raw_disk_beside_a_kernel_and_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let served = Served::start(at, None, None);
    let file = |path: &str, text: &str| File::new(path, Arc::new(ByteSource::new(text.as_bytes())));
    let files = [
        file(container::INITRD, "the initrd"),
        File::new(container::RAW_DISK, disk()),
        file(container::KERNEL, "the kernel"),
    ];
    for compression in [Compression::Gzip, Compression::None] {
        let digests = [1, 2].map(|threads| {
            let wanted = Wanted { compression, threads, ..Wanted::of(&["t"]) };
            let published = wanted.push(&files, &registry(&served.host, None)).unwrap();
            assert_eq!(published.reused, threads == 2, "{compression:?}");
            published.digest
        });
        assert_eq!(digests[0], digests[1]);
        let told = pulled(at, &format!("http://{}/v2/team/disk", served.host), "", "t");
        assert!(told.starts_with(&format!("manifest {}\n", digests[0])), "{told}");
        let list = "\
            dr-xr-xr-x 107/107 0 1970-01-01 00:00:00 boot/\n\
            -r--r----- 107/107 10 1970-01-01 00:00:00 boot/initrd\n\
            -r--r----- 107/107 10 1970-01-01 00:00:00 boot/vmlinuz\n\
            dr-xr-xr-x 107/107 0 1970-01-01 00:00:00 disk/\n\
            -r--r----- 107/107 5242880 1970-01-01 00:00:00 disk/disk.img";
        assert!(told.ends_with(list), "{told}");
        let out = |name: &str| fs::read(at.join("out").join(name)).unwrap();
        assert!(out("disk/disk.img") == bytes(&*disk()));
        assert_eq!(
            (out("boot/vmlinuz"), out("boot/initrd")),
            (b"the kernel".to_vec(), b"the initrd".to_vec())
        );
    }
    // POSIX's archives end with two blocks of zeros and, as GNU tar writes them, at a record.
    let len = fs::metadata(at.join("tar")).unwrap().len();
    assert_eq!(len % 10_240, 0);
}

/// Another implementation of pulls: what it unpacks is the disk.
#[test]
fn buildah_unpacks_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let served = Served::start(at, None, None);
    let pushed = Wanted::of(&["v1"]).push(&[qcow2(at)], &registry(&served.host, None)).unwrap();
    let script = format!(
        "b() {{ buildah --root $PWD/root --runroot $PWD/run --storage-driver vfs \"$@\"; }}\n\
         c=$(b from --quiet --tls-verify=false docker://{}/team/disk@{})\n\
         m=$(b mount $c); stat -c '%u:%g %a' $m/disk $m/disk/disk.qcow2\n\
         sha256sum < $m/disk/disk.qcow2 | cut -d' ' -f1; b umount $c > /dev/null; b rm $c > /dev/null",
        served.host, pushed.digest
    );
    let told = shell(at, "buildah", &script);
    let digest = crate::sha(&bytes(&*qcow2(at).source));
    let digest = digest.trim_start_matches("sha256:");
    assert_eq!(told, format!("107:107 555\n107:107 440\n{digest}"));
}

#[test]
fn wrong_passwords_and_tags_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let served = Served::start(at, Some(("user", "pass")), None);
    let file = [File::new(container::RAW_DISK, Arc::new(ByteSource::new(vec![1; 512])))];
    for (credentials, wanted) in [
        (None, "wants a name and a password, none are given"),
        (
            user("canary"),
            "answered 401 Unauthorized: it wants credentials, or others than those given; it says \
             UNAUTHORIZED: authentication required",
        ),
    ] {
        let error =
            Wanted::of(&["v1"]).push(&file, &registry(&served.host, credentials)).unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected, "{error}");
        let text = error.to_string();
        assert!(text.contains(wanted) && !text.contains("canary"), "{text}");
    }
    let registry = registry(&served.host, user("pass"));
    for tag in ["a/b", "../x", "", "-a", "a b", &"a".repeat(129)] {
        let error = Wanted::of(&[tag]).push(&file, &registry).unwrap_err();
        assert_eq!(error.kind(), Kind::Document, "{error}");
        assert!(error.to_string().contains("is no tag"), "{error}");
    }
}
