//! Settled images cost nothing.

use std::time::{Duration, Instant};

use crate::harness::{Use, audit, case, foreign, operator_requests, text, within};
use crate::hello;

/// No request of the operator about several settled images for a minute; then an edit shows in the
/// status within two seconds, so it was not asleep.
#[test]
fn settled_images_cause_no_request() {
    case("170_settled", Use::Shared, async |space| {
        if foreign() {
            eprintln!("170: not run here: audit log");
            return;
        }
        let names = ["a", "b", "c", "d"];
        for image in names {
            space.apply(image, hello(image)).await;
        }
        for image in names {
            space.ready(image).await;
            space.has_jobs(image, 0).await;
        }
        let user = "a-user";
        space
            .patch(
                "ConfigMap",
                "kube-root-ca.crt",
                serde_json::json!({"metadata": {"labels": {"e2e": user}}}),
            )
            .await;
        let marker = audit(&space.namespace).pop().unwrap().at;
        // The one pause here: a minute in which nothing happens is what is asked for.
        tokio::time::sleep(Duration::from_secs(61)).await;
        let since: Vec<_> = operator_requests()
            .into_iter()
            .filter(|entry| entry.namespace == space.namespace && entry.at > marker)
            .map(|entry| format!("{} {} {} {}", entry.at, entry.verb, entry.resource, entry.name))
            .collect();
        assert!(
            since.is_empty(),
            "expected no request in a minute; seen since {marker}: {since:#?}"
        );

        let start = Instant::now();
        let edited = space.apply("a", hello("edited")).await;
        let generation = text(&edited, "/metadata/generation");
        within(Duration::from_secs(2), "the edit in the status", async || {
            let seen = text(&space.image("a").await, "/status/observedGeneration");
            if seen == generation { Ok(()) } else { Err(seen) }
        })
        .await;
        eprintln!("170: the edit was in the status after {} ms", start.elapsed().as_millis());
        space.ready("a").await;
    });
}
