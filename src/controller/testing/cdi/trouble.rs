//! Old volumes that somebody uses, rights that are missing, namespaces that end, faults at any write.
//!
//! Invariant: as of `testing::cdi`.

use super::*;

/// An object that uses the claim of this name.
type User = fn(&str) -> Value;

/// An edit whose success makes the volume of two edits before due.
async fn due() -> World {
    let world = World::with_hello();
    let mut controller = world.controller();
    for message in ["second", "third"] {
        world.settle(&mut controller, "hello").await.unwrap();
        world.edit(|spec| spec["boot"]["sector"]["message"] = message.into());
    }
    world
}

fn oldest(world: &World) -> String {
    let claims = world.server.lock().objects.all(CLAIMS);
    let age = |claim: &Value| claim["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
    claims.iter().min_by_key(|(_, claim)| age(claim)).unwrap().0.name.clone()
}

#[tokio::test]
async fn an_old_volume_that_is_used_stays_and_says_by_whom() {
    let users: [(&str, User); 5] = [
        ("pods", |claim| {
            json!({"spec": {"containers": [], "volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}})
        }),
        ("datavolumes", |claim| {
            json!({"status": {"phase": "CloneScheduled"}, "spec": {"source":
            {"pvc": {"name": claim, "namespace": NAMESPACE}}}})
        }),
        ("datavolumes", |_| {
            json!({"status": {"phase": "Pending"}, "spec": {"sourceRef":
            {"kind": "DataSource", "name": "golden", "namespace": NAMESPACE}}})
        }),
        ("virtualmachines", |claim| {
            json!({"spec": {"template": {"spec": {"volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}}}})
        }),
        ("virtualmachineinstances", |claim| {
            json!({"spec": {"volumes": [
            {"name": "v", "dataVolume": {"name": claim}}]}})
        }),
    ];
    for (index, (plural, user)) in users.into_iter().enumerate() {
        let world = due().await;
        let claim = oldest(&world);
        {
            let mut state = world.server.lock();
            (state.cdi, state.kubevirt) = (true, true);
            let labels = json!({labels::IMAGE: "hello"});
            let source = json!({"metadata": {"labels": labels}, "spec": {"source": {}}});
            state.objects.create(key("datasources", "golden"), source).unwrap();
            let mut user = user(&claim);
            user["metadata"] = json!({"annotations": {cdi::PRE_POPULATED: "user"}});
            state.objects.create(key(plural, "user"), user).unwrap();
        }
        let mut controller = world.controller();
        world.settle(&mut controller, "hello").await.unwrap();
        world.stands("hello", "True", "Published");
        assert!(world.object(CLAIMS, &claim).is_some(), "{plural} {index}");
        let kept = world.condition("hello", "OldVolumesKept").unwrap();
        assert_eq!((kept.0.as_str(), kept.1.as_str()), ("True", "InUse"));
        assert!(kept.2.contains(&claim) && kept.2.contains("user"), "{}", kept.2);
        world.server.lock().objects.remove(&key(plural, "user"));
        world.settle(&mut controller, "hello").await.unwrap();
        assert!(world.object(CLAIMS, &claim).is_none(), "{plural}");
        assert!(world.condition("hello", "OldVolumesKept").is_none());
    }
}

#[tokio::test]
async fn what_may_not_be_looked_at_keeps_old_volumes_and_is_no_error() {
    for plural in ["pods", "datavolumes", "datasources", "virtualmachines"] {
        let world = due().await;
        let claim = oldest(&world);
        {
            let mut state = world.server.lock();
            (state.cdi, state.kubevirt) = (true, true);
            state.unreadable.insert(plural.to_owned());
        }
        let mut controller = world.controller();
        let pauses = world.settle(&mut controller, "hello").await.unwrap();
        assert!(pauses.is_empty(), "an error: {pauses:?}");
        let kept = world.condition("hello", "OldVolumesKept").unwrap();
        assert_eq!(kept.1, "CannotLook");
        assert!(kept.2.contains(plural), "{}", kept.2);
        assert!(world.object(CLAIMS, &claim).is_some());
        world.server.lock().unreadable.clear();
        world.settle(&mut controller, "hello").await.unwrap();
        assert!(world.object(CLAIMS, &claim).is_none());
    }
}

#[tokio::test]
async fn rights_that_are_missing_are_told_and_are_no_error() {
    for plural in ["datavolumes", "datasources"] {
        let world = with_cdi();
        world.server.lock().unreadable.insert(plural.to_owned());
        let pauses = world.settle(&mut world.controller(), "hello").await.unwrap();
        assert!(pauses.is_empty(), "an error: {pauses:?}");
        let message = world.stands("hello", "False", "Refused");
        assert!(message.contains("forbidden"), "{message}");
        let world = with_cdi();
        world.server.lock().refused.insert(plural.to_owned(), (403, "no".to_owned()));
        // What is refused is tried again, so this does not settle.
        let mut controller = world.controller();
        for _ in 0..20 {
            match world.run(&mut controller, "hello").await {
                Outcome::Done(_) => drop(world.server.lock().step(&world.fate)),
                other => panic!("{other:?}"),
            }
        }
        world.stands("hello", "False", "Refused");
        world.kept();
    }
}

#[tokio::test]
async fn cdis_overhead_makes_a_claim_larger() {
    let world = with_cdi();
    let config = json!({"metadata": {}, "status": {"filesystemOverhead":
        {"global": "0.06", "storageClass": {"standard": "0.25"}}}});
    world.server.lock().objects.create(Key::new("cdiconfigs", "", "config"), config).unwrap();
    world.settle(&mut world.controller(), "hello").await.unwrap();
    let claim = world.object(CLAIMS, "golden-1").unwrap();
    // ceil(1 MiB × 1.25).
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1310720");
    let volume = world.object("datavolumes", "golden-1").unwrap();
    assert_eq!(volume["spec"]["pvc"]["resources"], claim["spec"]["resources"]);
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_left_in_peace() {
    let world = with_cdi();
    let text =
        "forbidden: unable to create new content in namespace ns because it is being terminated";
    for plural in ["datavolumes", CLAIMS, "configmaps", "jobs", "datasources"] {
        world.server.lock().refused.insert(plural.to_owned(), (403, text.to_owned()));
    }
    let mut controller = world.controller();
    match world.run(&mut controller, "hello").await {
        Outcome::Done(next) => assert_eq!(pause(&next).as_secs(), 0, "asks to come back"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn faults_at_any_write_are_overcome_with_cdi() {
    use super::super::Fault;
    let calm = with_cdi();
    calm.settle(&mut calm.controller(), "hello").await.unwrap();
    let (expected, writes) = (calm.picture(), calm.server.lock().writes);
    for number in 0..writes {
        for fault in [Fault::Answer(409), Fault::Answer(500), Fault::Reset, Fault::LostAnswer] {
            let world = with_cdi();
            world.server.lock().faults.insert(number, fault);
            world.settle(&mut world.controller(), "hello").await.unwrap();
            world.serves("golden-1");
            assert_eq!(world.picture(), expected, "{fault:?} at write {number}");
        }
    }
}
