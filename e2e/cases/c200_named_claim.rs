//! A claim with a name that the user chose.

use serde_json::json;

use crate::harness::{Use, annotation, case, condition, place, uid};
use crate::{hello, with};

fn named(message: &str, claim: &str) -> serde_json::Value {
    with(hello(message), json!({"publish": [{"name": "golden", "pvc": {"name": claim}}]}))
}

/// The name holds one content for life: other content for it is refused and the volume stays as it
/// is; another name, or the first content again, is well.
#[test]
fn a_stable_name_holds_one_content_for_life() {
    case("200_named_claim", Use::Shared, async |space| {
        space.apply("hello", named("one", "golden-disk")).await;
        let first = space.ready("hello").await;
        assert_eq!(place(&first).0, "golden-disk");
        let claim = space.complete_claim(&first).await;
        space.has_jobs("hello", 0).await;
        space.apply("hello", named("two", "golden-disk")).await;
        let refused = space.waits("hello", "NameHoldsOtherContent").await;
        assert!(condition(&refused, "Stalled").is_some());
        assert_eq!(place(&refused).1, place(&first).1, "what is published is still told");
        let after = space.find("PersistentVolumeClaim", "golden-disk").await.unwrap();
        assert_eq!(
            (uid(&after), annotation(&after, "vmimage.dev/complete")),
            (uid(&claim), annotation(&claim, "vmimage.dev/complete")),
            "the claim is untouched"
        );
        space.apply("hello", named("one", "golden-disk")).await;
        space.ready("hello").await;
        space.apply("hello", named("two", "silver-disk")).await;
        assert_eq!(place(&space.ready("hello").await).0, "silver-disk");
    });
}

/// A claim of that name that somebody else made is left alone.
#[test]
fn a_foreign_claim_is_left_alone() {
    case("201_foreign_claim", Use::Shared, async |space| {
        let claim = space.apply_object("PersistentVolumeClaim", json!({
            "metadata": {"name": "golden-disk"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "4Mi"}}},
        })).await;
        space.apply("hello", named("one", "golden-disk")).await;
        let refused = space.waits("hello", "NameConflict").await;
        assert_eq!(place(&refused).0, "");
        assert!(space.of("Job", "hello").await.is_empty(), "nothing is built");
        let after = space.find("PersistentVolumeClaim", "golden-disk").await.unwrap();
        assert_eq!(uid(&after), uid(&claim));
        assert_eq!(annotation(&after, "vmimage.dev/owner-uid"), "", "no mark of ours");
        space.delete("VMImage", "hello").await;
        space.gone("hello").await;
        assert!(space.find("PersistentVolumeClaim", "golden-disk").await.is_some(), "it stays");
    });
}
