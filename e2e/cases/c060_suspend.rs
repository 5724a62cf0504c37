//! `spec.suspend`.

use serde_json::json;

use crate::harness::{Use, case, place, text};
use crate::{hello, with};

/// Suspend and an edit in one apply: the edit is not built, Ready is False for it, what was
/// published stays. Resumed, it is built.
#[test]
fn suspended_edits_wait() {
    case("060_suspend", Use::Shared, async |space| {
        space.apply("hello", hello("one")).await;
        let first = space.ready("hello").await;
        space.has_jobs("hello", 0).await;
        space.apply("hello", with(hello("two"), json!({"suspend": true}))).await;
        let suspended = space.waits("hello", "Suspended").await;
        assert_eq!(place(&suspended), place(&first), "what was published is still told");
        assert_eq!(text(&suspended, "/status/content/digest"), "", "two is not built");
        space.has_jobs("hello", 0).await;
        space.has("PersistentVolumeClaim", "hello", 1).await;
        space.patch("VMImage", "hello", json!({"spec": {"suspend": false}})).await;
        let second = space.ready("hello").await;
        assert_ne!(place(&second).0, place(&first).0);
    });
}

/// A new image that is suspended starts nothing at all.
#[test]
fn a_suspended_image_starts_nothing() {
    case("061_suspended_from_the_start", Use::Shared, async |space| {
        space.apply("hello", with(hello("one"), json!({"suspend": true}))).await;
        space.waits("hello", "Suspended").await;
        for kind in ["Job", "PersistentVolumeClaim", "ConfigMap"] {
            assert!(space.ours(kind).await.is_empty(), "expected no {kind}");
        }
        space.apply("hello", hello("one")).await;
        space.ready("hello").await;
    });
}
