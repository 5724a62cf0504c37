//! The controller at work on a real API server; the tests play the kubelet.
//!
//! Invariant: the spec is never written, and what is ours in managedFields is ours alone.

use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use vmimage::api::labels;
use vmimage::controller;
use vmimage::metrics::Metrics;
use vmimage::report::{BuildResult, Report};

use crate::harness::{
    CRD, Running, alone, any, client, config, create, document, hello, image, list, names,
    namespace, shared, stands, uninstall, until,
};

const JOBS: &str = "jobs.batch/v1";
const IMAGES: &str = "vmimages.vmimage.dev/v1alpha1";
const CLAIMS: &str = "persistentvolumeclaims./v1";

fn digest(of: u8) -> String {
    format!("sha256:{}", hex::encode([of; 32]))
}

/// Ends the only Job as a kubelet and the Job controller would: a pod with a report, a condition.
pub(crate) async fn finish_build(client: &Client, space: &str) {
    let job = until("a Job", async || {
        list(client, space, JOBS).await.pop().ok_or_else(|| "none".to_owned())
    })
    .await;
    let annotation = |key: &str| job["metadata"]["annotations"][key].as_str().unwrap().to_owned();
    let report = Report::success(BuildResult {
        content_hash: annotation(labels::CONTENT_HASH),
        target_hash: annotation(labels::TARGET_HASH),
        content_digest: digest(1),
        virtual_size: 512,
        target_digest: digest(2),
        target_size: 1 << 20,
        manifest_digest: digest(3),
        reused: false,
        build_millis: 1,
        publish_millis: 1,
    });
    let name = job["metadata"]["name"].as_str().unwrap();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": job["spec"]["template"]["metadata"], "spec": job["spec"]["template"]["spec"]});
    pod["metadata"]["name"] = format!("{name}-abcde").into();
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job",
        "name": name, "uid": job["metadata"]["uid"], "controller": true}]);
    create(client, space, &pod).await;
    let now = "2026-01-01T00:00:00Z";
    let terminated = json!({"exitCode": 0, "reason": "Completed", "message": report.to_text(),
        "startedAt": now, "finishedAt": now});
    let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [{"name": "build",
        "ready": false, "image": "i", "imageID": "i", "restartCount": 0,
        "state": {"terminated": terminated}}]}});
    let as_kubelet = PatchParams::default();
    let pods = any(client, space, "pods./v1");
    pods.patch_status(&format!("{name}-abcde"), &as_kubelet, &Patch::Merge(&status)).await.unwrap();
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": "CompletionsReached",
            "lastTransitionTime": now, "lastProbeTime": now})
    };
    let status = json!({"status": {"startTime": now, "completionTime": now, "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}});
    let jobs = any(client, space, JOBS);
    jobs.patch_status(name, &as_kubelet, &Patch::Merge(&status)).await.unwrap();
}

#[tokio::test]
async fn from_document_to_ready_and_back_from_an_erased_status() {
    let (_gate, client) = shared().await;
    let space = namespace(&client, "life").await;
    let running = Running::start(&[&space]).await;
    create(&client, &space, &document("hello", &hello("x"))).await;
    finish_build(&client, &space).await;
    stands(&client, &space, "hello", "Published").await;
    until("the Job goes", async || {
        let left = names(&client, &space, JOBS).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let before = image(&client, &space, "hello").await;
    let claim = list(&client, &space, CLAIMS).await.remove(0);
    assert_eq!(claim["metadata"]["annotations"][labels::DIGEST], digest(2));
    fields_are_ours_alone(&before.metadata.managed_fields, &claim);

    // Settled: three seconds without a write.
    let version = before.metadata.resource_version.clone();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(image(&client, &space, "hello").await.metadata.resource_version, version);

    let images = any(&client, &space, IMAGES);
    let erase = Patch::Json::<()>(
        serde_json::from_value(json!([{"op": "remove", "path": "/status"}])).unwrap(),
    );
    images.patch_status("hello", &PatchParams::default(), &erase).await.unwrap();
    stands(&client, &space, "hello", "Published").await;
    let mut after = image(&client, &space, "hello").await.status();
    let mut expected = before.status();
    for condition in after.conditions.iter_mut().chain(&mut expected.conditions) {
        condition.last_transition_time.clear();
    }
    assert_eq!(after, expected);
    assert!(names(&client, &space, JOBS).await.is_empty(), "built again");
    running.stop().await;
}

/// The status and the marks belong to our managers, and to nobody else; the spec does not.
fn fields_are_ours_alone(
    of_image: &Option<Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry>>,
    claim: &Value,
) {
    let mut ours = 0;
    for entry in of_image.as_deref().unwrap_or_default() {
        let fields = serde_json::to_value(&entry.fields_v1).unwrap();
        let manager = entry.manager.as_deref().unwrap_or_default();
        if manager == "vmimage-operator/status" {
            ours += 1;
            assert_eq!(entry.operation.as_deref(), Some("Apply"));
            assert_eq!(entry.subresource.as_deref(), Some("status"));
            let names: Vec<&String> = fields.as_object().unwrap().keys().collect();
            assert_eq!(names, ["f:status"]);
        } else {
            assert!(fields["f:status"].is_null(), "{manager} owns status, too");
        }
    }
    assert_eq!(ours, 1);
    let entries = claim["metadata"]["managedFields"].as_array().unwrap();
    let marks = entries.iter().find(|e| e["operation"] == "Apply").expect("marks are applied");
    assert_eq!(marks["manager"], labels::MANAGER);
    let fields = marks["fieldsV1"]["f:metadata"].as_object().unwrap();
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["f:annotations"]);
    assert!(marks["fieldsV1"]["f:spec"].is_null(), "{marks}");
}

#[tokio::test]
async fn only_the_named_namespaces_are_watched() {
    let (_gate, client) = shared().await;
    let (one, two) = (namespace(&client, "one").await, namespace(&client, "two").await);
    let other = namespace(&client, "other").await;
    let running = Running::start(&[&one, &two]).await;
    for space in [&other, &one, &two] {
        create(&client, space, &document("hello", &hello("x"))).await;
    }
    for space in [&one, &two] {
        stands(&client, space, "hello", "Building").await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(image(&client, &other, "hello").await.status.is_null());
    assert!(names(&client, &other, JOBS).await.is_empty());
    running.stop().await;
}

/// Children have the image as owner; nothing of ours holds its deletion up.
#[tokio::test]
async fn deletion_is_not_held_up_and_a_successor_waits_for_what_is_left() {
    let (_gate, client) = shared().await;
    let space = namespace(&client, "deleted").await;
    let running = Running::start(&[&space]).await;
    create(&client, &space, &document("hello", &hello("x"))).await;
    stands(&client, &space, "hello", "Building").await;
    let first = image(&client, &space, "hello").await;
    assert!(first.metadata.finalizers.is_none(), "{:?}", first.metadata.finalizers);
    for resource in [JOBS, CLAIMS, "configmaps./v1"] {
        for object in list(&client, &space, resource).await {
            let owners = &object["metadata"]["ownerReferences"];
            assert_eq!(owners[0]["uid"], first.uid(), "{object}");
            let controls = resource != CLAIMS;
            assert_eq!(owners[0]["controller"] == json!(true), controls, "{resource}");
        }
    }
    let images = any(&client, &space, IMAGES);
    images.delete("hello", &DeleteParams::default()).await.unwrap();
    assert!(images.get_opt("hello").await.unwrap().is_none());
    // Nobody collects garbage here: the successor finds what the first one left.
    create(&client, &space, &document("hello", &hello("x"))).await;
    let message = stands(&client, &space, "hello", "NamesakeTerminating").await;
    assert!(message.contains("earlier image"), "{message}");
    for resource in [JOBS, CLAIMS, "configmaps./v1"] {
        for name in names(&client, &space, resource).await {
            let params = DeleteParams::default();
            any(&client, &space, resource).delete(&name, &params).await.unwrap();
            let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            let patch = any(&client, &space, resource);
            let _gone = patch.patch(&name, &PatchParams::default(), &none).await;
        }
    }
    stands(&client, &space, "hello", "Building").await;
    running.stop().await;
}

/// However early: before it has asked anything, while its caches are filled, while CDI is looked for.
#[tokio::test]
async fn told_early_it_ends() {
    let (_shared, client) = shared().await;
    let space = namespace(&client, "early").await;
    for after in [0, 1, 3, 5, 8, 12, 17, 23, 30, 40, 60, 90, 150] {
        let listen = ([127, 0, 0, 1], 0).into();
        let metrics = Metrics::new("test").unwrap().into();
        let (stop, stopping) = watch::channel(after == 0);
        let config = config(&[&space], listen);
        let run = tokio::spawn(controller::run(client.clone(), config, metrics, stopping));
        tokio::time::sleep(Duration::from_millis(after)).await;
        stop.send_replace(true);
        let ended = tokio::time::timeout(Duration::from_secs(20), run).await;
        let ended = ended.unwrap_or_else(|_| panic!("told after {after} ms: it does not end"));
        ended.unwrap().unwrap();
    }
}

#[tokio::test]
async fn without_the_definition_it_ends_with_a_word() {
    let (_gate, client) = alone().await;
    let definitions = uninstall(&client).await;
    let listen = ([127, 0, 0, 1], 0).into();
    let metrics = Metrics::new("test").unwrap().into();
    let (_stop, stopping) = watch::channel(false);
    let run = controller::run(self::client().await, config(&[], listen), metrics, stopping);
    let ended = tokio::time::timeout(Duration::from_secs(10), run).await.expect("it ends");
    let error = ended.unwrap_err().to_string();
    assert!(error.contains(CRD) && error.contains("install it from crds/"), "{error}");
    let definition = vmimage::api::crd::definition().unwrap();
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    crate::harness::install(&client, &definition).await;
}
