//! What the Job controller, the kubelet and the garbage collector would do, one step at a time.
//!
//! Builds nothing: the result of a build is a function of the hashes. Invariant: a Job's pod starts
//! only if its claim and its document exist.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::objects::Key;
use super::server::State;
use crate::api::{cdi, labels};
use crate::report::{BuildResult, MANIFEST_FRAME, Report};

/// How builds end.
#[derive(Clone, Debug, Default)]
pub(super) enum Fate {
    /// They succeed.
    #[default]
    Success,
    /// They end with this exit code, reason and termination message.
    Failure(i32, &'static str, String),
    /// No pod is ever made: the message of the event.
    NoPod(String),
    /// The pod stays as this status has it.
    Stuck(Value),
}

fn hash(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}

impl State {
    /// One step of everything outside of the controller; false if there was nothing to do.
    pub(super) fn step(&mut self, fate: &Fate) -> bool {
        let before = self.objects.version();
        self.collect_garbage();
        if self.cdi {
            self.cdi();
        }
        self.audit();
        for (key, job) in self.objects.all("jobs") {
            if job["status"]["conditions"].is_array() {
                continue;
            }
            let uid = job["metadata"]["uid"].clone();
            let pods = self.objects.all("pods");
            let pod = pods.iter().find(|(_, p)| p["metadata"]["ownerReferences"][0]["uid"] == uid);
            match pod {
                None => self.make_pod(&key, &job, fate),
                Some((pod_key, pod)) => self.advance(&key, &job, (pod_key, pod), fate),
            }
        }
        before != self.objects.version()
    }

    fn collect_garbage(&mut self) {
        for plural in
            ["configmaps", "jobs", "pods", "datavolumes", "persistentvolumeclaims", "datasources"]
        {
            for (key, object) in self.objects.all(plural) {
                let owners = object["metadata"]["ownerReferences"].as_array().cloned();
                let owners = owners.unwrap_or_default();
                let left: Vec<Value> = owners.iter().filter(|o| self.lives(o)).cloned().collect();
                let ends = !object["metadata"]["deletionTimestamp"].is_null();
                let orphaned = !owners.is_empty() && left.is_empty();
                if orphaned || (ends && !self.objects.is_used(&key)) {
                    self.objects.remove(&key);
                } else if left.len() < owners.len() {
                    self.objects.change(&key, |o| o["metadata"]["ownerReferences"] = left.into());
                }
            }
        }
    }

    fn lives(&self, owner: &Value) -> bool {
        let plural = match owner["kind"].as_str().unwrap() {
            "Job" => "jobs",
            "DataVolume" => "datavolumes",
            "VMImage" => "vmimages",
            other => panic!("{other} owns nothing here"),
        };
        self.objects.all(plural).iter().any(|(_, o)| o["metadata"]["uid"] == owner["uid"])
    }

    /// Whoever was owned by this object is not any more.
    pub(super) fn orphan(&mut self, uid: &Value) {
        for (key, claim) in self.objects.all("persistentvolumeclaims") {
            let owners = claim["metadata"]["ownerReferences"].as_array().cloned();
            let left: Vec<Value> =
                owners.unwrap_or_default().into_iter().filter(|o| o["uid"] != *uid).collect();
            self.objects.change(&key, |claim| claim["metadata"]["ownerReferences"] = left.into());
        }
    }

    /// What CDI would do: adopt claims that are populated for a DataVolume, make those that are not
    /// promised to it, and tell DataSources of the defaults of their claims.
    fn cdi(&mut self) {
        for (key, volume) in self.objects.all("datavolumes") {
            let claim = Key::new("persistentvolumeclaims", &key.namespace, &key.name);
            let annotation = |object: &Value, name: &str| {
                object["metadata"]["annotations"][name] == key.name.as_str()
            };
            let owner = json!({"apiVersion": cdi::CDI, "kind": "DataVolume", "name": key.name,
                "uid": volume["metadata"]["uid"], "controller": true});
            let phase = match self.objects.get(&claim).cloned() {
                Ok(there) if annotation(&there, cdi::POPULATED_FOR) => {
                    let owners = there["metadata"]["ownerReferences"].as_array().cloned();
                    let mut owners = owners.unwrap_or_default();
                    if owners.iter().all(|owner| owner["controller"] != true) {
                        owners.push(owner);
                        self.objects
                            .change(&claim, |o| o["metadata"]["ownerReferences"] = owners.into());
                    }
                    self.objects.change(&key, |volume| {
                        let name = key.name.as_str();
                        volume["metadata"]["annotations"][cdi::PRE_POPULATED] = name.into();
                    });
                    "Succeeded"
                }
                Ok(_) => volume["status"]["phase"].as_str().unwrap_or("Pending"),
                Err(_) if annotation(&volume, cdi::PRE_POPULATED) => "Pending",
                Err(_) => {
                    let own = json!({"metadata": {"ownerReferences": [owner]}, "spec": {}});
                    self.objects.create(claim, own).unwrap();
                    "WaitForFirstConsumer"
                }
            };
            let phase = json!({"phase": phase});
            self.objects.change(&key, |volume| volume["status"] = phase);
        }
        for (key, source) in self.objects.all("datasources") {
            let Some(name) = source["spec"]["source"]["pvc"]["name"].as_str() else { continue };
            let claim = Key::new("persistentvolumeclaims", &key.namespace, name);
            let Ok(claim) = self.objects.get(&claim).cloned() else { continue };
            for (label, value) in claim["metadata"]["labels"].as_object().into_iter().flatten() {
                if label.starts_with(cdi::DEFAULT_LABELS) {
                    let change = |o: &mut Value| o["metadata"]["labels"][label] = value.clone();
                    self.objects.change(&key, change);
                }
            }
        }
    }

    fn make_pod(&mut self, key: &Key, job: &Value, fate: &Fate) {
        if let Fate::NoPod(message) = fate {
            let uid = &job["metadata"]["uid"];
            let name = format!("{}.event", key.name);
            let event = json!({
                "apiVersion": "v1", "kind": "Event", "involvedObject": {"uid": uid},
                "reason": "FailedCreate", "message": message, "metadata": {},
            });
            // Once is enough.
            drop(self.objects.create(Key::new("events", &key.namespace, &name), event));
            return;
        }
        let template = &job["spec"]["template"];
        let name = format!("{}-{}", key.name, self.objects.seed.word);
        let there = |plural: &str, name: &Value| {
            let name = name.as_str().unwrap();
            self.objects.get(&Key::new(plural, &key.namespace, name)).is_ok()
        };
        let volumes = &template["spec"]["volumes"];
        assert!(there("configmaps", &volumes[0]["configMap"]["name"]), "no document for {name}");
        let all = volumes.as_array().unwrap();
        let target = all.iter().find(|volume| volume["name"] == "target");
        assert_eq!(target.is_none(), only_looks(job), "a build has a place, looking has none");
        let claim = target.map(|target| &target["persistentVolumeClaim"]["claimName"]);
        let claim = claim.filter(|name| name.is_string());
        assert!(claim.is_none_or(|c| there("persistentvolumeclaims", c)), "no claim for {name}");
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": template["metadata"], "spec": template["spec"],
            "status": {"phase": "Pending"},
        });
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": key.name,
                    "uid": job["metadata"]["uid"]}]);
        self.objects.create(Key::new("pods", &key.namespace, &name), pod).unwrap();
    }

    fn advance(&mut self, key: &Key, job: &Value, (pod_key, pod): (&Key, &Value), fate: &Fate) {
        let state = &pod["status"]["containerStatuses"][0]["state"];
        if let Fate::Stuck(status) = fate {
            self.objects.change(pod_key, |pod| pod["status"].clone_from(status));
        } else if pod["status"]["phase"] == "Pending" {
            let status = container("Running", &json!({"running": {}}));
            self.objects.change(pod_key, |pod| pod["status"] = status);
            self.objects.change(key, |job| job["status"]["active"] = 1.into());
        } else if state["terminated"].is_null() {
            let (exit, reason, message) = match fate {
                Fate::Failure(exit, reason, message) => (*exit, *reason, message.clone()),
                _ if only_looks(job) => (0, "Completed", Report::resolved(&self.inputs).to_text()),
                _ => (0, "Completed", self.build(job, &pod_key.name)),
            };
            let phase = if exit == 0 { "Succeeded" } else { "Failed" };
            let ended = json!({"exitCode": exit, "reason": reason, "message": message});
            let status = container(phase, &json!({"terminated": ended}));
            self.objects.change(pod_key, |pod| pod["status"] = status);
        } else {
            let (kind, reason) = match state["terminated"]["exitCode"].as_i64() {
                Some(0) => ("Complete", "CompletionsReached"),
                _ => ("Failed", "BackoffLimitExceeded"),
            };
            // Made long enough ago that no pause is left.
            let status = json!({"conditions": [{"type": kind, "status": "True", "reason": reason,
                "lastTransitionTime": job["metadata"]["creationTimestamp"]}]});
            self.objects.change(key, |job| job["status"] = status);
        }
    }

    /// The termination message of a build; its log and result are there from now on.
    fn build(&mut self, job: &Value, pod: &str) -> String {
        let annotation =
            |key: &str| job["metadata"]["annotations"][key].as_str().unwrap().to_owned();
        let (content, target) = (annotation(labels::CONTENT_HASH), annotation(labels::TARGET_HASH));
        let manifest = json!({"contentHash": content}).to_string();
        self.logs.insert(pod.to_owned(), format!("talk\n{MANIFEST_FRAME} x {manifest}\n"));
        self.promises.results.insert(target.clone());
        Report::success(BuildResult {
            content_digest: hash(&content),
            target_digest: hash(&target),
            content_hash: content,
            target_hash: target,
            virtual_size: 512,
            target_size: 1 << 20,
            manifest_digest: hash(&manifest),
            reused: false,
            build_millis: 7,
            publish_millis: 8,
        })
        .to_text()
    }
}

/// Whether the Job looks at inputs and builds nothing.
fn only_looks(job: &Value) -> bool {
    let args = job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    args.iter().any(|arg| arg == "--resolve")
}

fn container(phase: &str, state: &Value) -> Value {
    json!({"phase": phase, "containerStatuses": [{"name": "build", "ready": false, "image": "i",
        "imageID": "", "restartCount": 0, "state": state}]})
}
