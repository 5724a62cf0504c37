//! Objects of ours that somebody edits.

use std::time::Duration;

use serde_json::json;

use super::{adopted, default_label, gone, points_at, published, served, the, with_cdi};
use crate::harness::{uid, until, within};

/// How long an edit may stand: the operator looks every 25 s.
const LOOKED: Duration = Duration::from_secs(60);

/// A DataSource that is made to point elsewhere is put back, labels that the document gives no more go
/// from it, a DataVolume that was deleted comes back; a DataSource that nobody asks for goes.
#[test]
fn edited_by_hand() {
    with_cdi("315_edited_by_hand", async |space| {
        let preference = json!({"defaults": {"preference": {"name": "fedora"}}});
        space.apply("hello", served("hello", "golden-1", preference)).await;
        let image = space.ready("hello").await;
        let claim = space.complete_claim(&image).await;
        until("CDI copies the claim's label", async || {
            let source = the(space, "DataSource", "golden").await;
            let seen = default_label(&source, "preference");
            if seen == "fedora" { Ok(()) } else { Err(seen) }
        })
        .await;
        let small = json!({"defaults": {"instancetype": {"name": "u1.small"}}});
        space.apply("hello", served("hello", "golden-1", small)).await;
        let labels = async || {
            let source = the(space, "DataSource", "golden").await;
            ["instancetype", "preference"].map(|what| default_label(&source, what))
        };
        let right = ["u1.small", ""];
        within(LOOKED, "the old label goes and the new one comes", async || {
            let seen = labels().await;
            if seen == right { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;

        let volume = adopted(space, "golden-1").await;
        let edit = json!({
            "metadata": {"labels": {"instancetype.kubevirt.io/default-preference": "by-hand"}},
            "spec": {"source": {"pvc": {"name": "elsewhere"}}},
        });
        space.patch("DataSource", "golden", edit).await;
        space.delete("DataVolume", "golden-1").await;
        within(LOOKED, "all of it is put back", async || {
            let source = the(space, "DataSource", "golden").await;
            let seen = (points_at(&source), labels().await);
            let other = space.find("DataVolume", "golden-1").await;
            let again = other.as_ref().is_some_and(|other| uid(other) != uid(&volume));
            let back = seen.0 == "golden-1" && seen.1 == right && again;
            if back { Ok(()) } else { Err(format!("{seen:?}, the DataVolume: {again}")) }
        })
        .await;
        adopted(space, "golden-1").await;

        let alone = json!({"name": "golden-1", "dataVolume": {},
            "defaults": {"instancetype": {"name": "u1.small"}}});
        space.apply("hello", published("hello", &alone)).await;
        gone(space, "DataSource", "golden").await;
        let image = space.ready("hello").await;
        let after = space.complete_claim(&image).await;
        assert_eq!(uid(&after), uid(&claim), "the claim stays through all of it");
    });
}
