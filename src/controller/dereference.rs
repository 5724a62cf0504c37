//! Gathers everything a decision needs: the only reading end of reconciling.
//!
//! Decides nothing. Invariant: Jobs, pods and claims come from the caches; the apiserver is only
//! asked where a claim has yet to be made or a Job has no pod.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt as _};

use super::cdi::{self, Seen};
use super::context::Context;
use super::observe::{Attempt, Class, Observed, Phase, PodTruth, Volume, Wanted};
use super::tags;
use crate::api::{Image, labels};

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Gathers what is to be seen of `image`, whose targets are `wanted`.
pub(super) async fn dereference(
    image: &Image,
    wanted: &[Wanted],
    context: &Context,
) -> Result<Observed, kube::Error> {
    let mut observed = cached(image, context);
    for wanted in wanted.iter().filter(|wanted| wanted.has_claim()) {
        if observed.volumes.iter().any(|volume| volume.id.name == wanted.claim) {
            continue;
        }
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(context.client.clone(), image.namespace());
        if let Some(claim) = claims.get_opt(&wanted.claim).await? {
            observed.volumes.push(Volume::from(&claim));
            continue;
        }
        let key = wanted.class.clone().unwrap_or_default();
        if let Entry::Vacant(place) = observed.classes.entry(key) {
            place.insert(class(wanted.class.as_deref(), context).await?);
        }
    }
    observed.rivals = tags::rivals(image, wanted, &context.caches.images);
    observed.refusals = refusals(image, &observed, context).await?;
    observed.cdi = cdi::look(image, wanted, &observed, context).await?;
    Ok(observed)
}

/// What the caches hold of `image`.
fn cached(image: &Image, context: &Context) -> Observed {
    let caches = &context.caches;
    Observed {
        now: Timestamp::now(),
        volumes: ours(&caches.claims, image, |claim| Volume::from(claim)),
        jobs: ours(&caches.jobs, image, |job| Attempt::from(job)),
        pods: ours(&caches.pods, image, |pod| PodTruth::from(pod)),
        classes: BTreeMap::new(),
        refusals: BTreeMap::new(),
        rivals: BTreeMap::new(),
        cdi: Seen::default(),
    }
}

/// The cached objects that carry this image's label, by name.
fn ours<K, T>(store: &Store<K>, image: &Image, convert: impl Fn(&K) -> T) -> Vec<T>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut found = store.state_filter(|object| {
        object.namespace().as_deref() == Some(image.namespace())
            && object.labels().get(labels::IMAGE).map(String::as_str) == Some(image.name())
    });
    found.sort_by_key(|object| object.name_any());
    found.iter().map(|object| convert(object)).collect()
}

async fn class(name: Option<&str>, context: &Context) -> Result<Class, kube::Error> {
    let classes: Api<StorageClass> = Api::all(context.client.clone());
    let found = match name {
        // An empty name asks for a volume without a class.
        Some("") => Some(String::new()),
        Some(name) => classes.get_opt(name).await?.map(|class| class.name_any()),
        None => {
            let all = classes.list(&ListParams::default()).await?;
            let is_default = |class: &&StorageClass| {
                class.annotations().get(DEFAULT_CLASS).map(String::as_str) == Some("true")
            };
            // Of several default classes Kubernetes takes the newest.
            let newest = all.items.iter().filter(is_default).max_by_key(|c| c.creation_timestamp());
            newest.map(|class| class.name_any())
        }
    };
    Ok(found.map_or(Class::Missing, Class::Found))
}

/// Why running Jobs without pods have none.
async fn refusals(
    image: &Image,
    observed: &Observed,
    context: &Context,
) -> Result<BTreeMap<String, String>, kube::Error> {
    let mut refusals = BTreeMap::new();
    let events: Api<Event> = Api::namespaced(context.client.clone(), image.namespace());
    for job in &observed.jobs {
        let has_pod = observed.pods.iter().any(|pod| pod.job == job.id.uid);
        if job.phase != Phase::Active || has_pod || job.id.deleting {
            continue;
        }
        let about = format!("involvedObject.uid={},reason=FailedCreate", job.id.uid);
        let found = events.list(&ListParams::default().fields(&about).limit(20)).await?;
        let latest = found.items.into_iter().max_by_key(|event| event.last_timestamp.clone());
        if let Some(message) = latest.and_then(|event| event.message) {
            refusals.insert(job.id.uid.clone(), message);
        }
    }
    Ok(refusals)
}
