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
use super::carry::carry_out;
use super::cdi;
use super::config::Config;
use super::context::Context;
use super::decide::{self, Facts};
use super::dereference::dereference;
use super::inputs;
use super::looking::Open;
use super::observe::{Observed, Phase};
use super::reason::Reason;
use super::scripts;
use super::status;
use super::validate::{self, Accepted, Refusal};
use crate::api::{Image, Status, labels};
use crate::manifest::hash::InputDigests;
use crate::manifest::types::Spec;
use crate::manifest::{API_VERSION, KIND};

/// How soon a status with the digests of inputs is looked for in the cache.
const LOOKED: Duration = Duration::from_millis(200);
/// How soon an object that a source names is looked for again.
const MISSING: Duration = Duration::from_secs(10);
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
    /// The namespace is being deleted: nothing is left to be done.
    #[error("the namespace is being deleted")]
    Ending,
    /// A request was not answered.
    #[error("the apiserver has not answered within {0:?}")]
    Unanswered(Duration),
}

/// Brings `image` one step further.
pub(super) async fn reconcile(image: Arc<Image>, context: Arc<Context>) -> Result<Next, Error> {
    context.fill().await;
    let timer = context.metrics.reconcile_timer();
    let patience = context.patience;
    let answer = tokio::time::timeout(patience, run(&image, &context)).await;
    let answer = match answer.unwrap_or(Err(Error::Unanswered(patience))) {
        Err(Error::Ending) => {
            context.succeeded(image.uid());
            Ok(Next::await_change())
        }
        answer => answer,
    };
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
        rebuild: image.rebuild(),
    };
    let (next, status) = match known(image, context).await? {
        Known::Refused(refusal) => {
            // A label of the namespace is not watched.
            let next = match &refusal {
                Refusal::ScriptsNotAllowed { .. } => Next::requeue(MISSING),
                _ => Next::await_change(),
            };
            (next, status::refused(&refusal, facts, Timestamp::now()))
        }
        Known::Missing(what) => {
            let reason = Reason::SourceMissing;
            (Next::requeue(MISSING), status::waiting(reason, &what, facts, Timestamp::now()))
        }
        Known::Open(open, task) => {
            let observed = dereference(image, &[], context).await.map_err(Error::Dereference)?;
            match decide::look(&task, &observed, facts, open.count()) {
                // The next run builds with what the status then says.
                Ok(digests) => {
                    let inputs = Some(open.found(digests));
                    (Next::requeue(LOOKED), Status { inputs, ..previous.clone() })
                }
                Err(mut decision) => {
                    let order = Order { image, accepted: &task, observed: &observed, context };
                    carry_out(&order, &mut decision).await?;
                    let status = status::looking(&observed, &decision, facts);
                    (decision.again.map_or_else(Next::await_change, Next::requeue), status)
                }
            }
        }
        Known::Accepted(accepted) => {
            let mut observed =
                dereference(image, &accepted.wanted, context).await.map_err(Error::Dereference)?;
            let mut decision = decide::decide(&accepted, &observed, facts);
            if !decision.due.is_empty() {
                let uses = cdi::who(image, &decision.due, &observed.cdi, context).await;
                observed.cdi.uses = uses.map_err(Error::Dereference)?;
                decision = decide::decide(&accepted, &observed, facts);
            }
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

/// What is known of an image before the cluster is looked at.
enum Known {
    Refused(Refusal),
    Missing(String),
    /// Some inputs have no digest yet.
    Open(Open, Box<Accepted>),
    Accepted(Box<Accepted>),
}

async fn known(image: &Image, context: &Context) -> Result<Known, Error> {
    let spec = match validate::spec(image) {
        Ok(spec) => spec,
        Err(refusal) => return Ok(Known::Refused(refusal)),
    };
    if let Some(refusal) =
        scripts::refused(image, &spec, context).await.map_err(Error::Dereference)?
    {
        return Ok(Known::Refused(refusal));
    }
    let found = inputs::look(image, &spec, context).await.map_err(Error::Dereference)?;
    if !found.missing.is_empty() {
        return Ok(Known::Missing(found.missing.join("; ")));
    }
    let config = &context.config;
    Ok(judged(image, spec, found.digests, config).unwrap_or_else(Known::Refused))
}

/// What is known when all ConfigMaps were read.
fn judged(
    image: &Image,
    spec: Spec,
    mut digests: InputDigests,
    config: &Config,
) -> Result<Known, Refusal> {
    digests.extend(validate::boot_assets(&spec, config)?);
    let mut resolved = InputDigests::new();
    if let Some(open) = Open::of(image, &spec)? {
        match open.known(&image.status()) {
            Some(known) => resolved = known,
            None => {
                let task = open.task(image, spec)?;
                return Ok(Known::Open(open, Box::new(task)));
            }
        }
    }
    digests.extend(resolved.clone());
    let accepted = validate::accept(image, spec, &digests)?;
    Ok(Known::Accepted(Box::new(Accepted { resolved, ..accepted })))
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
    match write(image, status, context).await {
        Ok(()) => {}
        // The image is gone: there is nothing to tell any more. If another one has its name (409),
        // the next run is about that one.
        Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(()),
        Err(error) => return Err(Error::Status(error)),
    }
    announce(image, status, previous, context).await;
    Ok(())
}

/// Writes the status by server-side apply, and as a whole where that is not enough.
async fn write(image: &Image, status: &Status, context: &Context) -> Result<(), kube::Error> {
    let body = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": image.name(), "uid": image.uid()},
        "status": status,
    });
    let images: Api<Image> = Api::namespaced(context.client.clone(), image.namespace());
    let manager = format!("{}/status", labels::MANAGER);
    let ours = PatchParams::apply(&manager).force();
    match images.patch_status(image.name(), &ours, &Patch::Apply(&body)).await {
        Ok(written) if written.status() == *status => return Ok(()),
        // Somebody else wrote some of it, too (or the second way below did): apply leaves that.
        Ok(_) => {}
        // The apiserver cannot apply to an object whose stored spec breaks today's schema.
        Err(kube::Error::Api(answer)) if answer.code == 500 && is_invalid(status) => {}
        Err(error) => return Err(error),
    }
    let mut whole = body;
    if let (Some(members), Some(there)) =
        (whole["status"].as_object_mut(), image.status.as_object())
    {
        for name in there.keys() {
            members.entry(name).or_insert(Value::Null);
        }
    }
    let ours = PatchParams { field_manager: Some(manager), ..PatchParams::default() };
    match images.patch_status(image.name(), &ours, &Patch::Merge(&whole)).await {
        Ok(_) => Ok(()),
        // Nor does it take a status beside a spec that its rules cannot even read. What is left is
        // the event, until somebody mends the spec.
        Err(kube::Error::Api(answer)) if answer.code == 422 && is_invalid(status) => {
            let (namespace, name) = (image.namespace(), image.name());
            tracing::warn!(
                namespace,
                image = name,
                cause = answer.message,
                "the apiserver takes no status beside this spec"
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn is_invalid(status: &Status) -> bool {
    let invalid = Refusal::InvalidSpec(String::new());
    status.conditions.iter().any(|c| c.kind == "Stalled" && c.reason == invalid.reason())
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
        || [Reason::Building, Reason::Publishing, Reason::Adopting, Reason::Suspended]
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
            context.metrics.published(wanted.kind);
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
