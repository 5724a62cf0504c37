//! End to end: every case is one story, played on a real cluster with a kubelet by a user who
//! applies documents. `e2e/run` starts the cluster, installs the operator and runs this program.
//!
//! Does not look into the operator: what it did is read from the cluster, its audit log and its
//! metrics, and bytes are judged by foreign tools on the host. Invariant: a missing cluster or tool
//! fails a case; nothing is skipped. On a cluster of the user's own (`VMIMAGE_E2E_FOREIGN=1`) the
//! cases that must see the host say that they are not run.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "cases may panic and talk")]

#[path = "../harness/mod.rs"]
mod harness;

mod c010_hello;
mod c020_as_a_user;
mod c030_changed_message;
mod c040_two_targets;
mod c050_edit_while_building;
mod c060_suspend;
mod c070_missing_storage_class;
mod c080_quota;
mod c090_pod_security;
mod c100_out_of_memory;
mod c110_deleted_job;
mod c120_namesake;
mod c130_volume_too_small;
mod c140_killed;
mod c150_erased;
mod c160_delete_in_every_phase;
mod c170_settled;
mod c190_watch_namespaces;
mod c200_named_claim;
mod c210_timeout;
mod c220_latency;
mod c230_shutdown;
mod c240_invalid_objects;
mod c250_files;
mod c260_sources;
mod c265_inputs;
mod c270_examples;
mod c280_boot;
mod c290_scripts;
mod c300_block;
mod c310_cdi;
mod c320_registry;
mod c900_rbac;

use serde_json::{Value, json};

/// The hello document with this message.
fn hello(message: &str) -> Value {
    json!({
        "boot": {"sector": {"message": message}},
        "publish": [{"name": "golden", "pvc": {}}],
    })
}

/// `document` with more fields; objects are merged, everything else is replaced.
fn with(mut document: Value, more: Value) -> Value {
    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }
    merge(&mut document, more);
    document
}

/// A document whose build pod fits no node until that is edited.
fn unschedulable(message: &str) -> Value {
    with(hello(message), json!({"build": {"nodeSelector": {"e2e.vmimage.dev/none": "such"}}}))
}

/// A document whose build takes seconds: little processor for a large disk.
fn slow(message: &str) -> Value {
    with(
        hello(message),
        json!({
            "disk": {"size": "32Mi"},
            "publish": [{"name": "golden", "pvc": {"request": "64Mi"}}],
            "build": {"resources": {"limits": {"cpu": "20m"}}},
        }),
    )
}
