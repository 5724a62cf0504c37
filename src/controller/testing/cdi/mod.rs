//! Lives with CDI: adopted, cut at every request, without CDI, with old volumes in use, deleted.
//!
//! Invariant: at no moment does CDI or a DataSource refer to a claim that is not complete; the server
//! looks after every request.

mod trouble;

use serde_json::{Value, json};

use super::crash_points::sweep;
use super::objects::Key;
use super::world::{NAMESPACE, Outcome, pause};
use super::{Fate, World};
use crate::api::{cdi, labels};

const CLAIMS: &str = "persistentvolumeclaims";

fn key(plural: &str, name: &str) -> Key {
    Key::new(plural, NAMESPACE, name)
}

/// A document whose claim, DataVolume and DataSource have these names.
fn document(claim: &str, message: &str) -> Value {
    json!({
        "boot": {"sector": {"message": message}},
        "publish": [{"name": "golden", "pvc": {
            "name": claim, "dataVolume": {}, "dataSource": {"name": "golden"},
        }}],
    })
}

fn with_cdi() -> World {
    let world = World::new();
    world.server.lock().cdi = true;
    world.add("hello", document("golden-1", "Hello World!"));
    world
}

impl World {
    fn object(&self, plural: &str, name: &str) -> Option<Value> {
        self.server.lock().objects.get(&key(plural, name)).ok().cloned()
    }

    fn edit(&self, change: impl FnOnce(&mut Value)) {
        self.server.lock().objects.change(&Self::key("hello"), |image| change(&mut image["spec"]));
    }

    /// Fails unless this claim is published, adopted and pointed at.
    #[track_caller]
    fn serves(&self, claim: &str) {
        self.stands("hello", "True", "Published");
        let volume = self.object("datavolumes", claim).expect("a DataVolume");
        assert_eq!(volume["status"]["phase"], "Succeeded");
        let source = self.object("datasources", "golden").expect("a DataSource");
        let at = json!({"pvc": {"name": claim, "namespace": NAMESPACE}});
        assert_eq!(source["spec"]["source"], at);
        self.kept();
    }
}

#[tokio::test]
async fn a_claim_is_built_adopted_and_pointed_at() {
    let world = with_cdi();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    world.serves("golden-1");
    let volume = world.object("datavolumes", "golden-1").unwrap();
    assert_eq!(volume["metadata"]["annotations"][cdi::PRE_POPULATED], "golden-1");
    assert_eq!(volume["spec"]["source"], json!({"blank": {}}));
    assert_eq!(volume["spec"]["pvc"]["volumeMode"], "Filesystem");
    let writes: Vec<String> = world
        .requests()
        .iter()
        .filter(|seen| seen.is_write() && seen.plural != "events" && seen.plural != "vmimages")
        .map(|seen| format!("{} {}", seen.verb, seen.plural))
        .collect();
    let expected = [
        "create datavolumes",
        "create persistentvolumeclaims",
        "create configmaps",
        "create jobs",
        "create configmaps",
        "patch persistentvolumeclaims",
        "patch persistentvolumeclaims",
        "create datasources",
    ];
    let first: Vec<&String> = writes.iter().filter(|text| !text.starts_with("delete")).collect();
    assert_eq!(first, expected.iter().collect::<Vec<_>>());
    let available = world.condition("hello", "CDIAvailable").unwrap();
    assert_eq!((available.0.as_str(), available.1.as_str()), ("True", "CDIFound"));
}

#[tokio::test]
async fn a_settled_image_writes_nothing_and_does_not_come_back() {
    let world = with_cdi();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    world.requests();
    for _ in 0..20 {
        match world.run(&mut controller, "hello").await {
            Outcome::Done(next) => assert_eq!(pause(&next).as_secs(), 0, "asks to come back"),
            other => panic!("{other:?}"),
        }
    }
    // A run that something else causes looks at the two objects, and that is all.
    let seen = world.requests();
    assert_eq!(seen.len(), 40, "{seen:?}");
    assert!(seen.iter().all(|seen| seen.verb == "get"), "{seen:?}");
}

/// The claim of an image that was published once under another name.
async fn edited() -> World {
    let world = with_cdi();
    world.settle(&mut world.controller(), "hello").await.unwrap();
    world.serves("golden-1");
    world.edit(|spec| *spec = document("golden-2", "second"));
    world.requests();
    world
}

#[tokio::test]
async fn a_life_with_cdi_ends_the_same_wherever_it_was_cut() {
    sweep(async || with_cdi(), |world| world.serves("golden-1")).await;
}

#[tokio::test]
async fn so_does_the_life_of_an_edited_image_with_cdi() {
    sweep(edited, |world| world.serves("golden-2")).await;
}

#[tokio::test]
async fn so_does_one_whose_old_volume_goes() {
    let third = async || {
        let world = edited().await;
        world.settle(&mut world.controller(), "hello").await.unwrap();
        world.edit(|spec| *spec = document("golden-3", "third"));
        world.requests();
        world
    };
    sweep(third, |world| world.serves("golden-3")).await;
    let world = third().await;
    world.settle(&mut world.controller(), "hello").await.unwrap();
    assert!(
        world.object(CLAIMS, "golden-1").is_none()
            && world.object("datavolumes", "golden-1").is_none()
    );
    assert!(
        world.object(CLAIMS, "golden-2").is_some()
            && world.object("datavolumes", "golden-2").is_some()
    );
}

#[tokio::test]
async fn so_does_a_retained_one() {
    let retained = async || {
        let world = with_cdi();
        world.edit(|spec| spec["publish"][0]["pvc"]["retain"] = json!({"onDelete": "Retain"}));
        world
    };
    sweep(&retained, |world| world.serves("golden-1")).await;
    let world = retained().await;
    world.settle(&mut world.controller(), "hello").await.unwrap();
    world.server.lock().objects.remove(&World::key("hello"));
    while world.server.lock().step(&Fate::Success) {}
    let left: Vec<String> = world.picture().as_object().unwrap().keys().cloned().collect();
    assert_eq!(left, ["datavolumes/golden-1", "persistentvolumeclaims/golden-1"]);
    // Another image of this name verifies what it finds and takes it over.
    let before = world.object(CLAIMS, "golden-1").unwrap();
    let mut spec = document("golden-1", "Hello World!");
    spec["publish"][0]["pvc"]["retain"] = json!({"onDelete": "Retain"});
    world.server.lock().promises.jobs.clear();
    world.add("hello", spec);
    world.settle(&mut world.controller(), "hello").await.unwrap();
    world.serves("golden-1");
    let after = world.object(CLAIMS, "golden-1").unwrap();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    let uid = world.image("hello").uid().to_owned();
    assert_eq!(after["metadata"]["annotations"][labels::OWNER_UID], uid.as_str());
    let volume = world.object("datavolumes", "golden-1").unwrap();
    assert_eq!(volume["metadata"]["annotations"][labels::OWNER_UID], uid.as_str());
    assert_eq!(world.server.lock().promises.jobs.len(), 1, "verified by one Job");
}

#[tokio::test]
async fn whenever_the_image_is_deleted_nothing_is_left_but_what_is_retained() {
    for retain in [false, true] {
        for runs in 0..12 {
            let world = with_cdi();
            if retain {
                world.edit(|spec| {
                    spec["publish"][0]["pvc"]["retain"] = json!({"onDelete": "Retain"});
                });
            }
            let mut controller = world.controller();
            for _ in 0..runs {
                world.run(&mut controller, "hello").await;
                world.server.lock().step(&world.fate);
            }
            let ready = world.condition("hello", "Ready").is_some_and(|ready| ready.0 == "True");
            world.server.lock().objects.remove(&World::key("hello"));
            while world.server.lock().step(&world.fate) {}
            let left: Vec<String> = world.picture().as_object().unwrap().keys().cloned().collect();
            if ready && retain {
                assert_eq!(left.len(), 2, "{left:?}");
            } else if !retain {
                assert_eq!(left, [] as [&str; 0], "after {runs} runs");
            }
            let claim = world.object(CLAIMS, "golden-1");
            assert!(claim.is_some() || left.is_empty(), "after {runs} runs: {left:?}");
            if let Some(claim) = claim {
                assert!(claim["metadata"]["annotations"][labels::COMPLETE].is_string());
            }
        }
    }
}

#[tokio::test]
async fn cdi_that_comes_later_is_used_and_cdi_that_goes_is_waited_for() {
    let world = with_cdi();
    world.server.lock().cdi = false;
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "False", "WaitingForCDI");
    for kind in ["Built", "Published"] {
        assert_eq!(world.condition("hello", kind).unwrap().0, "True", "{kind}");
    }
    let available = world.condition("hello", "CDIAvailable").unwrap();
    assert_eq!((available.0.as_str(), available.1.as_str()), ("False", "CDIMissing"));
    let current = world.image("hello").status().targets[0].current.clone().unwrap();
    assert_eq!(current.reference.name, "golden-1");
    assert!(world.object("datavolumes", "golden-1").is_none());

    world.server.lock().cdi = true;
    world.settle(&mut controller, "hello").await.unwrap();
    world.serves("golden-1");
    let jobs = world.server.lock().promises.jobs.len();
    assert_eq!(jobs, 1, "nothing is built again");

    // The definitions are deleted, and all objects with them.
    world.server.lock().cdi = false;
    world.server.lock().objects.remove(&key("datavolumes", "golden-1"));
    world.server.lock().objects.remove(&key("datasources", "golden"));
    world.settle(&mut controller, "hello").await.unwrap();
    world.stands("hello", "False", "WaitingForCDI");
    world.server.lock().cdi = true;
    world.settle(&mut controller, "hello").await.unwrap();
    world.serves("golden-1");
}

#[tokio::test]
async fn what_hands_change_is_put_back() {
    let world = with_cdi();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    world.server.lock().objects.change(&key("datasources", "golden"), |source| {
        source["spec"]["source"] = json!({"snapshot": {"name": "s", "namespace": "n"}});
        source["metadata"]["labels"]["instancetype.kubevirt.io/default-preference"] = "x".into();
    });
    world.settle(&mut controller, "hello").await.unwrap();
    world.serves("golden-1");
    let source = world.object("datasources", "golden").unwrap();
    assert!(source["metadata"]["labels"]["instancetype.kubevirt.io/default-preference"].is_null());
    for (plural, name) in
        [("datasources", "golden"), ("datavolumes", "golden-1"), (CLAIMS, "golden-1")]
    {
        world.server.lock().promises.jobs.clear();
        world.server.lock().objects.remove(&key(plural, name));
        while world.server.lock().step(&world.fate) {}
        world.settle(&mut controller, "hello").await.unwrap();
        world.serves("golden-1");
        let built = world.server.lock().promises.jobs.len();
        assert_eq!(built, usize::from(plural == CLAIMS), "the claim alone is built again");
    }
}

#[tokio::test]
async fn a_data_volume_of_its_user_waits_for_the_claim() {
    for (prepared, first) in [(true, true), (true, false), (false, true)] {
        let world = with_cdi();
        world.edit(|spec| {
            spec["publish"][0]["pvc"]["dataVolume"] = json!({"create": "Never"});
        });
        let add = || {
            let annotations = match prepared {
                true => json!({cdi::PRE_POPULATED: "golden-1"}),
                false => json!({}),
            };
            let volume = json!({"metadata": {"annotations": annotations}, "spec": {}});
            world.server.lock().objects.create(key("datavolumes", "golden-1"), volume).unwrap();
        };
        let mut controller = world.controller();
        if first {
            add();
            while world.server.lock().step(&world.fate) {}
        }
        world.settle(&mut controller, "hello").await.unwrap();
        if !prepared {
            let message = world.stands("hello", "False", "DataVolumeFirst");
            assert!(message.contains("storage.prePopulated: golden-1"), "{message}");
            continue;
        }
        if !first {
            world.stands("hello", "True", "Published");
            add();
            while world.server.lock().step(&world.fate) {}
            world.settle(&mut controller, "hello").await.unwrap();
        }
        world.serves("golden-1");
        let volume = world.object("datavolumes", "golden-1").unwrap();
        assert!(volume["metadata"]["annotations"][labels::OWNER_UID].is_null(), "not ours");
    }
}
