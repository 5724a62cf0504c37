//! Who uses claims that are due to be deleted: pods, DataVolumes that are not done, machines.
//!
//! Asked only when a deletion is due. Invariant: what may not be looked at is told, and a name that a
//! program generated is not: its owner's is.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde_json::Value;

use super::super::context::{Context, Namespaced};
use super::{Seen, Served, Uses};
use crate::api::cdi::{DataSource, DataVolume, SUCCEEDED, VirtualMachine, VirtualMachineInstance};
use crate::api::{Image, labels};

/// Objects asked for at once.
const PAGE: u32 = 200;

/// Who uses these claims of `image`.
pub(in crate::controller) async fn who(
    image: &Image,
    claims: &[String],
    seen: &Seen,
    context: &Context,
) -> Result<BTreeMap<String, Uses>, kube::Error> {
    let mut found = Search { claims, uses: BTreeMap::new() };
    for claim in claims {
        found.uses.insert(claim.clone(), Uses::default());
    }
    let near = [Some(image.namespace().to_owned())];
    found.pods(list::<Pod>(context, &near).await?);
    if seen.served == Served::There {
        let config = &context.config.namespaces;
        let all: Vec<_> = config.iter().cloned().map(Some).collect();
        let all = if all.is_empty() { vec![None] } else { all };
        let sources = list::<DataSource>(context, &all).await?;
        let volumes = list::<DataVolume>(context, &all).await?;
        found.volumes(image, sources, volumes);
    }
    if context.presence().kubevirt {
        found.machines(list::<VirtualMachine>(context, &near).await?, image);
        found.machines(list::<VirtualMachineInstance>(context, &near).await?, image);
    }
    Ok(found.uses)
}

/// Objects, and what may not be listed.
type Listed<K> = (Vec<K>, Vec<String>);

/// All objects of a kind in these namespaces (none for all of them).
async fn list<K: Namespaced>(
    context: &Context,
    namespaces: &[Option<String>],
) -> Result<Listed<K>, kube::Error> {
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for namespace in namespaces {
        let objects: Api<K> = super::super::run::api(&context.client, namespace.as_deref());
        let mut page = ListParams::default().limit(PAGE);
        loop {
            match objects.list(&page).await {
                Ok(list) => {
                    found.extend(list.items);
                    page.continue_token = list.metadata.continue_.filter(|next| !next.is_empty());
                }
                Err(kube::Error::Api(answer)) if answer.code == 403 => {
                    let place = namespace
                        .as_ref()
                        .map_or("all namespaces".to_owned(), |name| format!("namespace {name}"));
                    unknown.push(format!("{} in {place}", K::plural(&())));
                    page.continue_token = None;
                }
                // The kind has ceased to be served.
                Err(kube::Error::Api(answer)) if answer.code == 404 => page.continue_token = None,
                Err(error) => return Err(error),
            }
            if page.continue_token.is_none() {
                break;
            }
        }
    }
    Ok((found, unknown))
}

struct Search<'a> {
    claims: &'a [String],
    uses: BTreeMap<String, Uses>,
}

impl Search<'_> {
    fn unknown(&mut self, what: Vec<String>) {
        for uses in self.uses.values_mut() {
            uses.unknown.extend(what.clone());
        }
    }

    fn used(&mut self, claim: &str, by: &str) {
        if let Some(uses) = self.uses.get_mut(claim) {
            uses.by.insert(by.to_owned());
        }
    }

    fn pods(&mut self, (pods, unknown): Listed<Pod>) {
        self.unknown(unknown);
        for pod in pods {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            if matches!(phase, Some("Succeeded" | "Failed")) {
                continue;
            }
            let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
            for volume in volumes.unwrap_or_default() {
                if let Some(claim) = &volume.persistent_volume_claim {
                    self.used(&claim.claim_name, &called(&pod));
                }
            }
        }
    }

    /// DataVolumes that are not done and take bytes from a claim: named, or by way of a DataSource.
    /// What a DataSource pointed at when the DataVolume was made is fixed and not told, so one of our
    /// own stands for all claims.
    fn volumes(
        &mut self,
        image: &Image,
        (sources, no_sources): Listed<DataSource>,
        (volumes, no_volumes): Listed<DataVolume>,
    ) {
        self.unknown(no_sources);
        self.unknown(no_volumes);
        let mut names: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for source in sources {
            let place = source.namespace().unwrap_or_default();
            let ours = place == image.namespace()
                && source.labels().get(labels::IMAGE).map(String::as_str) == Some(image.name());
            let to: BTreeSet<String> = match ours {
                true => self.claims.iter().cloned().collect(),
                false => reference(&source.spec["source"], &place, image).into_iter().collect(),
            };
            names.insert((place, source.name_any()), to);
        }
        for volume in volumes.iter().filter(|volume| volume.status["phase"] != SUCCEEDED) {
            let place = volume.namespace().unwrap_or_default();
            let by = format!("DataVolume {place}/{}", volume.name_any());
            if let Some(claim) = reference(&volume.spec["source"], &place, image) {
                self.used(&claim, &by);
            }
            let by_name = &volume.spec["sourceRef"];
            let Some(name) = by_name["name"].as_str() else { continue };
            let from = by_name["namespace"].as_str().unwrap_or(&place);
            for claim in names.get(&(from.to_owned(), name.to_owned())).into_iter().flatten() {
                self.used(claim, &by);
            }
        }
    }

    /// Machines, running or not, that name a claim or its DataVolume anywhere.
    fn machines<K>(
        &mut self,
        (machines, unknown): Listed<crate::api::cdi::Foreign<K>>,
        image: &Image,
    ) where
        K: crate::api::cdi::Kind,
    {
        self.unknown(unknown);
        for machine in machines {
            let mut names = BTreeSet::new();
            mentioned(&machine.spec, image.namespace(), &mut names);
            let name = machine.metadata.name.as_deref().unwrap_or_default();
            for claim in names {
                self.used(&claim, &format!("{} {name}", K::NAME));
            }
        }
    }
}

/// A pod as it can be told: by its owner, whose name is not made anew with it.
fn called(pod: &Pod) -> String {
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    match owner {
        Some(owner) => format!("a pod of {} {}", owner.kind, owner.name),
        None => format!("pod {}", pod.name_any()),
    }
}

/// The claim of the image's namespace that a `source` at `place` names.
fn reference(source: &Value, place: &str, image: &Image) -> Option<String> {
    let pvc = &source["pvc"];
    let namespace = pvc["namespace"].as_str().unwrap_or(place);
    let name = pvc["name"].as_str().filter(|_| namespace == image.namespace())?;
    Some(name.to_owned())
}

/// Names of claims and DataVolumes anywhere in the spec of a machine.
fn mentioned(value: &Value, namespace: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| mentioned(one, namespace, names)),
        Value::Object(members) => {
            for (key, inner) in members {
                match key.as_str() {
                    "claimName" => names.extend(inner.as_str().map(str::to_owned)),
                    "dataVolume" => names.extend(inner["name"].as_str().map(str::to_owned)),
                    "pvc" if inner["namespace"].as_str().is_none_or(|place| place == namespace) => {
                        names.extend(inner["name"].as_str().map(str::to_owned));
                    }
                    "dataVolumeTemplates" => {
                        let templates = inner.as_array().into_iter().flatten();
                        let name =
                            |one: &Value| one["metadata"]["name"].as_str().map(str::to_owned);
                        names.extend(templates.filter_map(name));
                    }
                    _ => {}
                }
                mentioned(inner, namespace, names);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_machine_names_claims_in_many_ways() {
        let spec = json!({
            "dataVolumeTemplates": [{"metadata": {"name": "template"},
                "spec": {"source": {"pvc": {"name": "cloned", "namespace": "ns"}}}},
                {"metadata": {"name": "far"},
                "spec": {"source": {"pvc": {"name": "elsewhere", "namespace": "other"}}}}],
            "template": {"spec": {"domain": {"devices": {"disks": [{"name": "not-a-claim"}]}},
                "volumes": [
                    {"name": "a", "persistentVolumeClaim": {"claimName": "claim"}},
                    {"name": "b", "ephemeral": {"persistentVolumeClaim": {"claimName": "shared"}}},
                    {"name": "c", "dataVolume": {"name": "volume"}},
                ]}},
        });
        let mut names = BTreeSet::new();
        mentioned(&spec, "ns", &mut names);
        let expected = ["claim", "cloned", "far", "shared", "template", "volume"];
        assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}
