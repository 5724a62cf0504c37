//! Carries actions out: the writing end of reconciling, except status.
//!
//! Decides nothing. Invariant: every write is harmless when repeated; what exists and is ours is a
//! success, what exists and is not ours is never touched.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, LogParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::compose;
use super::config::ClaimRules;
use super::context::{Context, Namespaced};
use super::decide::Action;
use super::observe::{Class, Observed, Wanted};
use super::validate::Accepted;
use crate::api::{Image, labels, names};
use crate::report::MANIFEST_FRAME;
use crate::units::SizeOverflow;

/// The most that is read of a pod's log to find the build manifest.
const MAX_LOG: i64 = 1 << 20;

/// Why an action was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The apiserver refused, or could not be reached.
    #[error("{attempt}")]
    Api {
        /// What was tried.
        attempt: String,
        /// What it answered.
        #[source]
        source: kube::Error,
    },
    /// An object of this name is there and belongs to an earlier image of the same name.
    #[error("{kind} {name} of an earlier image is still there")]
    Namesake {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
    },
    /// An object of this name is there and was made by somebody else.
    #[error("a {kind} {name} exists that this operator did not make; delete it")]
    Foreign {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
    },
    /// The claim's request does not fit.
    #[error("sizing the claim")]
    Size(#[from] SizeOverflow),
}

/// What an action is carried out for.
pub(super) struct Order<'a> {
    pub(super) image: &'a Image,
    pub(super) accepted: &'a Accepted,
    pub(super) observed: &'a Observed,
    pub(super) context: &'a Context,
}

impl Order<'_> {
    /// Carries `action` out.
    pub(super) async fn apply(&self, action: &Action) -> Result<(), Error> {
        match action {
            Action::Start { wanted, attempt } => self.start(wanted, *attempt).await,
            Action::Complete { wanted, claim_uid, marks, pod } => {
                self.keep_manifest(wanted, pod, &marks.manifest_digest).await?;
                let marked = compose::marks(self.image, wanted, claim_uid, marks);
                let ours = PatchParams::apply(labels::MANAGER).force();
                let claims: Api<PersistentVolumeClaim> = self.api();
                let attempt = || format!("marking the claim {} complete", wanted.claim);
                let patch = claims.patch(&wanted.claim, &ours, &Patch::Apply(&marked)).await;
                patch.map(drop).map_err(api(attempt))
            }
            Action::Dress { wanted, claim_uid, before } => {
                let change = Patch::Merge(compose::dressed(wanted, claim_uid, before));
                let claims: Api<PersistentVolumeClaim> = self.api();
                let attempt = || format!("labelling the claim {}", wanted.claim);
                let ours = PatchParams::default();
                claims.patch(&wanted.claim, &ours, &change).await.map(drop).map_err(api(attempt))
            }
            Action::Keep { wanted, digest, pod } => self.keep_manifest(wanted, pod, digest).await,
            Action::DeleteManifest { base } => {
                self.delete::<ConfigMap>(&names::manifest(base), None).await
            }
            Action::Cdi(act) => self.act(act).await,
            Action::DeleteJob { name, uid, document } => {
                // The document first: a crash in between leaves the Job, which leads back here.
                if let Some(document) = document {
                    self.delete::<ConfigMap>(document, None).await?;
                }
                self.delete::<Job>(name, Some(uid)).await
            }
            Action::DeleteVolume { name, uid, base } => {
                self.delete::<ConfigMap>(&names::manifest(base), None).await?;
                self.delete::<PersistentVolumeClaim>(name, Some(uid)).await
            }
        }
    }

    async fn start(&self, wanted: &Wanted, attempt: u32) -> Result<(), Error> {
        let config = &self.context.config;
        let (class, rules) = self.sizing(wanted);
        if wanted.has_claim()
            && !self.observed.volumes.iter().any(|volume| volume.id.name == wanted.claim)
        {
            self.create(compose::claim(self.image, wanted, class, &rules)?).await?;
        }
        self.create(compose::document(self.image, wanted, &self.accepted.resolved)).await?;
        self.create(compose::job(self.image, self.accepted, wanted, attempt, config)).await
    }

    /// The StorageClass of `wanted`'s claim, if it is known, and the rules for its size.
    pub(super) fn sizing<'a>(&'a self, wanted: &'a Wanted) -> (Option<&'a str>, ClaimRules) {
        let class = match self.observed.classes.get(wanted.class.as_deref().unwrap_or_default()) {
            Some(Class::Found(name)) => Some(name.as_str()),
            Some(Class::Missing) | None => wanted.class.as_deref(),
        };
        (class, self.observed.cdi.overhead.raise(&self.context.config.claims, class))
    }

    pub(super) fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.context.client.clone(), self.image.namespace())
    }

    /// Creates `object`; one that is there already and ours is as good.
    pub(super) async fn create<K: Namespaced + Serialize>(&self, object: K) -> Result<(), Error> {
        let objects: Api<K> = self.api();
        let name = object.name_any();
        let attempt = || format!("creating {} {name}", K::kind(&()));
        let answer = objects.create(&PostParams::default(), &object).await;
        match answer {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 && status.is_already_exists() => {
                let there = objects.get(&name).await.map_err(api(attempt))?;
                self.is_ours(&there, &object)
            }
            Err(error) => Err(api(attempt)(error)),
        }
    }

    /// Fails unless `there` is what an earlier run made of the same wish.
    fn is_ours<K>(&self, there: &K, wish: &K) -> Result<(), Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let (kind, name) = (K::kind(&()).into_owned(), there.name_any());
        let Some(owner) = there.annotations().get(labels::OWNER_UID) else {
            return Err(Error::Foreign { kind, name });
        };
        let hash = |object: &K| object.annotations().get(labels::TARGET_HASH).cloned();
        let lives = there.meta().deletion_timestamp.is_none();
        if owner == self.image.uid() && hash(there) == hash(wish) && lives {
            return Ok(());
        }
        Err(Error::Namesake { kind, name })
    }

    /// Deletes the object of this name (and UID, where it is given) with what it owns; one that is
    /// gone is as good.
    async fn delete<K: Namespaced>(&self, name: &str, uid: Option<&str>) -> Result<(), Error> {
        let objects: Api<K> = self.api();
        let precondition =
            |uid: &str| Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params =
            DeleteParams { preconditions: uid.map(precondition), ..DeleteParams::background() };
        match objects.delete(name, &params).await {
            Ok(_) => Ok(()),
            // Another UID (409) means that the cache is behind: the next run sees more.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(api(|| format!("deleting {} {name}", K::kind(&())))(error)),
        }
    }

    /// Reads the build manifest from the pod's log and keeps it. A log that is gone is no reason to
    /// hold the image back: the manifest can be had again by building on a desk.
    async fn keep_manifest(&self, wanted: &Wanted, pod: &str, digest: &str) -> Result<(), Error> {
        let pods: Api<Pod> = self.api();
        let params = LogParams {
            container: Some(compose::CONTAINER.to_owned()),
            limit_bytes: Some(MAX_LOG),
            ..LogParams::default()
        };
        let log = match pods.logs(pod, &params).await {
            Ok(log) => log,
            Err(error) => {
                tracing::warn!(image = self.image.name(), pod, %error, "the build manifest is lost");
                return Ok(());
            }
        };
        match framed_manifest(&log, digest) {
            Some(json) => self.create(compose::manifest(self.image, wanted, json)).await,
            None => {
                tracing::warn!(
                    image = self.image.name(),
                    pod,
                    digest,
                    "no build manifest in the log"
                );
                Ok(())
            }
        }
    }
}

/// The build manifest in `log`, if one with this digest is there whole.
fn framed_manifest<'a>(log: &'a str, digest: &str) -> Option<&'a str> {
    log.lines().find_map(|line| {
        let (frame, rest) = line.split_once(' ')?;
        let (_, json) = rest.split_once(' ').filter(|_| frame == MANIFEST_FRAME)?;
        let found = format!("sha256:{}", hex::encode(Sha256::digest(json)));
        (found == digest).then_some(json)
    })
}

pub(super) fn api(attempt: impl FnOnce() -> String) -> impl FnOnce(kube::Error) -> Error {
    |source| Error::Api { attempt: attempt(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_manifest_is_kept() {
        // printf '{"v":1}' | sha256sum
        let digest = "sha256:0dbc2e1d8de1dfd5cbf7c0dc6a2e2b3e3f2a6ee0f6b6f5e3f2d1e1b5a8f8c9d0";
        let real = format!("sha256:{}", hex::encode(Sha256::digest(br#"{"v":1}"#)));
        let log = format!("noise\n{MANIFEST_FRAME} abc {{\"v\":1}}\nmore");
        assert_eq!(framed_manifest(&log, &real), Some(r#"{"v":1}"#));
        assert_eq!(framed_manifest(&log, digest), None);
        assert_eq!(framed_manifest(&log.replace("v\":1}", "v\":"), &real), None);
    }
}
