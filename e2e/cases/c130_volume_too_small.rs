//! A volume that cannot hold the disk.

use serde_json::json;

use crate::harness::{Use, case, condition, text};
use crate::{hello, with};

/// A request of just the disk's size leaves too little, for the filesystem needs some: that is
/// final, told with both numbers, not tried again. A larger request is built.
#[test]
fn a_volume_too_small_is_final_until_the_request_grows() {
    case("130_volume_too_small", Use::Shared, async |space| {
        let request =
            |size: &str| json!({"publish": [{"name": "golden", "pvc": {"request": size}}]});
        space.apply("hello", with(hello("hello"), request("1Mi"))).await;
        let image = space.waits("hello", "VolumeTooSmall").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        assert!(message.contains("1048576"), "expected the disk's size in {message:?}");
        let pods = space.has("Pod", "hello", 1).await;
        let exit = text(&pods[0], "/status/containerStatuses/0/state/terminated/exitCode");
        assert_eq!(exit, "67", "exit code of the builder");
        assert!(condition(&image, "Reconciling").is_none(), "it has stalled");
        let history = &image["status"]["history"];
        assert_eq!(
            (text(history, "/0/result"), text(history, "/0/reason"), text(history, "/0/attempt")),
            ("Failed".into(), "VolumeTooSmall".into(), "1".into()),
        );
        space.apply("hello", with(hello("hello"), request("4Mi"))).await;
        space.ready("hello").await;
        space.has_jobs("hello", 0).await;
        space.has("PersistentVolumeClaim", "hello", 1).await;
    });
}
