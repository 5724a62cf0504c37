//! Reconciling one image, as a table of contents.
//!
//! ```text
//! validate ──▶ dereference ──▶ decide ──▶ compose + apply ──▶ status
//!   pure          I/O in         pure          I/O out        I/O out, only if it changed
//! ```
//!
//! Invariant: nothing is remembered between two runs but counters for pauses; what a run needs, it
//! sees.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action as Next;
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::apply::{self, Order};
use super::context::Context;
use super::decide::{self, Action, Decision, Facts, State};
use super::dereference::dereference;
use super::observe::{Observed, Phase};
use super::reason::Reason;
use super::status;
use super::validate::{Accepted, validate};
use crate::api::{Image, Status, labels};
use crate::manifest::{API_VERSION, KIND};

/// How soon a name that is still taken is looked at again.
const NAMESAKE: Duration = Duration::from_secs(1);
/// How soon something that the apiserver refused is tried again.
const REFUSED: Duration = Duration::from_secs(15);
/// Sending an event may not hold reconciling up for longer.
const EVENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a run ended early; it is repeated after a pause.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The cluster could not be looked at.
    #[error("looking at the cluster")]
    Dereference(#[source] kube::Error),
    /// Something could not be written.
    #[error("writing to the cluster")]
    Apply(#[source] apply::Error),
    /// The status could not be written.
    #[error("writing the status")]
    Status(#[source] kube::Error),
}

/// Brings `image` one step further.
pub(super) async fn reconcile(image: Arc<Image>, context: Arc<Context>) -> Result<Next, Error> {
    context.caches.fill().await;
    let timer = context.metrics.reconcile_timer();
    let answer = run(&image, &context).await;
    context.metrics.reconciled(if answer.is_ok() { "ok" } else { "error" });
    drop(timer);
    answer
}

async fn run(image: &Image, context: &Context) -> Result<Next, Error> {
    if image.meta().deletion_timestamp.is_some() {
        // Everything we made has the image as owner: the garbage collector does the rest.
        return Ok(Next::await_change());
    }
    let previous = image.status();
    let facts = Facts {
        uid: image.uid(),
        namespace: image.namespace(),
        name: image.name(),
        generation: image.generation(),
        previous: &previous,
    };
    let (next, status) = match validate(image) {
        Err(refusal) => (Next::await_change(), status::refused(&refusal, facts, Timestamp::now())),
        Ok(accepted) => {
            let observed =
                dereference(image, &accepted.wanted, context).await.map_err(Error::Dereference)?;
            let mut decision = decide::decide(&accepted, &observed, facts);
            let order = Order { image, accepted: &accepted, observed: &observed, context };
            carry_out(&order, &mut decision).await?;
            let status = status::status(&accepted, &observed, &decision, facts);
            count(context, &accepted, &observed, &status, &previous);
            (decision.again.map_or_else(Next::await_change, Next::requeue), status)
        }
    };
    tell(image, &status, &previous, context).await?;
    context.succeeded(image.uid());
    Ok(next)
}

/// Carries all actions out. What the apiserver refuses becomes the target's state; what may pass
/// by itself ends the run.
async fn carry_out(order: &Order<'_>, decision: &mut Decision) -> Result<(), Error> {
    for action in std::mem::take(&mut decision.actions) {
        let Err(error) = order.apply(&action).await else { continue };
        let (Action::Start { wanted, .. } | Action::Complete { wanted, .. }) = &action else {
            return Err(Error::Apply(error));
        };
        let Some((state, again)) = refusal(&error) else { return Err(Error::Apply(error)) };
        decision.again = Some(decision.again.map_or(again, |other| other.min(again)));
        for target in decision.targets.iter_mut().filter(|t| t.wanted.target == wanted.target) {
            target.state = state.clone();
        }
    }
    Ok(())
}

/// The state that a refused action leaves its target in, and when to look again; none if the error
/// may pass by itself.
fn refusal(error: &apply::Error) -> Option<(State, Duration)> {
    let (reason, message, again) = match error {
        apply::Error::Namesake { .. } => (Reason::NamesakeTerminating, error.to_string(), NAMESAKE),
        apply::Error::Size(overflow) => (Reason::Refused, overflow.to_string(), REFUSED),
        apply::Error::Api { attempt, source: kube::Error::Api(status) } => {
            let quota = status.message.contains("exceeded quota");
            match status.code {
                403 if quota => (Reason::QuotaExceeded, status.message.clone(), REFUSED),
                400 | 403 | 404 | 422 => {
                    (Reason::Refused, format!("{attempt}: {}", status.message), REFUSED)
                }
                _ => return None,
            }
        }
        apply::Error::Api { .. } => return None,
    };
    Some((State::Waiting(reason, message), again))
}

/// Writes the status if it changed, and an event if the image now stands differently.
async fn tell(
    image: &Image,
    status: &Status,
    previous: &Status,
    context: &Context,
) -> Result<(), Error> {
    if status == previous {
        return Ok(());
    }
    match write_status(image, status, context).await {
        Ok(()) => {}
        // The image is gone, or another one has its name: there is nothing to tell any more.
        Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => return Ok(()),
        // The server takes no status for an object whose stored spec its own rules cannot even
        // read. Trying again cannot help before the object changes; the event still tells.
        Err(kube::Error::Api(answer)) if answer.code == 422 => {
            tracing::warn!(
                namespace = image.namespace(),
                image = image.name(),
                refusal = answer.message,
                "the apiserver takes no status for this object"
            );
        }
        Err(error) => return Err(Error::Status(error)),
    }
    announce(image, status, previous, context).await;
    Ok(())
}

/// Writes the status by server-side apply, as its only owner. An object that an older, laxer schema
/// let in may not be applied to (seen with 1.36: the server fails to type its spec); there the
/// status is replaced by a merge patch.
async fn write_status(
    image: &Image,
    status: &Status,
    context: &Context,
) -> Result<(), kube::Error> {
    let images: Api<Image> = Api::namespaced(context.client.clone(), image.namespace());
    let manager = format!("{}/status", labels::MANAGER);
    let mut body = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": image.name(), "uid": image.uid()},
        "status": status,
    });
    let ours = PatchParams::apply(&manager).force();
    let answer = images.patch_status(image.name(), &ours, &Patch::Apply(&body)).await;
    let Err(kube::Error::Api(refusal)) = &answer else { return answer.map(drop) };
    if !matches!(refusal.code, 400 | 422 | 500) {
        return answer.map(drop);
    }
    tracing::debug!(
        image = image.name(),
        refusal = refusal.message,
        "status is merged, not applied"
    );
    if let (Some(old), Some(new)) = (image.status.as_object(), body["status"].as_object_mut()) {
        for key in old.keys() {
            new.entry(key).or_insert(Value::Null);
        }
    }
    let merge = PatchParams { field_manager: Some(manager), ..PatchParams::default() };
    images.patch_status(image.name(), &merge, &Patch::Merge(&body)).await.map(drop)
}

async fn announce(image: &Image, status: &Status, previous: &Status, context: &Context) {
    let ready = |status: &Status| status.conditions.iter().find(|c| c.kind == "Ready").cloned();
    let Some(now) = ready(status) else { return };
    if ready(previous)
        .is_some_and(|then| (then.status, then.reason) == (now.status.clone(), now.reason.clone()))
    {
        return;
    }
    let stands = |kind| status.conditions.iter().any(|c| c.kind == kind);
    let calm = now.status == "True"
        || [Reason::Building, Reason::Publishing, Reason::Suspended]
            .iter()
            .any(|reason| now.reason == reason.as_str());
    tracing::info!(
        namespace = image.namespace(),
        image = image.name(),
        reason = now.reason,
        message = now.message,
        stalled = stands("Stalled"),
        "image stands"
    );
    let mut note = now.message;
    note.truncate(note.floor_char_boundary(1000));
    let event = Event {
        type_: if calm { EventType::Normal } else { EventType::Warning },
        reason: now.reason,
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let about = image.object_ref(&());
    let sent = context.recorder.publish(&event, &about);
    match tokio::time::timeout(EVENT_TIMEOUT, sent).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(image = image.name(), %error, "an event was not sent"),
        Err(_) => tracing::warn!(image = image.name(), "an event was not sent in time"),
    }
}

/// Counts builds that have ended since the last status.
fn count(
    context: &Context,
    accepted: &Accepted,
    observed: &Observed,
    status: &Status,
    previous: &Status,
) {
    for entry in status.history.iter().filter(|entry| !previous.history.contains(entry)) {
        context.metrics.build_ended(&entry.result, &entry.reason);
        let job = observed
            .jobs
            .iter()
            .find(|job| job.id.target_hash == entry.target_hash && job.phase == Phase::Complete);
        let times = job.and_then(|job| Some((job.id.created, job.ended?)));
        if let Some((created, ended)) = times.filter(|_| entry.result == "Succeeded") {
            context.metrics.build_took(ended.duration_since(created).as_secs_f64());
        }
    }
    let told = |target: &str, status: &Status| {
        status.targets.iter().find(|t| t.name == target).is_some_and(|t| t.state == "Published")
    };
    for wanted in &accepted.wanted {
        if told(&wanted.target, status) && !told(&wanted.target, previous) {
            context.metrics.published("pvc");
        }
    }
}

/// When to try again after an error: later each time.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the controller calls")]
pub(super) fn after_error(image: Arc<Image>, error: &Error, context: Arc<Context>) -> Next {
    let pause = context.failed(image.uid());
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(
        namespace = image.namespace(), image = image.name_any(), %error, cause, ?pause,
        "reconciling failed"
    );
    Next::requeue(pause)
}
