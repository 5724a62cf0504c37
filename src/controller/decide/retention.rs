//! What may go: Jobs whose work is done or not wanted any more, and volumes of earlier content.
//!
//! Pure. Touches only what this very image made. Invariant: a complete volume of earlier content
//! stays until its successor is complete; after that the newest ones stay (`retain.previous`), those
//! that somebody uses, and those of which nobody may tell.

use std::time::Duration;

use super::super::cdi::{Act, Look, Made, Tied, Uses};
use super::super::observe::{Attempt, Observed, Phase, Volume};
use super::super::validate::Accepted;
use super::{Action, Decision, Facts, TargetDecision, sooner, target};
use crate::api::names;
use crate::api::status::IMAGE;
use crate::manifest::types::{OnDelete, Previous};

/// How often volumes that are used are looked at again.
const USED: Duration = Duration::from_secs(60);

/// Adds the deletions that are due to `decision`.
pub(super) fn cleanup(
    accepted: &Accepted,
    observed: &Observed,
    facts: Facts<'_>,
    decision: &mut Decision,
) {
    let targets = &decision.targets;
    let ours = |owner: &str, deleting: bool| owner == facts.uid && !deleting;
    for job in observed.jobs.iter().filter(|job| ours(&job.id.owner, job.id.deleting)) {
        if job_is_done(job, accepted, facts, targets, &observed.jobs) {
            // All attempts at one content read one document: it goes with the work itself.
            let over = !is_wanted(job, accepted) || is_published(job, targets);
            decision.actions.push(Action::DeleteJob {
                name: job.id.name.clone(),
                uid: job.id.uid.clone(),
                document: over.then(|| base(facts, &job.id.target, &job.id.target_hash)),
            });
        }
    }
    decision.actions.extend(manifests(facts, targets));
    let old: Vec<&Volume> = observed
        .volumes
        .iter()
        .filter(|volume| ours(&volume.id.owner, volume.id.deleting))
        .filter(|volume| accepted.wanted.iter().all(|wanted| wanted.claim != volume.id.name))
        .collect();
    for volume in &old {
        let target = decision.targets.iter().find(|t| t.wanted.target == volume.id.target);
        if volume.marks.is_some() && !is_superseded(volume, &old, target) {
            decision.actions.extend(target.and_then(|target| tie(volume, target)));
            continue;
        }
        if is_pointed_at(volume, observed, facts) {
            continue;
        }
        let mut uses = observed.cdi.uses.get(&volume.id.name).cloned();
        if volume.marks.is_none() {
            // It never was of use to anybody.
            uses = Some(Uses::default());
        }
        match uses {
            None => decision.due.push(volume.id.name.clone()),
            Some(mut uses) => {
                uses.by.extend(controller(volume, observed));
                if uses.is_none() {
                    let base = base(facts, &volume.id.target, &volume.id.target_hash);
                    decision.actions.extend(data_volume(volume, observed));
                    decision.actions.push(target::delete(volume, &base));
                } else {
                    decision.kept.push((volume.id.name.clone(), uses));
                    decision.again = sooner(decision.again, Some(USED));
                }
            }
        }
    }
}

/// Whether the volume goes with the image or stays, as its target asks today.
fn tie(volume: &Volume, target: &TargetDecision) -> Option<Action> {
    let owned = target.wanted.retain.on_delete == OnDelete::Delete;
    let made = Made { name: volume.id.name.clone(), uid: volume.id.uid.clone() };
    let target = target.wanted.target.clone();
    let tie = Act::Tie { target, what: Tied::Claim, made, owned };
    (volume.ties.owned != owned).then_some(Action::Cdi(tie))
}

/// Whether a DataSource of this image still points at the volume: it is not made to point elsewhere
/// before its claim is complete and adopted.
fn is_pointed_at(volume: &Volume, observed: &Observed, facts: Facts<'_>) -> bool {
    observed.cdi.sources.values().any(|source| match source {
        Look::There(source) => {
            source.ties.owner == facts.uid && source.claim.as_ref() == Some(&volume.id.name)
        }
        Look::Absent | Look::Forbidden(_) => false,
    })
}

/// The DataVolume that has adopted the volume, if this image made it: it goes first.
fn data_volume(volume: &Volume, observed: &Observed) -> Option<Action> {
    let made = observed.cdi.made_volumes.iter().find(|made| made.name == volume.id.name)?;
    Some(Action::Cdi(Act::DeleteVolume { made: made.clone(), orphan: false }))
}

/// Who controls the volume, if it is not a DataVolume of this image.
fn controller(volume: &Volume, observed: &Observed) -> Option<String> {
    let (kind, name) = volume.ties.controller.as_ref()?;
    let ours = kind == "DataVolume" && data_volume(volume, observed).is_some();
    (!ours).then(|| format!("{kind} {name}, its controller"))
}

/// The build manifests of container images that another one has replaced, or whose target is gone.
fn manifests(facts: Facts<'_>, targets: &[TargetDecision]) -> Vec<Action> {
    let before = facts.previous.targets.iter().filter_map(|target| {
        let current = target.current.as_ref().filter(|current| current.reference.kind == IMAGE)?;
        let now = targets.iter().find(|now| now.wanted.target == target.name);
        let over = now.is_none_or(|now| {
            now.marks().is_some() && now.wanted.target_hash != current.target_hash
        });
        over.then(|| base(facts, &target.name, &current.target_hash))
    });
    before.map(|base| Action::DeleteManifest { base }).collect()
}

fn base(facts: Facts<'_>, target: &str, target_hash: &str) -> String {
    names::base(facts.namespace, facts.name, target, target_hash)
}

/// Whether a Job stays only until the status tells of its work. That status is written after this
/// decision and is no reason for another run by itself, so one has to be asked for.
pub(super) fn waits_for_status(
    accepted: &Accepted,
    observed: &Observed,
    facts: Facts<'_>,
    targets: &[TargetDecision],
) -> bool {
    observed.jobs.iter().any(|job| {
        job.id.owner == facts.uid
            && !job.id.deleting
            && is_published(job, targets)
            && !job_is_done(job, accepted, facts, targets, &observed.jobs)
    })
}

fn is_wanted(job: &Attempt, accepted: &Accepted) -> bool {
    accepted.wanted.iter().any(|wanted| job.id.serves(wanted))
}

fn is_published(job: &Attempt, targets: &[TargetDecision]) -> bool {
    targets.iter().any(|target| job.id.serves(&target.wanted) && target.marks().is_some())
}

/// Whether nobody needs this Job: nobody wants its work, its work is published and status says so,
/// or it failed under an earlier spec and a later attempt exists.
fn job_is_done(
    job: &Attempt,
    accepted: &Accepted,
    facts: Facts<'_>,
    targets: &[TargetDecision],
    jobs: &[Attempt],
) -> bool {
    let same = |target: &str, hash: &str| target == job.id.target && hash == job.id.target_hash;
    if !is_wanted(job, accepted) {
        return true;
    }
    let published = is_published(job, targets);
    let told = facts.previous.targets.iter().any(|target| {
        let current = target.current.as_ref();
        current.is_some_and(|current| {
            let again =
                current.reference.kind == IMAGE && current.rebuild.as_deref() != facts.rebuild;
            same(&target.name, &current.target_hash) && !again
        })
    });
    let outdated = matches!(job.phase, Phase::Failed(_))
        && job.generation < facts.generation
        && jobs.iter().any(|other| {
            same(&other.id.target, &other.id.target_hash) && other.number > job.number
        });
    (published && told) || outdated
}

/// Whether enough newer volumes of the same target exist, beside its current one.
fn is_superseded(volume: &Volume, old: &[&Volume], target: Option<&TargetDecision>) -> bool {
    if target.is_some_and(|target| target.marks().is_none()) {
        return false;
    }
    let keep = target.map_or_else(Previous::default, |target| target.wanted.retain.previous);
    let key = |volume: &Volume| (volume.id.created, volume.id.name.clone());
    let newer = old.iter().filter(|other| {
        other.marks.is_some() && other.id.target == volume.id.target && key(other) > key(volume)
    });
    u32::try_from(newer.count()).is_ok_and(|newer| newer >= keep.0)
}
