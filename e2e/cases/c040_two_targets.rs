//! One image on two volumes.

use serde_json::json;

use crate::harness::{Use, annotation, case, foreign, mount, name, sha256sum, text};
use crate::{hello, with};

/// Two targets of different classes, one bound at once and one with its first pod, hold the same
/// bytes, each on a claim as it was asked for.
#[test]
fn two_targets_hold_the_same_content() {
    case("040_two_targets", Use::Shared, async |space| {
        let publish = json!({"publish": [
            {"name": "now", "pvc": {"storageClassName": "local-immediate"}},
            {"name": "later", "pvc": {"storageClassName": "local", "accessModes": ["ReadWriteOncePod"], "request": "8Mi"}},
        ]});
        space.apply("twins", with(hello("twins"), publish)).await;
        let image = space.ready("twins").await;
        let claims = space.has("PersistentVolumeClaim", "twins", 2).await;
        let target = |claim| text(claim, "/metadata/labels/vmimage.dev~1target");
        let of = |wanted: &str| claims.iter().find(|claim| target(claim) == wanted).unwrap();
        let (now, later) = (of("now"), of("later"));
        assert_eq!(text(now, "/spec/storageClassName"), "local-immediate");
        assert_eq!(text(now, "/spec/accessModes/0"), "ReadWriteOnce");
        assert_eq!(text(later, "/spec/accessModes/0"), "ReadWriteOncePod");
        assert_eq!(text(later, "/spec/resources/requests/storage"), (8 << 20).to_string());
        let digest = text(&image, "/status/content/digest");
        for claim in [now, later] {
            assert_eq!(annotation(claim, "vmimage.dev/content-digest"), digest);
            assert_eq!(
                text(claim, "/metadata/ownerReferences/0/controller"),
                "",
                "never controller"
            );
            if !foreign() {
                let found = sha256sum(&mount(&space, &name(claim)).join("disk.img"));
                assert_eq!(found, annotation(claim, "vmimage.dev/digest"), "{}", target(claim));
            }
        }
        let names: Vec<_> =
            (0..2).map(|i| text(&image, &format!("/status/targets/{i}/name"))).collect();
        assert_eq!(names, ["now", "later"], "targets in the document's order");
        space.has_jobs("twins", 0).await;
    });
}
