//! Scripts run where operator and namespace allow them, in init containers.

use serde_json::{Value, json};

use super::World;
use super::objects::Key;

fn document() -> Value {
    let image = format!("r.example/a@sha256:{}", "a".repeat(64));
    json!({
        "disk": {
            "size": "8Mi",
            "partitions": [{"name": "root", "filesystem": {"type": "ext4"}}],
            "scripts": [{"image": image, "text": "true"}],
        },
        "publish": [{"name": "golden", "pvc": {}}],
    })
}

#[tokio::test]
async fn scripts_need_the_namespaces_label() {
    let world = World::new();
    world.add("hello", document());
    let mut controller = world.controller();
    let namespace = Key::new("namespaces", "", "ns");
    let object = |label: Option<&str>| {
        let labels = label.map(|value| json!({"vmimage.dev/allow-scripts": value}));
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": labels.unwrap_or(json!({}))}})
    };
    for label in [None, Some("false")] {
        world.server.lock().objects.create(namespace.clone(), object(label)).unwrap();
        world.run(&mut controller, "hello").await;
        let (status, reason, message) = world.condition("hello", "Stalled").unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("True", "ScriptsNotAllowed"));
        for part in ["--allow-scripts", "vmimage.dev/allow-scripts: \"true\" (it has not)"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(world.server.lock().objects.all("jobs").is_empty(), "an attempt was made");
        world.server.lock().objects.delete(&namespace, None).unwrap();
    }
    world.server.lock().objects.create(namespace, object(Some("true"))).unwrap();
    world.run(&mut controller, "hello").await;
    let (_, job) = world.server.lock().objects.all("jobs").remove(0);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["initContainers"].as_array().unwrap().len(), 2);
    for container in pod["initContainers"].as_array().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true, "{container}");
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{container}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{container}");
        let mounts = container["volumeMounts"].to_string();
        assert!(!mounts.contains("target"), "{mounts}");
    }
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsUser"], 107);
}
