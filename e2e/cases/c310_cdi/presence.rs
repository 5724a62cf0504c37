//! A cluster to which CDI comes, and from which it goes.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use super::{adopted, owners, points_at, served, the, written};
use crate::harness::{
    Cdi, Operator, Space, Use, case, condition, foreign, place, reason_of, text, uid, within,
};

/// How long it may take until the operator knows: it looks every 25 s.
const LOOKED: Duration = Duration::from_secs(60);

/// Waits until the image stands so.
async fn stands(space: &Space, status: &str, reason: &str) -> Value {
    within(LOOKED, &format!("Ready={status} {reason}"), async || {
        let image = space.image("hello").await;
        let seen = reason_of(&image);
        let right = seen == (status.to_owned(), reason.to_owned());
        if right { Ok(image) } else { Err(image["status"].to_string()) }
    })
    .await
}

/// The claim is published, and the image says what is missing.
fn waits_for_cdi(image: &Value) {
    let told = |kind: &str| {
        let condition = condition(image, kind).unwrap_or_default();
        (text(&condition, "/status"), text(&condition, "/reason"))
    };
    let pair = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(told("CDIAvailable"), pair("False", "CDIMissing"));
    assert_eq!(told("Published"), pair("True", "Published"));
    assert_eq!(told("Built"), pair("True", "Built"));
    assert!(condition(image, "Stalled").is_none(), "it waits");
}

/// Without CDI the claim is built and told; the rest follows by itself when CDI comes, and that it went
/// is told, too.
#[test]
fn cdi_comes_and_goes() {
    case("316_cdi_comes_and_goes", Use::Alone, async |space| {
        if foreign() {
            eprintln!("316 is not run: it installs a stand-in for CDI");
            return;
        }
        let operator = Operator::here(&[]).await;
        operator.is_ready().await;
        space.apply("hello", served("hello", "golden-1", json!({}))).await;
        let without = space.waits("hello", "WaitingForCDI").await;
        waits_for_cdi(&without);
        let claim = space.complete_claim(&without).await;
        assert_eq!(owners(&claim), ["VMImage/hello"]);

        let cdi = Cdi::up();
        let with = stands(&space, "True", "Published").await;
        assert_eq!(place(&with), place(&without));
        adopted(&space, "golden-1").await;
        assert_eq!(points_at(&the(&space, "DataSource", "golden").await), "golden-1");
        let available = condition(&with, "CDIAvailable").unwrap_or_default();
        assert_eq!(text(&available, "/status"), "True");

        drop(cdi);
        let after = stands(&space, "False", "WaitingForCDI").await;
        waits_for_cdi(&after);
        assert_eq!(place(&after), place(&without), "what is published is still told");
        let left = space.complete_claim(&after).await;
        assert_eq!(uid(&left), uid(&claim), "the claim stays");
        let jobs = written(&space, &["jobs"]);
        let builds = jobs.iter().filter(|entry| *entry == "create jobs 201").count();
        assert_eq!(builds, 1, "nothing is built again: {jobs:?}");
        operator.leave().await;
    });
}
