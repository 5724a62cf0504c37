//! What reconciling may touch: the client, the caches, the settings and the counters.
//!
//! Decides nothing. Invariant: caches only hold what carries our label, so the memory grows with
//! our objects and not with the cluster's.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Resource;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::cdi::Presence;
use super::config::Config;
use crate::api::{Image, labels};
use crate::metrics::Metrics;

/// First and longest pause after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(300));
/// A run that takes longer waits for an answer that does not come; the client itself would wait for
/// minutes, and so would all other images behind it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Objects that live in a namespace and whose kind is known when this is compiled.
pub(super) trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
{
}

/// What one watched scope has seen.
#[derive(Clone, Debug)]
pub(super) struct Caches {
    pub(super) images: Store<Image>,
    pub(super) jobs: Store<Job>,
    pub(super) pods: Store<Pod>,
    pub(super) claims: Store<PersistentVolumeClaim>,
    /// How many of them were filled.
    pub(super) filled: watch::Receiver<usize>,
}

impl Caches {
    /// Whether all of them were filled: what is not in them then is not in the cluster.
    pub(super) fn are_filled(&self) -> bool {
        *self.filled.borrow() >= 4
    }

    /// Waits until all of them were filled.
    pub(super) async fn fill(&self) {
        // An error means that the watches have ended: so will the program.
        let _ = self.filled.clone().wait_for(|count| *count >= 4).await;
    }
}

/// What reconciling may touch.
pub(super) struct Context {
    pub(super) client: kube::Client,
    pub(super) config: Arc<Config>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) recorder: Recorder,
    pub(super) caches: Caches,
    /// What was seen of CDI and KubeVirt; none until they were looked for.
    pub(super) seen: watch::Receiver<Option<Arc<Presence>>>,
    /// The longest that one run may take.
    pub(super) patience: Duration,
    failures: Mutex<HashMap<String, u32>>,
}

impl Context {
    pub(super) fn new(
        client: kube::Client,
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        caches: Caches,
        seen: watch::Receiver<Option<Arc<Presence>>>,
    ) -> Self {
        let reporter = Reporter { controller: labels::MANAGER.to_owned(), instance: None };
        let recorder = Recorder::new(client.clone(), reporter);
        Self {
            client,
            config,
            metrics,
            recorder,
            caches,
            seen,
            patience: PATIENCE,
            failures: Mutex::default(),
        }
    }

    /// Waits until all caches were filled and CDI was looked for.
    pub(super) async fn fill(&self) {
        self.caches.fill().await;
        // An error means that the program is ending.
        let _ = self.seen.clone().wait_for(Option::is_some).await;
    }

    /// Whether `fill` has nothing to wait for any more. Before, no run has done anything.
    pub(super) fn is_filled(&self) -> bool {
        self.caches.are_filled() && self.seen.borrow().is_some()
    }

    /// What was seen of CDI and KubeVirt.
    pub(super) fn presence(&self) -> Arc<Presence> {
        self.seen.borrow().clone().unwrap_or_default()
    }

    /// Counts a failure of the image with this UID: the pause before the next try, doubled each
    /// time and spread by the UID.
    pub(super) fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        let (first, longest) = BACKOFF;
        let doubled = first.saturating_mul(1 << (*count - 1).min(10)).min(longest);
        self.metrics.in_backoff(failures.len());
        let spread = uid.bytes().map(u32::from).sum::<u32>() % 100;
        doubled + doubled * spread / 400
    }

    /// Forgets the failures of the image with this UID: it went well, or the image is gone.
    pub(super) fn succeeded(&self, uid: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(uid);
        self.metrics.in_backoff(failures.len());
    }
}
