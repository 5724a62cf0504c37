//! Objects that an older schema has stored, beside good ones.
//!
//! Invariant: the odd ones never hold the others up.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};
use vmimage::api::crd;

use crate::harness::{
    Running, alone, create, document, hello, image, install, list, names, namespace, stands, until,
};

/// The definition with a schema that takes everything.
fn relaxed() -> CustomResourceDefinition {
    let mut value = serde_json::to_value(crd::definition().unwrap()).unwrap();
    let open = json!({"x-kubernetes-preserve-unknown-fields": true});
    value["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({
        "type": "object",
        "properties": {"spec": open, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
    });
    serde_json::from_value(value).unwrap()
}

/// Names and specs; whether the API server takes a status beside them.
fn odd() -> Vec<(&'static str, Value, bool)> {
    let with = |key: &str, value: Value| {
        let mut spec = hello("x");
        spec[key] = value;
        spec
    };
    vec![
        ("unknown-field", json!({"boot": {"sector": {"mesage": "x"}}}), true),
        ("no-member", json!({"boot": {}, "publish": [{"name": "g"}]}), true),
        ("enum", with("architecture", json!("vax")), true),
        ("out-of-bounds", with("build", json!({"timeoutSeconds": 1})), true),
        ("leaf", json!({"boot": {"sector": {"message": 5}}, "publish": []}), false),
        ("suspend", with("suspend", json!("yes")), true),
        ("list", with("publish", json!("everywhere")), false),
        ("text", json!("was a string once"), false),
    ]
}

#[tokio::test]
async fn objects_of_an_older_schema_stand_beside_good_ones() {
    let (_gate, client) = alone().await;
    install(&client, &relaxed()).await;
    let space = namespace(&client, "older").await;
    for (name, spec, _) in odd() {
        create(&client, &space, &document(name, &spec)).await;
    }
    install(&client, &crd::definition().unwrap()).await;
    let good: Vec<String> = (0..10).map(|number| format!("good-{number}")).collect();
    for name in &good {
        create(&client, &space, &document(name, &hello(name))).await;
    }
    let running = Running::start(&[&space]).await;
    for name in &good {
        stands(&client, &space, name, "Building").await;
    }
    assert_eq!(names(&client, &space, "jobs.batch/v1").await.len(), 10);
    let mut silent = Vec::new();
    for (name, _, writable) in odd() {
        let reasons = until(&format!("{name} is told"), async || {
            let events = list(&client, &space, "events.events.k8s.io/v1").await;
            let mut ours = events.iter().filter(|e| e["regarding"]["name"] == name);
            ours.next().map(|e| e["reason"].clone()).ok_or_else(|| "no event".to_owned())
        })
        .await;
        assert_eq!(reasons, "InvalidSpec", "{name}");
        let conditions = image(&client, &space, name).await.status().conditions;
        let stalled = conditions.iter().find(|c| c.kind == "Stalled");
        assert_eq!(stalled.is_some(), writable, "{name}: {stalled:?}");
        match stalled {
            Some(stalled) => println!("{name}: {}", stalled.message),
            None => silent.push(name),
        }
    }
    println!("only an event can tell of: {silent:?}");
    // Nothing is tried over and over.
    let before = list(&client, &space, "vmimages.vmimage.dev/v1alpha1").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(list(&client, &space, "vmimages.vmimage.dev/v1alpha1").await, before);
    // Mended, they go their way.
    for name in ["text", "enum", "suspend"] {
        let api = crate::harness::any(&client, &space, "vmimages.vmimage.dev/v1alpha1");
        let mut object = api.get(name).await.unwrap();
        object.data["spec"] = hello(name);
        api.replace(name, &kube::api::PostParams::default(), &object).await.unwrap();
        stands(&client, &space, name, "Building").await;
        until(&format!("{name} is not stalled any more"), async || {
            let conditions = image(&client, &space, name).await.status().conditions;
            match conditions.into_iter().find(|c| c.kind == "Stalled") {
                None => Ok(()),
                Some(stalled) => Err(stalled.message),
            }
        })
        .await;
    }
    running.stop().await;
}
