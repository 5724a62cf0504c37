//! The controller is killed with SIGKILL, at many moments.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::harness::{Operator, Use, audit, case, foreign, mount, name, place, sha256sum};
use crate::hello;

/// Milliseconds from one moment to the next: the sweep covers a start and a whole build.
const STEP: u64 = 130;
/// How often it is killed.
const KILLS: u64 = 24;

/// Three images, each edited on the way, with a controller that is killed again and again: the end
/// is the same, and there was one Job for each hash and attempt.
#[test]
fn a_controller_killed_at_any_moment_comes_to_the_same_end() {
    case("140_killed", Use::Alone, async |space| {
        if foreign() {
            eprintln!("140: not run here: audit log, digests on the host");
            return;
        }
        let names = ["a", "b", "c"];
        let mut operator = Operator::here(&[]).await;
        for kill in 0..KILLS {
            let edit = kill / (KILLS / 4);
            for image in names {
                space.apply(image, hello(&format!("{image} {edit}"))).await;
            }
            // The one pause here: it is the moment that is swept.
            tokio::time::sleep(Duration::from_millis(60 + kill % 12 * STEP)).await;
            operator.kill();
            operator.again(&[]);
        }
        for image in names {
            let object = space.ready(image).await;
            let claim = space.complete_claim(&object).await;
            let found = sha256sum(&mount(&space, &name(&claim)).join("disk.img"));
            assert_eq!(found, place(&object).1, "digest of {image}");
            space.has_jobs(image, 0).await;
        }
        let mut jobs: BTreeMap<String, u32> = BTreeMap::new();
        for entry in audit(&space.namespace) {
            if entry.verb == "create" && entry.resource == "jobs" && entry.code == "201" {
                *jobs.entry(entry.name).or_default() += 1;
            }
        }
        assert!(jobs.len() >= names.len(), "Jobs: {jobs:?}");
        assert!(jobs.values().all(|count| *count == 1), "one Job for each name: {jobs:?}");
        assert!(jobs.keys().all(|job| job.ends_with("-1")), "no attempt failed: {jobs:?}");
        for image in names {
            let left = space.names("ConfigMap", image).await;
            let claims = space.names("PersistentVolumeClaim", image).await;
            let manifests: Vec<_> = claims.iter().map(|claim| format!("{claim}-m")).collect();
            assert_eq!(left, manifests, "what is kept of {image}");
        }
        eprintln!("140: {KILLS} kills, {} Jobs", jobs.len());
        operator.leave().await;
    });
}
