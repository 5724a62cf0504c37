//! Inputs that lie in the cluster: Secrets, volumes, a web server, a registry. Each disk is compared
//! with what the desk builds of the same document.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use fs_err as fs;
use serde_json::{Value, json};

use crate::harness::{
    Door, Operator, PASSWORD, Registry, Space, Use, build_on_desk_with, case, condition, foreign,
    mount, node, place, run, sha256sum, text, until,
};
use crate::with;

/// A disk of one ext4 with these steps.
fn disk(contents: &Value) -> Value {
    let partition = json!({"name": "root", "filesystem": {"type": "ext4"}, "contents": contents});
    json!({
        "disk": {"size": "4Mi", "partitionTable": "None", "partitions": [partition]},
        "publish": [{"name": "golden", "pvc": {"request": "16Mi"}}],
    })
}

/// Waits for the image and compares its disk with the desk's, as `sha256sum` sees both.
async fn as_on_desk(space: &Space, image: &str, spec: &Value, flags: &[&str]) {
    let built = space.ready(image).await;
    let document = json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
        "metadata": {"name": image}, "spec": spec});
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("document.json");
    fs::write(&path, document.to_string()).unwrap();
    let out = build_on_desk_with(&path, flags);
    let wanted = sha256sum(&out.path().join(format!("{image}.raw")));
    assert_eq!(text(&built, "/status/content/digest"), wanted, "{image}");
    if !foreign() {
        let (claim, ..) = place(&built);
        assert_eq!(sha256sum(&mount(space, &claim).join("disk.img")), wanted, "{image}");
    }
}

/// A key of a Secret. The operator cannot read it: the digest stands in the document.
#[test]
fn a_secret_is_mounted() {
    case("265_secret", Use::Shared, async |space| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("token"), "swordfish").unwrap();
        let digest = sha256sum(&directory.path().join("token"));
        let secret = json!({"metadata": {"name": "keys"}, "stringData": {"token": "swordfish"}});
        space.apply_object("Secret", secret).await;
        let key = json!({"name": "keys", "key": "token"});
        let source = json!({"secretKeyRef": key, "digest": digest});
        let spec = disk(&json!([{"file": {"path": "/token", "mode": "0400", "source": source}}]));
        space.apply("hello", spec.clone()).await;
        let flag = format!("keys={}", directory.path().display());
        as_on_desk(&space, "hello", &spec, &["--secret", &flag]).await;
        let said = space.image("hello").await.to_string();
        assert!(!said.contains("swordfish"), "the status tells no secret");
        // Other bytes than those of the digest are refused, and not told.
        let zeros = format!("sha256:{}", "0".repeat(64));
        let source = json!({"secretKeyRef": key, "digest": zeros});
        space.apply("other", disk(&json!([{"file": {"path": "/a", "source": source}}]))).await;
        let image = space.waits("other", "InvalidInput").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        assert!(message.contains(&digest) && !message.contains("swordfish"), "{message:?}");
    });
}

/// A layout with an image of one layer, by umoci; its digest.
fn layout(directory: &Path) -> String {
    let script = "mkdir -p tree/etc; echo hello > tree/etc/motd; touch -d @1700000000 tree/etc/motd
        chmod 4711 tree/etc/motd; umoci init --layout image; umoci new --image image:one
        umoci config --image image:one --os linux --architecture amd64
        umoci insert --image image:one tree /; chmod -R a+rX image";
    let script = format!("cd {}; {}", directory.display(), script.replace('\n', ";"));
    run("bash", &["-euc", &script]);
    let index = fs::read(directory.join("image/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    text(&index, "/manifests/0/digest")
}

/// Files of a volume, with their modes and owners.
fn owners(directory: &Path) -> Vec<(String, u32, u32, u32)> {
    let list = run("find", &[directory.to_str().unwrap(), "-mindepth", "1"]);
    let row = |path: &str| {
        let meta = fs::symlink_metadata(path).unwrap();
        (path.to_owned(), meta.mode(), meta.uid(), meta.gid())
    };
    let mut rows: Vec<_> = list.lines().filter(|l| !l.contains("lost+found")).map(row).collect();
    rows.sort();
    rows
}

/// A file and an image layout on a volume, which stays as it is: the kubelet gives no file to the
/// pod's group.
#[test]
fn a_volume_is_read_and_left_alone() {
    case("266_volume", Use::Shared, async |space| {
        if foreign() {
            eprintln!("266_volume is not run: the host must fill a volume");
            return;
        }
        let volume = space.inputs("8Mi").await;
        let digest = layout(&volume);
        fs::write(volume.join("file"), "on a volume").unwrap();
        fs::set_permissions(volume.join("file"), Permissions::from_mode(0o644)).unwrap();
        let before = owners(&volume);
        let pvc = |path: &str| json!({"claimName": "inputs", "path": path});
        let file = json!({"pvc": pvc("file"), "digest": sha256sum(&volume.join("file"))});
        let image = json!({"pvc": pvc("image"), "digest": digest});
        let spec = disk(&json!([
            {"image": {"source": image}},
            {"file": {"path": "/file", "source": file}},
        ]));
        space.apply("hello", spec.clone()).await;
        let flag = format!("inputs={}", volume.display());
        as_on_desk(&space, "hello", &spec, &["--pvc", &flag]).await;
        assert_eq!(owners(&volume), before, "modes and owners on the volume");
    });
}

/// Serves these bytes to everybody, as long as the case lives.
fn serve(bytes: &Arc<Mutex<String>>) -> u16 {
    let bytes = Arc::clone(bytes);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = move |mut stream: TcpStream| {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let bytes = bytes.lock().unwrap().clone();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{bytes}", bytes.len())
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no failure of the case.
            let _: std::io::Result<()> = answer(stream);
        }
    });
    port
}

/// Pushes the layout's image, by skopeo.
fn push(registry: &Registry, directory: &Path) {
    let from = format!("oci:{}/image:one", directory.display());
    let to = format!("docker://{}/team/image:v1", registry.host());
    let user = format!("user:{PASSWORD}");
    let flags = ["--dest-tls-verify=false", "--dest-creds", &user];
    run("skopeo", &[&["copy", "-q"], &flags[..], &[&from, &to]].concat());
}

/// A file without digest: what it is at first stays, until the annotation asks for it again.
async fn mutable(space: &Space, web: &str, bytes: &Mutex<String>) {
    let source = json!({"http": {"url": web}, "allowMutable": true});
    let spec = disk(&json!([{"file": {"path": "/file", "source": source}}]));
    space.apply("mutable", spec.clone()).await;
    as_on_desk(space, "mutable", &spec, &[]).await;
    let found = |image: &Value| text(image, "/status/inputs/digests/0/digest");
    let first = space.image("mutable").await;
    assert!(found(&first).starts_with("sha256:"), "{first}");
    "other bytes".clone_into(&mut bytes.lock().unwrap());
    let other = with(spec.clone(), json!({"build": {"maxAttempts": 2}}));
    space.apply("mutable", other.clone()).await;
    let second = space.ready("mutable").await;
    assert_eq!((found(&second), place(&second)), (found(&first), place(&first)));
    let ask = json!({"metadata": {"annotations": {"vmimage.dev/rebuild": "1"}}});
    space.patch("VMImage", "mutable", ask).await;
    until("other bytes are found", async || {
        let image = space.image("mutable").await;
        if found(&image) == found(&first) { Err(image.to_string()) } else { Ok(()) }
    })
    .await;
    as_on_desk(space, "mutable", &other, &[]).await;
    assert_ne!(place(&space.image("mutable").await), place(&first));
}

/// A file of a web server and an image of a registry inside: refused until the operator says that
/// they may be reached.
#[test]
fn servers_inside_that_are_allowed() {
    case("267_servers", Use::Alone, async |space| {
        if foreign() {
            eprintln!("267_servers is not run: its servers lie on the host");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let digest = layout(directory.path());
        let registry = Registry::start(Door::Password);
        push(&registry, directory.path());
        let node = node();
        let bytes = Arc::new(Mutex::new("from a server".to_owned()));
        let web = format!("http://{node}:{}/file", serve(&bytes));
        fs::write(directory.path().join("file"), "from a server").unwrap();
        let file = sha256sum(&directory.path().join("file"));
        space.apply_object("Secret", registry.secret("pull", PASSWORD)).await;
        let image = format!("{}/team/image:v1", registry.host());
        let oci = json!({"image": image, "insecure": true,
            "pullSecretRef": {"name": "pull"}});
        let spec = disk(&json!([
            {"image": {"source": {"oci": oci, "digest": digest}}},
            {"file": {"path": "/file", "source": {"http": {"url": web}, "digest": file}}},
        ]));
        space.apply("refused", spec.clone()).await;
        space.waits("refused", "SourceRefused").await;
        let operator = Operator::here(&[&registry.allowed(), "--allow-source-http"]).await;
        operator.is_ready().await;
        space.apply("hello", spec.clone()).await;
        let config = registry.config(PASSWORD);
        fs::write(directory.path().join(".dockerconfigjson"), config).unwrap();
        let flag = format!("pull={}", directory.path().display());
        as_on_desk(&space, "hello", &spec, &["--secret", &flag]).await;
        mutable(&space, &web, &bytes).await;
        operator.leave().await;
    });
}
