//! A document is edited while its build is under way.

use crate::harness::{Use, annotation, case, name, place};
use crate::{hello, slow, unschedulable};

/// A pod waits for a node that does not exist; the message is edited: Job and claim that nobody
/// wants any more go, the new content comes.
#[test]
fn an_edit_ends_a_build_that_waits() {
    case("050_edit_while_building", Use::Shared, async |space| {
        space.apply("hello", unschedulable("old")).await;
        let waiting = space.waits("hello", "Unschedulable").await;
        let jobs = space.has_jobs("hello", 1).await;
        assert_eq!(place(&waiting).0, "", "nothing is published yet");
        space.apply("hello", hello("new")).await;
        let image = space.ready("hello").await;
        let claims = space.has("PersistentVolumeClaim", "hello", 1).await;
        assert_eq!(name(&claims[0]), place(&image).0);
        assert_ne!(
            annotation(&claims[0], "vmimage.dev/target-hash"),
            annotation(&jobs[0], "vmimage.dev/target-hash"),
        );
        space.has_jobs("hello", 0).await;
        space.has("ConfigMap", "hello", 1).await;
    });
}

/// A build runs; the message is edited: the same, though the pod writes to its claim just now.
#[test]
fn an_edit_ends_a_build_that_runs() {
    case("051_edit_while_running", Use::Shared, async |space| {
        space.apply("hello", slow("old")).await;
        space.pod_is("hello", "Running").await;
        space.apply("hello", hello("new")).await;
        let image = space.ready("hello").await;
        let claims = space.has("PersistentVolumeClaim", "hello", 1).await;
        assert_eq!(name(&claims[0]), place(&image).0);
        space.has("Pod", "hello", 0).await;
    });
}

/// Only the pod's settings are edited: the pod that never started is made anew with them.
#[test]
fn a_waiting_pod_follows_an_edit_of_its_settings() {
    case("052_edit_of_settings", Use::Shared, async |space| {
        space.apply("hello", unschedulable("same")).await;
        space.waits("hello", "Unschedulable").await;
        let claim = name(&space.has("PersistentVolumeClaim", "hello", 1).await[0]);
        space.apply("hello", hello("same")).await;
        let image = space.ready("hello").await;
        assert_eq!(place(&image).0, claim, "the content is the same, so is the claim's name");
    });
}
