//! The faked API server: requests in, answers out, with faults and deaths where a test wants them.
//!
//! Keeps no rules of objects (that is `objects`). Invariant: every request is counted, and every
//! write that breaks a promise of the controller is noted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::call::{Call, Seen, reason, response};
use super::objects::{Key, Objects, Refusal};
use crate::api::{cdi, labels};

const CLAIMS: &str = "persistentvolumeclaims";

/// What goes wrong with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is answered with this code and not done.
    Answer(u16),
    /// The connection breaks before the write is done.
    Reset,
    /// It is done, and the connection breaks before the answer.
    LostAnswer,
    /// It is never answered.
    Stall,
}

/// When a client dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Before its request arrives.
    Before,
    /// After its request was done, before the answer arrives.
    After,
}

/// What the controller promises, kept by the server.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// How often each Job was made.
    pub(super) jobs: BTreeMap<String, usize>,
    /// targetHashes of which a result exists.
    pub(super) results: BTreeSet<String>,
    /// Promises that were broken.
    pub(super) broken: Vec<String>,
}

/// All that the server holds.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) objects: Objects,
    pub(super) logs: BTreeMap<String, String>,
    pub(super) seen: Vec<Seen>,
    pub(super) promises: Promises,
    /// Faults by the number of the write, from 0, and the number of writes so far.
    pub(super) faults: BTreeMap<usize, Fault>,
    pub(super) writes: usize,
    /// The digests that inputs without one have now.
    pub(super) inputs: Vec<String>,
    /// Whether the APIs of CDI and KubeVirt are served.
    pub(super) cdi: bool,
    pub(super) kubevirt: bool,
    /// Kinds that may not be read.
    pub(super) unreadable: BTreeSet<String>,
    /// Kinds of which every write is answered with this code.
    pub(super) refused: BTreeMap<String, (u16, String)>,
}

/// The server. Cloning gives another handle to the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Server(Arc<Mutex<State>>);

impl Server {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A client that dies with request number `last` (from 0): no answer ever arrives after that.
    pub(super) fn mortal(
        &self,
        last: usize,
        death: Death,
    ) -> (kube::Client, watch::Receiver<bool>) {
        let (dead, is_dead) = watch::channel(false);
        let dead = Arc::new(dead);
        let count = Arc::new(Mutex::new(0_usize));
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, count, dead) = (server.clone(), count.clone(), dead.clone());
            async move {
                let number = {
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    *count - 1
                };
                if number > last || (number == last && death == Death::Before) {
                    dead.send_replace(true);
                    return std::future::pending().await;
                }
                let answer = server.answer(request).await;
                if number == last {
                    dead.send_replace(true);
                    return std::future::pending().await;
                }
                answer
            }
        });
        (kube::Client::new(service, "default"), is_dead)
    }

    /// A client whose requests are not counted.
    pub(super) fn quiet(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let call = Call::of(request).await;
                Ok::<_, std::io::Error>(response(server.lock().execute(&call)))
            }
        });
        kube::Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
        let call = Call::of(request).await;
        let reset = || Err(std::io::ErrorKind::ConnectionReset.into());
        let fault = self.count(&call);
        match fault {
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::Reset) => reset(),
            Some(Fault::Answer(code)) => {
                Ok(response(Err(Refusal::new(code, reason(code), format!("scripted {code}")))))
            }
            Some(Fault::LostAnswer) => {
                drop(self.lock().execute(&call));
                reset()
            }
            None if call.sub == "log" => {
                let log = self.lock().logs.get(&call.key.name).cloned();
                Ok(match log {
                    Some(text) => Response::new(Body::from(text.into_bytes())),
                    None => response(Err(Refusal::new(404, "NotFound", "no log"))),
                })
            }
            None => Ok(response(self.lock().execute(&call))),
        }
    }

    /// Counts the request; the fault it meets.
    fn count(&self, call: &Call) -> Option<Fault> {
        let mut state = self.lock();
        state.seen.push(call.seen.clone());
        if !call.seen.is_write() {
            return None;
        }
        state.writes += 1;
        let number = state.writes - 1;
        state.faults.get(&number).copied()
    }
}

/// What the server says of a group.
fn discovery(group: &str) -> Value {
    let names = match group {
        "cdi.kubevirt.io" => &["datavolumes", "datasources", "cdiconfigs"][..],
        _ => &["virtualmachines", "virtualmachineinstances"],
    };
    let resource = |name: &&str| json!({"name": name, "kind": "K", "namespaced": true, "singularName": "", "verbs": []});
    let resources: Vec<Value> = names.iter().map(resource).collect();
    json!({"kind": "APIResourceList", "groupVersion": group, "resources": resources})
}

impl State {
    /// Answers, and looks whether anything refers to what is not complete.
    fn execute(&mut self, call: &Call) -> Result<Value, Refusal> {
        if let Some(answer) = self.foreign(call) {
            return answer;
        }
        let answer = self.carry_out(call);
        self.audit();
        answer
    }

    /// APIs of others: discovery, and what they refuse.
    fn foreign(&self, call: &Call) -> Option<Result<Value, Refusal>> {
        let served = match call.group.as_str() {
            "cdi.kubevirt.io" => self.cdi,
            "kubevirt.io" => self.kubevirt,
            _ => true,
        };
        if !served {
            let text = "the server could not find the requested resource";
            return Some(Err(Refusal::new(404, "NotFound", text)));
        }
        if call.seen.plural.is_empty() {
            return Some(Ok(discovery(&call.group)));
        }
        if self.unreadable.contains(&call.seen.plural) && !call.seen.is_write() {
            let text = format!("{} is forbidden: cannot {}", call.seen.plural, call.seen.verb);
            return Some(Err(Refusal::new(403, "Forbidden", text)));
        }
        let name = &call.body["metadata"]["name"];
        if call.seen.plural == "datavolumes" && call.seen.verb == "create" {
            let claim = Key::new(CLAIMS, &call.key.namespace, name.as_str().unwrap());
            let there = self.objects.get(&claim).ok()?;
            if there["metadata"]["annotations"][cdi::POPULATED_FOR] != *name {
                let text = format!("admission webhook denied: Destination PVC {name} exists");
                return Some(Err(Refusal::new(403, "Forbidden", text)));
            }
        }
        None
    }

    /// Notes what refers to a claim that is not complete.
    pub(super) fn audit(&mut self) {
        let mut broken = Vec::new();
        let complete = |claim: &Value| {
            let annotations = &claim["metadata"]["annotations"];
            annotations[labels::COMPLETE].is_string()
                && annotations[labels::COMPLETE] == annotations[labels::TARGET_HASH]
        };
        for (key, claim) in self.objects.all(CLAIMS) {
            let annotations = &claim["metadata"]["annotations"];
            if annotations[cdi::POPULATED_FOR].is_string() && !complete(&claim) {
                broken.push(format!("populatedFor on claim {}, which is not complete", key.name));
            }
        }
        for (key, source) in self.objects.all("datasources") {
            let Some(name) = source["spec"]["source"]["pvc"]["name"].as_str() else { continue };
            let claim = self.objects.get(&Key::new(CLAIMS, &key.namespace, name));
            if claim.is_ok_and(|claim| !complete(claim)) {
                broken.push(format!("DataSource {} at claim {name}: not complete", key.name));
            }
        }
        self.promises.broken.append(&mut broken);
    }

    fn carry_out(&mut self, call: &Call) -> Result<Value, Refusal> {
        let Call { seen, key, sub, query, body, .. } = call;
        if let Some((code, message)) = self.refused.get(&seen.plural).filter(|_| seen.is_write()) {
            return Err(Refusal::new(*code, reason(*code), message.clone()));
        }
        match seen.verb {
            "get" => self.objects.get(key).cloned(),
            "list" => Ok(self.list(call)),
            "create" => {
                let mut key = key.clone();
                key.name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let object = self.objects.create(key.clone(), body.clone())?;
                if key.plural == "jobs" {
                    *self.promises.jobs.entry(key.name).or_default() += 1;
                }
                Ok(object)
            }
            "patch" if call.content_type.starts_with("application/apply-patch") => {
                let manager = query.get("fieldManager").cloned().unwrap_or_default();
                let object =
                    self.objects.apply(key, &manager, body.clone(), sub.as_str() == "status")?;
                self.check(&key.plural, &object);
                Ok(object)
            }
            "patch" => {
                let object = self.objects.merge(key, body)?;
                self.check(&key.plural, &object);
                Ok(object)
            }
            "delete" => {
                let uid = body["preconditions"]["uid"].as_str();
                let gone = self.objects.delete(key, uid)?;
                if body["propagationPolicy"] == "Orphan" {
                    self.orphan(&gone["metadata"]["uid"]);
                }
                Ok(gone)
            }
            other => panic!("{other}"),
        }
    }

    fn list(&self, call: &Call) -> Value {
        let wanted = call.query.get("fieldSelector").cloned().unwrap_or_default();
        let uid = wanted.split("involvedObject.uid%3D").nth(1);
        let uid = uid.and_then(|rest| rest.split("%2C").next());
        let label = call.query.get("labelSelector").and_then(|text| text.split_once("%3D"));
        let items: Vec<Value> = self
            .objects
            .all(&call.key.plural)
            .into_iter()
            .filter(|(key, _)| key.namespace == call.key.namespace || call.key.namespace.is_empty())
            .map(|(_, object)| object)
            .filter(|object| label.is_none_or(|(k, v)| object["metadata"]["labels"][k] == v))
            .filter(|object| uid.is_none_or(|uid| object["involvedObject"]["uid"] == uid))
            .collect();
        json!({"metadata": {"resourceVersion": self.objects.version().to_string()}, "items": items})
    }

    /// Notes promises that this object breaks: marks before the result, readiness before marks.
    fn check(&mut self, plural: &str, object: &Value) {
        let mark = |claim: &Value| {
            claim["metadata"]["annotations"][labels::COMPLETE].as_str().map(str::to_owned)
        };
        if plural == "persistentvolumeclaims"
            && let Some(hash) = mark(object)
            && !self.promises.results.contains(&hash)
        {
            self.promises.broken.push(format!("marked complete before the result: {object}"));
        }
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        if plural != "vmimages" || !ready {
            return;
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        for target in object["status"]["targets"].as_array().cloned().unwrap_or_default() {
            let name = target["current"]["ref"]["name"].as_str().unwrap_or_default();
            let claim = self.objects.get(&Key::new("persistentvolumeclaims", namespace, name));
            if claim.ok().and_then(mark).as_deref() != target["targetHash"].as_str() {
                self.promises.broken.push(format!("Ready without the mark of claim {name}"));
            }
        }
    }
}
