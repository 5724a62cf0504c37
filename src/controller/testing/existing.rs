//! What the controller makes is there already: by itself, by an earlier image of the same name, or
//! by somebody else.

use serde_json::{Value, json};

use super::World;
use super::objects::Key;
use super::world::NAMESPACE;
use crate::api::labels;

const KINDS: [&str; 3] = ["persistentvolumeclaims", "configmaps", "jobs"];

/// The key of the first object of this kind that the controller makes.
async fn made(kind: &str) -> Key {
    let world = World::with_hello();
    world.run(&mut world.controller(), "hello").await;
    world.server.lock().objects.all(kind).remove(0).0
}

/// A world in which the controller's next object of this kind is there, with these annotations.
fn world(key: &Key, annotations: &Value) -> World {
    let world = World::with_hello();
    let owner = annotations.get(labels::OWNER_UID).cloned();
    let labels = match &owner {
        Some(_) => json!({labels::MANAGED_BY: labels::MANAGER, labels::IMAGE: "hello",
            labels::TARGET: "golden"}),
        None => json!({}),
    };
    let mut object = json!({"metadata": {"annotations": annotations, "labels": labels}, "spec": {},
        "data": {"mine": "1"}});
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "vmimage.dev/v1alpha1",
            "kind": "VMImage", "name": "hello", "uid": owner}]);
    }
    world.server.lock().objects.create(key.clone(), object).unwrap();
    world
}

#[tokio::test]
async fn an_object_of_an_earlier_image_is_waited_for() {
    for kind in KINDS {
        let key = made(kind).await;
        let world = world(&key, &json!({labels::OWNER_UID: "gone", labels::TARGET_HASH: "x"}));
        let mut controller = world.controller();
        world.run(&mut controller, "hello").await;
        let message = world.stands("hello", "False", "NamesakeTerminating");
        assert!(message.contains(&key.name), "{message}");
        let there = world.server.lock().objects.get(&key).unwrap().clone();
        assert_eq!(there["data"]["mine"], "1", "{kind} was touched");
        world.server.lock().objects.remove(&key);
        world.settle(&mut controller, "hello").await.unwrap();
        world.stands("hello", "True", "Published");
        world.kept();
    }
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_touched() {
    for kind in KINDS {
        let key = made(kind).await;
        let world = world(&key, &json!({}));
        let mut controller = world.controller();
        for _ in 0..5 {
            world.run(&mut controller, "hello").await;
        }
        let message = world.stands("hello", "False", "NameConflict");
        assert!(message.contains(&key.name), "{message}");
        let there = world.server.lock().objects.get(&key).unwrap().clone();
        assert_eq!(
            (&there["data"]["mine"], &there["metadata"]["generation"]),
            (&json!("1"), &json!(1))
        );
        assert!(there["metadata"]["ownerReferences"].is_null(), "{kind} was adopted");
    }
}

#[tokio::test]
async fn an_object_of_our_own_that_the_cache_does_not_know_yet_is_as_good() {
    let world = World::with_hello();
    let mut controller = world.controller();
    // The second run of a controller whose caches are behind: it sees nothing of the first.
    let image = world.image("hello");
    world.run(&mut controller, "hello").await;
    let jobs = world.server.lock().promises.jobs.clone();
    let behind = World { server: world.server.clone(), fate: super::Fate::Success };
    let fresh = behind.controller();
    super::super::reconcile::reconcile(image, fresh.context.clone()).await.unwrap();
    assert_eq!(world.server.lock().promises.jobs, jobs, "no second Job");
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "True", "Published");
    world.kept();
}

#[tokio::test]
async fn a_named_claim_of_somebody_else_is_told() {
    let world = World::new();
    let mut spec = super::world::hello();
    spec["publish"][0]["pvc"]["name"] = "golden-disk".into();
    world.add("hello", spec);
    let key = Key::new("persistentvolumeclaims", NAMESPACE, "golden-disk");
    world.server.lock().objects.create(key.clone(), json!({"metadata": {}, "spec": {}})).unwrap();
    let before = world.server.lock().objects.get(&key).unwrap().clone();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "False", "NameConflict");
    assert_eq!(world.server.lock().objects.get(&key).unwrap(), &before);
}
