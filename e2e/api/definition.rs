//! The definition as a real API server sees it.
//!
//! Invariant: what a user reads (`explain`, columns, defaults) is what the types say.

use axum::http::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use serde_json::{Value, json};
use vmimage::api::crd;

use crate::harness::{
    CRD, alone, create, document, hello, install, kubectl, namespace, shared, uninstall, until,
};

#[tokio::test]
async fn it_is_accepted_without_reserve() {
    let (_gate, client) = shared().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    let status = definitions.get(CRD).await.unwrap().status.unwrap();
    let holds = |kind: &str| {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        conditions.iter().find(|c| c.type_ == kind).map(|c| c.status.as_str())
    };
    assert_eq!((holds("Established"), holds("NamesAccepted")), (Some("True"), Some("True")));
    assert_eq!(holds("NonStructuralSchema"), None);
    assert_eq!(holds("KubernetesAPIApprovalPolicyConformant"), None);
    assert_eq!(status.stored_versions, Some(vec!["v1alpha1".to_owned()]));
}

/// Client-side apply keeps the whole document in an annotation of at most 256 KiB.
#[tokio::test]
async fn client_side_apply_takes_the_file_twice() {
    let (_gate, client) = alone().await;
    uninstall(&client).await;
    let (created, text) = kubectl(&["apply", "-f", crd::FILE]);
    assert!(created && text.contains("created"), "{text}");
    let (again, text) = kubectl(&["apply", "-f", crd::FILE]);
    assert!(again && text.contains("unchanged"), "GitOps tools would see a difference: {text}");
    install(&client, &crd::definition().unwrap()).await;
}

async fn get(client: &kube::Client, path: &str, accept: &str) -> Value {
    let request = Request::get(path).header("accept", accept).body(Vec::new()).unwrap();
    client.request(request).await.unwrap()
}

#[tokio::test]
async fn it_is_found_by_its_short_name_and_category() {
    let (_gate, client) = shared().await;
    let found = get(&client, "/apis/vmimage.dev/v1alpha1", "application/json").await;
    let resources = found["resources"].as_array().unwrap();
    let by = |name: &str| resources.iter().find(|r| r["name"] == name).unwrap().clone();
    let image = by("vmimages");
    assert_eq!(image["shortNames"], json!(["vmimg"]));
    assert_eq!(image["categories"], json!(["vmimages"]));
    assert_eq!((&image["singularName"], &image["namespaced"]), (&json!("vmimage"), &json!(true)));
    assert_eq!(by("vmimages/status")["verbs"], json!(["get", "patch", "update"]));
    let space = namespace(&client, "names").await;
    create(&client, &space, &document("hello", &hello("x"))).await;
    for name in ["vmimg", "vmimage", "vmimages", "vmimages.v1alpha1.vmimage.dev"] {
        let (found, text) = kubectl(&["-n", &space, "get", name]);
        assert!(found && text.contains("hello"), "{text}");
        assert!(
            text.contains("READY") && text.contains("REASON") && text.contains("AGE"),
            "{text}"
        );
    }
    let (_, text) = kubectl(&["-n", &space, "get", "vmimg", "-o", "wide"]);
    assert!(text.contains("DIGEST"), "{text}");
}

#[tokio::test]
async fn the_table_has_its_columns() {
    let (_gate, client) = shared().await;
    let space = namespace(&client, "table").await;
    create(&client, &space, &document("hello", &hello("x"))).await;
    let path = format!("/apis/vmimage.dev/v1alpha1/namespaces/{space}/vmimages");
    let table = get(&client, &path, "application/json;as=Table;g=meta.k8s.io;v=v1").await;
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["priority"].as_i64().unwrap()))
        .collect();
    let expected = [
        ("Name", 0),
        ("Ready", 0),
        ("Reason", 0),
        ("Format", 0),
        ("Size", 0),
        ("Digest", 1),
        ("Age", 0),
    ];
    assert_eq!(columns, expected);
    assert_eq!(table["rows"][0]["cells"][3], "raw", "the default format is shown");
}

#[tokio::test]
async fn defaults_are_visible_in_what_is_stored() {
    let (_gate, client) = shared().await;
    let space = namespace(&client, "defaults").await;
    let spec = json!({"disk": {"size": "1Mi"}, "formats": [{"type": "qcow2", "qcow2": {}}],
        "publish": [{"name": "g", "pvc": {}}]});
    let stored = create(&client, &space, &document("a", &spec)).await;
    let expected = json!({
        "architecture": "amd64",
        "disk": {
            "size": "1Mi", "headroom": {}, "partitionTable": "None", "sectorSize": 512,
            "alignment": "1Mi",
        },
        "formats": [{"type": "qcow2", "wrap": "none", "qcow2": {
            "clusterSize": "64Ki", "compat": "1.1", "compression": "none",
            "lazyRefcounts": false, "preallocation": "off",
        }}],
        "machine": {
            "cpus": 1, "diskBus": "sata", "memory": "512Mi", "nic": "e1000", "osType": "other",
        },
        "publish": [{"name": "g", "pvc": {
            "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "defaults": {},
            "retain": {"previous": 1, "onDelete": "Delete"},
        }}],
        "build": {
            "maxAttempts": 3, "resources": {}, "scratch": {"sizeLimit": "1Gi"},
            "timeoutSeconds": 3600,
        },
        "suspend": false,
    });
    assert_eq!(stored["spec"], expected);
    let stored = create(&client, &space, &document("b", &json!({"disk": {"size": 512}}))).await;
    assert_eq!(stored["spec"]["formats"], json!([{"type": "raw", "wrap": "none"}]));
}

#[tokio::test]
async fn an_unknown_field_is_refused_or_pruned_as_the_client_asks() {
    let (_gate, client) = shared().await;
    let space = namespace(&client, "unknown").await;
    let path = format!("/apis/vmimage.dev/v1alpha1/namespaces/{space}/vmimages");
    let mut spec = hello("x");
    spec["disc"] = json!({"size": "1Mi"});
    let body = document("a", &spec).to_string().into_bytes();
    let post = |validation: &str| {
        let path = format!("{path}?fieldValidation={validation}");
        let request = Request::post(path).header("content-type", "application/json");
        client.request::<Value>(request.body(body.clone()).unwrap())
    };
    let refused = post("Strict").await.unwrap_err().to_string();
    assert!(refused.contains("unknown field \"spec.disc\""), "{refused}");
    let stored = post("Ignore").await.unwrap();
    assert_eq!(
        (&stored["spec"]["disc"], &stored["spec"]["suspend"]),
        (&json!(null), &json!(false))
    );
}

/// Every schema below `schema` that `explain` would show without a word.
fn silent(path: &str, schema: &Value, found: &mut Vec<String>, seen: &mut usize) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        *seen += 1;
        if inner["description"].as_str().is_none_or(str::is_empty) {
            found.push(path.clone());
        }
        silent(&path, inner, found, seen);
    }
    for step in ["items", "additionalProperties"] {
        if schema[step].is_object() {
            silent(&format!("{path}[]"), &schema[step], found, seen);
        }
    }
}

#[tokio::test]
async fn every_field_explains_itself() {
    let (_gate, client) = shared().await;
    let schema = until("the schema is published", async || {
        let path = "/openapi/v3/apis/vmimage.dev/v1alpha1";
        let request = Request::get(path).body(Vec::new()).unwrap();
        let all: Value = client.request(request).await.map_err(|e| e.to_string())?;
        let schemas = all["components"]["schemas"].as_object().cloned().unwrap_or_default();
        let found = schemas.into_iter().find(|(name, _)| name.ends_with(".VMImage"));
        found.map(|(_, schema)| schema).ok_or_else(|| "no VMImage".to_owned())
    })
    .await;
    let (mut found, mut seen) = (Vec::new(), 0);
    for part in ["spec", "status"] {
        let inner = &schema["properties"][part];
        assert!(inner["description"].as_str().is_some_and(|text| !text.is_empty()), "{part}");
        silent(part, inner, &mut found, &mut seen);
    }
    println!("{seen} fields explain themselves");
    assert!(seen > 60, "{seen}");
    assert!(found.is_empty(), "without a description: {found:?}");
    until("kubectl explains it", async || {
        let (explained, text) = kubectl(&["explain", "vmimg.spec.boot.sector"]);
        if explained && text.contains("powers the machine off") { Ok(()) } else { Err(text) }
    })
    .await;
}
