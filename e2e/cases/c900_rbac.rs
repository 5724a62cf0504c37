//! The operator's rights, judged by what it asked for in this whole run. It is played last.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Use, case, foreign, kubectl, operator_requests};

/// Verbs that are granted and not used, each with the reason why it stays.
const UNUSED: &str = include_str!("rbac_unused.txt");

/// Nothing was refused, and every verb that the ClusterRole grants was used, or stands with a reason
/// in rbac_unused.txt (some are used in a rare race only); nothing stands there that is not granted.
#[test]
fn every_right_is_used_and_none_is_missing() {
    case("900_rbac", Use::Alone, async |space| {
        if foreign() {
            eprintln!("900: not run here: audit log of {}", space.namespace);
            return;
        }
        let requests = operator_requests();
        assert!(requests.len() > 50, "expected the requests of a run; seen: {}", requests.len());
        let refused: Vec<_> = requests
            .iter()
            .filter(|e| e.code == "403" && !expected_refusal(&e.message))
            .map(|e| format!("{} {} {} {}", e.verb, e.resource, e.namespace, e.message))
            .collect();
        assert!(refused.is_empty(), "requests that were refused: {refused:#?}");
        let foreign_writes: Vec<_> = requests
            .iter()
            .filter(|e| e.writes() && e.resource == "vmimages")
            .map(|e| e.path.clone())
            .collect();
        assert!(foreign_writes.is_empty(), "writes to images themselves: {foreign_writes:#?}");

        let used: BTreeSet<String> =
            requests.iter().map(|e| right(&e.group, &e.resource, &e.verb)).collect();
        let granted = granted();
        let listed: BTreeSet<String> = UNUSED
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split(" — ").next().unwrap_or_default().to_owned())
            .collect();
        let unused: Vec<_> = granted.difference(&used).filter(|r| !listed.contains(*r)).collect();
        assert!(unused.is_empty(), "granted, not used, and not in rbac_unused.txt: {unused:#?}");
        let stale: Vec<_> = listed.difference(&granted).collect();
        assert!(stale.is_empty(), "in rbac_unused.txt, but not granted: {stale:#?}");
    });
}

/// Quotas, and a namespace or a kind that is being deleted, refuse by 403, too: no matter of rights.
fn expected_refusal(message: &str) -> bool {
    let reasons = [
        "exceeded quota",
        "because it is being terminated",
        "while custom resource definition is terminating",
    ];
    reasons.iter().any(|reason| message.contains(reason))
}

fn right(group: &str, resource: &str, verb: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    format!("{group} {resource} {verb}")
}

fn granted() -> BTreeSet<String> {
    let role = kubectl(&["get", "clusterrole", "vmimage-operator", "-o", "json"]);
    let role: Value = serde_json::from_str(&role).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    all.insert(right(&group, &resource, &verb));
                }
            }
        }
    }
    all
}
