//! Every write of an image's life goes wrong once, in every way.

use std::time::Duration;

use super::world::Outcome;
use super::{Fault, World};

const FAULTS: [Fault; 8] = [
    Fault::Answer(409),
    Fault::Answer(422),
    Fault::Answer(429),
    Fault::Answer(500),
    Fault::Answer(503),
    Fault::Answer(504),
    Fault::Reset,
    Fault::LostAnswer,
];

#[tokio::test]
async fn every_fault_at_every_write_is_overcome() {
    let calm = World::with_hello();
    calm.settle(&mut calm.controller(), "hello").await.unwrap();
    let (expected, writes) = (calm.picture(), calm.server.lock().writes);
    println!("{writes} writes, {} faults each", FAULTS.len());
    for number in 0..writes {
        for fault in FAULTS {
            let world = World::with_hello();
            world.server.lock().faults.insert(number, fault);
            world.settle(&mut world.controller(), "hello").await.unwrap();
            world.kept();
            assert_eq!(world.picture(), expected, "{fault:?} at write {number}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_asked_less_and_less() {
    let world = World::with_hello();
    world.server.lock().faults.extend((0..12).map(|write| (write, Fault::Answer(500))));
    let pauses = world.settle(&mut world.controller(), "hello").await.unwrap();
    println!("{pauses:?}");
    assert!(pauses.len() >= 10, "{pauses:?}");
    assert!(pauses[0] >= Duration::from_millis(500) && pauses[0] < Duration::from_secs(1));
    assert!(pauses.windows(2).all(|two| two[1] > two[0] || two[1] >= Duration::from_secs(300)));
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(375)), "{pauses:?}");
    world.stands("hello", "True", "Published");
}

#[tokio::test]
async fn success_forgets_the_failures() {
    let world = World::with_hello();
    let mut controller = world.controller();
    world.server.lock().faults.extend([(0, Fault::Answer(500)), (1, Fault::Answer(500))]);
    let pauses = world.settle(&mut controller, "hello").await.unwrap();
    assert_eq!(pauses.len(), 2);
    let next = world.server.lock().writes;
    world.server.lock().faults.insert(next, Fault::Reset);
    world.server.lock().objects.change(&World::key("hello"), |image| {
        image["spec"]["boot"]["sector"]["message"] = "other".into();
    });
    assert_eq!(world.settle(&mut controller, "hello").await.unwrap(), pauses[..1]);
}

#[tokio::test]
async fn a_request_that_is_never_answered_ends_the_run() {
    for number in 0..4 {
        let world = World::with_hello();
        let mut controller = world.controller();
        controller.impatient(Duration::from_millis(50));
        world.server.lock().faults.insert(number, Fault::Stall);
        match world.run(&mut controller, "hello").await {
            Outcome::Failed(error, _) => assert!(error.to_string().contains("not answered")),
            other => panic!("write {number}: {other:?}"),
        }
        world.settle(&mut controller, "hello").await.unwrap();
        world.stands("hello", "True", "Published");
        world.kept();
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_tried_again() {
    for (kind, code, text, reason) in [
        ("jobs", 403, "jobs.batch is forbidden: exceeded quota: q", "QuotaExceeded"),
        ("persistentvolumeclaims", 403, "not allowed", "Refused"),
        ("configmaps", 422, "too long", "Refused"),
    ] {
        let world = World::with_hello();
        let mut controller = world.controller();
        world.server.lock().refused.insert(kind.into(), (code, text.into()));
        let outcome = world.run(&mut controller, "hello").await;
        assert!(format!("{outcome:?}").contains("15s"), "{outcome:?}");
        let message = world.stands("hello", "False", reason);
        assert!(message.contains(text), "{message}");
        world.server.lock().refused.clear();
        world.settle(&mut controller, "hello").await.unwrap();
        world.stands("hello", "True", "Published");
        world.kept();
    }
}

#[tokio::test]
async fn a_conflict_of_the_status_is_no_reason_to_forget_it() {
    let world = World::with_hello();
    let mut controller = world.controller();
    // Three writes start the build, the fourth is the status.
    world.server.lock().faults.insert(3, Fault::Answer(409));
    match world.run(&mut controller, "hello").await {
        Outcome::Failed(..) => {}
        other => panic!("expected another try; seen {other:?}"),
    }
}

#[tokio::test]
async fn an_image_that_is_gone_is_nothing_to_tell() {
    let world = World::with_hello();
    let mut controller = world.controller();
    let image = world.image("hello");
    world.settle(&mut controller, "hello").await.unwrap();
    world.server.lock().objects.remove(&World::key("hello"));
    let mut edited = (*image).clone();
    edited.spec["suspend"] = true.into();
    let context = controller.context.clone();
    super::super::reconcile::reconcile(edited.into(), context).await.unwrap();
}
