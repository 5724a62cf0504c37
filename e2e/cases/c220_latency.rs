//! How long a user waits.

use std::time::{Duration, Instant};

use crate::harness::{Use, case, text, within};
use crate::hello;

/// Prints how long it takes from applying to the first status, to the Job and to Ready, with nothing
/// else going on. The limits are ten times what an idle machine needs.
#[test]
fn applying_is_answered_at_once() {
    case("220_latency", Use::Alone, async |space| {
        let mut rows = Vec::new();
        for number in 0..5 {
            let name = format!("hello-{number}");
            let start = Instant::now();
            space.apply(&name, hello(&name)).await;
            let applied = start.elapsed();
            let seconds = Duration::from_secs(3);
            within(seconds, "a status", async || {
                let generation = text(&space.image(&name).await, "/status/observedGeneration");
                if generation.is_empty() { Err("none".into()) } else { Ok(()) }
            })
            .await;
            let status = start.elapsed();
            within(seconds, "a Job", async || {
                let jobs = space.of("Job", &name).await;
                if jobs.is_empty() { Err("none".into()) } else { Ok(()) }
            })
            .await;
            let job = start.elapsed();
            space.ready(&name).await;
            rows.push((applied, status, job, start.elapsed()));
        }
        for (applied, status, job, ready) in rows {
            eprintln!(
                "220: apply {} ms, status {} ms, Job {} ms, Ready {} ms (seen by polling each 50 ms)",
                applied.as_millis(),
                status.as_millis(),
                job.as_millis(),
                ready.as_millis()
            );
        }
    });
}
