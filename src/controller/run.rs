//! Runs the controllers: one for the whole cluster, or one for each watched namespace.
//!
//! Does not reconcile. Invariant: it reports ready once all caches are filled; it ends only when
//! told to, after runs under way have finished, or when a watch ended for good.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::Api;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Config as Watch, watcher};
use kube::runtime::{Controller, PredicateConfig, WatchStreamExt as _, controller, reflector};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::cdi::{self, Presence};
use super::config::Config;
use super::context::{Caches, Context};
use super::reconcile::{after_error, reconcile};
use crate::api::{Image, labels};
use crate::metrics::Metrics;

/// Triggers closer together than this are one. Short: a user waits for the first status.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Objects asked for at once when a cache is filled: bounds the memory of start-up.
const PAGE: u32 = 100;

/// One watched scope, ready to run.
pub(super) struct Scope {
    pub(super) caches: Caches,
    run: futures::future::BoxFuture<'static, ()>,
}

impl Scope {
    /// Runs until `stop` turns true or a watch ends for good.
    pub(super) async fn run(self) {
        self.run.await;
    }
}

/// Prepares the controller of one namespace, or of the whole cluster.
pub(super) fn scope(
    client: &kube::Client,
    namespace: Option<&str>,
    config: &Arc<Config>,
    metrics: &Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> Scope {
    let (images, image_writer) = reflector::store();
    let (jobs, job_writer) = reflector::store();
    let (pods, pod_writer) = reflector::store();
    let (claims, claim_writer) = reflector::store();
    let (filled, is_filled) = watch::channel(0);
    let fill = Fill { count: Arc::new(filled), metrics: metrics.clone() };
    let caches = Caches { images: images.clone(), jobs, pods, claims, filled: is_filled };
    let (told, seen) = watch::channel((!config.kubevirt).then(|| Arc::new(Presence::off())));
    let (kinds, counters) = (config.clone(), metrics.clone());
    let context = Arc::new(Context::new(client.clone(), kinds, counters, caches.clone(), seen));
    let presence = match config.kubevirt {
        true => {
            let place = namespace.map(str::to_owned);
            cdi::follow(client.clone(), place, images.clone(), told).left_stream()
        }
        false => futures::stream::empty().right_stream(),
    };
    let left = context.clone();

    let all = Watch::default().page_size(PAGE);
    let ours = all.clone().labels(&labels::selector());
    let trigger = cached(image_writer, watcher(api(client, namespace), all), &fill)
        .inspect_ok(move |event| {
            if let watcher::Event::Delete(image) = event {
                left.succeeded(image.uid());
            }
        })
        .applied_objects()
        .predicate_filter(what_matters, PredicateConfig::default());
    let jobs = touched::<Job>(job_writer, api(client, namespace), &ours, &fill);
    let pods = touched::<Pod>(pod_writer, api(client, namespace), &ours, &fill);
    let claims =
        touched::<PersistentVolumeClaim>(claim_writer, api(client, namespace), &ours, &fill);

    let early = told_early(stop.clone(), context.clone());
    let stopped = async move {
        // An error means that the sender is gone: the program is ending.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let settings = controller::Config::default().debounce(DEBOUNCE).concurrency(config.concurrency);
    let run = Controller::for_stream(trigger, images)
        .with_config(settings)
        .watches_stream(jobs, image_of)
        .watches_stream(pods, image_of)
        .watches_stream(claims, image_of)
        .reconcile_on(presence)
        .graceful_shutdown_on(stopped)
        .run(reconcile, after_error, context)
        .for_each(|_| futures::future::ready(()));
    let run = async move {
        tokio::select! {
            () = run => {}
            () = early => {}
        }
    };
    Scope { caches, run: Box::pin(run) }
}

/// Comes when `stop` turns true before anything is under way, and never otherwise. A `Controller` that
/// is told to shut down then does not end: it no longer polls the watches, and goes on waiting for what
/// they should fill (kube 5.0: its runner is held until the store is ready).
async fn told_early(mut stop: watch::Receiver<bool>, context: Arc<Context>) {
    // An error means that the sender is gone: the program is ending.
    let _ = stop.wait_for(|stop| *stop).await;
    if context.is_filled() {
        std::future::pending::<()>().await;
    }
}

/// Objects of a kind in one namespace, or in all of them.
pub(super) fn api<K>(client: &kube::Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Counts caches that were filled for the first time. `Store::wait_until_ready` is no help here: it
/// wakes only one of several waiters (kube 5.0), and the `Controller` is one already.
#[derive(Clone)]
struct Fill {
    count: Arc<watch::Sender<usize>>,
    metrics: Arc<Metrics>,
}

/// A watch whose objects are kept in a cache, without the parts that nobody here reads.
fn cached<K>(
    writer: Writer<K>,
    watch: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    fill: &Fill,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (fill, metrics) = (fill.clone(), fill.metrics.clone());
    let mut first = true;
    watch
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) && std::mem::take(&mut first) {
                fill.count.send_modify(|count| *count += 1);
            }
        })
        .inspect_err(move |error| {
            tracing::warn!(kind = %K::kind(&()), %error, "a watch was interrupted");
            metrics.watch_error(&K::kind(&()));
        })
}

/// The objects of a watch that were changed or deleted.
fn touched<K>(
    writer: Writer<K>,
    api: Api<K>,
    watch: &Watch,
    fill: &Fill,
) -> impl Stream<Item = watcher::Result<K>> + Send + 'static
where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    cached(writer, watcher(api, watch.clone()), fill).touched_objects()
}

/// The image that an object was made for.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the controller calls")]
fn image_of<K>(object: K) -> Option<ObjectRef<Image>>
where
    K: Resource<DynamicType = ()>,
{
    let name = object.labels().get(labels::IMAGE)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// Of an image's changes only these matter: another spec, a status that somebody erased, and the
/// annotation that asks to look at inputs again. Our own status writes lead to no further run.
fn what_matters(image: &Image) -> Option<u64> {
    let mut hasher = std::hash::DefaultHasher::new();
    (image.generation(), image.status.is_null(), image.rebuild()).hash(&mut hasher);
    Some(hasher.finish())
}

/// How many images are ready, how many are not, and how many builds run.
pub(super) fn gauge(caches: &[Caches], metrics: &Metrics) {
    let images: Vec<_> = caches.iter().flat_map(|caches| caches.images.state()).collect();
    let ready = |image: &Arc<Image>| {
        image.status().conditions.iter().any(|c| c.kind == "Ready" && c.status == "True")
    };
    let count = images.iter().filter(|image| ready(image)).count();
    let active = caches.iter().map(|caches| active_jobs(&caches.jobs)).sum();
    metrics.images(count, images.len() - count, active);
}

fn active_jobs(jobs: &Store<Job>) -> usize {
    let active = |job: &Job| {
        let status = job.status.as_ref();
        status.and_then(|status| status.active).unwrap_or_default() > 0
    };
    jobs.state().iter().filter(|job| active(job)).count()
}
