//! The operator is told to end.

use std::time::Duration;

use crate::harness::{Operator, Use, case, metric, until};
use crate::slow;

/// With a build under way it ends well within five seconds; the build goes on without it and its
/// successor takes over. Probes and metrics answer while it lives. One that has hardly started hears
/// the signal, too: as a container's first process it would be deaf to it otherwise.
#[test]
fn it_ends_when_told_and_its_successor_takes_over() {
    case("230_shutdown", Use::Alone, async |space| {
        let mut operator = Operator::here(&[]).await;
        operator.is_ready().await;
        assert_eq!(operator.get("/healthz"), Some((200, "ok\n".into())));
        assert_eq!(operator.get("/nonsense").map(|(code, _)| code), Some(404));
        space.apply("hello", slow("hello")).await;
        space.pod_is("hello", "Running").await;
        let (_, metrics) = operator.get("/metrics").unwrap();
        let active = metric(&metrics, "vmimage_builds_active", "");
        assert!(active >= 1.0, "expected a build under way; seen: {active}");
        let (status, took) = operator.terminate();
        assert!(status.success(), "expected exit code 0; seen: {status}\n{}", operator.log());
        assert!(took < Duration::from_secs(5), "expected an end within 5 s; seen: {took:?}");
        assert_eq!(operator.get("/healthz"), None, "nobody listens any more");
        eprintln!("230: ended {} ms after SIGTERM", took.as_millis());
        space.pod_is("hello", "Succeeded").await;
        operator.again(&[]);
        until("the first line of its log", async || {
            let log = operator.log();
            if log.contains("starting") { Ok(()) } else { Err(log) }
        })
        .await;
        let (status, _) = operator.terminate();
        assert!(status.success(), "told at once: expected exit code 0; seen: {status}");
        operator.again(&[]);
        space.ready("hello").await;
        operator.leave().await;
    });
}
