//! One target: what lies at its claim's name, and how far its latest attempt is.
//!
//! Pure. Invariant: an attempt is started only when no Job and no pod can still write to the claim.

use std::time::Duration;

use super::super::observe::{Attempt, Class, Marks, Observed, Phase, PodTruth, Volume, Wanted};
use super::super::reason::Reason;
use super::super::validate::Accepted;
use super::attempt::{self, Verdict};
use super::{Action, Facts, State, cdi, pushed};
use crate::report::Class as FailureClass;

/// How often something outside that is not watched is looked at again.
pub(super) const SLOW: Duration = Duration::from_secs(15);
/// How often a Job without a pod is looked at again.
const POD_POLL: Duration = Duration::from_secs(2);
/// First and longest pause between attempts.
const BACKOFF: (u64, u64) = (10, 300);

/// Why a Job that ended well is forgotten: its pod is gone.
pub(super) const GONE: &str = "the pod is gone with its result; it is built again";

/// All that a decision about one target needs.
pub(super) struct View<'a> {
    pub(super) accepted: &'a Accepted,
    pub(super) observed: &'a Observed,
    pub(super) facts: Facts<'a>,
    pub(super) wanted: &'a Wanted,
}

/// What was decided about one target.
pub(super) struct Step {
    pub(super) state: State,
    pub(super) job: Option<(String, u32)>,
    pub(super) actions: Vec<Action>,
    pub(super) again: Option<Duration>,
    /// What the claim holds, if it is complete.
    pub(super) filled: Option<Marks>,
}

impl Step {
    pub(super) const fn new(state: State) -> Self {
        Self { state, job: None, actions: Vec::new(), again: None, filled: None }
    }

    pub(super) fn published(marks: &Marks) -> Self {
        Self::new(State::Published(marks.clone()))
    }

    pub(super) fn working(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(State::Working(reason, message.into()))
    }

    pub(super) fn waiting(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(State::Waiting(reason, message.into()))
    }

    pub(super) fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(State::Stalled(reason, message.into()))
    }

    pub(super) fn with(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// Does this before all else.
    fn first(mut self, action: Action) -> Self {
        self.actions.insert(0, action);
        self
    }

    pub(super) const fn again(mut self, pause: Duration) -> Self {
        self.again = Some(pause);
        self
    }

    fn of(mut self, attempt: &Attempt) -> Self {
        self.job = Some((attempt.id.name.clone(), attempt.number));
        self
    }
}

/// Decides about one target.
pub(super) fn target(view: &View<'_>) -> Step {
    let wanted = view.wanted;
    if wanted.push.is_some() {
        return pushed::target(view);
    }
    let volume = view.observed.volumes.iter().find(|volume| volume.id.name == wanted.claim);
    let Some(volume) = volume else { return work(view, None) };
    let id = &volume.id;
    if id.owner.is_empty() {
        if let Some(step) = cdi::made_first(view, volume) {
            return step;
        }
        let message = format!(
            "a PersistentVolumeClaim {} exists that this operator did not make; delete it or choose another name",
            id.name
        );
        return Step::waiting(Reason::NameConflict, message).again(SLOW);
    }
    if id.owner != view.facts.uid {
        return cdi::of_another(view, volume);
    }
    if id.deleting {
        let message =
            format!("the claim {} is being deleted; it stays while a pod uses it", id.name);
        return Step::waiting(Reason::VolumeTerminating, message);
    }
    if id.target_hash != wanted.target_hash && volume.marks.is_some() {
        let message = format!(
            "the claim {} holds other content for life; choose another name in spec.publish, or delete the claim",
            id.name
        );
        return Step::stalled(Reason::NameHoldsOtherContent, message);
    }
    let step = match &volume.marks {
        _ if volume.lost || id.target_hash != wanted.target_hash => {
            let message = format!("the claim {} is made anew", id.name);
            Step::working(Reason::Building, message).with(delete(volume, &wanted.base))
        }
        Some(marks) => cdi::complete(view, volume, marks),
        None => work(view, Some(volume)),
    };
    let lives = !volume.lost && id.target_hash == wanted.target_hash;
    if lives && volume.dress != wanted.dress { step.first(dress(volume, wanted)) } else { step }
}

fn dress(volume: &Volume, wanted: &Wanted) -> Action {
    Action::Dress {
        wanted: wanted.clone(),
        claim_uid: volume.id.uid.clone(),
        before: volume.dress.clone(),
    }
}

pub(super) fn delete(volume: &Volume, base: &str) -> Action {
    Action::DeleteVolume {
        name: volume.id.name.clone(),
        uid: volume.id.uid.clone(),
        base: base.to_owned(),
    }
}

/// The claim is absent, or ours and not complete.
pub(super) fn work(view: &View<'_>, volume: Option<&Volume>) -> Step {
    let wanted = view.wanted;
    let named = |a: &&Attempt| crate::api::names::attempt(&wanted.base, &a.id.name).is_some();
    let mut jobs: Vec<&Attempt> = view.observed.jobs.iter().filter(named).collect();
    jobs.sort_by_key(|job| job.number);
    if let Some(job) = jobs.iter().find(|job| job.id.deleting || job.id.owner != view.facts.uid) {
        let message =
            format!("the Job of an earlier attempt is still being deleted: {}", job.id.name);
        return Step::waiting(Reason::NamesakeTerminating, message);
    }
    let orphan = |pod: &&PodTruth| {
        pod.id.serves(wanted) && !pod.over && jobs.iter().all(|job| job.id.uid != pod.job)
    };
    if view.observed.pods.iter().any(|pod| orphan(&pod)) {
        let message =
            "a pod of a deleted Job still uses the claim; a new one starts when it has ended";
        return Step::waiting(Reason::OldPodRunning, message);
    }
    let Some(latest) = jobs.last() else { return start(view, volume, 1) };
    let step = match &latest.phase {
        Phase::Active => active(view, latest),
        Phase::Complete if wanted.push.is_some() => pushed::complete(view, latest, &jobs),
        Phase::Complete => match volume {
            Some(volume) => complete(view, volume, latest, &jobs),
            None => forget(view, latest, "the claim is gone; it is built again"),
        },
        Phase::Failed(_) => {
            let verdict = attempt::classify(latest, &view.observed.pods);
            failed(view, volume, &verdict, &jobs)
        }
    };
    if step.job.is_some() { step } else { step.of(latest) }
}

/// Decides about looking at inputs without digest, `count` of them: their digests, or what to do.
pub(super) fn looking(view: &View<'_>, count: usize) -> Result<Vec<String>, Box<Step>> {
    let ours = |job: &&Attempt| {
        let named = crate::api::names::attempt(&view.wanted.base, &job.id.name).is_some();
        named && job.id.owner == view.facts.uid && !job.id.deleting
    };
    let mut jobs: Vec<&Attempt> = view.observed.jobs.iter().filter(ours).collect();
    jobs.sort_by_key(|job| job.number);
    let latest = jobs.last().filter(|job| job.phase == Phase::Complete);
    let found = latest.map(|job| attempt::digests(job, &view.observed.pods));
    let verdict = match found {
        Some(Ok(Some(digests))) if digests.len() == count => return Ok(digests),
        Some(Ok(Some(digests))) => {
            let message = format!("the pod reported {} digests instead of {count}", digests.len());
            Verdict { class: FailureClass::Bug, reason: Reason::Bug, message }
        }
        Some(Err(verdict)) => verdict,
        Some(Ok(None)) | None => return Err(Box::new(work(view, None))),
    };
    Err(Box::new(failed(view, None, &verdict, &jobs)))
}

/// Starts an attempt, unless something stands in the way.
fn start(view: &View<'_>, volume: Option<&Volume>, attempt: u32) -> Step {
    if view.accepted.spec.suspend {
        return Step::new(State::Suspended);
    }
    let class = view.wanted.class.clone().unwrap_or_default();
    if volume.is_none() && view.observed.classes.get(&class) == Some(&Class::Missing) {
        let message = match &view.wanted.class {
            Some(class) => format!("there is no StorageClass {class}"),
            None => "the cluster has no default StorageClass; set pvc.storageClassName".to_owned(),
        };
        return Step::waiting(Reason::StorageClassMissing, message).again(SLOW);
    }
    let first = match cdi::before(view, volume) {
        Ok(first) => first,
        Err(step) => return *step,
    };
    let job = crate::api::names::job(&view.wanted.base, attempt);
    let step = Step::working(Reason::Building, "the build has been started");
    let mut step = first
        .into_iter()
        .fold(step, Step::with)
        .with(Action::Start { wanted: view.wanted.clone(), attempt });
    step.job = Some((job, attempt));
    step
}

/// A Job runs.
fn active(view: &View<'_>, job: &Attempt) -> Step {
    let pods: Vec<&PodTruth> = view.observed.pods.iter().filter(|p| p.job == job.id.uid).collect();
    let started = pods.iter().any(|pod| pod.running || pod.ended.is_some());
    if !started && job.build_hash != view.accepted.build_hash {
        return forget(view, job, "spec.build changed before the pod started; it is made anew");
    }
    let Some(pod) = pods.iter().max_by_key(|pod| pod.id.created) else {
        return match view.observed.refusals.get(&job.id.uid) {
            Some(refusal) => {
                Step::waiting(attempt::refusal(refusal), attempt::plain(refusal)).again(SLOW)
            }
            None => Step::working(Reason::Building, "the build has been started").again(POD_POLL),
        };
    };
    let (reason, message) = attempt::truth(pod);
    match reason {
        Reason::Building => Step::working(reason, message),
        other => Step::waiting(other, message),
    }
}

/// A Job has ended well: its pod knows the result.
fn complete(view: &View<'_>, volume: &Volume, job: &Attempt, jobs: &[&Attempt]) -> Step {
    let wanted = view.wanted;
    let (pod, marks) = match judged(view, job) {
        Ok(Some(found)) => found,
        Ok(None) => return forget(view, job, GONE),
        Err(verdict) => return failed(view, Some(volume), &verdict, jobs),
    };
    Step::working(Reason::Publishing, "the build has ended; its result is being marked").with(
        Action::Complete {
            wanted: wanted.clone(),
            claim_uid: volume.id.uid.clone(),
            marks,
            pod: pod.id.name.clone(),
        },
    )
}

/// The pod of a Job that ended well, and what it made. Nothing if the pod is gone.
pub(super) fn judged<'a>(
    view: &View<'a>,
    job: &Attempt,
) -> Result<Option<(&'a PodTruth, Marks)>, Verdict> {
    let wanted = view.wanted;
    let Some((pod, result)) = attempt::result(job, &view.observed.pods)? else { return Ok(None) };
    if result.target_hash != wanted.target_hash || result.content_hash != wanted.content_hash {
        let message = "the pod built something else than it was asked for".to_owned();
        return Err(Verdict { class: FailureClass::Bug, reason: Reason::Bug, message });
    }
    Ok(Some((pod, attempt::marks(&result, job.number))))
}

/// The Job cannot be used any more: it is deleted and the same attempt starts again.
pub(super) fn forget(view: &View<'_>, job: &Attempt, why: &str) -> Step {
    Step::working(Reason::Building, why).with(Action::DeleteJob {
        name: job.id.name.clone(),
        uid: job.id.uid.clone(),
        document: Some(view.wanted.base.clone()),
    })
}

/// The latest attempt failed with this verdict.
pub(super) fn failed(
    view: &View<'_>,
    volume: Option<&Volume>,
    verdict: &Verdict,
    jobs: &[&Attempt],
) -> Step {
    let Some(latest) = jobs.last() else { return start(view, volume, 1) };
    let next = latest.number + 1;
    let asked = |job: &&&Attempt| {
        let again = view.wanted.push.is_some() && job.rebuild.as_deref() != view.facts.rebuild;
        job.generation >= view.facts.generation && !again
    };
    let here = jobs.iter().filter(asked).count();
    let tried = u32::try_from(here).unwrap_or(u32::MAX);
    if tried == 0 {
        // The spec changed since: what failed for good under the old one may be tried again.
        return start(view, volume, next);
    }
    let most = match verdict.class {
        FailureClass::Terminal => return Step::stalled(verdict.reason, verdict.message.clone()),
        FailureClass::Bug => 2.min(view.accepted.spec.build.max_attempts.0),
        FailureClass::Transient => view.accepted.spec.build.max_attempts.0,
    };
    if tried >= most {
        let reason = match verdict.class {
            FailureClass::Transient if verdict.reason != Reason::OutOfMemory => {
                Reason::RetryLimitExceeded
            }
            _ => verdict.reason,
        };
        let message = format!("{tried} of {most} attempts failed; the last: {}", verdict.message);
        return Step::stalled(reason, message);
    }
    let pause = pause(tried, view.facts.uid);
    let waited = latest.ended.map_or(Duration::ZERO, |ended| {
        Duration::try_from(view.observed.now.duration_since(ended)).unwrap_or_default()
    });
    match pause.checked_sub(waited).filter(|left| !left.is_zero()) {
        None => start(view, volume, next),
        Some(left) => {
            let message = format!("the build failed and is tried again: {}", verdict.message);
            Step::working(Reason::Retrying, message).again(left)
        }
    }
}

/// The pause after `tried` failed attempts: doubled each time, spread by the image's UID so that a
/// fleet that failed together does not come back together.
fn pause(tried: u32, uid: &str) -> Duration {
    let (first, longest) = BACKOFF;
    let doubled = first.saturating_mul(1 << tried.saturating_sub(1).min(10)).min(longest);
    let spread: u64 = uid.bytes().map(u64::from).sum::<u64>() % 1000;
    Duration::from_secs(doubled) + Duration::from_millis(doubled * spread / 5)
}
