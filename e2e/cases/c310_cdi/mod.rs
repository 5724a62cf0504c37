//! DataVolumes and DataSources: when they come, what they wait for, and when they go.
//!
//! CDI is the stand-in of e2e/cdi-contract, which does what CDI was seen to do. On a foreign cluster
//! these cases say that they are not run: they install and remove CDI.

mod ends;
mod hands;
mod own;
mod presence;

use serde_json::{Value, json};

use crate::harness::{
    Cdi, Operator, Space, Use, annotation, case, condition, first_sha256sum, foreign, kubectl,
    mount, name, operator_requests, place, sha256sum, text, uid, until,
};
use crate::{hello, with};

const WAITS_FOR: &str = "cdi.kubevirt.io/storage.prePopulated";
const POPULATED_FOR: &str = "cdi.kubevirt.io/storage.populatedFor";

/// Plays a story in a cluster that has CDI, with an operator that knows it from its start.
fn with_cdi(title: &str, story: impl AsyncFnOnce(&Space)) {
    case(title, Use::Alone, async |space| {
        if foreign() {
            eprintln!("{title} is not run: it installs a stand-in for CDI");
            return;
        }
        let cdi = Cdi::up();
        let operator = Operator::here(&[]).await;
        operator.is_ready().await;
        story(&space).await;
        drop(cdi);
        operator.leave().await;
    });
}

/// The hello document, published into a claim like this.
fn published(message: &str, pvc: &Value) -> Value {
    with(hello(message), json!({"publish": [{"name": "golden", "pvc": pvc}]}))
}

/// The same, with a DataVolume and the DataSource golden; `more` is merged into its claim.
pub(crate) fn served(message: &str, claim: &str, more: Value) -> Value {
    let pvc = json!({"name": claim, "dataVolume": {}, "dataSource": {"name": "golden"}});
    published(message, &with(pvc, more))
}

/// A DataVolume of a user.
async fn data_volume(space: &Space, name: &str, annotations: Value, source: Value) -> Value {
    let claim = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "resources": {"requests": {"storage": "4Mi"}}});
    let volume = json!({"metadata": {"name": name, "annotations": annotations},
        "spec": {"source": source, "pvc": claim}});
    space.apply_object("DataVolume", volume).await
}

/// An object that must be there.
async fn the(space: &Space, kind: &str, object: &str) -> Value {
    let found = space.find(kind, object).await;
    found.unwrap_or_else(|| panic!("there is no {kind} {object} in {}", space.namespace))
}

/// Waits until an object is not there.
pub(crate) async fn gone(space: &Space, kind: &str, object: &str) {
    until(&format!("no {kind} {object}"), async || match space.find(kind, object).await {
        None => Ok(()),
        Some(seen) => Err(seen["metadata"].to_string()),
    })
    .await;
}

/// Waits until CDI has adopted the claim of this name.
async fn adopted(space: &Space, volume: &str) -> Value {
    until(&format!("the DataVolume {volume} is Succeeded"), async || {
        let found = the(space, "DataVolume", volume).await;
        let phase = text(&found, "/status/phase");
        if phase == "Succeeded" { Ok(found) } else { Err(phase) }
    })
    .await
}

/// The object's owners, sorted: `Kind/name`, and a star for the controller.
fn owners(object: &Value) -> Vec<String> {
    let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let tell = |owner: &Value| {
        let star = if owner["controller"] == json!(true) { "*" } else { "" };
        format!("{}/{}{star}", text(owner, "/kind"), text(owner, "/name"))
    };
    let mut all: Vec<_> = owners.iter().map(tell).collect();
    all.sort();
    all
}

/// A label of KubeVirt's on an object.
fn default_label(object: &Value, what: &str) -> String {
    text(object, &format!("/metadata/labels/instancetype.kubevirt.io~1default-{what}"))
}

/// The claim that a DataSource points at.
fn points_at(source: &Value) -> String {
    text(source, "/spec/source/pvc/name")
}

/// The first target's claim has the bytes that the status tells.
fn bytes_are_told(space: &Space, image: &Value) {
    let (claim, digest, _) = place(image);
    let disk = mount(space, &claim).join("disk.img");
    assert_eq!(sha256sum(&disk), digest, "the file in {claim}");
    let size = text(image, "/status/content/virtualSizeBytes").parse().unwrap();
    let content = first_sha256sum(disk.to_str().unwrap(), size);
    assert_eq!(content, text(image, "/status/content/digest"), "the disk in {claim}");
}

/// What the operator wrote of these resources here, oldest first.
fn written(space: &Space, resources: &[&str]) -> Vec<String> {
    let requests = operator_requests();
    let ours = requests.iter().filter(|entry| {
        entry.namespace == space.namespace
            && entry.writes()
            && resources.contains(&&*entry.resource)
    });
    ours.map(|entry| format!("{} {} {}", entry.verb, entry.resource, entry.code)).collect()
}

/// A StorageClass whose filesystems keep this much for themselves, as CDI is told.
async fn overhead(space: &Space, class: &str, share: &str) {
    let told = json!({"filesystemOverhead": {"storageClass": {class: share}}});
    let cdi = json!({"metadata": {"name": "cdi"}, "spec": {"config": told}});
    space.apply_cluster("CDI", cdi).await;
    until(&format!("CDIConfig tells {share} of {class}"), async || {
        let status = kubectl(&["get", "cdiconfig", "config", "-o", "jsonpath={.status}"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        let seen = text(&status, &format!("/filesystemOverhead/storageClass/{class}"));
        if seen == share { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

/// The DataVolume is there before the claim and waits; the claim is adopted when it is complete, and
/// not earlier; a DataSource points at it last.
#[test]
fn adopted_last() {
    with_cdi("310_adopted_last", async |space| {
        overhead(space, "local", "0.751").await;
        let claims = space.record("PersistentVolumeClaim");
        let small = json!({"defaults": {"instancetype": {"name": "u1.small"}}});
        let document = with(served("adopted", "golden-1", small), json!({"disk": {"size": "8Mi"}}));
        let nowhere = json!({"build": {"nodeSelector": {"e2e.vmimage.dev/none": "such"}}});
        space.apply("hello", with(document.clone(), nowhere)).await;
        space.waits("hello", "Unschedulable").await;
        let waiting = until("the DataVolume waits", async || {
            let volume = the(space, "DataVolume", "golden-1").await;
            let phase = text(&volume, "/status/phase");
            if phase == "Pending" { Ok(volume) } else { Err(phase) }
        })
        .await;
        assert_eq!(annotation(&waiting, WAITS_FOR), "golden-1");
        assert_eq!(owners(&waiting), ["VMImage/hello"]);
        let empty = the(space, "PersistentVolumeClaim", "golden-1").await;
        assert_eq!(owners(&empty), ["VMImage/hello"], "not adopted");
        assert!(space.find("DataSource", "golden").await.is_none(), "nothing to point at");

        space.apply("hello", document).await;
        let image = space.ready("hello").await;
        let claim = space.complete_claim(&image).await;
        assert_eq!((name(&claim), uid(&claim)), ("golden-1".to_owned(), uid(&empty)));
        assert_eq!(owners(&claim), ["DataVolume/golden-1*", "VMImage/hello"]);
        // 8 MiB × 1.751 = 14 688 452.608.
        assert_eq!(text(&claim, "/spec/resources/requests/storage"), "14688453");
        let volume = the(space, "DataVolume", "golden-1").await;
        assert_eq!(uid(&volume), uid(&waiting), "the DataVolume that waited");
        assert_eq!(text(&volume, "/status/phase"), "Succeeded");
        assert_eq!(text(&volume, "/spec/pvc/resources/requests/storage"), "14688453");
        bytes_are_told(space, &image);
        let available = condition(&image, "CDIAvailable").unwrap_or_default();
        assert_eq!(text(&available, "/reason"), "CDIFound");

        let source = until("the DataSource is Ready, with the claim's label", async || {
            let source = the(space, "DataSource", "golden").await;
            let ready = condition(&source, "Ready").unwrap_or_default();
            let seen = (text(&ready, "/status"), default_label(&source, "instancetype"));
            let right = seen == ("True".to_owned(), "u1.small".to_owned());
            if right { Ok(source) } else { Err(source.to_string()) }
        })
        .await;
        let there = json!({"pvc": {"name": "golden-1", "namespace": space.namespace}});
        assert_eq!(source["spec"]["source"], there);
        assert_eq!(default_label(&claim, "instancetype"), "u1.small");

        let versions = claims.versions();
        let told = |claim: &Value| annotation(claim, POPULATED_FOR) == "golden-1";
        let complete = |claim: &Value| !annotation(claim, "vmimage.dev/complete").is_empty();
        assert!(versions.iter().any(&told) && versions.iter().any(|one| !told(one)));
        for version in &versions {
            assert!(!owners(version).contains(&"VMImage/hello*".to_owned()), "{version}");
            assert!(complete(version) || !told(version), "too early: {version}");
        }
        assert!(versions.iter().any(|one| complete(one) && !told(one)), "in two writes");
        // The build is started twice: the first pod fits nowhere.
        let kinds = ["datavolumes", "persistentvolumeclaims", "jobs", "datasources"];
        let mut seen = written(space, &kinds);
        seen.retain(|entry| !entry.starts_with("delete"));
        let expected = [
            "create datavolumes 201",
            "create persistentvolumeclaims 201",
            "create jobs 201",
            "create jobs 201",
            "patch persistentvolumeclaims 200",
            "patch persistentvolumeclaims 200",
            "create datasources 201",
        ];
        assert_eq!(seen, expected);
    });
}
