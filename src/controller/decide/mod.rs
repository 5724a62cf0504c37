//! The next step of an image: a pure function of its spec and what was seen.
//!
//! ```text
//! target by target:  what lies at the claim's name ──▶ the latest attempt ──▶ state + actions
//! then over all:     digests must agree ──▶ old Jobs and volumes that nobody needs are deleted
//! ```
//!
//! Does no I/O and reads no clock (the time is part of what was seen). Invariant: with nothing
//! left to do it asks for nothing, so a settled image causes no request.

mod attempt;
mod pushed;
mod retention;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::observe::{Dress, Marks, Observed, Wanted};
use super::reason::Reason;
use super::validate::Accepted;
use crate::api::Status;

/// How soon a status that was written is looked for in the cache.
const TOLD: Duration = Duration::from_millis(200);

/// What is known of the image itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// Its UID.
    pub uid: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its generation.
    pub generation: i64,
    /// The status that was last written.
    pub previous: &'a Status,
    /// The annotation with which its user asks to push again.
    pub rebuild: Option<&'a str>,
}

/// What to do, and what to say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    /// One entry for every target, in the spec's order.
    pub targets: Vec<TargetDecision>,
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// When to look again even if nothing is seen to change.
    pub again: Option<Duration>,
}

/// How one target stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TargetDecision {
    /// What it asks for.
    pub wanted: Wanted,
    /// How it stands.
    pub state: State,
    /// The Job that runs or ended last: name and attempt.
    pub job: Option<(String, u32)>,
}

/// How a target stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// It holds its content.
    Published(Marks),
    /// No build is started because the image is suspended.
    Suspended,
    /// Work goes on.
    Working(Reason, String),
    /// It waits for something outside that users can change.
    Waiting(Reason, String),
    /// Only a change of the spec helps.
    Stalled(Reason, String),
}

/// One thing to do. Every action may be done twice without harm.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Create what an attempt needs and is not there: claim, document, Job.
    Start {
        /// What is asked for.
        wanted: Wanted,
        /// Which attempt.
        attempt: u32,
    },
    /// Keep the build manifest and mark the volume complete.
    Complete {
        /// What was asked for.
        wanted: Wanted,
        /// UID of the claim.
        claim_uid: String,
        /// What the build found.
        marks: Marks,
        /// The pod whose log holds the build manifest.
        pod: String,
    },
    /// Give a claim the labels and annotations of its document.
    Dress {
        /// What is asked for.
        wanted: Wanted,
        /// UID of the claim.
        claim_uid: String,
        /// What the document gave it before.
        before: Dress,
    },
    /// Keep the build manifest of a container image.
    Keep {
        /// What was asked for.
        wanted: Wanted,
        /// Digest of the build manifest.
        digest: String,
        /// The pod whose log holds it.
        pod: String,
    },
    /// Delete a build manifest: what it describes is not published any more.
    DeleteManifest {
        /// The base name under which it is kept.
        base: String,
    },
    /// Delete a Job with its pods, and its document unless another attempt reads it.
    DeleteJob {
        /// The Job's name.
        name: String,
        /// The Job's UID.
        uid: String,
        /// The name of its document; none if it stays.
        document: Option<String>,
    },
    /// Delete a claim and the build manifest kept for it.
    DeleteVolume {
        /// The claim's name.
        name: String,
        /// The claim's UID.
        uid: String,
        /// The base name under which the manifest is kept.
        base: String,
    },
}

/// Decides the next step.
#[must_use]
pub(super) fn decide(accepted: &Accepted, observed: &Observed, facts: Facts<'_>) -> Decision {
    let mut decision = Decision { targets: Vec::new(), actions: Vec::new(), again: None };
    for wanted in &accepted.wanted {
        let step = target::target(&target::View { accepted, observed, facts, wanted });
        decision.actions.extend(step.actions);
        decision.again = sooner(decision.again, step.again);
        decision.targets.push(TargetDecision {
            wanted: wanted.clone(),
            state: step.state,
            job: step.job,
        });
    }
    // What scripts make is not the same every time.
    if accepted.spec.disk.as_ref().is_none_or(|disk| disk.scripts.is_empty()) {
        refuse_differing_digests(&mut decision.targets);
    }
    if retention::waits_for_status(accepted, observed, facts, &decision.targets) {
        decision.again = sooner(decision.again, Some(TOLD));
    }
    let cleanup = retention::cleanup(accepted, observed, facts, &decision.targets);
    decision.actions.extend(cleanup);
    decision
}

/// Decides how to come by the digests of `count` inputs that have none: these, or the next step.
pub(super) fn look(
    accepted: &Accepted,
    observed: &Observed,
    facts: Facts<'_>,
    count: usize,
) -> Result<Vec<String>, Decision> {
    let mut decision = Decision { targets: Vec::new(), actions: Vec::new(), again: None };
    for wanted in &accepted.wanted {
        let view = target::View { accepted, observed, facts, wanted };
        let step = match target::looking(&view, count) {
            Ok(digests) => return Ok(digests),
            Err(step) => *step,
        };
        let state = match step.state {
            State::Working(Reason::Building, message) => {
                let message = format!("inputs without digest are looked at: {message}");
                State::Working(Reason::Resolving, message)
            }
            other => other,
        };
        decision.actions.extend(step.actions);
        decision.again = sooner(decision.again, step.again);
        decision.targets.push(TargetDecision { wanted: wanted.clone(), state, job: step.job });
    }
    Err(decision)
}

fn sooner(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// All targets hold the same content; if their digests differ, none is to be trusted.
fn refuse_differing_digests(targets: &mut [TargetDecision]) {
    let digest = |t: &TargetDecision| match &t.state {
        State::Published(marks) => Some(marks.content_digest.clone()),
        _ => None,
    };
    let mut digests = targets.iter().filter_map(digest);
    let Some(first) = digests.next() else { return };
    let Some(other) = digests.find(|digest| *digest != first) else { return };
    let message = format!("builds of one content gave {first} and {other}");
    for target in targets.iter_mut().filter(|t| matches!(t.state, State::Published(_))) {
        target.state = State::Stalled(Reason::NonReproducible, message.clone());
    }
}

/// Why this failed Job failed.
pub(super) fn verdict(job: &super::observe::Attempt, pods: &[super::observe::PodTruth]) -> Reason {
    attempt::classify(job, pods).reason
}
