//! What can be refused before a byte is written: one table of impossible combinations, and the
//! bounds of the schema.
//!
//! Does not read files and does not know what fits a boot sector (the engine does). Invariant:
//! every CEL rule of the CRD has a row with the same message here, and a row that CEL can express
//! has a rule.

mod boot;
mod contents;
mod disk;
mod filesystem;
mod formats;
mod publish;
mod scripts;
mod sources;
mod table;

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::types::{Spec, VMImage};
use super::walk::{Judge, walk};
use super::{FieldPath, schema};
pub use table::{ROWS, Row, Scope};

/// Why a document is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub path: FieldPath,
    /// What is wrong with it and what would be right; the path is not repeated.
    pub message: String,
}

/// Everything that is wrong with `image`. Nothing means accepted.
#[must_use]
pub fn check(image: &VMImage) -> Vec<Problem> {
    let metadata = json!({"name": image.metadata.name, "namespace": image.metadata.namespace});
    let path = FieldPath::new("metadata");
    let mut problems = walk(&METADATA, &metadata, &path, Judge::Bounds);
    problems.extend(check_spec(&image.spec));
    problems
}

/// Everything that is wrong with `spec`. Nothing means accepted.
#[must_use]
pub fn check_spec(spec: &Spec) -> Vec<Problem> {
    let value = serde_json::to_value(spec).unwrap_or_default();
    let mut problems = walk(schema::schema(), &value, &FieldPath::new("spec"), Judge::Bounds);
    problems.extend(rows(spec, Scope::Everywhere));
    problems
}

/// What is wrong with `spec` in a cluster only: inputs that it cannot reach.
#[must_use]
pub fn check_for_cluster(spec: &Spec) -> Vec<Problem> {
    rows(spec, Scope::Cluster)
}

fn rows(spec: &Spec, scope: Scope) -> Vec<Problem> {
    let rows = ROWS.iter().filter(|row| row.scope == scope);
    rows.flat_map(|row| {
        (row.find)(spec).into_iter().map(|found| Problem {
            path: found.path,
            message: match found.detail {
                Some(detail) => format!("{}: {detail}", row.message),
                None => row.message.to_owned(),
            },
        })
    })
    .collect()
}

/// What Kubernetes demands of names, and the length of ours: the name is a label's value, too.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    json!({"properties": {
        "name": {
            "minLength": 1,
            "maxLength": 63,
            "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        },
        "namespace": {"minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    }})
});
