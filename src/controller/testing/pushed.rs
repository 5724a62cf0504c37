//! Container images and block devices in a life with an API server.
//!
//! Invariant: as of `testing`.

use serde_json::{Value, json};

use super::{Death, World};

fn document(message: &str) -> Value {
    json!({
        "boot": {"sector": {"message": message}},
        "publish": [{"name": "golden", "containerDisk": {
            "image": "registry.example/t/hello", "tags": ["1"],
            "pushSecretRef": {"name": "push"},
            "caBundle": {"configMapKeyRef": {"name": "ca", "key": "ca.pem"}},
        }}],
    })
}

fn world() -> World {
    let world = World::new();
    world.add("hello", document("one"));
    world
}

fn token(world: &World, token: &str) {
    world.server.lock().objects.change(&World::key("hello"), |image| {
        image["metadata"]["annotations"]["vmimage.dev/rebuild"] = token.into();
    });
}

fn jobs_made(world: &World) -> usize {
    world.server.lock().promises.jobs.values().sum()
}

#[tokio::test]
async fn an_image_is_pushed_told_and_left_alone() {
    let world = world();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "True", "Published");
    let status = world.image("hello").status();
    let current = status.targets[0].current.clone().unwrap();
    assert_eq!(current.reference.kind, "ContainerImage");
    assert_eq!(current.reference.name, "registry.example/t/hello");
    assert_eq!(status.history.len(), 1);
    let left = world.picture();
    let left: Vec<_> = left.as_object().unwrap().keys().cloned().collect();
    assert_eq!(left.len(), 2, "the image and its build manifest: {left:?}");
    world.requests();
    world.run(&mut controller, "hello").await;
    assert_eq!(world.requests(), []);
}

#[tokio::test]
async fn another_token_pushes_once_more() {
    let world = world();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    token(&world, "1");
    world.settle(&mut controller, "hello").await.unwrap();
    assert_eq!(jobs_made(&world), 2);
    let current = world.image("hello").status().targets[0].current.clone().unwrap();
    assert_eq!(current.rebuild.as_deref(), Some("1"));
    world.settle(&mut controller, "hello").await.unwrap();
    assert_eq!(jobs_made(&world), 2);
}

#[tokio::test]
async fn a_life_with_an_edit_ends_the_same_wherever_it_was_cut() {
    let edited = async || {
        let world = world();
        world.settle(&mut world.controller(), "hello").await.unwrap();
        world.server.lock().objects.change(&World::key("hello"), |image| {
            image["spec"] = document("two");
        });
        world.requests();
        world
    };
    let whole = edited().await;
    whole.settle(&mut whole.controller(), "hello").await.unwrap();
    let (requests, expected) = (whole.requests().len(), whole.picture());
    assert!(requests > 5, "{requests}");
    for last in 0..requests {
        for death in [Death::Before, Death::After] {
            let world = edited().await;
            let died = world.settle(&mut world.mortal(last, death), "hello").await.is_none();
            assert!(died, "request {last} of {requests} was never made");
            while world.server.lock().step(&world.fate) {}
            world.settle(&mut world.controller(), "hello").await.unwrap();
            assert_eq!(world.picture(), expected, "killed at request {last}, {death:?}");
        }
    }
}

#[tokio::test]
async fn of_two_images_the_older_has_the_tag() {
    let world = world();
    world.add("later", document("two"));
    let mut controller = world.controller();
    for name in ["later", "hello", "later"] {
        world.settle(&mut controller, name).await.unwrap();
    }
    world.stands("hello", "True", "Published");
    let message = world.stands("later", "False", "TagConflict");
    assert!(message.contains("ns/hello") && message.contains("registry.example/t/hello:1"));
    // Once it is gone, the other one goes on.
    world.server.lock().objects.remove(&World::key("hello"));
    world.settle(&mut controller, "later").await.unwrap();
    world.stands("later", "True", "Published");
}

/// The pod of the first build of `spec`.
async fn pod(spec: Value) -> Value {
    let world = World::new();
    world.add("hello", spec);
    world.run(&mut world.controller(), "hello").await;
    let (_, job) = world.server.lock().objects.all("jobs").into_iter().next().unwrap();
    job["spec"]["template"]["spec"].clone()
}

fn target(pod: &Value) -> Value {
    let volumes = pod["volumes"].as_array().unwrap();
    volumes.iter().find(|volume| volume["name"] == "target").unwrap().clone()
}

fn has(pod: &Value, flag: &str, value: &str) -> bool {
    let args = pod["containers"][0]["args"].as_array().unwrap();
    args.windows(2).any(|pair| pair[0] == flag && pair[1] == value)
}

#[tokio::test]
async fn a_push_gets_one_key_of_its_secret_and_its_certificates() {
    let pod = pod(document("one")).await;
    let secret =
        json!({"name": "push", "items": [{"key": ".dockerconfigjson", "path": "config.json"}]});
    let ca = json!({"name": "ca", "items": [{"key": "ca.pem", "path": "ca.crt"}]});
    assert_eq!(
        target(&pod),
        json!({"name": "target", "projected": {"defaultMode": 0o440,
            "sources": [{"secret": secret}, {"configMap": ca}]}})
    );
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = json!({"name": "target", "mountPath": "/push", "readOnly": true});
    assert!(mounts.contains(&mount), "{mounts:?}");
    assert!(has(&pod, "--push", "/push"), "{pod}");
}

#[tokio::test]
async fn a_block_volume_is_a_device_of_just_its_size() {
    let world = World::new();
    world.add(
        "hello",
        json!({"disk": {"size": "64Mi"},
            "publish": [{"name": "golden", "pvc": {"volumeMode": "Block",
                "labels": {"team": "a"}, "defaults": {"instancetype": {"name": "u1.nano", "kind": "VirtualMachineInstancetype"}}}}]}),
    );
    let mut controller = world.controller();
    world.run(&mut controller, "hello").await;
    let (_, claim) = world.server.lock().objects.all("persistentvolumeclaims").remove(0);
    assert_eq!(claim["spec"]["volumeMode"], "Block");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "67108864");
    let labels = &claim["metadata"]["labels"];
    assert_eq!(
        (&labels["team"], &labels["instancetype.kubevirt.io/default-instancetype-kind"]),
        (&json!("a"), &json!("VirtualMachineInstancetype"))
    );
    let (_, job) = world.server.lock().objects.all("jobs").remove(0);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(
        pod["containers"][0]["volumeDevices"],
        json!([{"name": "target", "devicePath": "/dev/target"}])
    );
    assert!(has(pod, "--device", "/dev/target"));
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "True", "Published");
    // Other labels are put on in place: nothing is built again.
    world.server.lock().objects.change(&World::key("hello"), |image| {
        let pvc = &mut image["spec"]["publish"][0]["pvc"];
        pvc["labels"] = json!({"crew": "b"});
        pvc["annotations"] = json!({"example.com/note": "c"});
    });
    world.settle(&mut controller, "hello").await.unwrap();
    let (_, claim) = world.server.lock().objects.all("persistentvolumeclaims").remove(0);
    let labels = &claim["metadata"]["labels"];
    assert_eq!((&labels["team"], &labels["crew"]), (&Value::Null, &json!("b")));
    assert_eq!(claim["metadata"]["annotations"]["example.com/note"], "c");
    assert_eq!(jobs_made(&world), 1);
    world.stands("hello", "True", "Published");
}
