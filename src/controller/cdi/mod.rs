//! What is seen of CDI and KubeVirt around an image, as plain facts.
//!
//! ```text
//! presence: is it there, what is ours ──▶ look: the objects by name ──▶ decide/cdi ──▶ act
//!                                         uses: who needs an old claim ──▶ decide/retention
//! ```
//!
//! Decides nothing. Invariant: an image that asks for nothing of CDI causes no request to CDI but one
//! for the overhead of a new claim.

mod act;
mod look;
mod presence;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

pub(super) use look::look;
pub(super) use presence::{Presence, follow};
pub(super) use uses::who;

use super::config::ClaimRules;
use super::observe::Wanted;
use crate::api::cdi::{
    DEFAULT_LABELS, DataSource, DataVolume, POPULATED_FOR, PRE_POPULATED, SUCCEEDED,
};
use crate::api::labels;
use crate::manifest::types::Create;
use crate::manifest::{API_VERSION, GROUP, KIND};

/// Whether CDI can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Served {
    /// The operator was told to leave it alone.
    Off,
    /// The apiserver does not know it.
    #[default]
    Missing,
    /// It is there.
    There,
}

/// What was seen for one image.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether CDI can be asked.
    pub served: Served,
    /// DataVolumes of the claims that ask for one, by name.
    pub volumes: BTreeMap<String, Look<VolumeTruth>>,
    /// DataSources that targets ask for, by name.
    pub sources: BTreeMap<String, Look<SourceTruth>>,
    /// DataVolumes with this image's UID.
    pub made_volumes: Vec<Made>,
    /// Those of them that changed a short time ago: CDI may just have adopted the claim.
    pub fresh: BTreeSet<String>,
    /// DataSources with this image's UID.
    pub made_sources: Vec<Made>,
    /// What filesystems take for themselves, as CDI was told.
    pub overhead: Overhead,
    /// Who uses a claim that is due to be deleted, by name; asked for only then.
    pub uses: BTreeMap<String, Uses>,
}

/// An object that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look<T> {
    /// It is not there.
    Absent,
    /// It is there.
    There(T),
    /// It may not be looked at: what the apiserver says.
    Forbidden(String),
}

/// An object of this image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// Who made an object, and what holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ties {
    /// Its UID.
    pub uid: String,
    /// UID of the image that it was made for; empty if we did not make it.
    pub owner: String,
    /// That image's name.
    pub image: String,
    /// Whether an image owns it: it goes with the image.
    pub owned: bool,
    /// Kind and name of the object that controls it.
    pub controller: Option<(String, String)>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A DataVolume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VolumeTruth {
    /// Who made it.
    pub ties: Ties,
    /// The claim that it waits for; empty if CDI makes one.
    pub waits_for: String,
    /// How far it is.
    pub phase: String,
}

/// A DataSource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceTruth {
    /// Who made it.
    pub ties: Ties,
    /// The claim in its own namespace that it points at, and nothing else.
    pub claim: Option<String>,
    /// The targetHash that it says it has.
    pub target_hash: String,
    /// Keys of the labels that CDI took from claims.
    pub defaults: BTreeSet<String>,
}

/// What filesystems take for themselves, in millionths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overhead {
    /// Of classes that are not named.
    pub global: u32,
    /// Of classes.
    pub classes: BTreeMap<String, u32>,
}

/// Who uses a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// Who does, in a few words each.
    pub by: BTreeSet<String>,
    /// What may not be looked at.
    pub unknown: BTreeSet<String>,
}

/// One thing to do with an object of CDI, or with a claim for CDI's sake. Each may be done twice.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// Create the DataVolume of the target's claim.
    Volume {
        /// The target.
        wanted: Wanted,
    },
    /// Tell CDI that a claim is complete.
    Populate {
        /// The target's name.
        target: String,
        /// The claim.
        claim: Made,
    },
    /// Make an object go with the image, or stay when the image goes; and take it over from an
    /// earlier image of the same name.
    Tie {
        /// The target's name.
        target: String,
        /// What it is.
        what: Tied,
        /// Which.
        made: Made,
        /// Whether it goes with the image.
        owned: bool,
    },
    /// Make the DataSource point at this claim, or at none.
    Point {
        /// The target.
        wanted: Wanted,
        /// The claim.
        claim: Option<String>,
        /// UID of the DataSource that is there.
        uid: Option<String>,
        /// Labels that it loses.
        stale: BTreeSet<String>,
    },
    /// Delete a DataVolume.
    DeleteVolume {
        /// Which.
        made: Made,
        /// Whether its claim stays.
        orphan: bool,
    },
    /// Delete a DataSource.
    DeleteSource {
        /// Which.
        made: Made,
    },
}

/// What can be tied to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tied {
    /// A claim.
    Claim,
    /// A DataVolume.
    Volume,
}

impl Act {
    /// The target that it is for, if it is for one.
    pub(super) fn target(&self) -> Option<&str> {
        match self {
            Self::Volume { wanted } | Self::Point { wanted, .. } => Some(&wanted.target),
            Self::Populate { target, .. } | Self::Tie { target, .. } => Some(target),
            Self::DeleteVolume { .. } | Self::DeleteSource { .. } => None,
        }
    }
}

impl Wanted {
    /// Whether it needs CDI.
    pub(super) const fn asks_cdi(&self) -> bool {
        self.data_volume.is_some() || self.data_source.is_some()
    }

    /// Whether we make its DataVolume.
    pub(super) fn makes_volume(&self) -> bool {
        self.data_volume == Some(Create::Always)
    }
}

impl Seen {
    /// The DataVolume of this name.
    pub(super) fn volume(&self, name: &str) -> &Look<VolumeTruth> {
        self.volumes.get(name).unwrap_or(&Look::Absent)
    }

    /// The DataSource of this name.
    pub(super) fn source(&self, name: &str) -> &Look<SourceTruth> {
        self.sources.get(name).unwrap_or(&Look::Absent)
    }
}

impl Uses {
    /// Whether nobody uses it, as far as anybody can tell.
    pub(super) fn is_none(&self) -> bool {
        self.by.is_empty() && self.unknown.is_empty()
    }
}

impl Overhead {
    /// `rules` with at least this overhead for `class`.
    pub(super) fn raise(&self, rules: &ClaimRules, class: Option<&str>) -> ClaimRules {
        let told = class.and_then(|class| self.classes.get(class)).copied().unwrap_or(self.global);
        ClaimRules { overhead: rules.overhead.max(told), ..rules.clone() }
    }
}

impl Ties {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        let text = |map: Option<&BTreeMap<String, String>>, key| {
            map.and_then(|map| map.get(key)).cloned().unwrap_or_default()
        };
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        let group = |api: &str| api == API_VERSION || api.starts_with(&format!("{GROUP}/"));
        let controller = owners.iter().find(|owner| owner.controller == Some(true));
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            owner: text(meta.annotations.as_ref(), labels::OWNER_UID),
            image: text(meta.labels.as_ref(), labels::IMAGE),
            owned: owners.iter().any(|owner| owner.kind == KIND && group(&owner.api_version)),
            controller: controller.map(|owner| (owner.kind.clone(), owner.name.clone())),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }

    /// Whether the image of this name left it behind on purpose: another one may take it over.
    pub(super) fn is_left(&self, image: &str, uid: &str) -> bool {
        !self.owner.is_empty() && self.owner != uid && self.image == image && !self.owned
    }
}

impl From<&DataVolume> for VolumeTruth {
    fn from(volume: &DataVolume) -> Self {
        let annotations = volume.metadata.annotations.as_ref();
        let waits_for = annotations.and_then(|all| all.get(PRE_POPULATED)).cloned();
        let phase = volume.status["phase"].as_str().unwrap_or_default().to_owned();
        Self { ties: Ties::of(&volume.metadata), waits_for: waits_for.unwrap_or_default(), phase }
    }
}

impl VolumeTruth {
    /// Whether CDI has adopted the claim.
    pub(super) fn is_done(&self) -> bool {
        self.phase == SUCCEEDED
    }
}

impl From<&DataSource> for SourceTruth {
    fn from(source: &DataSource) -> Self {
        let meta = &source.metadata;
        let named = meta.labels.iter().flat_map(BTreeMap::keys);
        let hash = meta.annotations.as_ref().and_then(|all| all.get(labels::TARGET_HASH));
        let inner = source.spec["source"].as_object();
        let claim = inner.filter(|inner| inner.len() == 1).and_then(|inner| inner.get("pvc"));
        let near = |claim: &&Value| claim["namespace"].as_str() == meta.namespace.as_deref();
        let claim = claim.filter(near).and_then(|claim| claim["name"].as_str());
        Self {
            ties: Ties::of(meta),
            claim: claim.map(str::to_owned),
            target_hash: hash.cloned().unwrap_or_default(),
            defaults: named.filter(|key| key.starts_with(DEFAULT_LABELS)).cloned().collect(),
        }
    }
}

/// The DataVolume that a claim was completed for.
pub(super) fn populated_for(meta: &ObjectMeta) -> String {
    let annotations = meta.annotations.as_ref();
    annotations.and_then(|all| all.get(POPULATED_FOR)).cloned().unwrap_or_default()
}
