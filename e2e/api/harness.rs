//! What the tests share: who may change the definition, namespaces, `kubectl`, a running controller.
//!
//! Judges nothing. Invariant: whoever waits has a deadline and says what was seen last.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};
use tokio::task::JoinHandle;
use vmimage::api::{Image, crd};
use vmimage::controller::{self, ClaimRules, Config};
use vmimage::metrics::Metrics;

pub(crate) const CRD: &str = "vmimages.vmimage.dev";

/// Who changes the definition, or stops the server, is alone.
static GATE: RwLock<()> = RwLock::const_new(());
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// Leave to use the definition; it is installed.
pub(crate) async fn shared() -> (RwLockReadGuard<'static, ()>, Client) {
    {
        let _alone = GATE.write().await;
        install(&client().await, &crd::definition().unwrap()).await;
    }
    (GATE.read().await, client().await)
}

/// Leave to change the definition.
pub(crate) async fn alone() -> (RwLockWriteGuard<'static, ()>, Client) {
    (GATE.write().await, client().await)
}

pub(crate) async fn client() -> Client {
    Client::try_default().await.expect("run this inside of a cluster: e2e/api/run")
}

/// Installs the definition and waits until the server serves it.
pub(crate) async fn install(client: &Client, definition: &CustomResourceDefinition) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let ours = PatchParams::apply("tests").force();
    let served = definitions.get_opt(CRD).await.unwrap();
    let before = served.and_then(|d| d.metadata.generation);
    let now = definitions.patch(CRD, &ours, &Patch::Apply(definition)).await.unwrap();
    let images: Api<Image> = Api::namespaced(client.clone(), "default");
    until("the definition is served", async || {
        match images.list(&kube::api::ListParams::default()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    if before != now.metadata.generation {
        // Handlers of the old schema end a moment later.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Deletes the definition, with all images, and waits until it is gone.
pub(crate) async fn uninstall(client: &Client) -> Api<CustomResourceDefinition> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let _gone = definitions.delete(CRD, &DeleteParams::default()).await;
    until("the definition is gone", async || match definitions.get_opt(CRD).await.unwrap() {
        None => Ok(()),
        Some(_) => Err("it is there".to_owned()),
    })
    .await;
    // Its handler ends a moment later, and until then images can be listed.
    let images: Api<Image> = Api::all(client.clone());
    until("the definition is not served", async || {
        match images.list(&kube::api::ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    definitions
}

/// A namespace of the test's own.
pub(crate) async fn namespace(client: &Client, word: &str) -> String {
    let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
    let name = format!("{word}-{number}-{}", std::process::id());
    let object: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
    // Nobody here makes the account that pods need.
    create(
        client,
        &name,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default"}}),
    )
    .await;
    name
}

/// Objects of any kind; `resource` as `jobs.batch/v1` or `pods./v1`.
pub(crate) fn any(client: &Client, namespace: &str, resource: &str) -> Api<DynamicObject> {
    let (plural, rest) = resource.split_once('.').unwrap();
    let (group, version) = rest.split_once('/').unwrap();
    let api_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version,
        kind: String::new(),
        plural: plural.into(),
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Creates an object of a kind that the tests make.
pub(crate) async fn create(client: &Client, namespace: &str, object: &Value) -> Value {
    let resource = match object["kind"].as_str().unwrap() {
        "VMImage" => "vmimages.vmimage.dev/v1alpha1",
        "Pod" => "pods./v1",
        "ServiceAccount" => "serviceaccounts./v1",
        other => panic!("{other}"),
    };
    let api = any(client, namespace, resource);
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    serde_json::to_value(api.create(&PostParams::default(), &object).await.unwrap()).unwrap()
}

/// A document with this name and spec.
pub(crate) fn document(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
        "metadata": {"name": name}, "spec": spec})
}

/// A small spec with this message.
pub(crate) fn hello(message: &str) -> Value {
    json!({"boot": {"sector": {"message": message}}, "publish": [{"name": "golden", "pvc": {}}]})
}

/// Everything of a kind in a namespace, as JSON.
pub(crate) async fn list(client: &Client, namespace: &str, resource: &str) -> Vec<Value> {
    let api = any(client, namespace, resource);
    let all = api.list(&kube::api::ListParams::default()).await.unwrap();
    all.items.into_iter().map(|o| serde_json::to_value(o).unwrap()).collect()
}

pub(crate) async fn image(client: &Client, namespace: &str, name: &str) -> Image {
    Api::namespaced(client.clone(), namespace).get(name).await.unwrap()
}

/// Waits until `Ready` of the image has this reason; its message.
pub(crate) async fn stands(client: &Client, namespace: &str, name: &str, reason: &str) -> String {
    until(&format!("{name} is {reason}"), async || {
        let status = image(client, namespace, name).await.status();
        let ready = status.conditions.into_iter().find(|c| c.kind == "Ready");
        let ready = ready.ok_or("no Ready condition")?;
        if ready.reason == reason { Ok(ready.message) } else { Err(format!("{ready:?}")) }
    })
    .await
}

/// Tries again until it succeeds.
pub(crate) async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() > end => panic!("{what}: not within 30 s; seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What `kubectl` prints on either stream, and whether it ended well.
pub(crate) fn kubectl(args: &[&str]) -> (bool, String) {
    let bin = std::env::var("VMIMAGE_CLUSTER_BIN").map(|bin| format!("{bin}/kubectl"));
    // What it has discovered before may be of a time without the definition.
    let cache = tempfile::tempdir().unwrap();
    let mut kubectl = Command::new(bin.unwrap_or_else(|_| "kubectl".into()));
    let output = kubectl.args(args).env("KUBECACHEDIR", cache.path()).output();
    let output = output.unwrap_or_else(|e| panic!("kubectl: {e}"));
    let both = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&both).into_owned())
}

/// A controller in this process, until it is dropped or stopped.
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), controller::Error>>,
}

impl Running {
    /// Starts one for these namespaces and waits until it is ready.
    pub(crate) async fn start(namespaces: &[&str]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        drop(listener);
        let (stop, stopping) = watch::channel(false);
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let run = controller::run(client().await, config(namespaces, listen), metrics, stopping);
        let running = Self { stop, task: tokio::spawn(run) };
        until("the controller is ready", async || {
            assert!(!running.task.is_finished(), "the controller has ended");
            let url = format!("http://{listen}/readyz");
            // The controller runs on this very thread.
            let ask = move || Command::new("curl").args(["-sf", "-m", "2", &url]).output();
            let answer = tokio::task::spawn_blocking(ask).await.unwrap().expect("curl").status;
            if answer.success() { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
        running
    }

    /// Asks it to stop; it does, and without an error.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        ended.expect("it stops within 10 s").unwrap().unwrap();
    }
}

pub(crate) fn config(namespaces: &[&str], listen: std::net::SocketAddr) -> Config {
    Config {
        kubevirt: true,
        builder_image: "builder:1".into(),
        image_pull_policy: "IfNotPresent".into(),
        build_service_account: None,
        namespaces: namespaces.iter().map(ToString::to_string).collect(),
        listen,
        concurrency: 8,
        source_flags: Vec::new(),
        allow_scripts: false,
        boot_assets: std::collections::BTreeMap::default(),
        claims: ClaimRules { overhead: 60_000, ..ClaimRules::default() },
    }
}

/// The names of all objects of a kind.
pub(crate) async fn names(client: &Client, namespace: &str, resource: &str) -> Vec<String> {
    let api = any(client, namespace, resource);
    let all = api.list(&kube::api::ListParams::default()).await.unwrap();
    all.items.iter().map(ResourceExt::name_any).collect()
}
