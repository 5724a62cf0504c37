//! What was seen in the cluster, as plain facts: the input of `decide` beside the spec.
//!
//! Converts objects, does not fetch them. Invariant: everything a decision needs is here, so a
//! decision can be tested without a cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use serde::{Deserialize, Serialize};

use super::cdi::{Seen, Ties, populated_for};
use super::compose::{STAGE, script_number};
use crate::api::labels;
use crate::manifest::types::{Create, Push, Retain};
use crate::units::ByteSize;

/// Everything that was seen of one image.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// When it was seen.
    pub now: Timestamp,
    /// Claims made for this image's name, and those that bear a name it wants.
    pub volumes: Vec<Volume>,
    /// Jobs made for this image's name.
    pub jobs: Vec<Attempt>,
    /// Pods of such Jobs.
    pub pods: Vec<PodTruth>,
    /// StorageClasses by the name that a target asks for; empty for the default class. Looked up
    /// only where a claim has yet to be made.
    pub classes: BTreeMap<String, Class>,
    /// Why Jobs without pods have none, by the Job's UID.
    pub refusals: BTreeMap<String, String>,
    /// Older images that push to the same tag, by the target: `image:tag` and who does.
    pub rivals: BTreeMap<String, Rival>,
    /// What there is of CDI.
    pub cdi: Seen,
}

/// An image that pushes where a target wants to push, and was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rival {
    /// What both name: `image:tag`.
    pub tag: String,
    /// The other image: `namespace/name`.
    pub image: String,
}

/// A StorageClass that a target asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It is there, under this name.
    Found(String),
    /// It is not.
    Missing,
}

/// Who made an object, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// The object's name.
    pub name: String,
    /// The object's UID.
    pub uid: String,
    /// UID of the image it was made for; empty if we did not make it.
    pub owner: String,
    /// The target it was made for.
    pub target: String,
    /// The targetHash it was made for.
    pub target_hash: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was created.
    pub created: Timestamp,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Volume {
    /// Who made it.
    pub id: Identity,
    /// What it holds, if it is complete.
    pub marks: Option<Marks>,
    /// Whether its volume is gone.
    pub lost: bool,
    /// The labels and annotations that its document gave it.
    pub dress: Dress,
    /// What holds it.
    pub ties: Ties,
    /// The DataVolume that it was completed for.
    pub populated_for: String,
}

/// The marks of a complete volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Digest of the bytes in the volume.
    pub digest: String,
    /// Number of the bytes in the volume.
    pub size: u64,
    /// Digest of the raw content.
    pub content_digest: String,
    /// Length of the raw content.
    pub virtual_size: u64,
    /// Digest of the build manifest.
    pub manifest_digest: String,
    /// The attempt that filled it.
    pub attempt: u32,
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Who made it.
    pub id: Identity,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// The generation of the spec that asked for it.
    pub generation: i64,
    /// Hash of the `spec.build` it runs with.
    pub build_hash: String,
    /// The annotation of its image with which a push was asked for again.
    pub rebuild: Option<String>,
    /// How far it is.
    pub phase: Phase,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// How far a Job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not ended.
    #[default]
    Active,
    /// Ended well.
    Complete,
    /// Ended badly: the reason that the Job controller gives.
    Failed(String),
}

/// What a pod tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodTruth {
    /// Who made it.
    pub id: Identity,
    /// UID of its Job.
    pub job: String,
    /// Reason of the pod's status: `Evicted`, `DeadlineExceeded`, …
    pub reason: String,
    /// Message of the pod's status.
    pub message: String,
    /// Why it cannot be scheduled.
    pub unschedulable: Option<String>,
    /// Why its container does not run yet: reason and message.
    pub waiting: Option<(String, String)>,
    /// Whether its container runs.
    pub running: bool,
    /// How its container ended, or the one that lays trees out for scripts if that failed.
    pub ended: Option<Ended>,
    /// The script that failed, by its number from 1, and how it ended.
    pub script: Option<(usize, Ended)>,
    /// Whether pod and containers have ended for good.
    pub over: bool,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its exit code.
    pub exit: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, …
    pub reason: String,
    /// Its termination message.
    pub message: String,
}

impl Identity {
    /// Whether it was made for just this. Two targets with the same options have the same
    /// targetHash, so the target's name counts, too.
    pub(super) fn serves(&self, wanted: &Wanted) -> bool {
        self.target == wanted.target && self.target_hash == wanted.target_hash
    }

    fn of(meta: &ObjectMeta) -> Self {
        let annotation = |key| value(meta.annotations.as_ref(), key);
        Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            owner: annotation(labels::OWNER_UID),
            target: value(meta.labels.as_ref(), labels::TARGET),
            target_hash: annotation(labels::TARGET_HASH),
            deleting: meta.deletion_timestamp.is_some(),
            created: meta.creation_timestamp.as_ref().map(|t| t.0).unwrap_or_default(),
        }
    }
}

fn value(map: Option<&BTreeMap<String, String>>, key: &str) -> String {
    map.and_then(|map| map.get(key)).cloned().unwrap_or_default()
}

impl From<&PersistentVolumeClaim> for Volume {
    fn from(claim: &PersistentVolumeClaim) -> Self {
        let id = Identity::of(&claim.metadata);
        let annotation = |key| value(claim.metadata.annotations.as_ref(), key);
        let complete = !id.target_hash.is_empty() && annotation(labels::COMPLETE) == id.target_hash;
        let marks = complete.then(|| Marks {
            digest: annotation(labels::DIGEST),
            size: annotation(labels::SIZE).parse().unwrap_or_default(),
            content_digest: annotation(labels::CONTENT_DIGEST),
            virtual_size: annotation(labels::VIRTUAL_SIZE).parse().unwrap_or_default(),
            manifest_digest: annotation(labels::MANIFEST_DIGEST),
            attempt: annotation(labels::ATTEMPT).parse().unwrap_or_default(),
        });
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        Self {
            id,
            marks,
            lost: phase == Some("Lost"),
            dress: Dress::read(&annotation(labels::DRESS)),
            ties: Ties::of(&claim.metadata),
            populated_for: populated_for(&claim.metadata),
        }
    }
}

impl From<&Job> for Attempt {
    fn from(job: &Job) -> Self {
        let id = Identity::of(&job.metadata);
        let annotation = |key| value(job.metadata.annotations.as_ref(), key);
        let status = job.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let holds = |kind| conditions.iter().find(|c| c.type_ == kind && c.status == "True");
        let failed = holds("Failed");
        let (phase, ended) = match (holds("Complete"), failed) {
            (Some(condition), _) => (Phase::Complete, condition.last_transition_time.as_ref()),
            (None, Some(condition)) => (
                Phase::Failed(condition.reason.clone().unwrap_or_default()),
                condition.last_transition_time.as_ref(),
            ),
            (None, None) => (Phase::Active, None),
        };
        let number = id.name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or_default();
        Self {
            number,
            generation: annotation(labels::GENERATION).parse().unwrap_or_default(),
            build_hash: annotation(labels::BUILD_HASH),
            rebuild: Some(annotation(labels::REBUILD)).filter(|token| !token.is_empty()),
            phase,
            ended: ended.map(|time| time.0),
            id,
        }
    }
}

impl From<&Pod> for PodTruth {
    fn from(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
        let job = owners.iter().find(|owner| owner.kind == "Job");
        let unscheduled = |c: &&k8s_openapi::api::core::v1::PodCondition| {
            c.type_ == "PodScheduled" && c.status == "False"
        };
        let conditions = status.conditions.unwrap_or_default();
        let container = status.container_statuses.unwrap_or_default().into_iter().next();
        let state = container.and_then(last_state).unwrap_or_default();
        let (stage, script) = failed(status.init_container_statuses.unwrap_or_default());
        Self {
            id: Identity::of(&pod.metadata),
            job: job.map(|owner| owner.uid.clone()).unwrap_or_default(),
            reason: status.reason.unwrap_or_default(),
            message: status.message.unwrap_or_default(),
            unschedulable: conditions.iter().find(unscheduled).map(|c| {
                c.message.clone().unwrap_or_else(|| "the pod is not scheduled yet".to_owned())
            }),
            waiting: state.0,
            running: state.1,
            ended: state.2.or(stage),
            script,
            over: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        }
    }
}

/// How the container that lays trees out failed, and which script did.
fn failed(init: Vec<ContainerStatus>) -> (Option<Ended>, Option<(usize, Ended)>) {
    let (mut stage, mut script) = (None, None);
    for container in init {
        let name = container.name.clone();
        let ended = last_state(container).and_then(|state| state.2);
        let Some(ended) = ended.filter(|ended| ended.exit != 0) else { continue };
        match script_number(&name) {
            Some(number) => script = Some((number, ended)),
            None if name == STAGE => stage = Some(ended),
            None => {}
        }
    }
    (stage, script)
}

/// Waiting reason, running or not, and the end of a container.
type State = (Option<(String, String)>, bool, Option<Ended>);

fn last_state(container: ContainerStatus) -> Option<State> {
    let state = container.state?;
    let waiting = state
        .waiting
        .map(|waiting| (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default()));
    let ended = state.terminated.map(|terminated| Ended {
        exit: terminated.exit_code,
        reason: terminated.reason.unwrap_or_default(),
        message: terminated.message.unwrap_or_default(),
    });
    Some((waiting, state.running.is_some(), ended))
}

impl Wanted {
    /// Whether it is no target: inputs are to be looked at.
    pub(super) const fn only_looks(&self) -> bool {
        self.target.is_empty()
    }

    /// Whether what it asks for lies on a volume.
    pub(super) const fn has_claim(&self) -> bool {
        !self.claim.is_empty()
    }
}

/// What one target asks for, worked out from the accepted spec.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// The target's name.
    pub target: String,
    /// The target's kind.
    pub kind: &'static str,
    /// targetHash.
    pub target_hash: String,
    /// contentHash.
    pub content_hash: String,
    /// Base name of everything made for it.
    pub base: String,
    /// Name of its claim; empty where nothing of it lies on a volume.
    pub claim: String,
    /// The StorageClass it asks for; none for the default class.
    pub class: Option<String>,
    /// Access modes, as Kubernetes names them.
    pub access_modes: Vec<String>,
    /// The request it asks for; none to work it out from what the volume holds.
    pub request: Option<ByteSize>,
    /// What the volume is to hold, in whole MiB: the padded disk, or all files at their largest.
    pub holds: ByteSize,
    /// Whether the volume is a block device.
    pub block: bool,
    /// How long volumes stay.
    pub retain: Retain,
    /// Labels and annotations of the claim beside our own.
    pub dress: Dress,
    /// The DataVolume of the claim, and whether we make it.
    pub data_volume: Option<Create>,
    /// The name of the DataSource that points at the claim.
    pub data_source: Option<String>,
    /// The container image, where it is one.
    pub push: Option<Push>,
}

/// Labels and annotations that a document gives its claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Dress {
    /// The labels, those that KubeVirt takes defaults from among them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Dress {
    /// How it is written into an annotation; nothing if there is none.
    pub(super) fn written(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// What `written` wrote. Anything else reads as nothing: it is put on anew then.
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}
