//! Conditions as Kubernetes' API conventions and kstatus want them.
//!
//! Does not decide what is true. Invariant: the transition time changes only when the status does;
//! `Reconciling` and `Stalled` are absent unless true.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest message that is kept.
const MAX_MESSAGE: usize = 1024;

/// One condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Condition {
    /// `Ready`, `Built`, `Published`, `Reconciling` or `Stalled`.
    #[serde(rename = "type")]
    #[schemars(length(max = 64))]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(length(max = 16))]
    pub status: String,
    /// Why, as one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Why, as a sentence.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// When the status last changed.
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A condition without its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The condition's type.
    pub kind: &'static str,
    /// Whether it is true; none for unknown.
    pub holds: Option<bool>,
    /// Why, as one word.
    pub reason: String,
    /// Why, as a sentence.
    pub message: String,
}

/// The conditions for `claims`: a transition time is kept from `previous` unless the status
/// changed; it is `now` (RFC 3339) then.
#[must_use]
pub fn settle(
    claims: Vec<Claim>,
    previous: &[Condition],
    generation: i64,
    now: &str,
) -> Vec<Condition> {
    claims
        .into_iter()
        .map(|claim| {
            let status = match claim.holds {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let before = previous.iter().find(|c| c.kind == claim.kind && c.status == status);
            let since = before.map_or(now, |c| c.last_transition_time.as_str()).to_owned();
            let mut message = claim.message;
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            Condition {
                kind: claim.kind.to_owned(),
                status: status.to_owned(),
                reason: claim.reason,
                message,
                last_transition_time: since,
                observed_generation: Some(generation),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(holds: bool, reason: &str) -> Claim {
        Claim {
            kind: "Ready",
            holds: Some(holds),
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn only_a_change_of_status_is_a_transition() {
        let first = settle(vec![claim(false, "Building")], &[], 1, "t1");
        let second = settle(vec![claim(false, "Publishing")], &first, 2, "t2");
        assert_eq!(second[0].last_transition_time, "t1");
        assert_eq!(
            (second[0].reason.as_str(), second[0].observed_generation),
            ("Publishing", Some(2))
        );
        let third = settle(vec![claim(true, "Published")], &second, 2, "t3");
        assert_eq!(third[0].last_transition_time, "t3");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut long = claim(true, "x");
        long.message = "é".repeat(800);
        let cut = settle(vec![long], &[], 1, "t").remove(0).message;
        assert_eq!(cut.len(), 1024);
    }
}
