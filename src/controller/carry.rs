//! Carries a decision out, action by action, and tells what a refusal means.
//!
//! Decides nothing else. Invariant: what a person must know of a refusal becomes the state of its
//! target; what may pass by itself ends the run, which is repeated.

use std::collections::BTreeSet;
use std::time::Duration;

use super::apply::{self, Order};
use super::decide::{Decision, State};
use super::reason::Reason;
use super::reconcile::Error;

/// How soon a name that is still taken is looked at again.
const NAMESAKE: Duration = Duration::from_secs(1);
/// How soon something that the apiserver refused is tried again.
const REFUSED: Duration = Duration::from_secs(15);

/// Carries all actions out. What the apiserver refuses becomes the target's state; what may pass
/// by itself ends the run.
pub(super) async fn carry_out(order: &Order<'_>, decision: &mut Decision) -> Result<(), Error> {
    let mut refused = BTreeSet::new();
    for action in std::mem::take(&mut decision.actions) {
        let name = action.target();
        // What follows in a target builds on what came before.
        if name.is_some_and(|name| refused.contains(name)) {
            continue;
        }
        let Err(error) = order.apply(&action).await else { continue };
        if is_ending(&error) {
            return Err(Error::Ending);
        }
        let (Some(name), Some((state, again))) = (name, refusal(&error)) else {
            return Err(Error::Apply(error));
        };
        refused.insert(name.to_owned());
        decision.again = Some(decision.again.map_or(again, |other| other.min(again)));
        for target in decision.targets.iter_mut().filter(|t| t.wanted.target == name) {
            target.state = state.clone();
        }
    }
    Ok(())
}

/// Whether the apiserver refused because the namespace is being deleted, and the image with it.
fn is_ending(error: &apply::Error) -> bool {
    match error {
        apply::Error::Api { source: kube::Error::Api(answer), .. } => {
            answer.message.contains("because it is being terminated")
        }
        _ => false,
    }
}

/// The state that a refused action leaves its target in, and when to look again; none if the error
/// may pass by itself.
fn refusal(error: &apply::Error) -> Option<(State, Duration)> {
    let (reason, message, again) = match error {
        apply::Error::Namesake { .. } => (Reason::NamesakeTerminating, error.to_string(), NAMESAKE),
        apply::Error::Foreign { .. } => (Reason::NameConflict, error.to_string(), REFUSED),
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
