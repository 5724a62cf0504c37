//! Inputs without digest: looked at once, kept in the status, looked at again when asked to.

use serde_json::{Value, json};

use super::World;
use super::node::Fate;
use super::objects::Key;
use crate::api::labels;
use crate::report::{Code, Report};

const FIELD: &str = "spec.boot.sector.source";

fn digest(of: char) -> String {
    format!("sha256:{}", of.to_string().repeat(64))
}

fn document(url: &str) -> Value {
    json!({
        "boot": {"sector": {"source": {"http": {"url": url}, "allowMutable": true}}},
        "publish": [{"name": "golden", "pvc": {}}],
    })
}

fn world() -> World {
    let world = World::new();
    world.add("hello", document("https://a.example/"));
    world.server.lock().inputs = vec![digest('a')];
    world
}

/// How many Jobs were made so far, and the contentHash in the status.
fn made(world: &World) -> (usize, String) {
    let jobs = world.server.lock().promises.jobs.values().sum();
    let hash = world.image("hello").status["contentHash"].as_str().unwrap_or_default().to_owned();
    (jobs, hash)
}

fn change(world: &World, change: impl FnOnce(&mut Value)) {
    let key = Key::new("vmimages", "ns", "hello");
    world.server.lock().objects.change(&key, change);
}

fn names(world: &World, plural: &str) -> Vec<String> {
    let all = world.server.lock().objects.all(plural);
    all.into_iter().map(|(key, _)| key.name).collect()
}

#[tokio::test]
async fn what_was_found_is_built_until_it_is_asked_for_again() {
    let world = world();
    let mut controller = world.controller();
    world.run(&mut controller, "hello").await;
    world.stands("hello", "False", "Resolving");
    assert!(names(&world, "persistentvolumeclaims").is_empty(), "nothing is built yet");
    let (_, job) = world.server.lock().objects.all("jobs").remove(0);
    let pod = &job["spec"]["template"]["spec"];
    let volumes: Vec<_> = pod["volumes"].as_array().unwrap().iter().map(|v| &v["name"]).collect();
    assert_eq!(volumes, ["document", "scratch"]);

    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "True", "Published");
    let inputs = world.image("hello").status["inputs"]["digests"].clone();
    assert_eq!(inputs, json!([{"field": FIELD, "digest": digest('a')}]));
    let (jobs, first) = made(&world);
    assert_eq!(jobs, 2, "one that looked, one that built");
    assert!(names(&world, "jobs").is_empty(), "both are gone");
    let left = names(&world, "configmaps");
    assert!(left.iter().all(|name| name.ends_with("-m")), "documents are gone: {left:?}");

    // Other bytes, another edit: nothing is looked at.
    world.server.lock().inputs = vec![digest('b')];
    change(&world, |image| {
        image["spec"]["build"] = json!({"maxAttempts": 2});
    });
    world.settle(&mut controller, "hello").await.unwrap();
    assert_eq!(made(&world), (2, first.clone()));

    // The annotation asks for it; the same bytes are no other content.
    let token = |token: &str| {
        let token = token.to_owned();
        change(&world, |image| {
            image["metadata"]["annotations"] = json!({labels::REBUILD: token});
        });
    };
    world.server.lock().inputs = vec![digest('a')];
    token("one");
    world.settle(&mut controller, "hello").await.unwrap();
    assert_eq!(made(&world), (3, first.clone()));
    world.stands("hello", "True", "Published");
    world.server.lock().inputs = vec![digest('b')];
    token("two");
    world.settle(&mut controller, "hello").await.unwrap();
    let (jobs, second) = made(&world);
    assert_eq!(jobs, 5);
    assert_ne!(first, second);

    // An edit of the source itself asks, too.
    change(&world, |image| {
        image["spec"] = document("https://b.example/");
    });
    world.settle(&mut controller, "hello").await.unwrap();
    assert_eq!(made(&world), (6, second), "the same bytes elsewhere are the same content");
    world.kept();
}

/// The document of the build has the digest that was found: a pod that finds other bytes refuses.
#[tokio::test]
async fn the_build_is_pinned() {
    let world = world();
    let mut controller = world.controller();
    for _ in 0..20 {
        world.run(&mut controller, "hello").await;
        let maps = world.server.lock().objects.all("configmaps");
        let document = |map: &Value| -> Value {
            serde_json::from_str(map["data"]["vmimage.json"].as_str().unwrap()).unwrap()
        };
        let hash = &world.image("hello").status["contentHash"];
        let of_build = |map: &&(Key, Value)| {
            hash.is_string() && map.1["metadata"]["annotations"][labels::CONTENT_HASH] == *hash
        };
        if let Some((_, map)) = maps.iter().find(of_build) {
            let source = &document(map)["spec"]["boot"]["sector"]["source"];
            assert_eq!(source["digest"], digest('a'));
            return;
        }
        world.server.lock().step(&Fate::Success);
    }
    panic!("no build was started");
}

#[tokio::test]
async fn a_source_that_cannot_be_looked_at_stalls() {
    let mut world = world();
    let report = Report::failure(Code::SourceRefused, "no", Some(FIELD)).to_text();
    world.fate = Fate::Failure(77, "Error", report);
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "False", "SourceRefused");
    assert_eq!(made(&world).0, 1, "one attempt");
    // Another number of digests than asked for is a defect.
    world.fate = Fate::Success;
    world.server.lock().inputs = vec![digest('a'), digest('b')];
    change(&world, |image| {
        image["metadata"]["annotations"] = json!({labels::REBUILD: "again"});
    });
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "False", "Bug");
    assert_eq!(made(&world).0, 3, "a defect is tried once more");
}
