//! The namespaces that a row plays in, their objects and the pods that fill and look.
//!
//! Knows nothing of CDI. Invariant: the namespaces are gone when `remove` returns.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::see::text;
use super::wait::{until, within};

/// The label of our pods and namespaces.
const OURS: &str = "vmimage.dev/contract";

static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// A row's namespaces and what they are filled with.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// The second namespace.
    pub(crate) other: String,
    pub(crate) class: String,
    image: String,
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run e2e/contract/run"))
}

/// A resource by the kind that the table names.
pub(crate) fn resource(kind: &str) -> ApiResource {
    let (group, version, kind) = match kind {
        "DataVolume" | "DataSource" | "CDI" | "CDIConfig" => ("cdi.kubevirt.io", "v1beta1", kind),
        "Claim" => ("", "v1", "PersistentVolumeClaim"),
        "ConfigMap" | "Namespace" | "Pod" | "Event" => ("", "v1", kind),
        _ => panic!("the table may not use objects of kind {kind:?}"),
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

impl Place {
    pub(crate) async fn make() -> Self {
        let client = Client::try_default().await.expect("a cluster: run e2e/contract/run");
        let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("contract-{}-{number}", std::process::id());
        let place = Self {
            client,
            other: format!("{namespace}-other"),
            namespace,
            class: setting("VMIMAGE_CONTRACT_CLASS"),
            image: setting("VMIMAGE_CONTRACT_IMAGE"),
        };
        for name in [&place.namespace, &place.other] {
            let object = json!({"metadata": {"name": name, "labels": {(OURS): ""}}});
            place
                .cluster("Namespace")
                .create(&PostParams::default(), &dynamic(object))
                .await
                .unwrap();
        }
        until("the namespaces' default ServiceAccounts", async || {
            let account = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ServiceAccount"));
            let api: Api<DynamicObject> =
                Api::namespaced_with(place.client.clone(), &place.namespace, &account);
            api.get("default").await.map_err(|e| e.to_string())
        })
        .await;
        place
    }

    pub(crate) async fn remove(&self) {
        let api = self.cluster("Namespace");
        for name in [&self.namespace, &self.other] {
            api.delete(name, &DeleteParams::default()).await.unwrap();
        }
        for name in [&self.namespace, &self.other] {
            until(&format!("the namespace {name} is gone"), async || {
                match api.get_opt(name).await.unwrap() {
                    None => Ok(()),
                    Some(seen) => Err(json!(seen)["status"].to_string()),
                }
            })
            .await;
        }
    }

    /// The objects of a kind that is not in a namespace.
    pub(crate) fn cluster(&self, kind: &str) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(kind))
    }

    /// The objects of the kind that `[other:]Kind/name` names, and the name.
    pub(crate) fn named(&self, object: &str) -> (Api<DynamicObject>, String) {
        let (namespace, rest) = object
            .strip_prefix("other:")
            .map_or((&self.namespace, object), |rest| (&self.other, rest));
        let (kind, name) = rest.split_once('/').unwrap_or_else(|| panic!("{object}: Kind/name"));
        (self.kind(namespace, kind), name.to_owned())
    }

    fn kind(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }

    /// The object as it is, if it is there.
    pub(crate) async fn get(&self, object: &str) -> Option<Value> {
        let (api, name) = self.named(object);
        api.get_opt(&name).await.unwrap().map(|object| json!(object))
    }

    /// All objects of a kind in the row's namespace.
    pub(crate) async fn list(&self, kind: &str) -> Vec<Value> {
        let list = self.kind(&self.namespace, kind).list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|object| json!(object)).collect()
    }

    /// All events about an object.
    pub(crate) async fn events(&self, object: &str) -> Vec<Value> {
        let (kind, name) = object.split_once('/').unwrap();
        let about = |event: &Value| {
            text(event, "/involvedObject/kind") == kind
                && text(event, "/involvedObject/name") == name
        };
        self.list("Event").await.into_iter().filter(about).collect()
    }

    /// The names of pods that are not ours.
    pub(crate) async fn foreign_pods(&self) -> Vec<String> {
        let pods = self.list("Pod").await;
        let foreign = pods.iter().filter(|pod| pod["metadata"]["labels"][OURS].is_null());
        foreign.map(|pod| text(pod, "/metadata/name").to_owned()).collect()
    }

    /// Runs a script in a pod that has the claim at `$at`, and returns what it wrote to `$out`.
    pub(crate) async fn run(&self, claim: &str, script: &str) -> String {
        let mode = self.get(claim).await.unwrap_or_else(|| panic!("{claim} is not there"));
        let block = text(&mode, "/spec/volumeMode") == "Block";
        let name = format!("ours-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        let pods = self.kind(&self.namespace, "Pod");
        let pod = self.pod(&name, claim.split_once('/').unwrap().1, block, script);
        pods.create(&PostParams::default(), &dynamic(pod)).await.unwrap();
        let end =
            within(Duration::from_secs(120), &format!("a pod with {claim} ends"), async || {
                let pod = json!(pods.get(&name).await.map_err(|e| e.to_string())?);
                let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
                if ended.is_null() { Err(pod["status"].to_string()) } else { Ok(ended.clone()) }
            })
            .await;
        assert_eq!(end["exitCode"], 0, "the pod with {claim}: {end}");
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await.unwrap();
        text(&end, "/message").trim().to_owned()
    }

    fn pod(&self, name: &str, claim: &str, block: bool, script: &str) -> Value {
        let at = if block { "/dev/disk" } else { "/volume" };
        let disk = if block { "/dev/disk" } else { "/volume/disk.img" };
        let mut container = json!({
            "name": "ours", "image": self.image, "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-euc", script],
            "env": [{"name": "at", "value": at}, {"name": "disk", "value": disk}, {"name": "out", "value": "/dev/termination-log"}],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        });
        if block {
            container["volumeDevices"] = json!([{"name": "claim", "devicePath": at}]);
        } else {
            container["volumeMounts"] = json!([{"name": "claim", "mountPath": at}]);
        }
        json!({
            "metadata": {"name": name, "labels": {(OURS): ""}},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 107, "runAsGroup": 107, "fsGroup": 107,
                    "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [container],
                "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
            },
        })
    }

    /// Prints the row's objects as they stand.
    pub(crate) async fn show(&self) {
        for kind in ["DataVolume", "DataSource", "Claim", "Pod"] {
            for mut object in self.list(kind).await {
                object["metadata"]["managedFields"] = Value::Null;
                eprintln!("{kind} {object:#}");
            }
        }
        for event in self.list("Event").await {
            let field = |pointer: &str| text(&event, pointer).to_owned();
            let about = (field("/involvedObject/kind"), field("/involvedObject/name"));
            eprintln!("{about:?}: {} {} {}", field("/type"), field("/reason"), field("/message"));
        }
    }
}

/// An object of any kind.
pub(crate) fn dynamic(object: Value) -> DynamicObject {
    serde_json::from_value(object).unwrap()
}
