//! Attempts: started, followed, judged, tried again.
//!
//! Invariant: as of `tests`.

use std::time::Duration;

use super::*;
use crate::api::status::{Published, TargetStatus};
use crate::report::Code;

#[test]
fn a_new_image_is_built() {
    Story::new().ends(Reason::Building, &["start 1"]);
}

#[test]
fn a_running_build_is_left_alone() {
    let story = Story::new().volume(None).job(1, Phase::Active).pod(|pod| pod.running = true);
    assert_eq!(story.ends(Reason::Building, &[]).again, None);
}

#[test]
fn a_finished_build_is_marked_and_only_then_published() {
    let story = Story::new().volume(None).job(1, Phase::Complete);
    let report = Report::success(result(&story));
    let story = story.ended(0, "Completed", &report.to_text());
    story.ends(Reason::Publishing, &["complete"]);
}

#[test]
fn a_settled_image_asks_for_nothing() {
    let decision = Story::new().volume(Some(marks("sha256:c"))).ends(Reason::Published, &[]);
    assert_eq!(decision.again, None);
}

#[test]
fn a_finished_job_goes_once_the_status_tells_of_its_work() {
    let mut story = Story::new().volume(Some(marks("sha256:c"))).job(1, Phase::Complete);
    let untold = story.ends(Reason::Published, &[]);
    assert!(untold.again.is_some(), "writing the status causes no run by itself");
    let target_hash = story.accepted.wanted[0].target_hash.clone();
    let current = Some(Published { target_hash, ..Published::default() });
    story.status.targets =
        vec![TargetStatus { name: "golden".into(), current, ..TargetStatus::default() }];
    let told = story.ends(Reason::Published, &["delete job 1"]);
    assert_eq!(told.again, None);
}

#[test]
fn a_result_for_other_content_is_never_published() {
    let story = Story::new().volume(None).job(1, Phase::Complete);
    let mut other = result(&story);
    other.target_hash = "0".repeat(64);
    let story = story.ended(0, "Completed", &Report::success(other).to_text());
    let decision = story.ends(Reason::Retrying, &[]);
    assert!(decision.again.unwrap() <= Duration::from_secs(12));
}

#[test]
fn garbage_instead_of_a_result_is_a_defect() {
    let story = Story::new().volume(None).job(1, Phase::Complete).ended(0, "Completed", "hello");
    story.ends(Reason::Retrying, &[]);
    let story = story.job(2, Phase::Complete).ended(0, "Completed", "hello");
    story.ends(Reason::Bug, &[]);
}

#[test]
fn a_result_that_is_lost_with_its_pod_is_built_again() {
    Story::new().volume(None).job(1, Phase::Complete).ends(Reason::Building, &["delete job 1"]);
}

#[test]
fn a_document_that_cannot_be_built_is_tried_once() {
    let report = Report::failure(Code::VolumeTooSmall, "needs 2, has 1", None);
    let story = Story::new().volume(None).job(1, failed()).reported(&report);
    story.ends(Reason::VolumeTooSmall, &[]);
    assert_eq!(story.message(), "needs 2, has 1");
}

#[test]
fn a_newer_spec_tries_again_what_had_failed_for_good() {
    let report = Report::failure(Code::VolumeTooSmall, "needs 2, has 1", None);
    let mut story = Story::new().volume(None).job(1, failed()).reported(&report);
    story.generation = 2;
    story.ends(Reason::Building, &["start 2"]);
}

#[test]
fn attempts_of_an_earlier_spec_go_and_leave_the_document_to_the_next_one() {
    let report = Report::failure(Code::Io, "reading: input/output error", None);
    let story = Story::new().volume(None).job(1, failed()).reported(&report);
    let mut story = story.job(2, failed()).reported(&report);
    story.generation = 2;
    story.ends(Reason::Building, &["start 3", "delete job 1 but not its document"]);
    let mut story = story.job(3, Phase::Active).pod(|pod| pod.running = true);
    story.seen.jobs[2].generation = 2;
    let left = ["delete job 1 but not its document", "delete job 2 but not its document"];
    story.ends(Reason::Building, &left);
}

#[test]
fn passing_failures_are_tried_again_later_and_not_for_ever() {
    let report = Report::failure(Code::Io, "reading: input/output error", None);
    let mut story = Story::new().volume(None).job(1, failed()).reported(&report);
    let pause = story.ends(Reason::Retrying, &[]).again.unwrap();
    assert!(pause <= Duration::from_secs(2), "10 s after the end, which was 10 s ago: {pause:?}");
    story.seen.now = at(1003);
    story.ends(Reason::Building, &["start 2"]);
    let story = story.job(2, failed()).reported(&report).job(3, failed()).reported(&report);
    story.ends(Reason::RetryLimitExceeded, &[]);
    assert_eq!(story.message(), "3 of 3 attempts failed; the last: reading: input/output error");
}

#[test]
fn too_little_memory_is_tried_once_more_and_says_what_to_raise() {
    let mut story = Story::new().volume(None).job(1, failed()).ended(137, "OOMKilled", "");
    story.ends(Reason::Retrying, &[]);
    story.seen.now = at(1100);
    story.ends(Reason::Building, &["start 2"]);
    let story = story.job(2, failed()).ended(137, "OOMKilled", "");
    story.ends(Reason::OutOfMemory, &[]);
    assert!(story.message().contains("spec.build.resources.limits.memory"));
}

#[test]
fn a_container_that_never_ran_is_no_defect_of_the_builder() {
    let ended = |message: &str| {
        Story::new().volume(None).job(1, failed()).job(2, failed()).ended(
            128,
            "StartError",
            message,
        )
    };
    let too_little = "container init was OOM-killed (memory limit too low?): unknown";
    ended(too_little).ends(Reason::OutOfMemory, &[]);
    let other = ended("exec /vmimage: no such file or directory");
    other.ends(Reason::Retrying, &[]);
    assert!(other.message().contains("no such file or directory"));
    other.job(3, failed()).ended(128, "StartError", "x").ends(Reason::RetryLimitExceeded, &[]);
}

#[test]
fn a_pod_that_is_not_admitted_is_shown_without_its_generated_name() {
    let mut story = Story::new().volume(None).job(1, Phase::Active);
    assert_eq!(story.ends(Reason::Building, &[]).again, Some(Duration::from_secs(2)));
    let uid = story.seen.jobs[0].id.uid.clone();
    let quota = r#"Error creating: pods "hello-abc-1-x7k2p" is forbidden: exceeded quota: q"#;
    story.seen.refusals.insert(uid.clone(), quota.into());
    story.ends(Reason::QuotaExceeded, &[]);
    assert_eq!(story.message(), "no build pod can be created: exceeded quota: q");
    let security =
        r#"Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest""#;
    story.seen.refusals.insert(uid, security.into());
    story.ends(Reason::PodSecurityDenied, &[]);
}

#[test]
fn what_keeps_a_pod_from_running_is_shown() {
    let stuck =
        |change: fn(&mut PodTruth)| Story::new().volume(None).job(1, Phase::Active).pod(change);
    stuck(|pod| pod.unschedulable = Some("0/1 nodes".into())).ends(Reason::Unschedulable, &[]);
    stuck(|pod| pod.waiting = Some(("ImagePullBackOff".into(), "x".into())))
        .ends(Reason::ImagePull, &[]);
    stuck(|pod| pod.waiting = Some(("CreateContainerConfigError".into(), "x".into())))
        .ends(Reason::PodNotStarted, &[]);
    stuck(|pod| pod.waiting = Some(("ContainerCreating".into(), String::new())))
        .ends(Reason::Building, &[]);
}

#[test]
fn a_pod_that_never_started_follows_an_edit_of_its_settings() {
    let mut story = Story::new().volume(None).job(1, Phase::Active);
    story.accepted.build_hash = "other".into();
    story.ends(Reason::Building, &["delete job 1"]);
    let story = story.pod(|pod| pod.running = true);
    story.ends(Reason::Building, &[]);
}
