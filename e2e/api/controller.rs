//! The real controller against a real API server: what it writes, how fast, and what it leaves
//! alone. Nothing runs the Jobs it makes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use vmimage::api::Image;
use vmimage::controller::{self, ClaimRules, Config};
use vmimage::metrics::Metrics;

use crate::support::{
    DEFINITION, client, definition_lock, generated, images, install, installed, namespace, object,
    raw, until,
};

/// A controller in this process that watches some namespaces; it ends with the value.
struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), controller::Error>>,
}

fn config(namespaces: &[&str]) -> Config {
    Config {
        builder_image: "vmimage.test/builder:1".to_owned(),
        image_pull_policy: "IfNotPresent".to_owned(),
        build_service_account: None,
        namespaces: namespaces.iter().map(ToString::to_string).collect(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        concurrency: 8,
        claims: ClaimRules { overhead: 60_000, ..ClaimRules::default() },
    }
}

impl Running {
    async fn start(namespaces: &[&str]) -> Self {
        let (stop, stopping) = watch::channel(false);
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let task =
            tokio::spawn(controller::run(client().await, config(namespaces), metrics, stopping));
        Self { stop, task }
    }

    /// Stops it as a signal does, and waits until it has ended well.
    async fn stop(self) {
        self.stop.send(true).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        ended.expect("the controller ends within 10 s").unwrap().unwrap();
    }
}

fn hello(message: &str) -> Value {
    json!({"boot": {"sector": {"message": message}}, "publish": [{"name": "golden", "pvc": {}}]})
}

async fn condition(
    client: &kube::Client,
    namespace: &str,
    name: &str,
    kind: &str,
) -> Option<(String, String)> {
    let image = images(client, namespace).get(name).await.unwrap();
    let found = image.status().conditions.into_iter().find(|c| c.kind == kind)?;
    Some((found.status, found.reason))
}

async fn jobs(client: &kube::Client, namespace: &str) -> Vec<Job> {
    let api: Api<Job> = Api::namespaced(client.clone(), namespace);
    api.list(&ListParams::default()).await.unwrap().items
}

/// Objects that an older, laxer definition let in are told to be invalid, and ten good ones beside
/// them are built. What the server allows to be told differs with how odd they are.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_an_older_schema_stop_nobody() {
    let client = client().await;
    let _alone = definition_lock().write().await;
    install(&client, &lax()).await;
    let namespace = namespace(&client, "older").await;
    let api = raw(&client, &namespace);
    let message = json!({"sector": {"message": "hi"}});
    for (name, spec) in [
        // Typed well, no longer allowed: the status is applied.
        ("out-of-range", json!({"boot": message, "architecture": "sparc"})),
        // Not typed well: the status can only be merged.
        ("mistyped", json!({"boot": message, "build": {"timeoutSeconds": "soon"}})),
        // Not even the rules can read it: the server takes no status, the event tells.
        ("unreadable", json!({"boot": message, "publish": "golden", "gone": 1})),
    ] {
        api.create(&PostParams::default(), &object(name, &spec)).await.unwrap();
    }
    install(&client, &generated()).await;
    for number in 0..10 {
        let good = object(&format!("good-{number}"), &hello(&format!("number {number}")));
        until("the new definition lets good objects in", || async {
            api.create(&PostParams::default(), &good).await.ok()
        })
        .await;
    }
    let running = Running::start(&[&namespace]).await;
    until("ten Jobs are there", || async {
        (jobs(&client, &namespace).await.len() == 10).then_some(())
    })
    .await;
    for name in ["out-of-range", "mistyped"] {
        let stalled =
            until("it is stalled", || condition(&client, &namespace, name, "Stalled")).await;
        assert_eq!(stalled, ("True".to_owned(), "InvalidSpec".to_owned()), "{name}");
    }
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    for name in ["out-of-range", "mistyped", "unreadable"] {
        until("an event tells", || async {
            let all = events.list(&ListParams::default()).await.unwrap().items;
            let about = |e: &Event| e.regarding.as_ref().and_then(|r| r.name.clone());
            let tells = |e: &&Event| {
                about(e).as_deref() == Some(name) && e.reason.as_deref() == Some("InvalidSpec")
            };
            all.iter().find(tells).map(|_| ())
        })
        .await;
    }
    running.stop().await;
}

/// The generated definition with a schema that takes anything.
fn lax() -> CustomResourceDefinition {
    let mut definition = generated();
    let schema = definition.spec.versions[0].schema.as_mut().unwrap();
    let anything = json!({"type": "object", "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    schema.open_api_v3_schema = Some(serde_json::from_value(anything).unwrap());
    definition
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_definition_it_ends_and_says_so() {
    let client = client().await;
    let _alone = definition_lock().write().await;
    installed(&client).await;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    api.delete(DEFINITION, &DeleteParams::default()).await.unwrap();
    until("the definition is gone", || async {
        api.get_opt(DEFINITION).await.unwrap().is_none().then_some(())
    })
    .await;
    until("the resource is gone", || async {
        images(&client, "default").list(&ListParams::default()).await.err()
    })
    .await;
    let (_stop, stopping) = watch::channel(false);
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let ended = controller::run(client.clone(), config(&[]), metrics, stopping).await;
    assert!(matches!(ended, Err(controller::Error::NoDefinition(_))), "{ended:?}");
    install(&client, &generated()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_owns_the_status_and_nothing_else_of_an_image() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let namespace = namespace(&client, "managers").await;
    let running = Running::start(&[&namespace]).await;
    let api = raw(&client, &namespace);
    let user = PatchParams::apply("somebody");
    api.patch("hello", &user, &Patch::Apply(object("hello", &hello("hi")))).await.unwrap();
    let seen = until("a status is there", || async {
        let image = api.get("hello").await.unwrap();
        image.data.get("status").is_some().then_some(image)
    })
    .await;
    let ours: Vec<_> = seen
        .managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() != Some("somebody"))
        .collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert_eq!(ours[0].manager.as_deref(), Some("vmimage-operator/status"));
    assert_eq!(ours[0].subresource.as_deref(), Some("status"));
    assert!(seen.annotations().is_empty() && seen.finalizers().is_empty(), "{:?}", seen.metadata);
    assert_eq!(seen.data["spec"]["boot"]["sector"]["message"], json!("hi"));

    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let claim = &claims.list(&ListParams::default()).await.unwrap().items[0];
    assert!(claim.owner_references().iter().all(|owner| owner.controller != Some(true)));
    // A disk of 1 MiB with CDI's overhead of 0.06.
    let request = &claim
        .spec
        .as_ref()
        .unwrap()
        .resources
        .as_ref()
        .unwrap()
        .requests
        .as_ref()
        .unwrap()["storage"];
    assert_eq!(request.0, "1111491");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_status_returns_without_another_job() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let namespace = namespace(&client, "erased").await;
    let running = Running::start(&[&namespace]).await;
    let api = images(&client, &namespace);
    raw(&client, &namespace)
        .create(&PostParams::default(), &object("hello", &hello("hi")))
        .await
        .unwrap();
    let reason = || async { condition(&client, &namespace, "hello", "Ready").await };
    until("a status is there", reason).await;
    let before = jobs(&client, &namespace).await;
    let erase = json!({"status": null});
    api.patch_status("hello", &PatchParams::default(), &Patch::Merge(&erase)).await.unwrap();
    until("the status is back", reason).await;
    let after = jobs(&client, &namespace).await;
    assert_eq!(before.len(), 1);
    assert_eq!(after.iter().map(ResourceExt::uid).collect::<Vec<_>>(), [before[0].uid()]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_namespaces_are_not_touched() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let (mine, other) = (namespace(&client, "mine").await, namespace(&client, "other").await);
    let running = Running::start(&[&mine]).await;
    for namespace in [&other, &mine] {
        raw(&client, namespace)
            .create(&PostParams::default(), &object("hello", &hello("hi")))
            .await
            .unwrap();
    }
    until("a Job is in the watched namespace", || async { jobs(&client, &mine).await.pop() }).await;
    assert!(jobs(&client, &other).await.is_empty());
    let image: Image = images(&client, &other).get("hello").await.unwrap();
    assert!(image.status.is_null(), "{:?}", image.status);
    running.stop().await;
}

/// Prints how long a user waits for the first word and for the Job. Figures, not verdicts; only a
/// wait that nobody would call responsive fails.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_status_and_the_job_come_at_once() {
    let client = client().await;
    let _shared = definition_lock().read().await;
    installed(&client).await;
    let namespace = namespace(&client, "latency").await;
    let running = Running::start(&[&namespace]).await;
    let (mut statuses, mut created) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let name = format!("hello-{number}");
        let began = Instant::now();
        raw(&client, &namespace)
            .create(&PostParams::default(), &object(&name, &hello(&name)))
            .await
            .unwrap();
        until("a Job is there", || async {
            let all = jobs(&client, &namespace).await;
            all.into_iter().find(|job| job.labels().get("vmimage.dev/image") == Some(&name))
        })
        .await;
        created.push(began.elapsed());
        until("a status is there", || condition(&client, &namespace, &name, "Ready")).await;
        statuses.push(began.elapsed());
    }
    created.sort_unstable();
    statuses.sort_unstable();
    eprintln!("apply to Job created: median {:?}, longest {:?}", created[10], created[19]);
    eprintln!("apply to first status: median {:?}, longest {:?}", statuses[10], statuses[19]);
    assert!(statuses[10] < Duration::from_secs(3));
    running.stop().await;
}
