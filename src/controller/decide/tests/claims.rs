//! Claims and targets: whose they are, what they hold, what goes.
//!
//! Invariant: as of `tests`.

use super::super::super::cdi::Uses;
use super::*;
use crate::api::status::{Published, TargetStatus};

#[test]
fn suspended_images_start_nothing_but_finish_what_runs() {
    let spec = serde_json::json!({
        "boot": {"sector": {"message": "Hello World!"}}, "suspend": true,
        "publish": [{"name": "golden", "pvc": {}}],
    });
    Story::of(spec.clone()).ends(Reason::Suspended, &[]);
    Story::of(spec.clone()).volume(None).job(1, Phase::Active).ends(Reason::Building, &[]);
    Story::of(spec).volume(Some(marks("sha256:c"))).ends(Reason::Published, &[]);
}

#[test]
fn a_missing_storage_class_is_waited_for() {
    let mut story = Story::new();
    story.seen.classes.insert(String::new(), Class::Missing);
    let decision = story.ends(Reason::StorageClassMissing, &[]);
    assert!(decision.again.is_some());
}

#[test]
fn claims_of_others_are_never_touched() {
    let mut story = Story::new().volume(None);
    story.seen.volumes[0].id.owner = String::new();
    story.ends(Reason::NameConflict, &[]);
    story.seen.volumes[0].id.owner = "uid-of-an-earlier-image".into();
    story.ends(Reason::NamesakeTerminating, &[]);
    story.seen.volumes[0].id.owner = UID.into();
    story.seen.volumes[0].id.deleting = true;
    story.ends(Reason::VolumeTerminating, &[]);
}

#[test]
fn a_stable_name_holds_one_content_for_life() {
    let mut story = Story::new().volume(Some(marks("sha256:c")));
    story.seen.volumes[0].id.target_hash = "other".into();
    story.ends(Reason::NameHoldsOtherContent, &[]);
    story.seen.volumes[0].marks = None;
    let claim = story.accepted.wanted[0].claim.clone();
    story.ends(Reason::Building, &[&format!("delete volume {claim}")]);
}

#[test]
fn no_two_pods_write_to_one_claim() {
    let mut story = Story::new().volume(None).job(1, Phase::Active).pod(|pod| pod.running = true);
    story.seen.jobs.clear();
    story.ends(Reason::OldPodRunning, &[]);
    story.seen.pods[0].over = true;
    story.ends(Reason::Building, &["start 1"]);
}

#[test]
fn a_terminating_job_of_the_same_name_is_waited_for() {
    let mut story = Story::new().volume(None).job(1, failed());
    story.seen.jobs[0].id.deleting = true;
    story.ends(Reason::NamesakeTerminating, &[]);
    story.seen.jobs[0].id.deleting = false;
    story.seen.jobs[0].id.owner = "uid-of-an-earlier-image".into();
    story.ends(Reason::NamesakeTerminating, &[]);
}

#[test]
fn a_lost_volume_is_made_anew() {
    let mut story = Story::new().volume(Some(marks("sha256:c")));
    story.seen.volumes[0].lost = true;
    let claim = story.accepted.wanted[0].claim.clone();
    story.ends(Reason::Building, &[&format!("delete volume {claim}")]);
}

#[test]
fn an_edit_ends_work_that_nobody_wants_any_more() {
    let mut story = Story::new().volume(None).job(1, Phase::Active);
    story.seen.jobs[0].id.target_hash = "old".into();
    story.seen.jobs[0].id.name = "hello-000000000000-1".into();
    story.seen.volumes[0].id.target_hash = "old".into();
    story.seen.volumes[0].id.name = "hello-000000000000".into();
    story.ends(Reason::Building, &["start 1", "delete job 1", "delete volume hello-000000000000"]);
}

#[test]
fn earlier_content_stays_until_its_successor_is_published_and_one_stays_then() {
    let mut story = Story::new().volume(None);
    for (age, name) in [(1, "oldest"), (2, "older"), (3, "old")] {
        let mut id = story.id(name);
        id.target_hash = name.into();
        id.created = at(age);
        story.seen.volumes.push(volume(id, Some(marks("sha256:o"))));
    }
    story.ends(Reason::Building, &["start 1"]);
    story.seen.volumes[0].marks = Some(marks("sha256:c"));
    let decision = story.ends(Reason::Published, &[]);
    assert_eq!(decision.due, ["oldest", "older"], "it is asked who uses them");
    for name in decision.due {
        story.seen.cdi.uses.insert(name, Uses::default());
    }
    story.ends(Reason::Published, &["delete volume oldest", "delete volume older"]);
}

#[test]
fn targets_whose_digests_differ_are_not_ready() {
    let mut story = Story::of(serde_json::json!({
        "boot": {"sector": {"message": "Hello World!"}},
        "publish": [{"name": "a", "pvc": {}}, {"name": "b", "pvc": {}}],
    }))
    .published(&["sha256:a", "sha256:b"]);
    story.ends(Reason::NonReproducible, &[]);
    story.seen.volumes[1].marks = Some(marks("sha256:a"));
    story.ends(Reason::Published, &[]);
}

#[test]
fn targets_with_the_same_options_do_not_get_into_each_others_way() {
    let mut story = Story::of(serde_json::json!({
        "boot": {"sector": {"message": "Hello World!"}},
        "publish": [{"name": "golden", "pvc": {}}, {"name": "other", "pvc": {}}],
    }))
    .volume(Some(marks("sha256:c")));
    let (golden, other) = (story.accepted.wanted[0].clone(), story.accepted.wanted[1].clone());
    assert_eq!(golden.target_hash, other.target_hash);
    let current = Some(Published { target_hash: golden.target_hash, ..Published::default() });
    story.status.targets =
        vec![TargetStatus { name: "golden".into(), current, ..TargetStatus::default() }];
    let mut story = story.job(1, Phase::Active).pod(|pod| pod.running = true);
    for id in [&mut story.seen.jobs[0].id, &mut story.seen.pods[0].id] {
        id.target = "other".into();
    }
    story.seen.jobs[0].id.name = format!("{}-1", other.base);
    let mut claim = story.id(&other.claim);
    claim.target = "other".into();
    story.seen.volumes.push(volume(claim, None));
    let decision = story.decide();
    assert_eq!(decision.actions, [], "the other target's Job is left alone");
    assert!(matches!(decision.targets[1].state, State::Working(Reason::Building, _)));
}

#[test]
fn an_option_of_a_format_makes_a_directory_anew_and_leaves_a_disk() {
    let spec = |compression: &str| {
        serde_json::json!({
            "boot": {"sector": {"message": "Hello World!"}},
            "formats": [{"type": "qcow2", "qcow2": {"compression": compression}}],
            "publish": [{"name": "golden", "files": {}}, {"name": "disk", "pvc": {}}],
        })
    };
    let mut story = Story::of(spec("zlib"));
    for wanted in story.accepted.wanted.clone() {
        let mut id = story.id(&wanted.claim);
        (id.target, id.target_hash) = (wanted.target, wanted.target_hash);
        story.seen.volumes.push(volume(id, Some(marks("sha256:c"))));
    }
    story.ends(Reason::Published, &[]);
    let old = story.accepted.wanted[0].claim.clone();
    story.accepted = Story::of(spec("zstd")).accepted;
    let decision = story.ends(Reason::Building, &["start 1"]);
    assert!(matches!(decision.targets[1].state, State::Published(_)), "the disk is the same");
    assert_ne!(story.accepted.wanted[0].claim, old, "another claim");
}
