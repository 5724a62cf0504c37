//! Disks and kernels as container images, in a real registry that build pods reach.
//!
//! What lies in the registry is judged by curl, tar, qemu-img, sha256sum and the cluster's own
//! containerd.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::c270_examples::debian;
use crate::c270_examples::systems::{fstab, path, says};
use crate::harness::{
    Door, Operator, PASSWORD, Pulled, Registry, Space, Use, case, condition, first_sha256sum,
    foreign, kubectl, mount, name, operator_requests, place, reason_of, run, sha256sum, text,
    try_kubectl, until, within,
};
use crate::{hello, with};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/slim-direct.yaml");
/// The Secret and the key of a ConfigMap that pushes name.
const KEYS: &str = "push-keys";
const CA: &str = "authority";

/// Plays a story in which an operator reaches a registry with this door.
fn at_the(door: Door, title: &str, story: impl AsyncFnOnce(&Space, &mut Registry, &Operator)) {
    case(title, Use::Alone, async |space| {
        if foreign() {
            eprintln!("{title} is not run: its registry lies on the host");
            return;
        }
        let mut registry = Registry::start(door);
        let allowed = registry.allowed();
        let flags = match door {
            Door::Secured => vec![&*allowed],
            Door::Open | Door::Password => vec![&*allowed, "--allow-source-http"],
        };
        let operator = Operator::here(&flags).await;
        operator.is_ready().await;
        if door == Door::Secured {
            let ca = fs_err::read_to_string(registry.ca()).unwrap();
            let map = json!({"metadata": {"name": CA}, "data": {"ca.crt": ca}});
            space.apply_object("ConfigMap", map).await;
        }
        story(&space, &mut registry, &operator).await;
        operator.leave().await;
    });
}

/// A member of an entry of spec.publish that pushes to `repository` in the registry.
fn push(registry: &Registry, repository: &str, more: Value) -> Value {
    let image = json!({"image": format!("{}/{repository}", registry.host())});
    with(image, more)
}

/// How one pushes through the secured door.
fn secured(more: Value) -> Value {
    let ca = json!({"configMapKeyRef": {"name": CA, "key": "ca.crt"}});
    with(json!({"pushSecretRef": {"name": KEYS}, "caBundle": ca}), more)
}

/// The hello document as a container disk.
fn disk(message: &str, push: &Value) -> Value {
    with(hello(message), json!({"publish": [{"name": "disk", "containerDisk": push}]}))
}

/// What the status tells of a target.
fn target(image: &Value, target: &str) -> Value {
    let targets = image["status"]["targets"].as_array().cloned().unwrap_or_default();
    let found = targets.into_iter().find(|one| text(one, "/name") == target);
    found.unwrap_or_else(|| panic!("no target {target} in {}", image["status"]))["current"].clone()
}

/// The push secret is in the build container of pods that push, read-only, and in no other pod.
fn keys_are_where_they_belong(pods: &[Value], pushing: &[&str]) {
    let target = |pod: &Value| text(pod, "/metadata/labels/vmimage.dev~1target");
    let pushes = |pod: &Value| pushing.contains(&&*target(pod));
    for wanted in pushing {
        assert!(pods.iter().any(|pod| target(pod) == *wanted), "expected a pod of {wanted}");
    }
    for pod in pods.iter().filter(|pod| pushes(pod)) {
        has_keys(pod);
    }
    let others: Vec<_> = pods.iter().filter(|pod| !pushes(pod)).collect();
    assert!(others.len() >= 2, "pods that fill volumes: {}", others.len());
    for pod in others {
        assert!(!pod["spec"].to_string().contains(KEYS), "keys in {}", name(pod));
    }
}

/// One volume has the keys; the only container mounts it, to read.
fn has_keys(pod: &Value) {
    let list = |at: &Value| at.as_array().cloned().unwrap_or_default();
    let mut volumes = list(&pod["spec"]["volumes"]);
    volumes.retain(|volume| volume.to_string().contains(KEYS));
    let [volume] = &volumes[..] else { panic!("one volume with the keys: {pod}") };
    let containers = list(&pod["spec"]["containers"]);
    let [container] = &containers[..] else { panic!("one container: {pod}") };
    assert_eq!(text(container, "/name"), "build");
    assert_eq!(list(&pod["spec"]["initContainers"]), Vec::<Value>::new());
    let mut mounts = list(&container["volumeMounts"]);
    mounts.retain(|mount| mount["name"] == volume["name"]);
    let [mount] = &mounts[..] else { panic!("it is mounted once: {pod}") };
    assert_eq!(mount["readOnly"], json!(true), "{mount}");
    assert_eq!(pod["spec"].to_string().matches(KEYS).count(), 1, "they are named once: {pod}");
}

/// The image that was pulled is the one that the status tells, labelled with its content.
fn is_told(image: &Value, named: &str, registry: &Registry, pulled: &Pulled) {
    let current = target(image, named);
    let told = |field: &str| text(&current, &format!("/{field}"));
    assert_eq!(told("ref/kind"), "ContainerImage");
    assert_eq!(told("ref/name"), format!("{}/team/{named}", registry.host()));
    assert_eq!(told("digest"), pulled.digest, "{named}");
    assert_eq!(told("sizeBytes"), pulled.size.to_string(), "{named}");
    let label = text(&pulled.config, "/config/Labels/vmimage.dev~1content-digest");
    assert_eq!(label, text(image, "/status/content/digest"), "{named}");
    let known = registry.pull_by_containerd(&format!("team/{named}"), "latest", &[]);
    assert_eq!(known, pulled.digest, "containerd's digest of {named}");
}

/// The example with other targets, as a file.
fn five(registry: &Registry) -> tempfile::NamedTempFile {
    let example = fs_err::read_to_string(EXAMPLE).unwrap();
    let (before, _) = example.split_once("  publish:\n").unwrap();
    let to = |repository: &str, more: Value| {
        push(registry, &format!("team/{repository}"), secured(more))
    };
    let instancetype = json!({"defaults": {"instancetype": {"name": "u1.nano"}}});
    let publish = json!([
        {"name": "file", "pvc": {"request": "128Mi"}},
        {"name": "block", "pvc": {"volumeMode": "Block", "request": "128Mi"}},
        {"name": "raw", "containerDisk": to("raw", json!({"format": "raw"}))},
        {"name": "qcow2", "containerDisk":
            to("qcow2", with(json!({"tags": ["v1", "latest"]}), instancetype))},
        {"name": "kernel", "kernelBoot": to("kernel", json!({"format": "raw"}))},
    ]);
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    fs_err::write(file.path(), format!("{before}  publish: {publish}\n")).unwrap();
    file
}

/// Five builds, each of which unpacks a kernel's modules, may take minutes on a small machine.
async fn five_are_published(space: &Space) -> Value {
    within(Duration::from_secs(300), "slim-direct is published five ways", async || {
        let image = space.image("slim-direct").await;
        if reason_of(&image).0 == "True" { Ok(image) } else { Err(image["status"].to_string()) }
    })
    .await
}

/// A volume, a device and three images of one document hold the same bytes, and each boots.
#[test]
fn one_document_five_ways() {
    at_the(Door::Secured, "320_five_ways", async |space, registry, _| {
        let volume = space.inputs("192Mi").await;
        debian(&volume);
        space.apply_object("Secret", registry.secret(KEYS, PASSWORD)).await;
        let pods = space.record("Pod");
        let document = five(registry);
        kubectl(&["-n", &space.namespace, "apply", "-f", path(document.path())]);
        let image = five_are_published(space).await;
        keys_are_where_they_belong(&pods.made(), &["raw", "qcow2", "kernel"]);
        let reads = operator_requests();
        assert!(reads.iter().all(|entry| entry.resource != "secrets"), "it reads no Secret");

        let claim = |named: &str| text(&target(&image, named), "/ref/name");
        let file = mount(space, &claim("file")).join("disk.img");
        let block = mount(space, &claim("block"));
        let [raw, qcow2, kernel] =
            ["raw", "qcow2", "kernel"].map(|tag| registry.pull(&format!("team/{tag}"), "latest"));
        for (named, pulled) in [("raw", &raw), ("qcow2", &qcow2), ("kernel", &kernel)] {
            is_told(&image, named, registry, pulled);
        }
        assert_eq!(registry.manifest("team/qcow2", "v1").1, qcow2.digest, "the other tag");
        let env = qcow2.config["config"]["Env"].to_string();
        assert_eq!(env, r#"["INSTANCETYPE_KUBEVIRT_IO_DEFAULT_INSTANCETYPE=u1.nano"]"#);

        let size = text(&image, "/status/content/virtualSizeBytes").parse().unwrap();
        let converted = qcow2.files.join("converted");
        let compressed = qcow2.files.join("disk/disk.qcow2");
        let convert = ["convert", "-f", "qcow2", "-O", "raw"];
        run("qemu-img", &[&convert[..], &[path(&compressed), path(&converted)]].concat());
        let [single, beside] = [&raw, &kernel].map(|pulled| pulled.files.join("disk/disk.img"));
        let digests = [
            ("file", first_sha256sum(path(&file), size)),
            ("block", first_sha256sum(path(&block), size)),
            ("raw", sha256sum(&single)),
            ("qcow2", sha256sum(&converted)),
            ("kernel", sha256sum(&beside)),
        ];
        for (named, digest) in digests {
            assert_eq!(digest, text(&image, "/status/content/digest"), "{named}");
        }
        let boot = kernel.files.join("boot");
        assert_eq!(sha256sum(&boot.join("vmlinuz")), sha256sum(&volume.join("vmlinuz")));
        let line = text(&kernel.config, "/config/Labels/vmimage.dev~1command-line");
        let (linux, initrd) = (boot.join("vmlinuz"), boot.join("initrd"));
        let linux = ["--kernel", path(&linux), "--initrd", path(&initrd), "--append", &line];
        let boots = |named: &str, disk: &Path, format: &str| {
            let disk = [path(disk), "--from", format, "--bus", "virtio"];
            says(&format!("320-{named}"), &[&fstab()], &[&disk[..], &linux].concat());
        };
        boots("file", &file, "raw");
        boots("block", &block, "raw");
        boots("raw", &single, "raw");
        boots("qcow2", &compressed, "qcow2");
        boots("kernel", &beside, "raw");
    });
}

/// Changes the annotation that asks for another push, and waits until that is told.
async fn rebuild(space: &Space, token: &str) -> Value {
    let ask = json!({"metadata": {"annotations": {"vmimage.dev/rebuild": token}}});
    space.patch("VMImage", "hello", ask).await;
    until(&format!("the push that {token} asks for"), async || {
        let image = space.image("hello").await;
        let told = text(&image, "/status/targets/0/current/rebuild");
        if told == token && reason_of(&image).0 == "True" { Ok(image) } else { Err(told) }
    })
    .await
}

/// What was asked of the registry since, of which nothing may change anything there.
fn nothing_is_sent(registry: &Registry, since: usize, digest: &str) {
    let asked = registry.asked().split_off(since);
    let changes = |(method, _): &&(String, String)| !["GET", "HEAD"].contains(&&**method);
    assert_eq!(asked.iter().filter(changes).collect::<Vec<_>>(), Vec::<&_>::new());
    let place = format!("/v2/team/hello/manifests/{digest}");
    assert!(asked.contains(&("HEAD".to_owned(), place)), "it looks for {digest}: {asked:#?}");
}

/// A push that is asked for again, or whose record was lost, sends nothing; an edit moves the tags.
#[test]
fn again_and_after_an_edit() {
    at_the(Door::Open, "321_again", async |space, registry, _| {
        let to = json!({"insecure": true, "tags": ["v1", "latest"]});
        let to = push(registry, "team/hello", to);
        space.apply("hello", disk("one", &to)).await;
        let (_, first, first_hash) = place(&space.ready("hello").await);
        assert_eq!(registry.pull("team/hello", "v1").digest, first);
        let sent = registry.asked();
        assert!(sent.iter().any(|(method, _)| method == "PUT"), "the first is sent: {sent:#?}");

        let since = registry.asked().len();
        let again = rebuild(space, "again").await;
        assert_eq!(place(&again).1, first, "the same bytes");
        nothing_is_sent(registry, since, &first);

        space.apply("hello", disk("two", &to)).await;
        let image = space.ready("hello").await;
        let (_, second, second_hash) = place(&image);
        assert_ne!(second, first, "another digest");
        for tag in ["v1", "latest"] {
            assert_eq!(registry.manifest("team/hello", tag).1, second, "the tag {tag} has moved");
        }
        assert_eq!(registry.manifest("team/hello", &first).1, first, "the first is still there");
        let history = image["status"]["history"].as_array().unwrap();
        let history: Vec<_> = history
            .iter()
            .map(|entry| (text(entry, "/targetHash"), text(entry, "/result")))
            .collect();
        let well = "Succeeded".to_owned();
        assert_eq!(history, [(second_hash, well.clone()), (first_hash, well)], "newest first");
        // The manifest of what was replaced goes.
        let kept = space.has("ConfigMap", "hello", 1).await;
        let kept: Value = serde_json::from_str(&text(&kept[0], "/data/build.json")).unwrap();
        assert_eq!(text(&kept, "/contentDigest"), text(&image, "/status/content/digest"));
        space.has_jobs("hello", 0).await;

        let since = registry.asked().len();
        space.patch_status("hello", json!({"status": null})).await;
        let restored = space.ready("hello").await;
        assert_eq!(restored["status"]["targets"], image["status"]["targets"], "as it was");
        nothing_is_sent(registry, since, &second);
    });
}

/// A wrong password is final, and told without it; a registry that is away is waited for.
#[test]
fn refused_and_away() {
    at_the(Door::Secured, "322_refused", async |space, registry, operator| {
        let wrong = "canary-77b0";
        space.apply_object("Secret", registry.secret(KEYS, wrong)).await;
        let to = push(registry, "team/hello", secured(json!({})));
        space.apply("hello", disk("one", &to)).await;
        let image = space.waits("hello", "PushRefused").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        for part in [registry.host(), "UNAUTHORIZED: authentication required"] {
            assert!(message.contains(part), "expected {part:?} in {message:?}");
        }
        let pods = space.has("Pod", "hello", 1).await;
        let exit = text(&pods[0], "/status/containerStatuses/0/state/terminated/exitCode");
        assert_eq!(exit, "73", "exit code of the builder");
        assert!(condition(&image, "Reconciling").is_none(), "it has stalled");
        let at = ["-n", &*space.namespace];
        let all = "vmimg,job,pod,event,configmap";
        let told = [
            run_kubectl(&at, &["get", all, "-o", "yaml", "--show-managed-fields"]),
            run_kubectl(&at, &["logs", &name(&pods[0])]),
            operator.log(),
        ];
        let config: Value = serde_json::from_str(&registry.config(wrong)).unwrap();
        let encoded = text(&config["auths"][registry.host()], "/auth");
        for text in &told {
            assert!(text.contains("hello"), "it was looked at: {text:?}");
            assert!(!text.contains(wrong) && !text.contains(&encoded), "no password in {text}");
        }
        space.apply_object("Secret", registry.secret(KEYS, PASSWORD)).await;
        let image = rebuild(space, "with the right password").await;
        assert_eq!(registry.pull("team/hello", "latest").digest, place(&image).1);

        registry.stop();
        space.apply("hello", disk("two", &to)).await;
        let waiting = space.waits("hello", "Retrying").await;
        let message = text(&condition(&waiting, "Ready").unwrap(), "/message");
        assert!(message.contains(registry.host()), "it names the registry: {message:?}");
        assert_eq!(place(&waiting).1, place(&image).1, "what is published is still told");
        registry.again();
        let image = space.ready("hello").await;
        assert_eq!(registry.pull("team/hello", "latest").digest, place(&image).1);
    });
}

fn run_kubectl(at: &[&str], what: &[&str]) -> String {
    try_kubectl(&[at, what].concat())
}

/// An empty disk for an architecture, as an entry of an index.
fn entry(registry: &Registry, architecture: &str, size: &str) -> Value {
    let to = push(registry, "team/many", json!({"insecure": true, "index": true}));
    json!({"architecture": architecture, "disk": {"size": size},
        "publish": [{"name": "disk", "containerDisk": to}]})
}

/// One tag has one owner, the older image; an index has an image for each architecture.
#[test]
fn tags_and_index() {
    at_the(Door::Open, "323_tags", async |space, registry, _| {
        let second = format!("{}-b", space.namespace);
        space.namespace(&second).await;
        let other = space.at(&second);
        let to = push(registry, "team/hello", json!({"insecure": true}));
        space.apply("older", disk("older", &to)).await;
        let older = space.ready("older").await;
        other.apply("younger", disk("younger", &to)).await;
        let waiting = other.waits("younger", "TagConflict").await;
        let message = text(&condition(&waiting, "Ready").unwrap(), "/message");
        let tag = format!("{}/team/hello:latest", registry.host());
        for part in [&tag, &format!("{}/older", space.namespace)] {
            assert!(message.contains(part), "expected {part:?} in {message:?}");
        }
        assert!(other.of("Job", "younger").await.is_empty(), "no Job is made");
        assert_eq!(registry.manifest("team/hello", "latest").1, place(&older).1);
        space.delete("VMImage", "older").await;
        let younger = other.ready("younger").await;
        assert_ne!(place(&younger).1, place(&older).1);
        assert_eq!(registry.manifest("team/hello", "latest").1, place(&younger).1, "it goes on");

        let holds = async |size: &str| {
            space.apply("amd", entry(registry, "amd64", "1Mi")).await;
            space.apply("arm", entry(registry, "arm64", size)).await;
            let (amd, arm) = (space.ready("amd").await, space.ready("arm").await);
            let (index, _) = registry.manifest("team/many", "latest");
            assert_eq!(text(&index, "/mediaType"), "application/vnd.oci.image.index.v1+json");
            let entries = index["manifests"].as_array().unwrap().iter();
            let entries: Vec<_> = entries
                .map(|entry| (text(entry, "/platform/architecture"), text(entry, "/digest")))
                .collect();
            let wanted = [("amd64", &amd), ("arm64", &arm)];
            assert_eq!(entries, wanted.map(|(name, image)| (name.to_owned(), place(image).1)));
            place(&arm).1
        };
        let first = holds("1Mi").await;
        assert_ne!(holds("2Mi").await, first, "of two entries one is another");
        let platform = ["--platform", "linux/arm64"];
        let (_, index) = registry.manifest("team/many", "latest");
        assert_eq!(registry.pull_by_containerd("team/many", "latest", &platform), index);
        space.delete_cluster("Namespace", &second).await;
    });
}
