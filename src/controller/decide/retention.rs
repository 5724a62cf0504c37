//! What may go: Jobs whose work is done or not wanted any more, and volumes of earlier content.
//!
//! Pure. Touches only what this very image made. Invariant: a complete volume of earlier content
//! stays until its successor is published, and the newest one stays after that, too.

use super::super::observe::{Attempt, Observed, Phase, Volume};
use super::super::validate::Accepted;
use super::{Action, Facts, State, TargetDecision, target};
use crate::api::names;
use crate::api::status::IMAGE;

/// Complete volumes of earlier content that are kept for every target.
const KEEP_PREVIOUS: usize = 1;

/// The deletions that are due.
pub(super) fn cleanup(
    accepted: &Accepted,
    observed: &Observed,
    facts: Facts<'_>,
    targets: &[TargetDecision],
) -> Vec<Action> {
    let mut actions = Vec::new();
    let ours = |owner: &str, deleting: bool| owner == facts.uid && !deleting;
    for job in observed.jobs.iter().filter(|job| ours(&job.id.owner, job.id.deleting)) {
        if job_is_done(job, accepted, facts, targets, &observed.jobs) {
            // All attempts at one content read one document: it goes with the work itself.
            let over = !is_wanted(job, accepted) || is_published(job, targets);
            actions.push(Action::DeleteJob {
                name: job.id.name.clone(),
                uid: job.id.uid.clone(),
                document: over.then(|| base(facts, &job.id.target, &job.id.target_hash)),
            });
        }
    }
    actions.extend(manifests(facts, targets));
    let old: Vec<&Volume> = observed
        .volumes
        .iter()
        .filter(|volume| ours(&volume.id.owner, volume.id.deleting))
        .filter(|volume| accepted.wanted.iter().all(|wanted| wanted.claim != volume.id.name))
        .collect();
    for volume in &old {
        if volume.marks.is_none() || is_superseded(volume, &old, targets) {
            let base = base(facts, &volume.id.target, &volume.id.target_hash);
            actions.push(target::delete(volume, &base));
        }
    }
    actions
}

/// The build manifests of container images that another one has replaced, or whose target is gone.
fn manifests(facts: Facts<'_>, targets: &[TargetDecision]) -> Vec<Action> {
    let before = facts.previous.targets.iter().filter_map(|target| {
        let current = target.current.as_ref().filter(|current| current.reference.kind == IMAGE)?;
        let now = targets.iter().find(|now| now.wanted.target == target.name);
        let over = now.is_none_or(|now| {
            matches!(now.state, State::Published(_))
                && now.wanted.target_hash != current.target_hash
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
    targets
        .iter()
        .any(|target| job.id.serves(&target.wanted) && matches!(target.state, State::Published(_)))
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

/// Whether enough newer volumes of the same target exist, its current one among them.
fn is_superseded(volume: &Volume, old: &[&Volume], targets: &[TargetDecision]) -> bool {
    let target = targets.iter().find(|target| target.wanted.target == volume.id.target);
    if target.is_some_and(|target| !matches!(target.state, State::Published(_))) {
        return false;
    }
    let key = |volume: &Volume| (volume.id.created, volume.id.name.clone());
    let newer = old.iter().filter(|other| {
        other.marks.is_some() && other.id.target == volume.id.target && key(other) > key(volume)
    });
    newer.count() >= KEEP_PREVIOUS
}
