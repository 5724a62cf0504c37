//! `kubectl delete` in every phase leaves nothing.

use serde_json::json;

use crate::harness::{Use, case, scale};
use crate::{hello, slow, unschedulable, with};

/// Just applied, waiting for a node, running, published, stalled.
#[test]
fn deleting_leaves_nothing_in_any_phase() {
    case("160_delete_in_every_phase", Use::Shared, async |space| {
        let small = json!({"publish": [{"name": "golden", "pvc": {"request": "1Mi"}}]});
        space.apply("new", hello("new")).await;
        space.delete("VMImage", "new").await;
        space.apply("waiting", unschedulable("waiting")).await;
        space.apply("running", slow("running")).await;
        space.apply("published", hello("published")).await;
        space.apply("stalled", with(hello("stalled"), small)).await;
        space.waits("waiting", "Unschedulable").await;
        space.delete("VMImage", "waiting").await;
        space.pod_is("running", "Running").await;
        space.delete("VMImage", "running").await;
        space.ready("published").await;
        space.delete("VMImage", "published").await;
        space.waits("stalled", "VolumeTooSmall").await;
        space.delete("VMImage", "stalled").await;
        for image in ["new", "waiting", "running", "published", "stalled"] {
            space.gone(image).await;
        }
        for kind in ["Job", "Pod", "PersistentVolumeClaim", "ConfigMap"] {
            let left = space.ours(kind).await;
            assert!(left.is_empty(), "expected no {kind}; seen: {left:?}");
        }
    });
}

/// Built, not yet marked: the controller is away when the image is deleted.
#[test]
fn deleting_before_the_marks_leaves_nothing() {
    case("161_delete_before_marks", Use::Alone, async |space| {
        space.apply("hello", slow("hello")).await;
        space.pod_is("hello", "Running").await;
        scale(0).await;
        space.pod_is("hello", "Succeeded").await;
        space.delete("VMImage", "hello").await;
        scale(1).await;
        space.gone("hello").await;
    });
}
