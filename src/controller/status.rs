//! From a decision to the status that is written: conditions, targets, history.
//!
//! Pure. Invariant: `Ready` is true only if every target holds this generation's content; the same
//! decision gives the same status, so a settled image is never written.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::cdi::{Served, Uses};
use super::decide::{Decision, Facts, State, TargetDecision};
use super::observe::{Marks, Observed, Phase, Volume, Wanted};
use super::reason::Reason;
use super::validate::{Accepted, Refusal};
use crate::api::Status;
use crate::api::conditions::{Claim, settle};
use crate::api::status::{
    BuildStatus, Content, HistoryEntry, IMAGE, Published, Reference, TargetStatus,
};

/// The result of a build that ended well.
const SUCCEEDED: &str = "Succeeded";
/// Ended builds that are kept.
const HISTORY: usize = 5;

/// The status of an image whose spec was refused.
pub(super) fn refused(refusal: &Refusal, facts: Facts<'_>, now: Timestamp) -> Status {
    let claims = conditions(&Overall::Stalled(refusal.reason().to_owned(), refusal.to_string()));
    Status {
        observed_generation: Some(facts.generation),
        conditions: settle(claims, &facts.previous.conditions, facts.generation, &time(now)),
        inputs: facts.previous.inputs.clone(),
        ..Status::default()
    }
}

/// The status of an image whose inputs are not there: what was published stays told.
pub(super) fn waiting(reason: Reason, message: &str, facts: Facts<'_>, now: Timestamp) -> Status {
    let claims = conditions(&Overall::Waiting(reason.as_str().to_owned(), message.to_owned()));
    Status {
        observed_generation: Some(facts.generation),
        conditions: settle(claims, &facts.previous.conditions, facts.generation, &time(now)),
        ..facts.previous.clone()
    }
}

/// The status of an image whose inputs are looked at: what was published stays told.
pub(super) fn looking(observed: &Observed, decision: &Decision, facts: Facts<'_>) -> Status {
    let claims = conditions(&overall(&decision.targets));
    let now = time(observed.now);
    Status {
        observed_generation: Some(facts.generation),
        build: decision.targets.iter().find_map(build),
        history: history(observed, None, facts),
        conditions: settle(claims, &facts.previous.conditions, facts.generation, &now),
        ..facts.previous.clone()
    }
}

/// The status of an image after `decision`.
pub(super) fn status(
    accepted: &Accepted,
    observed: &Observed,
    decision: &Decision,
    facts: Facts<'_>,
) -> Status {
    let overall = overall(&decision.targets);
    let mut claims = conditions(&overall);
    held(&mut claims, &decision.targets);
    claims.extend(cdi_available(decision, observed));
    claims.extend(old_volumes_kept(decision));
    Status {
        observed_generation: Some(facts.generation),
        content_hash: Some(accepted.content_hash.clone()),
        content: decision.targets.iter().find_map(content),
        targets: decision.targets.iter().map(|t| target(t, observed, facts)).collect(),
        inputs: facts.previous.inputs.clone().filter(|_| !accepted.resolved.is_empty()),
        build: decision.targets.iter().find_map(build),
        history: history(observed, Some(decision), facts),
        conditions: settle(
            claims,
            &facts.previous.conditions,
            facts.generation,
            &time(observed.now),
        ),
    }
}

fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How the image stands as a whole.
enum Overall {
    Published(String),
    Suspended(String),
    Working(String, String),
    Waiting(String, String),
    Stalled(String, String),
}

/// The target that is furthest from done speaks for all.
fn overall(targets: &[TargetDecision]) -> Overall {
    let rank = |state: &State| match state {
        State::Published(_) => 0,
        State::Suspended => 1,
        State::Working(..) => 2,
        State::Waiting(..) => 3,
        State::Stalled(..) => 4,
    };
    // Of equals the first: `max_by_key` would take the last.
    let worst = targets.iter().rev().max_by_key(|target| rank(&target.state));
    let Some(worst) = worst else {
        return Overall::Published("there is nothing to publish".into());
    };
    let tell = |message: &str| match targets {
        [_] => message.to_owned(),
        _ => format!("target {}: {message}", worst.wanted.target),
    };
    match &worst.state {
        State::Published(marks) => {
            Overall::Published(format!("every target holds the content {}", marks.content_digest))
        }
        State::Suspended => {
            Overall::Suspended(tell("no build is started while spec.suspend is true"))
        }
        State::Working(reason, message) => Overall::Working(reason.as_str().into(), tell(message)),
        State::Waiting(reason, message) => Overall::Waiting(reason.as_str().into(), tell(message)),
        State::Stalled(reason, message) => Overall::Stalled(reason.as_str().into(), tell(message)),
    }
}

/// `Reconciling` and `Stalled` appear only while they are true, as kstatus wants them.
fn conditions(overall: &Overall) -> Vec<Claim> {
    let claim = |kind, holds, reason: &str, message: &str| Claim {
        kind,
        holds: Some(holds),
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    let all = |holds, reason: &str, message: &str| {
        let built = if holds { "Built" } else { reason };
        vec![
            claim("Ready", holds, reason, message),
            claim("Built", holds, built, message),
            claim("Published", holds, reason, message),
        ]
    };
    match overall {
        Overall::Published(message) => all(true, Reason::Published.as_str(), message),
        Overall::Suspended(message) => all(false, Reason::Suspended.as_str(), message),
        Overall::Working(reason, message) | Overall::Waiting(reason, message) => {
            let mut claims = all(false, reason, message);
            claims.push(claim("Reconciling", true, reason, message));
            claims
        }
        Overall::Stalled(reason, message) => {
            let mut claims = all(false, reason, message);
            claims.push(claim("Stalled", true, reason, message));
            claims
        }
    }
}

/// Every target holds its content, though something may still have to refer to it.
fn held(claims: &mut [Claim], targets: &[TargetDecision]) {
    if targets.is_empty() || targets.iter().any(|target| target.marks().is_none()) {
        return;
    }
    for claim in claims.iter_mut().filter(|claim| claim.holds == Some(false)) {
        let reason = match claim.kind {
            "Built" => "Built",
            "Published" => Reason::Published.as_str(),
            _ => continue,
        };
        (claim.holds, claim.reason) = (Some(true), reason.to_owned());
        claim.message = "every target holds the content".to_owned();
    }
}

/// Told of images that ask for something of CDI.
fn cdi_available(decision: &Decision, observed: &Observed) -> Option<Claim> {
    decision.targets.iter().find(|target| target.wanted.asks_cdi())?;
    let (holds, reason, message) = match observed.cdi.served {
        Served::There => (true, "CDIFound", "the cluster has CDI (cdi.kubevirt.io/v1beta1)"),
        Served::Missing => {
            (false, "CDIMissing", "the cluster has no CDI (cdi.kubevirt.io/v1beta1)")
        }
        Served::Off => (false, "CDIMissing", "the operator leaves CDI alone (--no-kubevirt)"),
    };
    Some(Claim {
        kind: "CDIAvailable",
        holds: Some(holds),
        reason: reason.to_owned(),
        message: message.to_owned(),
    })
}

/// Why volumes of earlier content stay that would be deleted.
fn old_volumes_kept(decision: &Decision) -> Option<Claim> {
    let told = |(claim, uses): &(String, Uses)| {
        let list = |names: &BTreeSet<String>| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.join(", ")
        };
        let mut parts = Vec::new();
        if !uses.by.is_empty() {
            parts.push(format!("used by {}", list(&uses.by)));
        }
        if !uses.unknown.is_empty() {
            parts.push(format!("the operator may not list {}", list(&uses.unknown)));
        }
        format!("claim {claim}: {}", parts.join("; "))
    };
    decision.kept.first()?;
    let used = decision.kept.iter().any(|(_, uses)| !uses.by.is_empty());
    let message: Vec<String> = decision.kept.iter().map(told).collect();
    Some(Claim {
        kind: "OldVolumesKept",
        holds: Some(true),
        reason: if used { "InUse" } else { "CannotLook" }.to_owned(),
        message: message.join(". "),
    })
}

fn content(target: &TargetDecision) -> Option<Content> {
    let marks = target.marks()?;
    Some(Content {
        digest: marks.content_digest.clone(),
        virtual_size_bytes: number(marks.virtual_size),
    })
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn target(target: &TargetDecision, observed: &Observed, facts: Facts<'_>) -> TargetStatus {
    let wanted = &target.wanted;
    let state = match &target.state {
        State::Published(_) => Reason::Published,
        State::Suspended => Reason::Suspended,
        State::Working(reason, _) | State::Waiting(reason, _) | State::Stalled(reason, _) => {
            *reason
        }
    };
    let current = match target.marks() {
        Some(marks) if wanted.push.is_some() => Some(pushed(wanted, marks, facts)),
        Some(marks) => Some(published(&wanted.claim, &wanted.target_hash, marks)),
        None if wanted.push.is_some() => told(&wanted.target, facts),
        None => newest(&wanted.target, observed, facts),
    };
    TargetStatus {
        name: wanted.target.clone(),
        state: state.as_str().to_owned(),
        target_hash: Some(wanted.target_hash.clone()),
        current,
    }
}

/// A container image.
fn pushed(wanted: &Wanted, marks: &Marks, facts: Facts<'_>) -> Published {
    let name = wanted.push.as_ref().map(|push| push.image.clone()).unwrap_or_default();
    Published {
        reference: Reference { kind: IMAGE.to_owned(), name },
        rebuild: facts.rebuild.map(ToOwned::to_owned),
        ..published("", &wanted.target_hash, marks)
    }
}

/// The container image that the status tells of: what lies in the registry until the next one does.
fn told(target: &str, facts: Facts<'_>) -> Option<Published> {
    let before = facts.previous.targets.iter().find(|before| before.name == target)?;
    before.current.clone().filter(|current| current.reference.kind == IMAGE)
}

/// The newest complete volume of this target: what is published while new content is being built.
fn newest(target: &str, observed: &Observed, facts: Facts<'_>) -> Option<Published> {
    let volumes = complete(observed, facts).filter(|(volume, _)| volume.id.target == target);
    let (volume, marks) = volumes.max_by_key(|(volume, _)| (volume.id.created, &volume.id.name))?;
    Some(published(&volume.id.name, &volume.id.target_hash, marks))
}

fn complete<'a>(
    observed: &'a Observed,
    facts: Facts<'a>,
) -> impl Iterator<Item = (&'a Volume, &'a Marks)> {
    let ours = move |volume: &&Volume| volume.id.owner == facts.uid && !volume.id.deleting;
    let volumes = observed.volumes.iter().filter(ours);
    volumes.filter_map(|volume| Some((volume, volume.marks.as_ref()?)))
}

fn published(claim: &str, target_hash: &str, marks: &Marks) -> Published {
    Published {
        reference: Reference { kind: "PersistentVolumeClaim".to_owned(), name: claim.to_owned() },
        digest: marks.digest.clone(),
        size_bytes: number(marks.size),
        target_hash: target_hash.to_owned(),
        rebuild: None,
    }
}

fn build(target: &TargetDecision) -> Option<BuildStatus> {
    let (job, attempt) = target.job.as_ref()?;
    let reason = match &target.state {
        State::Published(_) => return None,
        State::Suspended => Reason::Suspended,
        State::Working(reason, _) | State::Waiting(reason, _) | State::Stalled(reason, _) => {
            *reason
        }
    };
    Some(BuildStatus {
        target: target.wanted.target.clone(),
        job: job.clone(),
        attempt: i32::try_from(*attempt).unwrap_or(i32::MAX),
        reason: reason.as_str().to_owned(),
    })
}

/// Complete volumes, pushes and failed Jobs, newest first. Of a push nothing is left when its Job is
/// gone but the entry itself.
fn history(
    observed: &Observed,
    decision: Option<&Decision>,
    facts: Facts<'_>,
) -> Vec<HistoryEntry> {
    let attempt = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let volumes = complete(observed, facts).map(|(volume, marks)| {
        let entry = HistoryEntry {
            target: volume.id.target.clone(),
            target_hash: volume.id.target_hash.clone(),
            attempt: attempt(marks.attempt),
            result: SUCCEEDED.to_owned(),
            reason: String::new(),
        };
        (volume.id.created, volume.id.name.clone(), entry)
    });
    let failed = observed.jobs.iter().filter_map(|job| {
        let Phase::Failed(_) = &job.phase else { return None };
        let verdict = super::decide::verdict(job, &observed.pods);
        let entry = HistoryEntry {
            target: job.id.target.clone(),
            target_hash: job.id.target_hash.clone(),
            attempt: attempt(job.number),
            result: "Failed".to_owned(),
            reason: verdict.as_str().to_owned(),
        };
        (job.id.owner == facts.uid).then(|| (job.id.created, job.id.name.clone(), entry))
    });
    let pushes = decision.into_iter().flat_map(|decision| pushes(observed, decision));
    let mut all: Vec<_> = volumes.chain(failed).chain(pushes).collect();
    all.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
    let mut entries: Vec<_> = all.into_iter().map(|(_, _, entry)| entry).collect();
    let is_push = |entry: &&HistoryEntry| {
        let told = facts.previous.targets.iter().find(|target| target.name == entry.target);
        let current = told.and_then(|target| target.current.as_ref());
        current.is_some_and(|current| current.reference.kind == IMAGE)
    };
    let before = facts.previous.history.iter();
    let before = before.filter(|entry| entry.result == SUCCEEDED && !entries.contains(entry));
    let before: Vec<_> = before.filter(is_push).cloned().collect();
    entries.extend(before);
    entries.truncate(HISTORY);
    entries
}

/// The pushes that ended well and whose Jobs are still there.
fn pushes<'a>(
    observed: &'a Observed,
    decision: &'a Decision,
) -> impl Iterator<Item = (Timestamp, String, HistoryEntry)> + 'a {
    let pushed = decision.targets.iter().filter(|target| target.wanted.push.is_some());
    pushed.filter_map(|target| {
        let State::Published(_) = &target.state else { return None };
        let mut jobs = observed.jobs.iter();
        let job = jobs.find(|job| job.phase == Phase::Complete && job.id.serves(&target.wanted))?;
        let entry = HistoryEntry {
            target: job.id.target.clone(),
            target_hash: job.id.target_hash.clone(),
            attempt: i32::try_from(job.number).unwrap_or(i32::MAX),
            result: SUCCEEDED.to_owned(),
            reason: String::new(),
        };
        Some((job.id.created, job.id.name.clone(), entry))
    })
}
