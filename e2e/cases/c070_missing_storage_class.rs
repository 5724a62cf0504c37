//! A StorageClass that does not exist yet.

use serde_json::json;

use crate::harness::{Use, case, condition, foreign, text};
use crate::{hello, with};

/// The image waits, making nothing, and goes on when the class appears; nobody edits it.
#[test]
fn a_missing_storage_class_is_waited_for() {
    case("070_missing_storage_class", Use::Shared, async |space| {
        let class = format!("{}-class", space.namespace);
        let publish = json!({"publish": [{"name": "golden", "pvc": {"storageClassName": class, "request": "4Mi"}}]});
        space.apply("hello", with(hello("hello"), publish)).await;
        let image = space.waits("hello", "StorageClassMissing").await;
        let message = text(&condition(&image, "Ready").unwrap(), "/message");
        assert!(message.contains(&class), "expected the class in {message:?}");
        assert!(space.ours("PersistentVolumeClaim").await.is_empty(), "no claim is made");
        assert!(space.ours("Job").await.is_empty(), "no Job is made");
        if foreign() {
            eprintln!("070: not run here: the class appears (its provisioner is unknown)");
            return;
        }
        let object = json!({
            "metadata": {"name": class}, "provisioner": "cluster.vmimage.dev/local",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": false, "parameters": {},
        });
        space.apply_cluster("StorageClass", object).await;
        space.ready("hello").await;
        space.delete_cluster("StorageClass", &class).await;
    });
}
