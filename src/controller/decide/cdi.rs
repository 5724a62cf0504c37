//! CDI's part of a target: what comes before a build, and what follows once the claim is complete.
//!
//! ```text
//! DataVolume ▶ claim, build, marks ▶ populatedFor ▶ adopted ▶ DataSource
//! ```
//!
//! Pure. Invariant: CDI is told of a claim, and a DataSource points at it, only while it is complete:
//! CDI itself checks nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::cdi::{Act, Look, Made, Served, SourceTruth, Tied, Ties, VolumeTruth};
use super::super::observe::{Marks, Observed, Volume};
use super::super::reason::Reason;
use super::target::{Step, View, work};
use super::{Action, TargetDecision};
use crate::manifest::types::OnDelete;

/// How often something of CDI's that is not seen to change is looked at again.
const SOON: Duration = Duration::from_secs(2);
/// The same, where only a person can help.
const SLOW: Duration = Duration::from_secs(15);

/// What must be done before a build into the target's claim starts, or what stands in the way.
pub(super) fn before(view: &View<'_>, volume: Option<&Volume>) -> Result<Vec<Action>, Box<Step>> {
    let (wanted, cdi) = (view.wanted, &view.observed.cdi);
    if !wanted.asks_cdi() || cdi.served != Served::There {
        return Ok(Vec::new());
    }
    let mut actions = Vec::new();
    // Somebody lost the claim that the DataSource points at: it must not point at what is filled.
    if let Some(source) = our_source(view).filter(|s| s.claim.as_ref() == Some(&wanted.claim)) {
        actions.push(point(view, fallback(view), Some(source)));
    }
    match cdi.volume(&wanted.claim) {
        Look::Forbidden(message) => return Err(Box::new(forbidden("DataVolume", message))),
        Look::There(there) if wanted.makes_volume() => {
            if let Some(step) = taken(view, "DataVolume", &wanted.claim, &there.ties) {
                return Err(Box::new(step));
            }
        }
        Look::There(there) if wanted.data_volume.is_some() => {
            if volume.is_none() && there.waits_for != wanted.claim {
                return Err(Box::new(first(&wanted.claim)));
            }
        }
        // CDI refuses a DataVolume beside a claim that is not complete: it then follows later.
        Look::Absent if wanted.makes_volume() && volume.is_none() => {
            actions.push(Action::Cdi(Act::Volume { wanted: wanted.clone() }));
        }
        Look::There(_) | Look::Absent => {}
    }
    Ok(actions)
}

/// A claim that nobody made for an image: CDI may have.
pub(super) fn made_first(view: &View<'_>, volume: &Volume) -> Option<Step> {
    let wanted = view.wanted;
    let controller = volume.ties.controller.as_ref()?;
    let by_cdi = controller.0 == "DataVolume" && controller.1 == wanted.claim;
    (wanted.data_volume.is_some() && by_cdi).then(|| first(&wanted.claim))
}

fn first(claim: &str) -> Step {
    Step::waiting(
        Reason::DataVolumeFirst,
        format!(
            "CDI made, or will make, a claim {claim} of its own for the DataVolume {claim}: delete both, \
             or add the annotation cdi.kubevirt.io/storage.prePopulated: {claim} to the DataVolume and \
             delete the claim"
        ),
    )
    .again(SLOW)
}

/// A claim that was made for another image, or for an earlier one of this name.
pub(super) fn of_another(view: &View<'_>, volume: &Volume) -> Step {
    let (id, ties, facts) = (&volume.id, &volume.ties, view.facts);
    if !ties.image.is_empty() && ties.image != facts.name {
        let message = format!(
            "the claim {} was made for the VMImage {}; choose another name in spec.publish",
            id.name, ties.image
        );
        return Step::waiting(Reason::NameConflict, message).again(SLOW);
    }
    if !ties.is_left(facts.name, facts.uid) || id.deleting {
        let message =
            format!("the claim {} of an earlier image of this name is still there", id.name);
        return Step::waiting(Reason::NamesakeTerminating, message).again(SLOW);
    }
    if !id.serves(view.wanted) {
        let message = format!(
            "the claim {} that an earlier image of this name left holds other content; choose another \
             name in spec.publish, or delete the claim",
            id.name
        );
        return Step::stalled(Reason::NameHoldsOtherContent, message);
    }
    // The build finds its content there, or puts it right; its marks make the claim this image's.
    work(view, Some(volume))
}

/// The claim holds its content: what is left until everything that refers to it does so.
pub(super) fn complete(view: &View<'_>, volume: &Volume, marks: &Marks) -> Step {
    let mut step = finish(view, volume, marks);
    step.filled = Some(marks.clone());
    step
}

fn finish(view: &View<'_>, volume: &Volume, marks: &Marks) -> Step {
    let (wanted, cdi) = (view.wanted, &view.observed.cdi);
    let published = || Step::published(marks);
    let there = cdi.served == Served::There;
    if there && let Some(step) = taken_volume(view, volume) {
        return step;
    }
    let ties = ties(view, volume);
    if !ties.is_empty() {
        let message =
            format!("what becomes of the claim {} with its image is settled", wanted.claim);
        return ties
            .into_iter()
            .fold(Step::working(Reason::Publishing, message), Step::with)
            .again(SOON);
    }
    if !wanted.asks_cdi() {
        return published();
    }
    match cdi.served {
        Served::Off => {
            let message = "the operator makes no DataVolumes and DataSources (--no-kubevirt)";
            return Step::waiting(Reason::WaitingForCDI, message);
        }
        Served::Missing if volume.populated_for == wanted.claim || wanted.data_volume.is_none() => {
            let message = format!(
                "the claim {} is complete; the cluster has no CDI (cdi.kubevirt.io/v1beta1) yet",
                wanted.claim
            );
            return Step::waiting(Reason::WaitingForCDI, message);
        }
        Served::Missing | Served::There => {}
    }
    if wanted.data_volume.is_some()
        && let Some(step) = adopted(view, volume)
    {
        return step;
    }
    taken_source(view).or_else(|| pointed(view)).unwrap_or_else(published)
}

/// What stands in the way of the DataVolume.
fn taken_volume(view: &View<'_>, volume: &Volume) -> Option<Step> {
    let (wanted, cdi) = (view.wanted, &view.observed.cdi);
    wanted.data_volume?;
    let ours = ("DataVolume".to_owned(), wanted.claim.clone());
    if let Some((kind, name)) = volume.ties.controller.as_ref().filter(|found| **found != ours) {
        let message = format!(
            "the claim {} is controlled by {kind} {name}, so CDI cannot adopt it; take that owner from \
             the claim's ownerReferences",
            wanted.claim
        );
        return Some(Step::waiting(Reason::ClaimOwnedByOther, message).again(SLOW));
    }
    match cdi.volume(&wanted.claim) {
        Look::Forbidden(message) => Some(forbidden("DataVolume", message)),
        Look::There(there) if wanted.makes_volume() => {
            taken(view, "DataVolume", &wanted.claim, &there.ties)
        }
        Look::There(_) | Look::Absent => None,
    }
}

/// What stands in the way of the DataSource.
fn taken_source(view: &View<'_>) -> Option<Step> {
    let name = view.wanted.data_source.as_ref()?;
    match view.observed.cdi.source(name) {
        Look::Forbidden(message) => Some(forbidden("DataSource", message)),
        Look::There(there) => taken(view, "DataSource", name, &there.ties),
        Look::Absent => None,
    }
}

/// Why an object of this name cannot be ours; none if it is, or can become so.
fn taken(view: &View<'_>, kind: &str, name: &str, ties: &Ties) -> Option<Step> {
    let facts = view.facts;
    let conflict = |message| Some(Step::waiting(Reason::NameConflict, message).again(SLOW));
    if ties.owner.is_empty() {
        let hint = if kind == "DataVolume" { ", or set dataVolume.create: Never" } else { "" };
        return conflict(format!(
            "a {kind} {name} exists that this operator did not make; delete it{hint}"
        ));
    }
    if ties.image != facts.name {
        return conflict(format!(
            "the {kind} {name} belongs to the VMImage {}; choose another name",
            ties.image
        ));
    }
    let ends = ties.deleting || (ties.owner != facts.uid && !ties.is_left(facts.name, facts.uid));
    ends.then(|| {
        let message = format!("the {kind} {name} of earlier is being deleted");
        Step::waiting(Reason::NamesakeTerminating, message).again(SOON)
    })
}

fn forbidden(kind: &str, message: &str) -> Step {
    let message = format!("the operator may not look at {kind}s here: {message}");
    Step::waiting(Reason::Refused, message).again(SLOW)
}

/// Claim and DataVolume go with the image, or stay. Whichever of the two decides the other's fate
/// comes first: the claim, until CDI has adopted it; then the DataVolume.
fn ties(view: &View<'_>, volume: &Volume) -> Vec<Action> {
    let (wanted, uid) = (view.wanted, view.facts.uid);
    let goes = wanted.retain.on_delete == OnDelete::Delete;
    let tie = |what, name: &str, ties: &Ties| {
        (ties.owned != goes || ties.owner != uid).then(|| {
            let made = Made { name: name.to_owned(), uid: ties.uid.clone() };
            let target = wanted.target.clone();
            Action::Cdi(Act::Tie { target, what, made, owned: goes })
        })
    };
    let claim = tie(Tied::Claim, &wanted.claim, &volume.ties);
    let outer = match view.observed.cdi.volume(&wanted.claim) {
        Look::There(there) if wanted.makes_volume() => {
            tie(Tied::Volume, &wanted.claim, &there.ties)
        }
        Look::There(_) | Look::Absent | Look::Forbidden(_) => None,
    };
    let adopted = volume.populated_for == wanted.claim;
    let both = if adopted { [outer, claim] } else { [claim, outer] };
    both.into_iter().flatten().collect()
}

/// What is left until CDI has adopted the claim.
fn adopted(view: &View<'_>, volume: &Volume) -> Option<Step> {
    let (wanted, cdi) = (view.wanted, &view.observed.cdi);
    let mut actions = Vec::new();
    if volume.populated_for != wanted.claim {
        let claim = Made { name: wanted.claim.clone(), uid: volume.id.uid.clone() };
        let target = wanted.target.clone();
        actions.push(Action::Cdi(Act::Populate { target, claim }));
    }
    let phase = match cdi.volume(&wanted.claim) {
        Look::There(there) if there.is_done() => None,
        Look::There(VolumeTruth { phase, .. }) if phase.is_empty() => Some("it has no phase yet"),
        Look::There(VolumeTruth { phase, .. }) => Some(phase.as_str()),
        Look::Absent if wanted.makes_volume() && cdi.served == Served::There => {
            actions.push(Action::Cdi(Act::Volume { wanted: wanted.clone() }));
            Some("it is being made")
        }
        Look::Absent | Look::Forbidden(_) => None,
    };
    if actions.is_empty() && phase.is_none() {
        return None;
    }
    let message = match phase {
        Some(phase) => format!("CDI has yet to adopt the claim {}: {phase}", wanted.claim),
        None => format!("CDI is told that the claim {} is complete", wanted.claim),
    };
    let step = Step::working(Reason::Adopting, message);
    Some(actions.into_iter().fold(step, Step::with).again(SOON))
}

/// What is left until the DataSource points at the claim and is as it should be.
fn pointed(view: &View<'_>) -> Option<Step> {
    let wanted = view.wanted;
    let name = wanted.data_source.as_ref()?;
    let source = our_source(view);
    let right = source.is_some_and(|source| {
        source.claim.as_ref() == Some(&wanted.claim)
            && source.target_hash == wanted.target_hash
            && stale(view, source).is_empty()
    });
    if right {
        return None;
    }
    let message = format!("the DataSource {name} is made to point at the claim {}", wanted.claim);
    let point = point(view, Some(wanted.claim.clone()), source);
    Some(Step::working(Reason::Publishing, message).with(point).again(SOON))
}

fn point(view: &View<'_>, claim: Option<String>, source: Option<&SourceTruth>) -> Action {
    Action::Cdi(Act::Point {
        wanted: view.wanted.clone(),
        claim,
        uid: source.map(|source| source.ties.uid.clone()),
        stale: source.map(|source| stale(view, source)).unwrap_or_default(),
    })
}

/// Labels that CDI took from an earlier claim and that the document gives no more.
fn stale(view: &View<'_>, source: &SourceTruth) -> BTreeSet<String> {
    let given = &view.wanted.dress.labels;
    source.defaults.iter().filter(|key| !given.contains_key(*key)).cloned().collect()
}

fn our_source<'a>(view: &'a View<'_>) -> Option<&'a SourceTruth> {
    match view.observed.cdi.source(view.wanted.data_source.as_ref()?) {
        Look::There(source) if source.ties.owner == view.facts.uid => Some(source),
        Look::There(_) | Look::Absent | Look::Forbidden(_) => None,
    }
}

/// The newest complete volume of earlier content.
fn fallback(view: &View<'_>) -> Option<String> {
    let usable = |volume: &&Volume| {
        volume.id.owner == view.facts.uid
            && volume.id.target == view.wanted.target
            && volume.id.name != view.wanted.claim
            && volume.marks.is_some()
            && !volume.id.deleting
            && !volume.lost
    };
    let volumes = view.observed.volumes.iter().filter(usable);
    volumes.max_by_key(|volume| volume.id.created).map(|volume| volume.id.name.clone())
}

/// DataVolumes and DataSources of this image that no target asks for any more. Those of volumes of
/// earlier content go with them.
pub(super) fn leftovers(observed: &Observed, targets: &[TargetDecision]) -> Vec<Action> {
    let cdi = &observed.cdi;
    if targets.iter().any(|target| target.marks().is_none()) {
        return Vec::new();
    }
    let mut actions = Vec::new();
    for made in &cdi.made_volumes {
        let target = targets.iter().find(|target| target.wanted.claim == made.name);
        let old = observed.volumes.iter().any(|volume| volume.id.name == made.name);
        if target.map_or(!old, |target| target.wanted.data_volume.is_none()) {
            // A claim that is still wanted stays. Kubernetes' garbage collector spares only those of
            // which it has seen that they belong to the DataVolume: it is given time.
            let orphan = target.is_some();
            if !(orphan && cdi.fresh.contains(&made.name)) {
                actions.push(Action::Cdi(Act::DeleteVolume { made: made.clone(), orphan }));
            }
        }
    }
    for made in &cdi.made_sources {
        let named =
            |target: &TargetDecision| target.wanted.data_source.as_ref() == Some(&made.name);
        if !targets.iter().any(named) {
            actions.push(Action::Cdi(Act::DeleteSource { made: made.clone() }));
        }
    }
    actions
}
