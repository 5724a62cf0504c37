//! A cluster with images, and a controller that can be run step by step, killed and started again.
//!
//! Invariant: the caches hold what is in the server at the start of a run, and nothing else is
//! carried from run to run but what a context carries.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use kube::runtime::controller::Action as Next;
use kube::runtime::reflector::store::{Writer, store};
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::cdi::Presence;
use super::super::config::{ClaimRules, Config};
use super::super::context::{Caches, Context};
use super::super::reconcile::{Error, after_error, reconcile};
use super::node::Fate;
use super::objects::{Key, Seed};
use super::server::{Death, Server};
use crate::api::{Image, labels};
use crate::metrics::Metrics;

pub(super) const NAMESPACE: &str = "ns";
/// More runs than any life needs.
const MANY: usize = 60;

/// The document of most tests.
pub(super) fn hello() -> Value {
    json!({
        "boot": {"sector": {"message": "Hello World!"}},
        "publish": [{"name": "golden", "pvc": {}}],
    })
}

/// A controller: it lives until its client dies.
pub(super) struct Controller {
    pub(super) context: Arc<Context>,
    images: Writer<Image>,
    jobs: Writer<k8s_openapi::api::batch::v1::Job>,
    pods: Writer<k8s_openapi::api::core::v1::Pod>,
    claims: Writer<k8s_openapi::api::core::v1::PersistentVolumeClaim>,
    seen: watch::Sender<Option<Arc<Presence>>>,
    dead: watch::Receiver<bool>,
}

/// What a run came to.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(Next),
    Failed(Error, Duration),
    Died,
}

/// A cluster with images.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) fate: Fate,
}

impl World {
    /// A cluster with one StorageClass and no image.
    pub(super) fn new() -> Self {
        Self::seeded(Seed::default())
    }

    pub(super) fn seeded(seed: Seed) -> Self {
        let server = Server::default();
        server.lock().objects.seed = seed;
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "provisioner": "p", "metadata": {"annotations":
                {"storageclass.kubernetes.io/is-default-class": "true"}}});
        server.lock().objects.create(Key::new("storageclasses", "", "standard"), class).unwrap();
        Self { server, fate: Fate::Success }
    }

    /// A cluster with the image `hello`.
    pub(super) fn with_hello() -> Self {
        let world = Self::new();
        world.add("hello", hello());
        world
    }

    pub(super) fn key(name: &str) -> Key {
        Key::new("vmimages", NAMESPACE, name)
    }

    pub(super) fn add(&self, name: &str, spec: Value) {
        let image = json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
            "metadata": {}, "spec": spec});
        self.server.lock().objects.create(Self::key(name), image).unwrap();
    }

    /// A controller that lives for ever.
    pub(super) fn controller(&self) -> Controller {
        self.mortal(usize::MAX, Death::Before)
    }

    /// A controller that dies with its request number `last`.
    pub(super) fn mortal(&self, last: usize, death: Death) -> Controller {
        let (client, dead) = self.server.mortal(last, death);
        Controller::new(client, dead)
    }

    /// One run for one image.
    pub(super) async fn run(&self, controller: &mut Controller, name: &str) -> Outcome {
        controller.fill(&self.server).await;
        let image = self.image(name);
        let mut dead = controller.dead.clone();
        let context = controller.context.clone();
        tokio::select! {
            biased;
            _ = dead.wait_for(|dead| *dead) => Outcome::Died,
            answer = reconcile(image.clone(), context.clone()) => match answer {
                Ok(next) => Outcome::Done(next),
                Err(error) => {
                    let next = after_error(image, &error, context);
                    Outcome::Failed(error, pause(&next))
                }
            }
        }
    }

    /// Runs controller and cluster by turns until both have nothing to do; the pauses after errors.
    /// None if the controller died.
    pub(super) async fn settle(
        &self,
        controller: &mut Controller,
        name: &str,
    ) -> Option<Vec<Duration>> {
        let mut pauses = Vec::new();
        for _ in 0..MANY {
            let before = self.server.lock().objects.version();
            let writes = self.server.lock().writes;
            match self.run(controller, name).await {
                Outcome::Died => return None,
                Outcome::Failed(_, pause) => {
                    pauses.push(pause);
                    continue;
                }
                Outcome::Done(_) => {}
            }
            let stepped = self.server.lock().step(&self.fate);
            let state = self.server.lock();
            if !stepped && before == state.objects.version() && writes == state.writes {
                return Some(pauses);
            }
        }
        panic!("not settled after {MANY} runs; requests: {:#?}", self.server.lock().seen)
    }

    pub(super) fn image(&self, name: &str) -> Arc<Image> {
        let image = self.server.lock().objects.get(&Self::key(name)).unwrap().clone();
        Arc::new(serde_json::from_value(image).unwrap())
    }

    /// The condition of this kind: status, reason, message.
    pub(super) fn condition(&self, name: &str, kind: &str) -> Option<(String, String, String)> {
        let conditions = self.image(name).status().conditions;
        let found = conditions.into_iter().find(|c| c.kind == kind)?;
        Some((found.status, found.reason, found.message))
    }

    /// Fails unless `Ready` has this status and reason.
    #[track_caller]
    pub(super) fn stands(&self, name: &str, status: &str, reason: &str) -> String {
        let (found, why, message) = self.condition(name, "Ready").expect("a Ready condition");
        assert_eq!((found.as_str(), why.as_str()), (status, reason), "{message}");
        message
    }

    /// Fails if the controller broke a promise.
    #[track_caller]
    pub(super) fn kept(&self) {
        let state = self.server.lock();
        assert!(state.promises.broken.is_empty(), "{:?}", state.promises.broken);
        let twice: Vec<_> = state.promises.jobs.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "made twice: {twice:?}");
    }

    /// The requests since the last call.
    pub(super) fn requests(&self) -> Vec<super::call::Seen> {
        std::mem::take(&mut self.server.lock().seen)
    }

    /// All that is there but events, without what is random.
    pub(super) fn picture(&self) -> Value {
        let state = self.server.lock();
        let kinds = ["vmimages", "configmaps", "persistentvolumeclaims", "jobs", "pods"];
        let kinds = kinds.into_iter().chain(["datavolumes", "datasources"]);
        let objects = kinds.flat_map(|kind| state.objects.all(kind));
        let mut picture = serde_json::Map::new();
        for (key, mut object) in objects {
            let uid = object["metadata"]["annotations"][labels::OWNER_UID].is_string();
            if uid {
                object["metadata"]["annotations"][labels::OWNER_UID] = json!("");
            }
            for owner in object["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten()
            {
                owner["uid"] = json!("");
            }
            for random in ["uid", "resourceVersion", "creationTimestamp"] {
                object["metadata"].as_object_mut().unwrap().remove(random);
            }
            for condition in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
                condition["lastTransitionTime"] = json!("");
            }
            picture.insert(format!("{}/{}", key.plural, key.name), object);
        }
        picture.into()
    }
}

impl Controller {
    fn new(client: kube::Client, dead: watch::Receiver<bool>) -> Self {
        let config = Config {
            builder_image: "builder:1".into(),
            image_pull_policy: "IfNotPresent".into(),
            build_service_account: None,
            namespaces: Vec::new(),
            listen: ([127, 0, 0, 1], 0).into(),
            concurrency: 1,
            source_flags: Vec::new(),
            boot_assets: super::boot::assets(),
            allow_scripts: true,
            kubevirt: true,
            claims: ClaimRules::default(),
        };
        let ((images, image_writer), (jobs, job_writer)) = (store(), store());
        let ((pods, pod_writer), (claims, claim_writer)) = (store(), store());
        let filled = watch::channel(4).1;
        let caches = Caches { images, jobs, pods, claims, filled };
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let (told, seen) = watch::channel(Some(Arc::default()));
        Self {
            context: Arc::new(Context::new(client, Arc::new(config), metrics, caches, seen)),
            seen: told,
            images: image_writer,
            jobs: job_writer,
            pods: pod_writer,
            claims: claim_writer,
            dead,
        }
    }

    /// Runs may take no longer than this.
    pub(super) fn impatient(&mut self, patience: Duration) {
        Arc::get_mut(&mut self.context).expect("no run under way").patience = patience;
    }

    async fn fill(&mut self, server: &Server) {
        let presence = Presence::look(&server.quiet(), None).await.unwrap();
        let before = self.seen.borrow().clone().unwrap_or_default();
        self.seen.send_replace(Some(Arc::new(presence.after(&before))));
        fill(server, "vmimages", &mut self.images);
        fill(server, "jobs", &mut self.jobs);
        fill(server, "pods", &mut self.pods);
        fill(server, "persistentvolumeclaims", &mut self.claims);
    }
}

/// What a list and watch with our label would bring.
fn fill<K>(server: &Server, plural: &str, writer: &mut Writer<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + 'static,
{
    writer.apply_watcher_event(&Event::Init);
    for (_, object) in server.lock().objects.all(plural) {
        let label = &object["metadata"]["labels"][labels::MANAGED_BY];
        if plural == "vmimages" || label == labels::MANAGER {
            writer.apply_watcher_event(&Event::InitApply(serde_json::from_value(object).unwrap()));
        }
    }
    writer.apply_watcher_event(&Event::InitDone);
}

/// The pause that an action asks for; `Action` shows it only when printed.
pub(super) fn pause(next: &Next) -> Duration {
    let text = format!("{next:?}");
    let inner = text.split("Some(").nth(1).and_then(|rest| rest.split(')').next());
    let inner = inner.unwrap_or_default();
    let number = |unit: &str| inner.strip_suffix(unit).and_then(|n| n.parse::<f64>().ok());
    match (number("ms"), number("s")) {
        (Some(ms), _) => Duration::from_secs_f64(ms / 1000.0),
        (None, Some(s)) => Duration::from_secs_f64(s),
        (None, None) => Duration::ZERO,
    }
}
