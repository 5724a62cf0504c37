//! Somebody erases what the controller wrote.

use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use crate::harness::{
    Use, annotation, audit, case, foreign, mount, name, place, reason_of, uid, until,
};
use crate::hello;

/// Conditions without their times.
fn timeless(image: &Value) -> Value {
    let mut status = image["status"].clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = Value::Null;
    }
    status
}

/// The status: it comes back the same, from the marks alone.
#[test]
fn an_erased_status_comes_back_without_a_build() {
    case("150_erased_status", Use::Shared, async |space| {
        space.apply("hello", hello("hello")).await;
        let before = space.ready("hello").await;
        space.has_jobs("hello", 0).await;
        space.patch_status("hello", json!({"status": null})).await;
        let after = space.ready("hello").await;
        assert_eq!(timeless(&after), timeless(&before), "the status as it was");
        if !foreign() {
            let created = audit(&space.namespace);
            let created = created
                .iter()
                .filter(|e| e.verb == "create" && e.resource == "jobs" && e.code == "201");
            assert_eq!(created.count(), 1, "Jobs that were created");
        }
    });
}

/// The marks: the volume is verified by another build, which writes nothing.
#[test]
fn erased_marks_come_back_without_writing() {
    case("151_erased_marks", Use::Shared, async |space| {
        space.apply("hello", hello("hello")).await;
        let before = space.ready("hello").await;
        space.has_jobs("hello", 0).await;
        let claim = space.complete_claim(&before).await;
        let stat = || {
            let disk = mount(&space, &name(&claim)).join("disk.img");
            let meta = fs_err::metadata(disk).unwrap();
            (meta.ino(), meta.mtime(), meta.mtime_nsec())
        };
        let written = (!foreign()).then(stat);
        let none = json!({"metadata": {"annotations": {"vmimage.dev/complete": null}}});
        space.patch("PersistentVolumeClaim", &name(&claim), none).await;
        until("Ready is False without the mark, or is True with a new one", async || {
            let (ready, reason) = reason_of(&space.image("hello").await);
            if ready == "False" { Ok(()) } else { Err(reason) }
        })
        .await;
        let after = space.ready("hello").await;
        assert_eq!(place(&after), place(&before));
        assert_eq!(uid(&space.complete_claim(&after).await), uid(&claim), "the same claim");
        if !foreign() {
            assert_eq!(Some(stat()), written, "inode and time of disk.img: not written again");
        }
    });
}

/// The claim itself: the content is built again.
#[test]
fn a_deleted_claim_is_built_again() {
    case("152_deleted_claim", Use::Shared, async |space| {
        space.apply("hello", hello("hello")).await;
        let before = space.ready("hello").await;
        let claim = space.complete_claim(&before).await;
        space.has_jobs("hello", 0).await;
        space.delete("PersistentVolumeClaim", &name(&claim)).await;
        // The status is that of the old one until the controller has looked: the mark is not.
        until("another claim, complete", async || {
            let claims = space.of("PersistentVolumeClaim", "hello").await;
            let other = claims.iter().find(|other| uid(other) != uid(&claim));
            let mark = other.map(|other| annotation(other, "vmimage.dev/complete"));
            if mark.as_ref().is_some_and(|mark| !mark.is_empty()) {
                Ok(())
            } else {
                Err(format!("{mark:?}"))
            }
        })
        .await;
        let after = space.ready("hello").await;
        assert_eq!(place(&after), place(&before), "the same name, digest and hash");
        space.complete_claim(&after).await;
    });
}
