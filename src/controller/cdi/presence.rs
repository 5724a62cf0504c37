//! Which APIs of CDI and KubeVirt the apiserver serves, and which of CDI's objects are ours.
//!
//! Looked at every 25 s: one discovery request each, and with CDI two lists of metadata for a whole
//! scope, however many images it has. Invariant: what differs from the last look leads to a run of the
//! images that it is about, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::watch;

use super::super::context::Namespaced;
use super::super::run::api;
use super::{Made, Served, Ties};
use crate::api::cdi::{CDI, DataSource, DataVolume, KUBEVIRT};
use crate::api::{Image, labels};

/// The pause between two looks.
const PERIOD: Duration = Duration::from_secs(25);
/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::controller) struct Presence {
    /// Whether CDI can be asked.
    pub served: Served,
    /// Whether KubeVirt is there.
    pub kubevirt: bool,
    /// DataVolumes that carry our label.
    pub volumes: Shelf,
    /// DataSources that carry our label.
    pub sources: Shelf,
}

/// Objects that carry our label, by namespace and name.
pub(in crate::controller) type Shelf = BTreeMap<(String, String), Item>;

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::controller) struct Item {
    /// Who made it.
    pub ties: Ties,
    /// The version that was seen.
    version: String,
    /// Whether the look before saw that version, too.
    settled: bool,
}

impl Presence {
    /// The operator leaves CDI and KubeVirt alone.
    pub(in crate::controller) fn off() -> Self {
        Self { served: Served::Off, ..Self::default() }
    }

    /// The objects of `shelf` that this very image made.
    pub(super) fn made(shelf: &Shelf, image: &Image) -> Vec<Made> {
        let made = |(name, item): (&String, &Item)| Made {
            name: name.clone(),
            uid: item.ties.uid.clone(),
        };
        own(shelf, image).map(made).collect()
    }

    /// The names of DataVolumes of this very image that changed since the look before the last.
    pub(super) fn fresh(&self, image: &Image) -> BTreeSet<String> {
        let fresh = own(&self.volumes, image).filter(|(_, item)| !item.settled);
        fresh.map(|(name, _)| name.clone()).collect()
    }

    /// This look, which follows `before`: a DataVolume that has not changed since then has settled.
    pub(in crate::controller) fn after(mut self, before: &Self) -> Self {
        for (key, item) in &mut self.volumes {
            let then = before.volumes.get(key);
            item.settled = then.is_some_and(|then| then.version == item.version);
        }
        self
    }

    /// Looks once.
    pub(in crate::controller) async fn look(
        client: &kube::Client,
        namespace: Option<&str>,
    ) -> Result<Self, kube::Error> {
        let cdi = ["datavolumes", "datasources", "cdiconfigs"];
        let kubevirt = serves(client, KUBEVIRT, &["virtualmachines"]).await?;
        if !serves(client, CDI, &cdi).await? {
            return Ok(Self { served: Served::Missing, kubevirt, ..Self::default() });
        }
        Ok(Self {
            served: Served::There,
            kubevirt,
            volumes: shelf::<DataVolume>(client, namespace).await?,
            sources: shelf::<DataSource>(client, namespace).await?,
        })
    }

    fn same_apis(&self, other: &Self) -> bool {
        (self.served, self.kubevirt) == (other.served, other.kubevirt)
    }

    /// The images that the difference between `self` and the earlier look is about.
    fn stirred(&self, before: &Self, images: &Store<Image>) -> Vec<ObjectRef<Image>> {
        let mut found: Vec<ObjectRef<Image>> = Vec::new();
        if self.served != before.served {
            let asking = images.state().into_iter().filter(|image| asks(image));
            found.extend(asking.map(|image| ObjectRef::from_obj(&*image)));
        }
        for (now, then) in [(&self.volumes, &before.volumes), (&self.sources, &before.sources)] {
            let differs = |key: &&(String, String)| now.get(*key) != then.get(*key);
            let keys: BTreeSet<_> = now.keys().chain(then.keys()).filter(differs).collect();
            for key in keys {
                let item = now.get(key).or_else(|| then.get(key));
                let image = item.map(|item| item.ties.image.as_str()).unwrap_or_default();
                found.push(ObjectRef::new(image).within(&key.0));
            }
        }
        found
    }
}

/// Names and objects of `shelf` that this very image made and that are not being deleted.
fn own<'a>(shelf: &'a Shelf, image: &'a Image) -> impl Iterator<Item = (&'a String, &'a Item)> {
    let own = |((namespace, _), item): &(&(String, String), &Item)| {
        namespace == image.namespace()
            && item.ties.owner == image.uid()
            && item.ties.image == image.name()
            && !item.ties.deleting
    };
    shelf.iter().filter(own).map(|((_, name), item)| (name, item))
}

/// Whether an image asks for something of CDI.
fn asks(image: &Image) -> bool {
    let targets = image.spec["publish"].as_array().map(Vec::as_slice).unwrap_or_default();
    targets.iter().any(|target| {
        let pvc = &target["pvc"];
        pvc["dataVolume"].is_object() || pvc["dataSource"].is_object()
    })
}

/// Whether the apiserver serves these kinds of this group; if it may not be asked, it does not.
async fn serves(client: &kube::Client, api: &str, kinds: &[&str]) -> Result<bool, kube::Error> {
    match client.list_api_group_resources(api).await {
        Ok(list) => {
            let served = |kind: &&str| list.resources.iter().any(|found| found.name == **kind);
            Ok(kinds.iter().all(served))
        }
        Err(kube::Error::Api(answer)) if [403, 404].contains(&answer.code) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The objects of this kind that carry our label; none where they may not be listed (a target that
/// needs one of them tells that) or have just ceased to be served.
async fn shelf<K: Namespaced>(
    client: &kube::Client,
    namespace: Option<&str>,
) -> Result<Shelf, kube::Error> {
    let objects: Api<K> = api(client, namespace);
    let ours = ListParams::default().labels(&labels::selector()).match_any();
    let item = |object: PartialObjectMeta<K>| {
        let key = (object.namespace().unwrap_or_default(), object.name_any());
        let version = object.resource_version().unwrap_or_default();
        (key, Item { ties: Ties::of(object.meta()), version, settled: false })
    };
    match objects.list_metadata(&ours).await {
        Ok(list) => Ok(list.items.into_iter().map(item).collect()),
        Err(kube::Error::Api(answer)) if [403, 404].contains(&answer.code) => Ok(Shelf::new()),
        Err(error) => Err(error),
    }
}

/// Looks again and again, and tells which images should be run because of what is seen. What cannot be
/// looked at stays as it was; at the very start it is not there.
pub(in crate::controller) fn follow(
    client: kube::Client,
    namespace: Option<String>,
    images: Store<Image>,
    told: watch::Sender<Option<Arc<Presence>>>,
) -> impl Stream<Item = ObjectRef<Image>> + Send + 'static {
    let eyes = (client, namespace, images, told, Duration::ZERO);
    futures::stream::unfold(eyes, async |(client, namespace, images, told, pause)| {
        tokio::time::sleep(pause).await;
        let look = Presence::look(&client, namespace.as_deref());
        let seen = tokio::time::timeout(PATIENCE, look).await;
        let before = told.borrow().clone();
        let now = match seen {
            Ok(Ok(now)) => Arc::new(now.after(before.as_deref().unwrap_or(&Presence::default()))),
            Ok(Err(error)) => {
                tracing::warn!(%error, "CDI and KubeVirt could not be looked for");
                before.clone().unwrap_or_default()
            }
            Err(_) => {
                tracing::warn!("looking for CDI and KubeVirt is not answered");
                before.clone().unwrap_or_default()
            }
        };
        if before.as_ref().is_none_or(|then| !then.same_apis(&now)) {
            tracing::info!(cdi = ?now.served, kubevirt = now.kubevirt, "APIs looked for");
        }
        let stirred = now.stirred(&before.unwrap_or_default(), &images);
        told.send_replace(Some(now));
        Some((futures::stream::iter(stirred), (client, namespace, images, told, PERIOD)))
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    fn image(name: &str, pvc: &serde_json::Value) -> Image {
        let spec = json!({"publish": [{"name": "t", "pvc": pvc}]});
        let mut image = Image { spec, ..Image::default() };
        image.metadata.name = Some(name.into());
        image.metadata.namespace = Some("ns".into());
        image
    }

    fn shelf(version: &str) -> Shelf {
        let ties = Ties { image: "asks".into(), ..Ties::default() };
        let item = Item { ties, version: version.into(), settled: false };
        [(("ns".to_owned(), "volume".to_owned()), item)].into()
    }

    #[test]
    fn only_what_differs_leads_to_a_run() {
        let (images, mut writer) = store();
        writer.apply_watcher_event(&Event::Init);
        for (name, pvc) in [("asks", json!({"dataVolume": {}})), ("plain", json!({}))] {
            writer.apply_watcher_event(&Event::InitApply(image(name, &pvc)));
        }
        writer.apply_watcher_event(&Event::InitDone);
        let stirred = |now: &Presence, then: &Presence| -> Vec<String> {
            now.stirred(then, &images).into_iter().map(|image| image.name).collect()
        };
        let missing = Presence::default();
        let there = Presence { served: Served::There, ..Presence::default() };
        let (one, two) = (
            Presence { volumes: shelf("1"), ..there.clone() },
            Presence { volumes: shelf("2"), ..there.clone() },
        );
        assert_eq!(stirred(&there, &missing), ["asks"], "CDI came");
        assert_eq!(stirred(&missing, &there), ["asks"], "CDI went");
        assert_eq!(stirred(&one, &there), ["asks"], "an object appeared");
        assert_eq!(stirred(&two, &one), ["asks"], "it changed");
        assert_eq!(stirred(&there, &two), ["asks"], "it went");
        assert_eq!(stirred(&two, &two), [] as [&str; 0]);
        let later = two.clone().after(&two);
        assert_eq!(stirred(&later, &two), ["asks"], "it stayed as it was");
        assert_eq!(stirred(&later.clone().after(&later), &later), [] as [&str; 0]);
    }

    #[test]
    fn what_two_looks_see_alike_has_settled() {
        let (one, two) = (
            Presence { volumes: shelf("1"), ..Presence::default() },
            Presence { volumes: shelf("2"), ..Presence::default() },
        );
        let image = image("asks", &json!({}));
        let fresh = |now: &Presence, then: &Presence| now.clone().after(then).fresh(&image).len();
        assert_eq!(fresh(&one, &Presence::default()), 1);
        assert_eq!(fresh(&one, &one), 0);
        assert_eq!(fresh(&two, &one.clone().after(&one)), 1);
    }
}
