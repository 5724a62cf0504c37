//! An image is deleted and made anew under the same name.

use serde_json::json;

use crate::harness::{Use, case, name, place, reason_of, text, uid};
use crate::hello;

/// At once: whatever of the first is still there is waited for, never adopted.
#[test]
fn a_name_is_used_again_at_once() {
    case("120_namesake", Use::Shared, async |space| {
        space.apply("hello", hello("hello")).await;
        let first = space.ready("hello").await;
        let old = space.complete_claim(&first).await;
        space.delete("VMImage", "hello").await;
        space.apply("hello", hello("hello")).await;
        let second = space.ready("hello").await;
        assert_ne!(uid(&first), uid(&second), "another image");
        let new = space.complete_claim(&second).await;
        assert_ne!(uid(&old), uid(&new), "a claim of its own");
        assert_eq!(text(&new, "/metadata/ownerReferences/0/uid"), uid(&second));
        assert_eq!(place(&first), place(&second), "the same name, digest and hash");
    });
}

/// The first one's claim cannot go yet: the second says so, and goes on when it can.
#[test]
fn a_terminating_namesake_is_waited_for() {
    case("121_terminating_namesake", Use::Shared, async |space| {
        space.apply("hello", hello("hello")).await;
        let claim = space.complete_claim(&space.ready("hello").await).await;
        let hold = |finalizers: serde_json::Value| json!({"metadata": {"finalizers": finalizers}});
        let held = json!(["kubernetes.io/pvc-protection", "e2e.vmimage.dev/hold"]);
        space.patch("PersistentVolumeClaim", &name(&claim), hold(held)).await;
        space.delete("VMImage", "hello").await;
        space.apply("hello", hello("hello")).await;
        let waiting = space.waits("hello", "NamesakeTerminating").await;
        assert_eq!(reason_of(&waiting).0, "False");
        assert!(space.of("Job", "hello").await.is_empty(), "nothing is built meanwhile");
        space.patch("PersistentVolumeClaim", &name(&claim), hold(json!([]))).await;
        let second = space.ready("hello").await;
        assert_ne!(uid(&space.complete_claim(&second).await), uid(&claim));
    });
}
