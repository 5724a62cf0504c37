//! Scripts: where operator and namespace allow them they run in init containers, and the disk is the
//! desk's; elsewhere the image is refused.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{
    Operator, Space, Use, build_on_desk_with, case, condition, foreign, kubectl, mount, place, run,
    sha256sum, text, until,
};

const CLUSTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/cluster/cluster");
const SCRIPT: &str = "echo \"$((1234567 * 891)) for $WHOM\" > etc/product
mkdir new && chmod 750 new && mv etc/old new/moved && rm etc/gone
id -u > new/user";

/// An image with busybox as its shell, in an archive, and its reference by digest.
fn image(archive: &Path) -> String {
    let packer = format!("{}/ociimg", std::env::var("VMIMAGE_CLUSTER_BIN").unwrap());
    let pack = |name: &str| {
        let files = ["mkdir", "mv", "rm", "chmod", "id", "busybox", "sh"];
        let files: Vec<_> = files.iter().map(|file| format!("/bin/busybox:/bin/{file}")).collect();
        let mut args = vec!["-o", archive.to_str().unwrap(), "-name", name, "-dir", "/tree"];
        args.extend(["-dir", "/tmp:1777"]);
        args.extend(files.iter().map(String::as_str));
        run(&packer, &args).trim().to_owned()
    };
    let digest = pack("e2e.vmimage.dev/tools:1");
    // The name does not change the digest: containerd finds the image by it without a registry.
    let name = format!("e2e.vmimage.dev/tools@{digest}");
    assert_eq!(pack(&name), digest);
    name
}

/// Puts the image into the cluster's containerd.
fn load(archive: &Path) {
    let netns = std::env::var("VMIMAGE_CLUSTER_NETNS").unwrap();
    let cluster = netns.trim_start_matches("vmimg-");
    run(CLUSTER, &["load", "--name", cluster, archive.to_str().unwrap()]);
}

fn spec(image: &str, text: &str) -> Value {
    let partition = json!({"name": "root", "filesystem": {"type": "ext4"}, "contents": [
        {"file": {"path": "/etc/old", "mode": "0640", "uid": 5, "gid": 7, "text": "old"}},
        {"file": {"path": "/etc/gone", "text": "gone"}},
    ]});
    let script = json!({"image": image, "text": text, "env": {"WHOM": "$HOME"}});
    json!({
        "disk": {"size": "4Mi", "partitionTable": "None", "partitions": [partition],
            "scripts": [script]},
        "publish": [{"name": "golden", "pvc": {"request": "16Mi"}}],
    })
}

/// The operator's right to see labels of namespaces, as the chart gives it with `allowScripts`.
async fn may_see_namespaces(space: &Space) {
    let rule = json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]});
    let role = json!({"metadata": {"name": space.namespace}, "rules": [rule]});
    space.apply_cluster("ClusterRole", role).await;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": {"name": space.namespace},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": space.namespace},
        "subjects": [{"kind": "ServiceAccount", "namespace": "vmimage-system",
            "name": "vmimage-operator"}],
    });
    space.apply_cluster("ClusterRoleBinding", binding).await;
}

/// Waits until the image is refused, with these words.
async fn refused(space: &Space, name: &str, words: &str) {
    until(&format!("{name} is refused with {words:?}"), async || {
        let image = space.waits(name, "ScriptsNotAllowed").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        if message.contains(words) { Ok(()) } else { Err(message) }
    })
    .await;
    assert!(space.ours("Job").await.is_empty(), "no Job is made");
}

#[test]
fn scripts_run_where_they_are_allowed() {
    case("290_scripts", Use::Alone, async |space| {
        if foreign() {
            eprintln!("290: not run here: its image is loaded into the host's cluster");
            return;
        }
        let desk = tempfile::tempdir().unwrap();
        let archive = desk.path().join("tools.tar");
        let name = image(&archive);
        load(&archive);
        let document = spec(&name, SCRIPT);
        space.apply("disk", document.clone()).await;
        refused(&space, "disk", "in the chart; it has not").await;
        may_see_namespaces(&space).await;
        let operator = Operator::here(&["--allow-scripts"]).await;
        operator.is_ready().await;
        refused(&space, "disk", "vmimage.dev/allow-scripts: \"true\" (it has not)").await;
        kubectl(&["label", "namespace", &space.namespace, "vmimage.dev/allow-scripts=true"]);
        let built = space.ready("disk").await;

        let file = desk.path().join("document.json");
        let whole = json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
            "metadata": {"name": "disk"}, "spec": document});
        fs_err::write(&file, whole.to_string()).unwrap();
        let flags = ["--allow-scripts", "--script-image", archive.to_str().unwrap()];
        let out = build_on_desk_with(&file, &flags);
        let wanted = sha256sum(&out.path().join("disk.raw"));
        assert_eq!(text(&built, "/status/content/digest"), wanted);
        let (claim, ..) = place(&built);
        let disk = mount(&space, &claim).join("disk.img");
        assert_eq!(sha256sum(&disk), wanted);
        for (path, holds) in
            [("/etc/product", "1099999197 for $HOME"), ("/new/moved", "old"), ("/new/user", "107")]
        {
            let found = run("debugfs", &["-R", &format!("cat {path}"), disk.to_str().unwrap()]);
            assert_eq!(found.trim(), holds, "{path}");
        }
        space.apply("broken", spec(&name, "echo it went wrong >&2; exit 3")).await;
        let broken = space.waits("broken", "ScriptFailed").await;
        let message = text(&condition(&broken, "Stalled").unwrap(), "/message");
        assert!(message.contains("it went wrong"), "{message:?}");
        space.delete_cluster("ClusterRoleBinding", &space.namespace).await;
        space.delete_cluster("ClusterRole", &space.namespace).await;
        operator.leave().await;
    });
}
