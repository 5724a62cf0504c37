//! Plays a row: its steps in their order, in namespaces of its own.
//!
//! Does not judge by itself (`see` does). Invariant: CDI's settings are as they were when a row ends,
//! however it ends, and no other row ran while they were not.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use kube::api::{DeleteParams, PatchParams, PostParams, PropagationPolicy};
use serde_json::{Value, json};

use super::place::{Place, dynamic, resource};
use super::row::{Content, Create, Delete, Disk, Event, Gone, Patch, Quiet, Row, See, Step, all};
use super::see::{differences, key, text};
use super::wait::within;

/// Rows that change CDI's settings exclude all others.
static SETTINGS: RwLock<()> = RwLock::new(());

/// How long a row waits for what has no time of its own.
const PATIENCE: u64 = 240;

/// What a pod says of a disk: digest, mode, owner; of a device the digest alone.
const LOOK: &str = "if [ -b $disk ]; then sha256sum <$disk >$out; \
    elif [ -e $disk ]; then echo $(sha256sum <$disk) $(stat -c '%a %u:%g' $disk) >$out; \
    else echo empty >$out; fi";

/// A row while it is played.
struct Play {
    place: Place,
    /// Objects as they were noted.
    noted: BTreeMap<String, Value>,
    last_noted: String,
    /// What was written into claims.
    disks: BTreeMap<String, String>,
}

/// Plays a row of the table and panics if it is not as it says.
pub(crate) fn row(id: &str) {
    let row = all().into_iter().find(|row| row.id == id).expect("a row of the table");
    let alone = row.alone.then(|| SETTINGS.write().unwrap_or_else(PoisonError::into_inner));
    let shared = (!row.alone).then(|| SETTINGS.read().unwrap_or_else(PoisonError::into_inner));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let end = runtime.block_on(played(&row));
    drop((alone, shared));
    if let Err(panic) = end {
        eprintln!("the row says: {}", row.says);
        std::panic::resume_unwind(panic);
    }
}

async fn played(row: &Row) -> std::thread::Result<()> {
    let mut play = Play {
        place: Place::make().await,
        noted: BTreeMap::new(),
        last_noted: String::new(),
        disks: BTreeMap::new(),
    };
    let gates = if row.alone { Some(play.gates().await) } else { None };
    let end = AssertUnwindSafe(play.steps(&row.steps)).catch_unwind().await;
    if let Some(before) = gates {
        play.set_gates(&before).await;
    }
    if end.is_err() {
        play.place.show().await;
    }
    play.place.remove().await;
    end
}

impl Play {
    async fn steps(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            eprintln!("step {number}: {step:?}");
            self.step(step).await;
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Create(create) => self.create(create).await,
            Step::Patch(patch) => self.patch(patch).await,
            Step::Delete(delete) => self.delete(delete).await,
            Step::Fill(claim) => {
                let write = "head -c 65536 /dev/urandom | dd of=$disk conv=notrunc,fsync 2>/dev/null; \
                    [ -b $disk ] || chmod 660 $disk;";
                let disk = self.place.run(claim, &format!("{write} {LOOK}")).await;
                self.disks.insert(claim.clone(), disk);
            }
            Step::Bind(claim) => drop(self.place.run(claim, ":").await),
            Step::Note(object) => {
                let seen = self.place.get(object).await;
                let seen = seen.unwrap_or_else(|| panic!("{object} is not there"));
                self.last_noted = text(&seen, "/metadata/uid").to_owned();
                self.noted.insert(object.clone(), seen);
            }
            Step::Gate(gate) => {
                let mut gates = self.gates().await;
                gates.push(gate.clone());
                self.set_gates(&gates).await;
            }
            Step::Rest(seconds) => tokio::time::sleep(Duration::from_secs(*seconds)).await,
            Step::See(see) => self.see(see).await,
            Step::Gone(gone) => self.gone(gone).await,
            Step::Event(event) => self.event(event).await,
            Step::Quiet(quiet) => self.quiet(quiet).await,
            Step::Pods(_) => {
                let pods = self.place.foreign_pods().await;
                assert!(pods.is_empty(), "expected no pod, seen {pods:?}");
            }
            Step::Content(content) => self.content(content).await,
        }
    }

    /// Fills in `{ns}`, `{other}`, `{class}` and `{uid}`, and annotations' whole names.
    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(all) => all.iter().map(|value| self.filled(value)).collect(),
            Value::Object(all) => {
                all.iter().map(|(name, value)| (key(name), self.filled(value))).collect()
            }
            other => other.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        text.replace("{ns}", &self.place.namespace)
            .replace("{other}", &self.place.other)
            .replace("{class}", &self.place.class)
            .replace("{uid}", &self.last_noted)
    }

    async fn create(&self, create: &Create) {
        let claim = json!({
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": self.place.class,
            "resources": {"requests": {"storage": "70Mi"}},
        });
        let (api, name) = self.place.named(&create.object);
        let kind = create.object.trim_start_matches("other:").split('/').next().unwrap();
        let resource = resource(kind);
        let mut object = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "name": name,
                "annotations": self.filled(&json!(create.annotations)),
                "labels": self.filled(&json!(create.labels)),
            },
        });
        let mut spec = match kind {
            "Claim" => claim,
            "DataVolume" => json!({"source": {"blank": {}}, "pvc": claim}),
            _ => Value::Null,
        };
        merge(&mut spec, self.filled(&create.spec));
        if !spec.is_null() {
            object["spec"] = spec;
        }
        if let Some(owner) = &create.owner {
            object["metadata"]["ownerReferences"] = json!([self.owner(owner).await]);
        }
        let done = api.create(&PostParams::default(), &dynamic(object)).await;
        self.done(&create.object, create.refused.as_deref(), done.map(drop));
    }

    async fn owner(&self, owner: &str) -> Value {
        let name = owner.trim_end_matches('*');
        let object = self.place.get(name).await.unwrap_or_else(|| panic!("{name} is not there"));
        let (kind, name) = name.split_once('/').unwrap();
        json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": object["metadata"]["uid"],
            "controller": owner.ends_with('*')})
    }

    async fn patch(&self, patch: &Patch) {
        let (api, name) = self.place.named(&patch.object);
        let with = kube::api::Patch::Merge(self.filled(&patch.with));
        let done = api.patch(&name, &PatchParams::default(), &with).await;
        self.done(&patch.object, patch.refused.as_deref(), done.map(drop));
    }

    /// Judges the answer to a request.
    fn done(&self, object: &str, refused: Option<&str>, done: Result<(), kube::Error>) {
        match (done, refused) {
            (Ok(()), None) => {}
            (Ok(()), Some(expected)) => panic!("{object}: expected a refusal: {expected}"),
            (Err(seen), None) => panic!("{object}: {seen}"),
            (Err(seen), Some(expected)) => {
                let (seen, expected) = (seen.to_string(), self.text(expected));
                assert!(seen.contains(&expected), "{object}: expected {expected:?}, seen {seen:?}");
            }
        }
    }

    async fn delete(&self, delete: &Delete) {
        let (api, name) = self.place.named(&delete.object);
        let policy = match delete.cascade.as_deref() {
            None => PropagationPolicy::Background,
            Some("Orphan") => PropagationPolicy::Orphan,
            Some(other) => panic!("cascade {other}"),
        };
        let how = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        api.delete(&name, &how).await.unwrap();
    }

    async fn see(&self, see: &See) {
        let filled = See {
            has: self.filled(&see.has),
            conditions: self
                .each(&see.conditions, |all| all.iter().map(|t| self.text(t)).collect()),
            annotations: self.each(&see.annotations, |t| t.as_ref().map(|t| self.text(t))),
            labels: see.labels.clone(),
            object: see.object.clone(),
            phase: see.phase.clone(),
            owners: see.owners.clone(),
            lacks: see.lacks.clone(),
            same: see.same.clone(),
            ..See { new: see.new, ..See::default() }
        };
        let judge = async || match self.place.get(&see.object).await {
            None => Err("it is not there".to_owned()),
            Some(object) => {
                match differences(&object, &filled, self.noted.get(&see.object)).join("\n") {
                    all if all.is_empty() => Ok(()),
                    all => Err(all),
                }
            }
        };
        self.lasts(&see.object, (see.within, see.lasting), judge).await;
    }

    fn each<V, W>(&self, map: &BTreeMap<String, V>, f: impl Fn(&V) -> W) -> BTreeMap<String, W> {
        map.iter().map(|(name, value)| (name.clone(), f(value))).collect()
    }

    /// Waits until `judge` is content, or makes sure that it is for the second time from now on.
    async fn lasts(
        &self,
        what: &str,
        (within_seconds, lasting): (Option<u64>, Option<u64>),
        judge: impl AsyncFn() -> Result<(), String>,
    ) {
        let Some(lasting) = lasting else {
            let deadline = Duration::from_secs(within_seconds.unwrap_or(PATIENCE));
            return within(deadline, &format!("{what} as the row says"), judge).await;
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(lasting) {
            if let Err(seen) = judge().await {
                panic!(
                    "{what} for {lasting} s, but after {:.1} s: {seen}",
                    start.elapsed().as_secs_f32()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn gone(&self, gone: &Gone) {
        let judge = async || match self.place.get(&gone.object).await {
            None => Ok(()),
            Some(object) => Err(format!("it is there: {object}")),
        };
        self.lasts(&format!("no {}", gone.object), (gone.within, gone.lasting), judge).await;
    }

    async fn event(&self, expected: &Event) {
        let message = self.text(&expected.message);
        let fits = |event: &Value| {
            text(event, "/type") == expected.r#type
                && text(event, "/reason") == expected.reason
                && text(event, "/message") == message
        };
        let judge = async || {
            let events = self.place.events(&expected.object).await;
            let told = |e: &Value| format!("{} {} {:?}", e["type"], e["reason"], e["message"]);
            if events.iter().any(fits) {
                Ok(())
            } else {
                Err(events.iter().map(told).collect::<Vec<_>>().join("\n"))
            }
        };
        let (object, kind, reason) = (&expected.object, &expected.r#type, &expected.reason);
        let what = format!("an event of {object}, {kind} {reason} {message:?},");
        self.lasts(&what, (Some(30), None), judge).await;
    }

    async fn quiet(&self, quiet: &Quiet) {
        let events = self.place.events(&quiet.object).await;
        let of_type = |e: &&Value| quiet.r#type.as_deref().is_none_or(|t| text(e, "/type") == t);
        let loud: Vec<_> = events.iter().filter(of_type).map(|e| text(e, "/message")).collect();
        assert!(loud.is_empty(), "{quiet:?}: expected no events, seen {loud:?}");
    }

    async fn content(&self, content: &Content) {
        if content.copied && std::env::var_os("VMIMAGE_CONTRACT_STAND_IN").is_some() {
            eprintln!("the stand-in copies no bytes: not looked at");
            return;
        }
        let seen = self.place.run(&content.object, LOOK).await;
        let expected = match content.is {
            Disk::Empty => "empty",
            Disk::Filled => &self.disks[content.of.as_ref().unwrap_or(&content.object)],
        };
        assert_eq!(seen, expected, "the disk in {}", content.object);
    }

    /// The name of the cluster's CDI object and its gates.
    async fn cdi(&self) -> Value {
        let list = self.place.cluster("CDI").list(&kube::api::ListParams::default()).await.unwrap();
        json!(list.items.first().expect("a CDI object"))
    }

    async fn gates(&self) -> Vec<String> {
        let gates = self.cdi().await["spec"]["config"]["featureGates"].take();
        serde_json::from_value(gates).unwrap_or_default()
    }

    /// Sets the gates and waits until CDI's own configuration has them.
    async fn set_gates(&self, gates: &[String]) {
        let name = text(&self.cdi().await, "/metadata/name").to_owned();
        let patch = kube::api::Patch::Merge(json!({"spec": {"config": {"featureGates": gates}}}));
        self.place.cluster("CDI").patch(&name, &PatchParams::default(), &patch).await.unwrap();
        let judge = async || {
            let config = json!(self.place.cluster("CDIConfig").get("config").await.unwrap());
            let seen = config["spec"]["featureGates"].clone();
            if seen == json!(gates) { Ok(()) } else { Err(seen.to_string()) }
        };
        self.lasts(&format!("gates {gates:?}"), (None, None), judge).await;
    }
}

/// Merges as a merge patch does.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (_, Value::Null) => {}
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                if value.is_null() {
                    into.remove(&name);
                } else {
                    merge(into.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from,
    }
}
