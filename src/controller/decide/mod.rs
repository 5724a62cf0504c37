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
mod cdi;
mod pushed;
mod retention;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::cdi::{Act, Uses};
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
    /// Claims that may be deleted once it is known that nobody uses them.
    pub due: Vec<String>,
    /// Claims that are due and stay.
    pub kept: Vec<(String, Uses)>,
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
    /// What its claim holds, if it is complete: something may still have to refer to it.
    pub filled: Option<Marks>,
}

impl TargetDecision {
    /// The content that it holds, referred to or not.
    pub(super) const fn marks(&self) -> Option<&Marks> {
        match (&self.state, &self.filled) {
            (State::Published(marks), _) | (_, Some(marks)) => Some(marks),
            _ => None,
        }
    }

    fn of(wanted: &Wanted, step: target::Step) -> Self {
        let target::Step { state, job, filled, .. } = step;
        Self { wanted: wanted.clone(), state, job, filled }
    }
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
    /// Do something with an object of CDI.
    Cdi(Act),
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

impl Action {
    /// The target that shows if the apiserver refuses this; none for clearing up.
    pub(super) fn target(&self) -> Option<&str> {
        match self {
            Self::Start { wanted, .. }
            | Self::Complete { wanted, .. }
            | Self::Dress { wanted, .. } => Some(&wanted.target),
            Self::Cdi(act) => act.target(),
            Self::Keep { .. }
            | Self::DeleteManifest { .. }
            | Self::DeleteJob { .. }
            | Self::DeleteVolume { .. } => None,
        }
    }
}

impl Decision {
    fn new() -> Self {
        let (targets, actions) = (Vec::new(), Vec::new());
        Self { targets, actions, again: None, due: Vec::new(), kept: Vec::new() }
    }
}

/// Decides the next step.
#[must_use]
pub(super) fn decide(accepted: &Accepted, observed: &Observed, facts: Facts<'_>) -> Decision {
    let mut decision = Decision::new();
    for wanted in &accepted.wanted {
        let mut step = target::target(&target::View { accepted, observed, facts, wanted });
        decision.actions.append(&mut step.actions);
        decision.again = sooner(decision.again, step.again);
        decision.targets.push(TargetDecision::of(wanted, step));
    }
    // What scripts make is not the same every time.
    if accepted.spec.disk.as_ref().is_none_or(|disk| disk.scripts.is_empty()) {
        refuse_differing_digests(&mut decision);
    }
    if retention::waits_for_status(accepted, observed, facts, &decision.targets) {
        decision.again = sooner(decision.again, Some(TOLD));
    }
    retention::cleanup(accepted, observed, facts, &mut decision);
    decision.actions.extend(cdi::leftovers(observed, &decision.targets));
    decision
}

/// Decides how to come by the digests of `count` inputs that have none: these, or the next step.
pub(super) fn look(
    accepted: &Accepted,
    observed: &Observed,
    facts: Facts<'_>,
    count: usize,
) -> Result<Vec<String>, Decision> {
    let mut decision = Decision::new();
    for wanted in &accepted.wanted {
        let view = target::View { accepted, observed, facts, wanted };
        let mut step = match target::looking(&view, count) {
            Ok(digests) => return Ok(digests),
            Err(step) => *step,
        };
        step.state = match step.state {
            State::Working(Reason::Building, message) => {
                let message = format!("inputs without digest are looked at: {message}");
                State::Working(Reason::Resolving, message)
            }
            other => other,
        };
        decision.actions.append(&mut step.actions);
        decision.again = sooner(decision.again, step.again);
        decision.targets.push(TargetDecision::of(wanted, step));
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
fn refuse_differing_digests(decision: &mut Decision) {
    let mut digests =
        decision.targets.iter().filter_map(|t| t.marks()).map(|marks| &marks.content_digest);
    let Some(first) = digests.next() else { return };
    let Some(other) = digests.find(|digest| *digest != first) else { return };
    let message = format!("builds of one content gave {first} and {other}");
    for target in decision.targets.iter_mut().filter(|target| target.marks().is_some()) {
        target.state = State::Stalled(Reason::NonReproducible, message.clone());
        target.filled = None;
    }
    // Nor is anything made to refer to them.
    decision.actions.retain(|action| !matches!(action, Action::Cdi(_)));
}

/// Why this failed Job failed.
pub(super) fn verdict(job: &super::observe::Attempt, pods: &[super::observe::PodTruth]) -> Reason {
    attempt::classify(job, pods).reason
}
