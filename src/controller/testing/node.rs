//! What the Job controller, the kubelet and the garbage collector would do, one step at a time.
//!
//! Builds nothing: the result of a build is a function of the hashes. Invariant: a Job's pod starts
//! only if its claim and its document exist.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::objects::Key;
use super::server::State;
use crate::api::labels;
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
        for plural in ["configmaps", "jobs", "pods", "persistentvolumeclaims"] {
            for (key, object) in self.objects.all(plural) {
                let owner = &object["metadata"]["ownerReferences"][0];
                let owners = if owner["kind"] == "Job" { "jobs" } else { "vmimages" };
                let alive = self
                    .objects
                    .all(owners)
                    .iter()
                    .any(|(_, o)| o["metadata"]["uid"] == owner["uid"]);
                let ends = !object["metadata"]["deletionTimestamp"].is_null();
                if (!owner.is_null() && !alive) || (ends && !self.objects.is_used(&key)) {
                    self.objects.remove(&key);
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
