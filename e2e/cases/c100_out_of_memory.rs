//! The builder is killed for want of memory.

use serde_json::json;

use crate::harness::{Use, case, condition, foreign, name, text, uid, until, use_up_memory};
use crate::{slow, with};

/// The kernel kills the builder for its limit, twice: it is tried once more, then named; with a
/// higher limit the image is built.
#[test]
fn too_little_memory_is_named_and_can_be_raised() {
    case("100_out_of_memory", Use::Shared, async |space| {
        if foreign() {
            eprintln!("100: not run here: the container's memory cannot be used up from outside");
            return;
        }
        let limit = |memory: &str| json!({"build": {"resources": {"limits": {"memory": memory}}}});
        space.apply("hello", with(slow("hello"), limit("48Mi"))).await;
        for attempt in 1..=2 {
            let suffix = format!("-{attempt}-");
            let pod = until(&format!("the pod of attempt {attempt}"), async || {
                let pods = space.of("Pod", "hello").await;
                let seen: Vec<_> = pods.iter().map(name).collect();
                let one = |p: &&_| name(p).contains(&suffix);
                pods.iter().find(one).cloned().ok_or(format!("{seen:?}"))
            })
            .await;
            use_up_memory(&uid(&pod)).await;
        }
        let image = space.waits("hello", "OutOfMemory").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        assert!(message.contains("spec.build.resources.limits.memory"), "{message:?}");
        assert!(message.starts_with("2 of 2 attempts failed"), "{message:?}");
        space.has_jobs("hello", 2).await;
        for pod in space.of("Pod", "hello").await {
            let ended = text(&pod, "/status/containerStatuses/0/state/terminated/reason");
            assert_eq!(ended, "OOMKilled", "how {} ended", name(&pod));
        }
        space.apply("hello", with(slow("hello"), limit("96Mi"))).await;
        space.ready("hello").await;
        space.has_jobs("hello", 0).await;
    });
}
