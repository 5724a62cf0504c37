//! The builder is killed for want of memory.

use serde_json::json;

use crate::harness::{Use, case, condition, text};
use crate::{hello, with};

/// A limit that is too low (3 MiB: the builder itself is content with 5) is tried once more, then named; raised, the image is built.
#[test]
fn too_little_memory_is_named_and_can_be_raised() {
    case("100_out_of_memory", Use::Shared, async |space| {
        let limit = |memory: &str| json!({"build": {"resources": {"limits": {"memory": memory}}}});
        space.apply("hello", with(hello("hello"), limit("3Mi"))).await;
        let image = space.waits("hello", "OutOfMemory").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        assert!(message.contains("spec.build.resources.limits.memory"), "{message:?}");
        assert!(message.starts_with("2 of 2 attempts failed"), "{message:?}");
        let jobs = space.has_jobs("hello", 2).await;
        for job in &jobs {
            assert_eq!(text(job, "/status/failed"), "1", "{job}");
        }
        let pods = space.of("Pod", "hello").await;
        for pod in &pods {
            let ended = "/status/containerStatuses/0/state/terminated";
            let ended = pod.pointer(ended).unwrap_or(pod).to_string();
            let killed = ended.contains("OOMKilled") || ended.contains("OOM-killed");
            assert!(killed, "expected that it was really killed; seen: {ended}");
        }
        space.apply("hello", with(hello("hello"), limit("64Mi"))).await;
        space.ready("hello").await;
        space.has_jobs("hello", 0).await;
    });
}
