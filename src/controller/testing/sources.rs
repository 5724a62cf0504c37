//! A ConfigMap as a source: waited for, hashed, and its change is another content.

use serde_json::{Value, json};

use super::World;
use super::objects::Key;
use super::world::Outcome;

fn document() -> Value {
    json!({
        "boot": {"sector": {"source": {"configMapKeyRef": {"name": "files", "key": "sector"}}}},
        "publish": [{"name": "golden", "pvc": {}}],
    })
}

fn ready(world: &World) -> (String, String) {
    let ready = &world.image("hello").status["conditions"][0];
    let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

fn map(world: &World, data: Value) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": data});
    world.server.lock().objects.create(Key::new("configmaps", "ns", "files"), object).unwrap();
}

#[tokio::test]
async fn a_missing_config_map_is_waited_for() {
    let world = World::new();
    world.add("hello", document());
    let mut controller = world.controller();
    assert!(matches!(world.run(&mut controller, "hello").await, Outcome::Done(_)));
    let field = "spec.boot.sector.source";
    let wanted = format!("{field}: there is no ConfigMap files");
    assert_eq!(ready(&world), ("SourceMissing".to_owned(), wanted));
    assert!(world.server.lock().objects.all("jobs").is_empty(), "an attempt was made");

    map(&world, json!({"other": "x"}));
    world.run(&mut controller, "hello").await;
    let wanted = format!("{field}: ConfigMap files has no key sector");
    assert_eq!(ready(&world), ("SourceMissing".to_owned(), wanted));
    world.server.lock().objects.delete(&Key::new("configmaps", "ns", "files"), None).unwrap();

    map(&world, json!({"sector": "bytes"}));
    world.run(&mut controller, "hello").await;
    assert_eq!(ready(&world).0, "Building");
    let (_, job) = world.server.lock().objects.all("jobs").remove(0);
    let pod = &job["spec"]["template"]["spec"];
    let named = |list: &Value, name: &str| {
        list.as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap()
    };
    assert_eq!(
        named(&pod["volumes"], "configmap-0")["configMap"],
        json!({"name": "files", "items": [{"key": "sector", "path": "sector"}]})
    );
    let container = &pod["containers"][0];
    assert_eq!(named(&container["volumeMounts"], "configmap-0")["readOnly"], true);
    let args: Vec<_> = container["args"].as_array().unwrap().iter().collect();
    assert!(
        args.windows(2).any(|pair| pair[0] == "--sources" && pair[1] == "/sources"),
        "{args:?}"
    );
}
