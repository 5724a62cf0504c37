//! A target that is a container image in a registry: nothing in the cluster holds its bytes.
//!
//! Pure. Invariant: the record that it is published is the status, with the annotation
//! vmimage.dev/rebuild of that time; without record it is pushed again, which moves nothing that is
//! there already.

use super::super::observe::{Attempt, Marks};
use super::super::reason::Reason;
use super::target::{GONE, SLOW, Step, View, failed, forget, judged, work};
use super::{Action, State};
use crate::api::status::{IMAGE, Published};

/// Decides about one target that is pushed.
pub(super) fn target(view: &View<'_>) -> Step {
    if let Some(rival) = view.observed.rivals.get(&view.wanted.target) {
        let message = format!(
            "the older image {} pushes to {}, too; choose another image or tag",
            rival.image, rival.tag
        );
        return Step::waiting(Reason::TagConflict, message).again(SLOW);
    }
    match record(view) {
        Some(marks) => Step::new(State::Published(marks)),
        None => work(view, None),
    }
}

/// What the status tells of this very push.
fn record(view: &View<'_>) -> Option<Marks> {
    let previous = view.facts.previous;
    let told = previous.targets.iter().find(|target| target.name == view.wanted.target)?;
    let current = told.current.as_ref().filter(|current| {
        current.reference.kind == IMAGE
            && current.target_hash == view.wanted.target_hash
            && current.rebuild.as_deref() == view.facts.rebuild
    })?;
    let content = previous.content.as_ref()?;
    Some(marks(current, &content.digest, content.virtual_size_bytes))
}

fn marks(current: &Published, content_digest: &str, virtual_size: i64) -> Marks {
    let number = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
    Marks {
        digest: current.digest.clone(),
        size: number(current.size_bytes),
        content_digest: content_digest.to_owned(),
        virtual_size: number(virtual_size),
        ..Marks::default()
    }
}

/// A Job has pushed it.
pub(super) fn complete(view: &View<'_>, job: &Attempt, jobs: &[&Attempt]) -> Step {
    if job.rebuild.as_deref() != view.facts.rebuild {
        return forget(view, job, "vmimage.dev/rebuild changed; it is pushed again");
    }
    let (pod, marks) = match judged(view, job) {
        Ok(Some(found)) => found,
        Ok(None) => return forget(view, job, GONE),
        Err(verdict) => return failed(view, None, &verdict, jobs),
    };
    let keep = Action::Keep {
        wanted: view.wanted.clone(),
        digest: marks.manifest_digest.clone(),
        pod: pod.id.name.clone(),
    };
    Step::new(State::Published(marks)).with(keep)
}
