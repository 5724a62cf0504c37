//! Decisions as stories: what was seen, what is done about it.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::{
    Attempt, Class, Ended, Identity, Marks, Observed, Phase, PodTruth, Volume,
};
use super::super::reason::Reason;
use super::super::validate::{Accepted, validate};
use super::{Action, Decision, Facts, State, decide};
use crate::api::status::{Published, TargetStatus};
use crate::api::{Image, Status};
use crate::report::{BuildResult, Code, Report};

const UID: &str = "uid-1";

fn image(spec: serde_json::Value) -> Image {
    let mut image = Image { spec, ..Image::default() };
    image.metadata.name = Some("hello".into());
    image.metadata.namespace = Some("ns".into());
    image.metadata.uid = Some(UID.into());
    image.metadata.generation = Some(1);
    image
}

/// A story about the one target of the hello document.
struct Story {
    accepted: Accepted,
    seen: Observed,
    status: Status,
    generation: i64,
}

impl Story {
    fn new() -> Self {
        Self::of(serde_json::json!({
            "boot": {"sector": {"message": "Hello World!"}},
            "publish": [{"name": "golden", "pvc": {}}],
        }))
    }

    fn of(spec: serde_json::Value) -> Self {
        let accepted = validate(&image(spec)).unwrap();
        let mut seen = Observed { now: at(1000), ..Observed::default() };
        seen.classes.insert(String::new(), Class::Found("standard".into()));
        Self { accepted, seen, status: Status::default(), generation: 1 }
    }

    fn id(&self, name: &str) -> Identity {
        Identity {
            name: name.into(),
            uid: format!("uid-of-{name}"),
            owner: UID.into(),
            target: "golden".into(),
            target_hash: self.accepted.wanted[0].target_hash.clone(),
            deleting: false,
            created: at(500),
        }
    }

    fn volume(mut self, marks: Option<Marks>) -> Self {
        let id = self.id(&self.accepted.wanted[0].claim.clone());
        self.seen.volumes.push(Volume { id, marks, lost: false });
        self
    }

    fn job(mut self, number: u32, phase: Phase) -> Self {
        let base = self.accepted.wanted[0].base.clone();
        let ended = (phase != Phase::Active).then(|| at(990));
        self.seen.jobs.push(Attempt {
            id: self.id(&format!("{base}-{number}")),
            number,
            generation: 1,
            build_hash: self.accepted.build_hash.clone(),
            phase,
            ended,
        });
        self
    }

    fn pod(mut self, change: impl FnOnce(&mut PodTruth)) -> Self {
        let job = self.seen.jobs.last().unwrap().id.clone();
        let id = self.id(&format!("{}-x1y2z", job.name));
        let mut pod = PodTruth { id, job: job.uid, ..PodTruth::default() };
        change(&mut pod);
        self.seen.pods.push(pod);
        self
    }

    /// The container of the last Job's pod ended with this report.
    fn reported(self, report: &Report) -> Self {
        self.ended(i32::from(report.code.exit()), "Error", &report.to_text())
    }

    fn ended(self, exit: i32, reason: &str, message: &str) -> Self {
        let ended = Ended { exit, reason: reason.into(), message: message.into() };
        self.pod(|pod| {
            pod.ended = Some(ended);
            pod.over = true;
        })
    }

    fn decide(&self) -> Decision {
        let facts = Facts {
            uid: UID,
            namespace: "ns",
            name: "hello",
            generation: self.generation,
            previous: &self.status,
        };
        decide(&self.accepted, &self.seen, facts)
    }

    /// The reason of the only target and what is to be done.
    #[track_caller]
    fn ends(&self, reason: Reason, actions: &[&str]) -> Decision {
        let decision = self.decide();
        let found = match &decision.targets[0].state {
            State::Published(_) => Reason::Published,
            State::Suspended => Reason::Suspended,
            State::Working(reason, _) | State::Waiting(reason, _) | State::Stalled(reason, _) => {
                *reason
            }
        };
        let done: Vec<_> = decision.actions.iter().map(short).collect();
        assert_eq!((found, done), (reason, actions.iter().map(ToString::to_string).collect()));
        decision
    }

    #[track_caller]
    fn message(&self) -> String {
        match &self.decide().targets[0].state {
            State::Working(_, m) | State::Waiting(_, m) | State::Stalled(_, m) => m.clone(),
            other => panic!("{other:?} has no message"),
        }
    }
}

fn short(action: &Action) -> String {
    match action {
        Action::Start { attempt, .. } => format!("start {attempt}"),
        Action::Complete { .. } => "complete".into(),
        Action::DeleteJob { name, document, .. } => {
            let left = if document.is_none() { " but not its document" } else { "" };
            format!("delete job {}{left}", name.rsplit('-').next().unwrap())
        }
        Action::DeleteVolume { name, .. } => format!("delete volume {name}"),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn marks(digest: &str) -> Marks {
    Marks { content_digest: digest.into(), attempt: 1, ..Marks::default() }
}

fn failed() -> Phase {
    Phase::Failed("BackoffLimitExceeded".into())
}

fn result(story: &Story) -> BuildResult {
    let wanted = &story.accepted.wanted[0];
    BuildResult {
        content_hash: wanted.content_hash.clone(),
        target_hash: wanted.target_hash.clone(),
        content_digest: "sha256:c".into(),
        virtual_size: 512,
        target_digest: "sha256:t".into(),
        target_size: 1 << 20,
        manifest_digest: "sha256:m".into(),
        reused: false,
        build_millis: 1,
        publish_millis: 2,
    }
}

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
        story.seen.volumes.push(Volume { id, marks: Some(marks("sha256:o")), lost: false });
    }
    story.ends(Reason::Building, &["start 1"]);
    story.seen.volumes[0].marks = Some(marks("sha256:c"));
    story.ends(Reason::Published, &["delete volume oldest", "delete volume older"]);
}

#[test]
fn targets_whose_digests_differ_are_not_ready() {
    let mut story = Story::of(serde_json::json!({
        "boot": {"sector": {"message": "Hello World!"}},
        "publish": [{"name": "a", "pvc": {}}, {"name": "b", "pvc": {}}],
    }));
    for (index, digest) in [(0, "sha256:a"), (1, "sha256:b")] {
        let wanted = story.accepted.wanted[index].clone();
        let mut id = story.id(&wanted.claim);
        (id.target, id.target_hash) = (wanted.target, wanted.target_hash);
        story.seen.volumes.push(Volume { id, marks: Some(marks(digest)), lost: false });
    }
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
    story.seen.volumes.push(Volume { id: claim, marks: None, lost: false });
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
        story.seen.volumes.push(Volume { id, marks: Some(marks("sha256:c")), lost: false });
    }
    story.ends(Reason::Published, &[]);
    let old = story.accepted.wanted[0].claim.clone();
    story.accepted = Story::of(spec("zstd")).accepted;
    let decision = story.ends(Reason::Building, &["start 1"]);
    assert!(matches!(decision.targets[1].state, State::Published(_)), "the disk is the same");
    assert_ne!(story.accepted.wanted[0].claim, old, "another claim");
}
