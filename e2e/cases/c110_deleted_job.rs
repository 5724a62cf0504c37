//! Somebody deletes the Job by hand.

use crate::harness::{Use, case, name, scale, text, uid, until};
use crate::{hello, slow};

/// While the build runs: another Job is made, once the pod of the first has gone.
#[test]
fn a_running_job_that_is_deleted_is_made_again() {
    case("110_deleted_while_running", Use::Shared, async |space| {
        space.apply("hello", slow("hello")).await;
        space.pod_is("hello", "Running").await;
        let first = space.has_jobs("hello", 1).await.remove(0);
        space.delete("Job", &name(&first)).await;
        until("another Job", async || {
            let jobs = space.of("Job", "hello").await;
            let other = jobs.iter().any(|job| uid(job) != uid(&first));
            if other { Ok(()) } else { Err(format!("{jobs:?}")) }
        })
        .await;
        space.ready("hello").await;
        space.has("PersistentVolumeClaim", "hello", 1).await;
    });
}

/// After it ended well, while the controller is away: its result is gone with its pod, so the image
/// is built again, and the volume that is filled already is verified rather than written.
#[test]
fn an_ended_job_that_is_deleted_before_the_marks_is_made_again() {
    case("111_deleted_before_marks", Use::Alone, async |space| {
        space.apply("hello", crate::unschedulable("hello")).await;
        space.waits("hello", "Unschedulable").await;
        space.apply("hello", hello("hello")).await;
        until("a Job for the edit", async || {
            let pods = space.of("Pod", "hello").await;
            let free = pods.iter().any(|pod| text(pod, "/spec/nodeSelector").is_empty());
            if free { Ok(()) } else { Err(format!("{} pods", pods.len())) }
        })
        .await;
        scale(0).await;
        space.pod_is("hello", "Succeeded").await;
        for job in space.of("Job", "hello").await {
            space.delete("Job", &name(&job)).await;
        }
        space.has("Pod", "hello", 0).await;
        scale(1).await;
        space.ready("hello").await;
        space.has_jobs("hello", 0).await;
        space.has("PersistentVolumeClaim", "hello", 1).await;
    });
}
