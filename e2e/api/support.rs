//! What the tests share: one client, one installed definition, a namespace for each test.
//!
//! Judges nothing. Invariant: the definition is installed once, from the generated file.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use vmimage::api::Image;

pub(crate) const DEFINITION: &str = "vmimages.vmimage.dev";

/// Tests that change the definition itself hold this, all others share it.
pub(crate) fn definition_lock() -> &'static tokio::sync::RwLock<()> {
    static LOCK: OnceLock<tokio::sync::RwLock<()>> = OnceLock::new();
    LOCK.get_or_init(tokio::sync::RwLock::default)
}

pub(crate) async fn client() -> kube::Client {
    let config = kube::Config::infer().await.expect("KUBECONFIG names a cluster; run e2e/api/run");
    kube::Client::try_from(config).unwrap()
}

/// The generated definition.
pub(crate) fn generated() -> CustomResourceDefinition {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/vmimages.vmimage.dev.yaml");
    serde_saphyr::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

/// Installs `definition` and waits until it is served.
pub(crate) async fn install(
    client: &kube::Client,
    definition: &CustomResourceDefinition,
) -> CustomResourceDefinition {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut value = serde_json::to_value(definition).unwrap();
    value["apiVersion"] = json!("apiextensions.k8s.io/v1");
    value["kind"] = json!("CustomResourceDefinition");
    api.patch(DEFINITION, &PatchParams::apply("test").force(), &Patch::Apply(&value))
        .await
        .unwrap();
    let holds = |d: &CustomResourceDefinition, kind: &str| {
        let conditions = d.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|c| c.type_ == kind && c.status == "True")
    };
    let served = until("the definition is established", || async {
        let found = api.get(DEFINITION).await.unwrap();
        holds(&found, "Established").then_some(found)
    })
    .await;
    // Established is told a moment before the resource answers.
    until("the resource answers", || async {
        images(client, "default").list(&kube::api::ListParams::default()).await.ok()
    })
    .await;
    served
}

/// The generated definition, installed by whichever test comes first.
pub(crate) async fn installed(client: &kube::Client) {
    static DONE: OnceLock<Mutex<bool>> = OnceLock::new();
    let mut done = DONE.get_or_init(Mutex::default).lock().await;
    if !*done {
        install(client, &generated()).await;
        *done = true;
    }
}

pub(crate) fn images(client: &kube::Client, namespace: &str) -> Api<Image> {
    Api::namespaced(client.clone(), namespace)
}

/// Images as the API server has them, without our types.
pub(crate) fn raw(client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<Image>(&()))
}

pub(crate) fn object(name: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
        "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

/// A new namespace whose name begins with `prefix`.
pub(crate) async fn namespace(client: &kube::Client, prefix: &str) -> String {
    let api: Api<Namespace> = Api::all(client.clone());
    let metadata =
        ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
    let made = api
        .create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() })
        .await
        .unwrap();
    made.metadata.name.unwrap()
}

/// Asks again until there is an answer; fails after half a minute, saying what was waited for.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited 30 s in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
