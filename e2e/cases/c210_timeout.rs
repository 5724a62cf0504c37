//! A build that takes too long.

use serde_json::json;

use crate::harness::{Use, case, condition, text};
use crate::{slow, with};

/// With next to no processor the build passes its deadline: it ends by itself, is told so, and
/// goes through with more time.
#[test]
fn a_build_that_takes_too_long_is_ended() {
    case("210_timeout", Use::Shared, async |space| {
        let late = json!({"disk": {"size": "512Mi"}, "publish": [{"name": "golden", "pvc": {"request": "640Mi"}}],
            "build": {"timeoutSeconds": 10, "maxAttempts": 1, "resources": {"limits": {"cpu": "5m"}}}});
        space.apply("hello", with(slow("hello"), late)).await;
        let image = space.waits("hello", "RetryLimitExceeded").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        assert!(message.starts_with("1 of 1 attempts failed"), "{message:?}");
        let history = image["status"]["history"].clone();
        assert_eq!(text(&history, "/0/reason"), "Timeout", "{history} {message:?}");
        let enough =
            json!({"build": {"timeoutSeconds": 600, "resources": {"limits": {"cpu": "2"}}}});
        space.patch("VMImage", "hello", json!({"spec": enough})).await;
        space.ready("hello").await;
    });
}
