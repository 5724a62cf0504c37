//! What has settled is left alone.

use std::time::Duration;

use serde_json::json;

use super::World;
use super::world::{Outcome, hello, pause};

#[tokio::test]
async fn a_settled_image_causes_no_request() {
    let world = World::with_hello();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "True", "Published");
    world.requests();
    for _ in 0..100 {
        match world.run(&mut controller, "hello").await {
            Outcome::Done(next) => assert_eq!(pause(&next), Duration::ZERO, "asks to come back"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.requests(), []);
    // And the same counters see it when there is something to do.
    world.server.lock().objects.change(&World::key("hello"), |image| {
        image["spec"]["boot"]["sector"]["message"] = "other".into();
    });
    world.run(&mut controller, "hello").await;
    assert!(world.requests().iter().filter(|seen| seen.is_write()).count() >= 4);
}

#[tokio::test]
async fn nothing_is_left_of_a_life_but_the_volume_and_its_manifest() {
    let world = World::with_hello();
    world.settle(&mut world.controller(), "hello").await.unwrap();
    let picture = world.picture();
    let left: Vec<&String> = picture.as_object().unwrap().keys().collect();
    let base = world.image("hello").status().targets[0].current.clone().unwrap().reference.name;
    let expected = [
        format!("configmaps/{base}-m"),
        format!("persistentvolumeclaims/{base}"),
        "vmimages/hello".to_owned(),
    ];
    assert_eq!(left, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn an_erased_status_comes_back_without_a_job() {
    let world = World::with_hello();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    let before = world.picture();
    world.server.lock().objects.change(&World::key("hello"), |image| {
        image.as_object_mut().unwrap().remove("status");
    });
    world.settle(&mut controller, "hello").await.unwrap();
    assert_eq!(world.picture(), before);
    assert_eq!(world.server.lock().promises.jobs.len(), 1);
}

#[tokio::test]
async fn bad_specs_are_told_and_others_go_on() {
    let world = World::with_hello();
    let odd = [
        ("text", json!("a string")),
        ("list", json!([1, 2])),
        (
            "unknown",
            json!({"boot": {"sector": {"mesage": "x"}}, "publish": [{"name": "g", "pvc": {}}]}),
        ),
        ("wrong", json!({"disk": {"size": true}, "publish": "all"})),
        ("null", json!(null)),
    ];
    let mut controller = world.controller();
    for (name, spec) in &odd {
        world.add(name, spec.clone());
    }
    for (name, spec) in &odd {
        world.settle(&mut controller, name).await.unwrap();
        world.stands(name, "False", "InvalidSpec");
        let stalled = world.condition(name, "Stalled").unwrap();
        assert_eq!(stalled.0, "True");
        println!("{spec} -> {}", stalled.2);
    }
    let hint = world.condition("unknown", "Stalled").unwrap().2;
    assert!(hint.contains("boot.sector.mesage") && hint.contains("message"), "{hint}");
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "True", "Published");
    // A mended one goes its way.
    world.server.lock().objects.change(&World::key("text"), |image| image["spec"] = hello());
    world.settle(&mut controller, "text").await.unwrap();
    world.stands("text", "True", "Published");
    assert!(world.condition("text", "Stalled").is_none());
}
