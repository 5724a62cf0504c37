//! Carries out what was decided about CDI's objects.
//!
//! Decides nothing. Invariant: each write names the UID of what it changes, so what was replaced
//! meanwhile is left alone.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::super::apply::{Error, Order, api};
use super::super::compose;
use super::super::context::Namespaced;
use super::{Act, Made, Tied};
use crate::api::cdi::{DataSource, DataVolume, POPULATED_FOR};
use crate::api::labels;
use crate::manifest::KIND;

impl Order<'_> {
    /// Carries `act` out.
    pub(in crate::controller) async fn act(&self, act: &Act) -> Result<(), Error> {
        match act {
            Act::Volume { wanted } => {
                let (class, rules) = self.sizing(wanted);
                let request = compose::request(wanted, class, &rules)?;
                self.create(compose::data_volume(self.image, wanted, request)).await
            }
            Act::Populate { claim, .. } => {
                let annotations = json!({POPULATED_FOR: claim.name});
                let patch = json!({"metadata": {"uid": claim.uid, "annotations": annotations}});
                self.patch::<PersistentVolumeClaim>(&claim.name, patch).await
            }
            Act::Tie { what: Tied::Claim, made, owned, .. } => {
                self.tie::<PersistentVolumeClaim>(made, *owned).await
            }
            Act::Tie { what: Tied::Volume, made, owned, .. } => {
                self.tie::<DataVolume>(made, *owned).await
            }
            Act::Point { wanted, claim, uid, stale } => {
                let Some(name) = &wanted.data_source else { return Ok(()) };
                match uid {
                    None => self.create(compose::data_source(self.image, wanted, name)).await,
                    Some(uid) => {
                        let claim = claim.as_deref();
                        let patch = compose::pointed(self.image, wanted, uid, claim, stale);
                        self.patch::<DataSource>(name, patch).await
                    }
                }
            }
            Act::DeleteVolume { made, orphan } => self.remove::<DataVolume>(made, *orphan).await,
            Act::DeleteSource { made } => self.remove::<DataSource>(made, false).await,
        }
    }

    async fn patch<K: Namespaced>(&self, name: &str, patch: Value) -> Result<(), Error> {
        let objects: Api<K> = self.api();
        let ours = PatchParams {
            field_manager: Some(labels::MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let attempt = || format!("changing {} {name}", K::kind(&()));
        let answer = objects.patch(name, &ours, &Patch::Merge(patch)).await;
        answer.map(drop).map_err(api(attempt))
    }

    /// Makes an object go with the image, or not, and this image its maker. The list of owners is
    /// written as a whole, under the version that it was read at.
    async fn tie<K: Namespaced>(&self, made: &Made, owned: bool) -> Result<(), Error> {
        let (objects, Made { name, uid }): (Api<K>, _) = (self.api(), made);
        let attempt = || format!("reading {} {name}", K::kind(&()));
        let Some(there) = objects.get_opt(name).await.map_err(api(attempt))? else {
            return Ok(());
        };
        if there.uid().as_ref() != Some(uid) {
            return Ok(());
        }
        let others = there.owner_references().iter().filter(|owner| owner.kind != KIND).cloned();
        let own = owned.then(|| compose::owner(self.image, false));
        let owners: Vec<OwnerReference> = others.chain(own).collect();
        let patch = json!({"metadata": {
            "uid": uid,
            "resourceVersion": there.resource_version(),
            "ownerReferences": owners,
            "annotations": {labels::OWNER_UID: self.image.uid()},
        }});
        self.patch::<K>(name, patch).await
    }

    async fn remove<K: Namespaced>(&self, made: &Made, orphan: bool) -> Result<(), Error> {
        let objects: Api<K> = self.api();
        let params = match orphan {
            true => DeleteParams::orphan(),
            false => DeleteParams::background(),
        };
        let exactly = Preconditions { uid: Some(made.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(exactly), ..params };
        match objects.delete(&made.name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            Err(error) => Err(api(|| format!("deleting {} {}", K::kind(&()), made.name))(error)),
        }
    }
}
