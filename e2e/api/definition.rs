//! The definition: accepted, explained, and as strict as the desk.

use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};
use vmimage::manifest::check::{ROWS, Scope};
use vmimage::manifest::{check, check_for_cluster, parse};

use crate::documents::{ACCEPTED, CASES};
use crate::support::{
    client, definition_lock, generated, install, installed, namespace, object, raw,
};

fn spec(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[tokio::test]
async fn the_server_accepts_the_definition() {
    let client = client().await;
    let _alone = definition_lock().write().await;
    let served = install(&client, &generated()).await;
    let conditions = served.status.unwrap().conditions.unwrap();
    let wrong: Vec<_> = conditions
        .iter()
        .filter(|c| {
            c.type_ == "NonStructuralSchema" || (c.type_ == "NamesAccepted" && c.status != "True")
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    // Client-side apply keeps the whole object in an annotation of at most 256 KiB.
    let compact = serde_json::to_string(&generated()).unwrap();
    assert!(compact.len() <= 240 << 10, "{} bytes", compact.len());
}

/// Every rule of the table that CEL can express is told by the server in the same words, and what
/// stands just inside a limit is taken by both sides.
#[tokio::test]
async fn server_and_desk_agree() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let namespace = namespace(&client, "agree").await;
    let api = raw(&client, &namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let mut tried = 0;
    for (name, text, ..) in CASES {
        let row = ROWS.iter().find(|row| row.name == *name).unwrap();
        let answer = api.create(&dry, &object("case", &spec(text))).await;
        if row.cel || row.scope == Scope::Cluster {
            let refusal = answer.expect_err(text).to_string();
            assert!(refusal.contains(row.message), "{text}: {refusal}");
            tried += 1;
        }
    }
    assert!(tried >= 20, "only {tried} documents were tried");
    for text in ACCEPTED {
        let answer = api.create(&dry, &object("case", &spec(text))).await;
        assert!(answer.is_ok(), "{text}: {answer:?}");
    }
}

/// What no rule but the schema itself refuses: bounds, enums, forms.
#[tokio::test]
async fn bounds_are_the_same_on_both_sides() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let namespace = namespace(&client, "bounds").await;
    let api = raw(&client, &namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let long = "x".repeat(511);
    let many: Vec<_> = (0..17).map(|n| json!({"name": format!("f{n}"), "type": "raw"})).collect();
    for wrong in [
        json!({"boot": {"sector": {"message": long}}}),
        json!({"boot": {"sector": {"message": ""}}}),
        json!({"disk": {"size": "512M"}}),
        json!({"disk": {"size": "1.5Gi"}}),
        json!({"disk": {"size": -1}}),
        json!({"disk": {"size": "1Mi"}, "architecture": "sparc"}),
        json!({"disk": {"size": "1Mi"}, "formats": []}),
        json!({"disk": {"size": "1Mi"}, "formats": many}),
        json!({"disk": {"size": "1Mi"}, "formats": [{"type": "vmdk"}]}),
        json!({"disk": {"size": "1Mi"}, "formats": [{"type": "raw", "name": "UPPER"}]}),
        json!({"disk": {"size": "1Mi"}, "publish": [{"name": "a", "pvc": {}}, {"name": "a", "pvc": {}}]}),
        json!({"disk": {"size": "1Mi"}, "build": {"timeoutSeconds": 9}}),
        json!({"disk": {"size": "1Mi"}, "build": {"maxAttempts": 11}}),
        json!({"disk": {"size": "1Mi"}, "build": {"resources": {"limits": {"cpu": "much"}}}}),
        json!({"disk": {"size": "1Mi"}, "suspend": "no"}),
        json!("a text"),
    ] {
        let answer = api.create(&dry, &object("case", &wrong)).await;
        assert!(answer.is_err(), "the server takes {wrong}");
        let document = json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
            "metadata": {"name": "case"}, "spec": wrong});
        let desk = parse(&document.to_string(), &[]).map(|mut documents| {
            let document = documents.remove(0);
            let mut problems = check(&document.image);
            problems.extend(check_for_cluster(&document.image.spec));
            problems
        });
        assert!(desk.is_err() || desk.is_ok_and(|p| !p.is_empty()), "the desk takes {wrong}");
    }
    let name = "n".repeat(64);
    let good = json!({"disk": {"size": "1Mi"}});
    let refusal =
        api.create(&dry, &object(&name, &good)).await.expect_err("64 characters").to_string();
    assert!(refusal.contains("63"), "{refusal}");
    assert!(api.create(&dry, &object(&name[..63], &good)).await.is_ok());
}

#[tokio::test]
async fn defaults_are_visible_and_unknown_fields_are_told() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let namespace = namespace(&client, "defaults").await;
    let made = raw(&client, &namespace)
        .create(
            &PostParams::default(),
            &object(
                "plain",
                &json!({"disk": {"size": "1Mi"}, "publish": [{"name": "a", "pvc": {}}]}),
            ),
        )
        .await
        .unwrap();
    let spec = &made.data["spec"];
    assert_eq!(spec["architecture"], json!("amd64"));
    assert_eq!(spec["formats"], json!([{"type": "raw"}]));
    assert_eq!(spec["publish"][0]["pvc"]["accessModes"], json!(["ReadWriteOnce"]));
    assert_eq!(spec["build"]["timeoutSeconds"], json!(3600));
    assert_eq!(spec["build"]["maxAttempts"], json!(3));
    assert_eq!(spec["suspend"], json!(false));

    let unknown = object("unknown", &json!({"disk": {"size": "1Mi"}, "bot": {}}));
    let request = http::Request::post(format!(
        "/apis/vmimage.dev/v1alpha1/namespaces/{namespace}/vmimages?fieldValidation=Strict"
    ))
    .header("content-type", "application/json")
    .body(serde_json::to_vec(&unknown).unwrap())
    .unwrap();
    let refusal = client.request::<Value>(request).await.expect_err("bot").to_string();
    assert!(refusal.contains("unknown field") && refusal.contains("spec.bot"), "{refusal}");
}

#[tokio::test]
async fn every_field_is_explained() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let request =
        http::Request::get("/openapi/v3/apis/vmimage.dev/v1alpha1").body(Vec::new()).unwrap();
    let served: Value = client.request(request).await.unwrap();
    let kinds = served["components"]["schemas"].as_object().unwrap();
    let image = kinds.iter().find(|(name, _)| name.ends_with(".VMImage")).unwrap().1;
    let mut fields = 0;
    for part in ["spec", "status"] {
        walk(part, &image["properties"][part], &mut fields);
    }
    assert!(fields > 60, "only {fields} fields were seen");
}

/// Fails on a field without a description.
fn walk(path: &str, schema: &Value, fields: &mut usize) {
    let described = schema["description"].as_str().is_some_and(|text| text.len() > 3);
    assert!(described, "{path} has no description");
    *fields += 1;
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, fields);
    }
    for (name, field) in schema["items"]["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}[].{name}"), field, fields);
    }
}

#[tokio::test]
async fn columns_and_names_are_what_users_type() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let request = http::Request::get("/apis/vmimage.dev/v1alpha1/vmimages?limit=1")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let table: Value = client.request(request).await.unwrap();
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["priority"].as_i64().unwrap()))
        .collect();
    let wanted = [
        ("Name", 0),
        ("Ready", 0),
        ("Reason", 0),
        ("Format", 0),
        ("Size", 0),
        ("Digest", 1),
        ("Age", 0),
    ];
    assert_eq!(columns, wanted);
    let resources =
        client.list_api_group_resources("vmimage.dev/v1alpha1").await.unwrap().resources;
    let image = resources.iter().find(|r| r.name == "vmimages").unwrap();
    assert_eq!(image.short_names.clone().unwrap_or_default(), ["vmimg"]);
    assert_eq!(image.categories.clone().unwrap_or_default(), ["vmimages"]);
    assert!(resources.iter().any(|r| r.name == "vmimages/status"));
    let _ = raw(&client, "default").list(&ListParams::default()).await.unwrap();
}
