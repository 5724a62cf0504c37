//! Container images: the status is the only record of them.
//!
//! Invariant: as of `tests`.

use super::super::super::observe::{Dress, Rival};
use super::*;
use crate::api::status::{Content, IMAGE, Published, Reference, TargetStatus};

fn story() -> Story {
    Story::of(serde_json::json!({
        "boot": {"sector": {"message": "Hello World!"}},
        "publish": [{"name": "golden", "containerDisk": {"image": "registry.example/t/hello"}}],
    }))
}

/// The story of an image that was pushed with this annotation.
fn told(mut story: Story, rebuild: Option<&str>) -> Story {
    let current = Published {
        reference: Reference { kind: IMAGE.into(), name: "registry.example/t/hello".into() },
        digest: "sha256:i".into(),
        size_bytes: 77,
        target_hash: story.accepted.wanted[0].target_hash.clone(),
        rebuild: rebuild.map(Into::into),
    };
    story.status.targets = vec![TargetStatus {
        name: "golden".into(),
        current: Some(current),
        ..TargetStatus::default()
    }];
    let digest = "sha256:c".to_owned();
    story.status.content = Some(Content { digest, virtual_size_bytes: 512 });
    story
}

fn pushed(story: Story) -> Story {
    let story = story.job(1, Phase::Complete);
    let report = Report::success(result(&story));
    story.ended(0, "Completed", &report.to_text())
}

#[test]
fn an_image_is_pushed_without_a_claim() {
    let story = story();
    assert_eq!(story.accepted.wanted[0].claim, "");
    story.ends(Reason::Building, &["start 1"]);
}

#[test]
fn a_push_that_ended_is_published_with_its_manifest_kept() {
    let decision = pushed(story()).ends(Reason::Published, &["keep"]);
    assert!(decision.again.is_some(), "the Job goes once the status tells of it");
}

#[test]
fn what_the_status_tells_is_left_alone() {
    let decision = told(story(), None).ends(Reason::Published, &[]);
    assert_eq!(decision.again, None);
    let State::Published(marks) = &decision.targets[0].state else { panic!() };
    assert_eq!((marks.digest.as_str(), marks.size), ("sha256:i", 77));
    assert_eq!((marks.content_digest.as_str(), marks.virtual_size), ("sha256:c", 512));
    pushed(told(story(), None)).ends(Reason::Published, &["delete job 1"]);
}

#[test]
fn another_token_pushes_again() {
    let mut again = told(story(), Some("1"));
    again.rebuild = Some("1");
    again.ends(Reason::Published, &[]);
    again.rebuild = Some("2");
    again.ends(Reason::Building, &["start 1"]);
    // The Job of the earlier push, complete and not deleted yet, is no answer.
    let mut late = pushed(told(story(), Some("1")));
    late.seen.jobs[0].rebuild = Some("1".into());
    late.rebuild = Some("2");
    late.ends(Reason::Building, &["delete job 1"]);
    late.seen.jobs[0].rebuild = Some("2".into());
    late.ends(Reason::Published, &["keep"]);
}

#[test]
fn a_refused_push_is_tried_again_with_another_token() {
    let mut story = story().job(1, failed());
    story.rebuild = None;
    let report = Report::failure(crate::report::Code::InvalidInput, "no", None);
    let mut story = story.reported(&report);
    story.ends(Reason::InvalidInput, &[]);
    story.rebuild = Some("again");
    story.ends(Reason::Building, &["start 2"]);
}

#[test]
fn other_content_takes_the_manifest_of_the_earlier_along() {
    let mut edited = pushed(story());
    edited = told(edited, None);
    let current = edited.status.targets[0].current.as_mut().unwrap();
    current.target_hash = "0".repeat(64);
    edited.ends(Reason::Published, &["keep", "delete manifest"]);
    let mut gone = Story::new().volume(Some(marks("sha256:c")));
    gone.status = told(story(), None).status;
    gone.status.targets[0].name = "other".into();
    gone.ends(Reason::Published, &["delete manifest"]);
}

#[test]
fn the_older_image_has_a_tag() {
    let mut late = told(story(), None);
    let rival = Rival { tag: "registry.example/t/hello:latest".into(), image: "a/b".into() };
    late.seen.rivals.insert("golden".into(), rival);
    let decision = late.ends(Reason::TagConflict, &[]);
    assert!(decision.again.is_some());
    assert_eq!(
        late.message(),
        "the older image a/b pushes to registry.example/t/hello:latest, too; choose another image or tag"
    );
}

#[test]
fn a_claim_is_dressed_when_its_document_changes() {
    let pvc = serde_json::json!({"labels": {"team": "a"}, "annotations": {"note": "b"}});
    let of = || {
        Story::of(serde_json::json!({
            "boot": {"sector": {"message": "Hello World!"}},
            "publish": [{"name": "golden", "pvc": pvc}],
        }))
    };
    of().volume(Some(marks("sha256:c"))).ends(Reason::Published, &["dress"]);
    let mut dressed = of().volume(Some(marks("sha256:c")));
    dressed.seen.volumes[0].dress = dressed.accepted.wanted[0].dress.clone();
    dressed.ends(Reason::Published, &[]);
    let mut bare = Story::new().volume(Some(marks("sha256:c")));
    bare.seen.volumes[0].dress =
        Dress { labels: [("team".into(), "a".into())].into(), ..Dress::default() };
    bare.ends(Reason::Published, &["dress"]);
}
