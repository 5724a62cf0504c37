//! DataVolumes, claims and DataSources that others made.

use serde_json::{Value, json};

use super::{
    WAITS_FOR, adopted, bytes_are_told, data_volume, gone, owners, published, served, the,
    with_cdi, written,
};
use crate::harness::{Space, annotation, condition, place, text, uid, until};

/// A claim whose DataVolume its user makes.
fn theirs(message: &str, claim: &str) -> Value {
    published(message, &json!({"name": claim, "dataVolume": {"create": "Never"}}))
}

/// A DataVolume of a user that waits for the claim of its name.
async fn waiting(space: &Space, name: &str) -> Value {
    data_volume(space, name, json!({WAITS_FOR: name}), json!({"blank": {}})).await
}

/// A DataVolume of the user's own is served whichever comes first, and never written.
#[test]
fn own_data_volume() {
    with_cdi("311_own_data_volume", async |space| {
        let first = waiting(space, "early").await;
        space.apply("early", theirs("early", "early")).await;
        space.apply("late", theirs("late", "late")).await;
        let late = space.ready("late").await;
        let before = space.complete_claim(&late).await;
        assert_eq!(owners(&before), ["VMImage/late"], "nobody to adopt it");
        let second = waiting(space, "late").await;
        let early = space.ready("early").await;
        for (image, made) in [(early, first), (late, second)] {
            let (claim, _, _) = place(&image);
            let volume = adopted(space, &claim).await;
            assert_eq!(uid(&volume), uid(&made));
            assert_eq!(annotation(&volume, "vmimage.dev/owner-uid"), "", "not ours");
            assert_eq!(volume["spec"], made["spec"]);
            let found = space.complete_claim(&image).await;
            assert_eq!(
                owners(&found),
                [format!("DataVolume/{claim}*"), format!("VMImage/{claim}")]
            );
            bytes_are_told(space, &image);
        }
        assert_eq!(uid(&the(space, "PersistentVolumeClaim", "late").await), uid(&before));
        assert_eq!(written(space, &["datavolumes", "datasources"]), [""; 0]);
    });
}

/// The message of the condition Ready of an image that waits for this reason.
async fn told(space: &Space, image: &str, reason: &str, parts: &[&str]) {
    let image = space.waits(image, reason).await;
    let message = text(&condition(&image, "Ready").unwrap(), "/message");
    for part in parts {
        assert!(message.contains(part), "expected {part:?} in {message:?}");
    }
}

/// What others made stays as it is, the image tells what to do, and goes on when that is done.
#[test]
fn foreign_objects() {
    with_cdi("312_foreign_objects", async |space| {
        let source = json!({"metadata": {"name": "golden"}, "spec": {"source":
            {"pvc": {"name": "elsewhere", "namespace": space.namespace}}}});
        let foreign_source = space.apply_object("DataSource", source).await;
        let foreign_volume = waiting(space, "taken").await;
        data_volume(space, "first", json!({}), json!({"blank": {}})).await;
        until("CDI's own claim", async || {
            space.find("PersistentVolumeClaim", "first").await.ok_or("none".to_owned())
        })
        .await;
        let ours = published("taken", &json!({"name": "taken", "dataVolume": {}}));
        space.apply("taken", ours).await;
        space.apply("first", theirs("first", "first")).await;
        space.apply("owned", theirs("owned", "owned")).await;
        space.apply("source", served("source", "source", json!({}))).await;

        told(space, "taken", "NameConflict", &["DataVolume taken", "create: Never"]).await;
        assert!(space.find("PersistentVolumeClaim", "taken").await.is_none(), "nothing is built");
        told(space, "first", "DataVolumeFirst", &["prePopulated: first"]).await;
        let empty = the(space, "PersistentVolumeClaim", "first").await;
        assert_eq!(owners(&empty), ["DataVolume/first*"], "CDI's claim is left alone");
        told(space, "source", "NameConflict", &["DataSource golden"]).await;
        let after = the(space, "DataSource", "golden").await;
        assert_eq!(after["spec"], foreign_source["spec"]);
        let after = the(space, "DataVolume", "taken").await;
        assert_eq!((uid(&after), &after["spec"]), (uid(&foreign_volume), &foreign_volume["spec"]));

        space.ready("owned").await;
        let holder = space.apply_object("ConfigMap", json!({"metadata": {"name": "holder"}})).await;
        let claim = the(space, "PersistentVolumeClaim", "owned").await;
        let before = claim["metadata"]["ownerReferences"].clone();
        let mut held = before.as_array().unwrap().clone();
        held.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "holder",
            "uid": uid(&holder), "controller": true}));
        let own = async |list: &Value| {
            let patch = json!({"metadata": {"ownerReferences": list}});
            space.patch("PersistentVolumeClaim", "owned", patch).await;
        };
        own(&held.into()).await;
        let names = ["claim owned", "ConfigMap holder", "ownerReferences"];
        told(space, "owned", "ClaimOwnedByOther", &names).await;
        own(&before).await;

        space.delete("DataSource", "golden").await;
        space.delete("DataVolume", "taken").await;
        space.delete("DataVolume", "first").await;
        gone(space, "PersistentVolumeClaim", "first").await;
        waiting(space, "first").await;
        for image in ["owned", "taken", "first", "source"] {
            bytes_are_told(space, &space.ready(image).await);
        }
        let volume = adopted(space, "taken").await;
        assert_ne!(uid(&volume), uid(&foreign_volume), "one of our own");
        adopted(space, "first").await;
        space.apply("second", served("second", "second", json!({}))).await;
        told(space, "second", "NameConflict", &["DataSource golden", "VMImage source"]).await;
        assert_eq!(super::points_at(&the(space, "DataSource", "golden").await), "source");
    });
}
