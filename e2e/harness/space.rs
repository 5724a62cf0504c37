//! A case and the namespace it plays in: made for it, deleted after it, shown when it fails.
//!
//! Invariant: a case that needs the operator to itself has it; cases never share a namespace.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::host::mount;
use super::objects::{annotation, name, reason_of, resource, summary};
use super::record::Record;
use super::wait::{until, within};
use super::{dump, objects};

/// Cases that stop or replace the operator exclude all others.
static OPERATOR: RwLock<()> = RwLock::new(());

/// How a case uses the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Beside other cases.
    Shared,
    /// Alone: it stops the operator, or counts all that it does.
    Alone,
}

/// The namespace of one case.
#[derive(Clone)]
pub(crate) struct Space {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// Plays a story in a namespace of its own, which enforces the *restricted* Pod Security Standard.
pub(crate) fn case(title: &str, operator: Use, story: impl AsyncFnOnce(Space)) {
    let shared =
        (operator == Use::Shared).then(|| OPERATOR.read().unwrap_or_else(PoisonError::into_inner));
    let alone =
        (operator == Use::Alone).then(|| OPERATOR.write().unwrap_or_else(PoisonError::into_inner));
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let end = runtime.block_on(async {
        let space = Space::make(title).await;
        let end = AssertUnwindSafe(story(space.clone())).catch_unwind().await;
        match &end {
            Ok(()) => space.remove().await,
            Err(_) => dump::show(&space.namespace),
        }
        end
    });
    drop((shared, alone));
    eprintln!("{title}: {:.1} s", start.elapsed().as_secs_f64());
    if let Err(panic) = end {
        std::panic::resume_unwind(panic);
    }
}

impl Space {
    async fn make(title: &str) -> Self {
        let client = Client::try_default().await.expect(
            "no cluster: run this program with e2e/run, or set KUBECONFIG to a cluster of your own",
        );
        let number = title.split('_').next().unwrap_or(title);
        let namespace = format!("e2e-{number}-{:x}", std::process::id());
        let space = Self { client, namespace };
        space.namespace(&space.namespace).await;
        space
    }

    /// Makes a namespace that enforces the restricted standard.
    pub(crate) async fn namespace(&self, name: &str) {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        self.apply_cluster("Namespace", json!({"metadata": {"name": name, "labels": labels}}))
            .await;
        until("the namespace's default ServiceAccount", async || {
            let accounts: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), name, &resource("ServiceAccount"));
            accounts.get("default").await.map_err(|e| e.to_string())
        })
        .await;
    }

    async fn remove(&self) {
        self.delete_cluster("Namespace", &self.namespace).await;
    }

    /// The same client in another namespace.
    pub(crate) fn at(&self, namespace: &str) -> Self {
        Self { client: self.client.clone(), namespace: namespace.to_owned() }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    fn cluster_api(&self, kind: &str) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(kind))
    }

    /// `kubectl apply` of a VMImage: its name and spec.
    pub(crate) async fn apply(&self, image: &str, spec: Value) -> Value {
        self.apply_object("VMImage", json!({"metadata": {"name": image}, "spec": spec})).await
    }

    /// `kubectl apply` of any object in this namespace.
    pub(crate) async fn apply_object(&self, kind: &str, object: Value) -> Value {
        apply(self.api(kind), kind, object).await
    }

    /// `kubectl apply` of an object of the cluster.
    pub(crate) async fn apply_cluster(&self, kind: &str, object: Value) -> Value {
        apply(self.cluster_api(kind), kind, object).await
    }

    /// `kubectl patch --type merge`.
    pub(crate) async fn patch(&self, kind: &str, object: &str, patch: Value) -> Value {
        let done =
            self.api(kind).patch(object, &PatchParams::default(), &Patch::Merge(&patch)).await;
        json(done.unwrap_or_else(|e| panic!("patching {kind} {object} with {patch}: {e}")))
    }

    /// The claim `inputs` with so much room, bound; where the host sees its volume.
    pub(crate) async fn inputs(&self, room: &str) -> PathBuf {
        let claim = json!({"metadata": {"name": "inputs"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "local-immediate",
            "resources": {"requests": {"storage": room}}}});
        self.apply_object("PersistentVolumeClaim", claim).await;
        until("the claim inputs is bound", async || {
            let claim = self.find("PersistentVolumeClaim", "inputs").await.unwrap();
            let phase = objects::phase(&claim);
            if phase == "Bound" { Ok(()) } else { Err(phase) }
        })
        .await;
        mount(self, "inputs")
    }

    /// `kubectl patch --subresource status --type merge`.
    pub(crate) async fn patch_status(&self, image: &str, patch: Value) {
        let images = self.api("VMImage");
        let done = images.patch_status(image, &PatchParams::default(), &Patch::Merge(&patch)).await;
        done.unwrap_or_else(|e| panic!("patching the status of {image}: {e}"));
    }

    /// Keeps what becomes of all objects of a kind from now on.
    pub(crate) fn record(&self, kind: &str) -> Record {
        Record::start(self.api(kind))
    }

    /// The object, if it is there.
    pub(crate) async fn find(&self, kind: &str, object: &str) -> Option<Value> {
        let found = self.api(kind).get_opt(object).await;
        found.unwrap_or_else(|e| panic!("getting {kind} {object}: {e}")).map(json)
    }

    /// The image, which must be there.
    pub(crate) async fn image(&self, image: &str) -> Value {
        let found = self.find("VMImage", image).await;
        found.unwrap_or_else(|| panic!("there is no VMImage {image} in {}", self.namespace))
    }

    /// All objects of a kind that the operator made, by name.
    pub(crate) async fn ours(&self, kind: &str) -> Vec<Value> {
        self.list(kind, "app.kubernetes.io/managed-by=vmimage-operator").await
    }

    /// What the operator made of one image.
    pub(crate) async fn of(&self, kind: &str, image: &str) -> Vec<Value> {
        self.list(kind, &format!("vmimage.dev/image={image}")).await
    }

    async fn list(&self, kind: &str, labels: &str) -> Vec<Value> {
        let found = self.api(kind).list(&ListParams::default().labels(labels)).await;
        let found = found.unwrap_or_else(|e| panic!("listing {kind}: {e}"));
        let mut all: Vec<Value> = found.items.into_iter().map(json).collect();
        all.sort_by_key(|object| {
            (objects::text(object, "/metadata/creationTimestamp"), name(object))
        });
        all
    }

    /// Names of `of`, sorted, without what is being deleted.
    pub(crate) async fn names(&self, kind: &str, image: &str) -> Vec<String> {
        let all = self.of(kind, image).await;
        let mut names: Vec<_> = all.iter().filter(|o| !objects::deleting(o)).map(name).collect();
        names.sort();
        names
    }

    /// Events about the image: their reasons, oldest first.
    async fn events(&self, image: &str) -> Vec<String> {
        let about = format!("involvedObject.kind=VMImage,involvedObject.name={image}");
        let found = self.api("Event").list(&ListParams::default().fields(&about)).await.unwrap();
        let mut all: Vec<_> = found.items.into_iter().map(json).collect();
        all.sort_by_key(|event| objects::text(event, "/eventTime"));
        all.iter().map(|event| objects::text(event, "/reason")).collect()
    }

    /// Waits for an event of the image with this reason, which the operator sends after the status, and
    /// returns the reasons of all, oldest first.
    pub(crate) async fn told(&self, image: &str, reason: &str) -> Vec<String> {
        until(&format!("an event {reason} of VMImage {image}"), async || {
            let events = self.events(image).await;
            let there = events.iter().any(|event| event == reason);
            if there { Ok(events) } else { Err(format!("{events:?}")) }
        })
        .await
    }

    /// `kubectl delete --wait=false`.
    pub(crate) async fn delete(&self, kind: &str, object: &str) {
        let done = self.api(kind).delete(object, &DeleteParams::background()).await;
        if let Err(error) = done {
            assert!(error.to_string().contains("NotFound"), "deleting {kind} {object}: {error}");
        }
    }

    /// `kubectl delete --wait=false` of an object of the cluster.
    pub(crate) async fn delete_cluster(&self, kind: &str, object: &str) {
        let done = self.cluster_api(kind).delete(object, &DeleteParams::background()).await;
        if let Err(error) = done {
            assert!(error.to_string().contains("NotFound"), "deleting {kind} {object}: {error}");
        }
    }

    /// Waits until the image is Ready for its present generation.
    pub(crate) async fn ready(&self, image: &str) -> Value {
        self.stands(image, "True", "Published").await
    }

    /// Waits until the image is not Ready for this reason, and returns it.
    pub(crate) async fn waits(&self, image: &str, reason: &str) -> Value {
        self.stands(image, "False", reason).await
    }

    async fn stands(&self, image: &str, status: &str, reason: &str) -> Value {
        until(&format!("VMImage {image} with Ready={status} {reason}"), async || {
            let object = self.image(image).await;
            let seen = reason_of(&object);
            if seen == (status.to_owned(), reason.to_owned()) {
                return Ok(object);
            }
            Err(summary(&object))
        })
        .await
    }

    /// Waits until nothing that the operator made of the image is left, the image itself included.
    pub(crate) async fn gone(&self, image: &str) {
        until(&format!("nothing left of VMImage {image}"), async || {
            let mut left = Vec::new();
            if self.find("VMImage", image).await.is_some() {
                left.push(format!("VMImage {image}"));
            }
            for kind in ["Job", "Pod", "PersistentVolumeClaim", "ConfigMap"] {
                let found = self.of(kind, image).await;
                left.extend(found.iter().map(|object| format!("{kind} {}", name(object))));
            }
            if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
        })
        .await;
    }

    /// Waits until exactly these Jobs of the image are there.
    pub(crate) async fn has_jobs(&self, image: &str, count: usize) -> Vec<Value> {
        self.has("Job", image, count).await
    }

    /// Waits until exactly so many objects of this kind, made of the image, are there.
    pub(crate) async fn has(&self, kind: &str, image: &str, count: usize) -> Vec<Value> {
        within(Duration::from_secs(60), &format!("{count} {kind} of {image}"), async || {
            let found = self.of(kind, image).await;
            let names: Vec<_> = found.iter().map(name).collect();
            if found.len() == count { Ok(found) } else { Err(format!("{names:?}")) }
        })
        .await
    }

    /// Waits until a pod of the image is in this phase.
    pub(crate) async fn pod_is(&self, image: &str, phase: &str) -> Value {
        until(&format!("a pod of {image} in phase {phase}"), async || {
            let pods = self.of("Pod", image).await;
            let seen: Vec<_> = pods.iter().map(objects::phase).collect();
            pods.into_iter().find(|pod| objects::phase(pod) == phase).ok_or(format!("{seen:?}"))
        })
        .await
    }

    /// The claim that the image's first target names, which must be marked complete.
    pub(crate) async fn complete_claim(&self, image: &Value) -> Value {
        let (claim, digest, hash) = objects::place(image);
        let found = self.find("PersistentVolumeClaim", &claim).await;
        let found =
            found.unwrap_or_else(|| panic!("the claim {claim:?} of the status is not there"));
        assert_eq!(annotation(&found, "vmimage.dev/complete"), hash, "mark of {claim}");
        assert_eq!(annotation(&found, "vmimage.dev/digest"), digest, "digest on {claim}");
        found
    }
}

async fn apply(api: Api<DynamicObject>, kind: &str, mut object: Value) -> Value {
    let types = resource(kind);
    object["apiVersion"] = types.api_version.clone().into();
    object["kind"] = kind.into();
    let user = PatchParams::apply("a-user").force();
    let done = api.patch(&name(&object), &user, &Patch::Apply(&object)).await;
    json(done.unwrap_or_else(|e| panic!("applying {object}: {e}")))
}

fn json(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}
