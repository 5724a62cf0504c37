//! What is told: the same words for the same situation, and one event for every change.

use serde_json::{Value, json};

use super::{Fate, Seed, World};
use crate::report::{Code, Report};

fn fates() -> Vec<(&'static str, Fate)> {
    let report =
        |code: Code| Report::failure(code, "what it says", Some("spec.disk.size")).to_text();
    let waiting = |reason: &str| {
        json!({"phase": "Pending", "containerStatuses": [{"name": "build", "ready": false,
            "image": "i", "imageID": "", "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": "Back-off pulling image"}}}]})
    };
    let unscheduled = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]});
    vec![
        ("Published", Fate::Success),
        ("RetryLimitExceeded", Fate::Failure(74, "Error", report(Code::Io))),
        ("VolumeTooSmall", Fate::Failure(67, "Error", report(Code::VolumeTooSmall))),
        ("Bug", Fate::Failure(101, "Error", "thread 'main' panicked".into())),
        ("OutOfMemory", Fate::Failure(137, "OOMKilled", String::new())),
        ("RetryLimitExceeded", Fate::Failure(137, "Error", String::new())),
        ("ImagePull", Fate::Stuck(waiting("ImagePullBackOff"))),
        ("Unschedulable", Fate::Stuck(unscheduled)),
        (
            "PodSecurityDenied",
            Fate::NoPod(
                "Error creating: pods \"POD\" is forbidden: violates PodSecurity \"restricted\""
                    .into(),
            ),
        ),
    ]
}

/// The statuses of a life with this fate, one for each that was told.
async fn told(seed: Seed, mut fate: Fate) -> Vec<Value> {
    if let Fate::NoPod(message) = &mut fate {
        *message = message.replace("POD", &format!("hello-1-{}", seed.word));
    }
    let mut world = World::seeded(seed);
    world.add("hello", super::world::hello());
    world.fate = fate;
    let mut controller = world.controller();
    let mut statuses = Vec::new();
    for _ in 0..30 {
        world.run(&mut controller, "hello").await;
        let mut status = world.image("hello").status.clone();
        for condition in status["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = json!("");
        }
        if statuses.last() != Some(&status) {
            statuses.push(status);
        }
        world.server.lock().step(&world.fate);
    }
    statuses
}

#[tokio::test]
async fn names_uids_and_times_leave_no_trace_in_status() {
    for (reason, fate) in fates() {
        let one = told(Seed::default(), fate.clone()).await;
        let other = told(Seed { word: "zz9y8", ago: 86_400 }, fate).await;
        assert_eq!(one, other);
        let last = one.last().unwrap();
        assert_eq!(last["conditions"][0]["reason"], reason, "{last}");
        let text = serde_json::to_string(&one).unwrap();
        assert!(!text.contains("a1b2c"), "{text}");
        println!("{reason}: {}", last["conditions"][0]["message"]);
    }
}

fn events(world: &World) -> Vec<(String, String)> {
    let all = world.server.lock().objects.all("events");
    let field = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let mut told: Vec<_> = all.iter().map(|(_, e)| e).collect();
    told.sort_by_key(|e| {
        e["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    });
    told.iter().map(|e| (field(e, "type"), field(e, "reason"))).collect()
}

#[tokio::test]
async fn an_event_tells_of_every_change_of_ready_and_of_nothing_else() {
    let world = World::with_hello();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    for _ in 0..10 {
        world.run(&mut controller, "hello").await;
    }
    let told = events(&world);
    let expected = [("Normal", "Building"), ("Normal", "Publishing"), ("Normal", "Published")];
    let told: Vec<_> = told.iter().map(|(kind, reason)| (kind.as_str(), reason.as_str())).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_status_that_cannot_be_applied_is_written_as_a_whole() {
    let world = World::new();
    world.add("old", json!("was a string once"));
    let typed = json!({"observedGeneration": 7, "contentHash": "left over"});
    world.server.lock().objects.change(&World::key("old"), |image| image["status"] = typed);
    world.server.lock().faults.insert(0, super::Fault::Answer(500));
    world.settle(&mut world.controller(), "old").await.unwrap();
    world.stands("old", "False", "InvalidSpec");
    let status = world.image("old").status.clone();
    assert_eq!((&status["observedGeneration"], &status["contentHash"]), (&json!(1), &json!(null)));
    assert_eq!(events(&world), [("Warning".to_owned(), "InvalidSpec".to_owned())]);
}

#[tokio::test]
async fn a_status_that_cannot_be_written_at_all_is_told_by_an_event() {
    let world = World::new();
    world.add("old", json!("was a string once"));
    let faults = [(0, super::Fault::Answer(500)), (1, super::Fault::Answer(422))];
    world.server.lock().faults.extend(faults);
    let mut controller = world.controller();
    match world.run(&mut controller, "old").await {
        super::world::Outcome::Done(next) => assert!(format!("{next:?}").contains("None")),
        other => panic!("expected no error, for nothing helps but another spec: {other:?}"),
    }
    assert_eq!(events(&world), [("Warning".to_owned(), "InvalidSpec".to_owned())]);
}

#[tokio::test]
async fn what_somebody_else_wrote_into_status_goes() {
    let world = World::with_hello();
    let mut controller = world.controller();
    world.settle(&mut controller, "hello").await.unwrap();
    let before = world.picture();
    world.server.lock().objects.change(&World::key("hello"), |image| {
        image["status"]["history"] = json!([]);
        image["status"]["build"] = json!({"target": "t", "job": "j", "attempt": 1, "reason": "r"});
    });
    world.settle(&mut controller, "hello").await.unwrap();
    assert_eq!(world.picture(), before);
    world.requests();
    world.run(&mut controller, "hello").await;
    assert_eq!(world.requests(), []);
}

#[tokio::test]
async fn an_event_that_cannot_be_sent_fails_nothing() {
    let world = World::with_hello();
    world.server.lock().refused.insert("events".into(), (403, "no events for you".into()));
    let pauses = world.settle(&mut world.controller(), "hello").await.unwrap();
    assert!(pauses.is_empty(), "no run failed: {pauses:?}");
    world.stands("hello", "True", "Published");
}

#[tokio::test]
async fn a_lost_log_holds_nothing_back() {
    let mut world = World::with_hello();
    world.fate = Fate::Success;
    let mut controller = world.controller();
    for _ in 0..20 {
        world.run(&mut controller, "hello").await;
        world.server.lock().step(&world.fate);
        world.server.lock().logs.clear();
    }
    world.stands("hello", "True", "Published");
    assert!(world.server.lock().objects.all("configmaps").is_empty());
}
