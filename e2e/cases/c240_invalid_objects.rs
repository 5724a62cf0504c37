//! Objects that nothing can be built of, beside good ones.

use serde_json::json;

use crate::harness::{Use, case, condition, text, try_kubectl};
use crate::{hello, with};

/// Documents that the apiserver takes, and controller or builder do not, are told by field, and do
/// not hold the others up.
#[test]
fn bad_images_stand_beside_good_ones() {
    case("240_invalid_objects", Use::Shared, async |space| {
        space.apply("no-target", json!({"boot": {"sector": {"message": "x"}}})).await;
        let unused = space.waits("no-target", "NothingToPublish").await;
        assert!(condition(&unused, "Stalled").is_some());
        let long = "x".repeat(505);
        space.apply("too-long", hello(&long)).await;
        space.apply("good", hello("good")).await;
        space.ready("good").await;
        // How long a message may be only the assembled program knows, so the pod says it.
        let image = space.waits("too-long", "InvalidDocument").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        assert!(message.contains("boot.sector.message"), "expected the field in {message:?}");
        assert!(message.contains("bytes too long"), "expected by how much in {message:?}");
        space.has_jobs("too-long", 1).await;
        space.apply("too-long", hello("short enough")).await;
        space.ready("too-long").await;
    });
}

/// Two members of a union, none, a number out of its bounds: refused by the apiserver at once.
#[test]
fn the_apiserver_refuses_what_it_can() {
    case("241_refused_at_once", Use::Shared, async |space| {
        for (spec, expected) in [
            (
                with(
                    hello("x"),
                    json!({"boot": {"sector": {"source": {"inline": {"text": "y"}}}}}),
                ),
                "message",
            ),
            (with(hello("x"), json!({"publish": [{"name": "golden"}]})), "pvc"),
            (with(hello("x"), json!({"build": {"timeoutSeconds": 1}})), "timeoutSeconds"),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let object = json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
                "metadata": {"name": "bad", "namespace": space.namespace}, "spec": spec});
            fs_err::write(file.path(), object.to_string()).unwrap();
            let answer = try_kubectl(&["apply", "-f", file.path().to_str().unwrap()]);
            assert!(
                answer.contains("is invalid") && answer.contains(expected),
                "expected a refusal that names {expected}; seen: {answer}"
            );
        }
        assert!(space.find("VMImage", "bad").await.is_none());
    });
}
