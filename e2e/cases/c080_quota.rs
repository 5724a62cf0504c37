//! Quotas: no pod, or no claim, may be made.

use serde_json::json;

use crate::harness::{Use, case, condition, text};
use crate::hello;

/// No pods are allowed: the reason is told although no pod ever appears; lifted, it goes on.
#[test]
fn a_quota_on_pods_is_told_and_waited_for() {
    case("080_quota_pods", Use::Shared, async |space| quota(&space, "pods").await);
}

/// No claims are allowed.
#[test]
fn a_quota_on_claims_is_told_and_waited_for() {
    case("081_quota_claims", Use::Shared, async |space| {
        quota(&space, "persistentvolumeclaims").await;
    });
}

async fn quota(space: &crate::harness::Space, what: &str) {
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {what: "0"}}});
    space.apply_object("ResourceQuota", quota).await;
    crate::harness::until("the quota is counted", async || {
        let quota = space.find("ResourceQuota", "none").await.unwrap();
        let used = text(&quota, &format!("/status/used/{what}"));
        if used.is_empty() { Err(quota.to_string()) } else { Ok(()) }
    })
    .await;
    space.apply("hello", hello("hello")).await;
    let image = space.waits("hello", "QuotaExceeded").await;
    let message = text(&condition(&image, "Ready").unwrap(), "/message");
    assert!(message.contains("none") && message.contains(what), "message: {message:?}");
    assert!(condition(&image, "Reconciling").is_some(), "it waits, it has not stalled");
    assert!(space.of("Pod", "hello").await.is_empty(), "no pod appears");
    space.told("hello", "QuotaExceeded").await;
    space.delete("ResourceQuota", "none").await;
    space.ready("hello").await;
    let history = space.image("hello").await["status"]["history"].clone();
    assert_eq!(text(&history, "/0/attempt"), "1", "waiting costs no attempt: {history}");
}
