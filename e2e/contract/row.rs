//! The rows as they are written.
//!
//! Does nothing with them. Invariant: an unknown word in a row is an error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One observed fact.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) says: String,
    /// It changes CDI's settings: no other row runs beside it.
    #[serde(default)]
    pub(crate) alone: bool,
    pub(crate) steps: Vec<Step>,
}

/// What is given, done or seen. Objects are named `[other:]Kind/name`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Step {
    Create(Create),
    Patch(Patch),
    Delete(Delete),
    /// A pod writes a disk into the claim and ends.
    Fill(String),
    /// A pod mounts the claim and ends.
    Bind(String),
    /// Remembers an object as it is, for `same`, `new` and `{uid}`.
    Note(String),
    /// Turns a feature gate of CDI on until the row ends.
    Gate(String),
    /// Seconds in which controllers may settle.
    Rest(u64),
    See(Box<See>),
    Gone(Gone),
    Event(Event),
    Quiet(Quiet),
    /// `none`: no pods but those of these rows.
    Pods(None),
    Content(Content),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum None {
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    pub(crate) object: String,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// An owner, with a star if it controls.
    pub(crate) owner: Option<String>,
    #[serde(default)]
    pub(crate) spec: Value,
    /// It is refused with an error that contains this.
    pub(crate) refused: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    pub(crate) object: String,
    /// A merge patch.
    pub(crate) with: Value,
    pub(crate) refused: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    pub(crate) object: String,
    /// The propagation policy; Background if there is none.
    pub(crate) cascade: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct See {
    pub(crate) object: String,
    /// Seconds after which it must be seen.
    pub(crate) within: Option<u64>,
    /// It must be seen for as many seconds without a break.
    #[serde(rename = "for")]
    pub(crate) lasting: Option<u64>,
    /// `status.phase`; empty: there is none.
    pub(crate) phase: Option<String>,
    /// Condition to status, reason and message, as many of them as are given.
    pub(crate) conditions: BTreeMap<String, Vec<String>>,
    pub(crate) annotations: BTreeMap<String, Option<String>>,
    pub(crate) labels: BTreeMap<String, Option<String>>,
    /// All owners, `Kind/name`, with a star if it controls.
    pub(crate) owners: Option<Vec<String>>,
    /// Is part of the object; a list's elements are somewhere in the object's list.
    pub(crate) has: Value,
    /// Pointers to what is not there.
    pub(crate) lacks: Vec<String>,
    /// Pointers to what is as it was noted.
    pub(crate) same: Vec<String>,
    /// It is another object than the one that was noted.
    pub(crate) new: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gone {
    pub(crate) object: String,
    pub(crate) within: Option<u64>,
    /// It must not come back for as many seconds.
    #[serde(rename = "for")]
    pub(crate) lasting: Option<u64>,
}

/// An event of this object that there must be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) object: String,
    pub(crate) r#type: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// No event of this object, or none of this type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quiet {
    pub(crate) object: String,
    pub(crate) r#type: Option<String>,
}

/// What a pod finds in a claim.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    pub(crate) object: String,
    pub(crate) is: Disk,
    /// The claim whose disk it is, if it was filled by cloning.
    pub(crate) of: Option<String>,
    /// Only where bytes are copied.
    #[serde(default)]
    pub(crate) copied: bool,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Disk {
    Filled,
    Empty,
}

/// The whole table.
pub(crate) fn all() -> Vec<Row> {
    [include_str!("e1.yaml"), include_str!("e2.yaml")]
        .into_iter()
        .flat_map(|text| {
            let rows: Vec<Value> = serde_saphyr::from_str(text).unwrap();
            rows.into_iter().map(|row| {
                let named = row["id"].to_string();
                serde_json::from_value(row).unwrap_or_else(|e| panic!("row {named}: {e}"))
            })
        })
        .collect()
}
