//! The CEL rules of the CRD, beside the fields they guard.
//!
//! Does not check documents on the desk (that is `check`, which holds the same table in Rust).
//! Invariant: every rule has a message that names what is allowed.

use serde_json::{Value, json};

/// "Exactly one of these members".
pub(super) fn union(what: &str, members: &[&str]) -> Value {
    json!([one_of(what, members)])
}

fn one_of(what: &str, members: &[&str]) -> Value {
    let has: Vec<String> = members.iter().map(|m| format!("has(self.{m})")).collect();
    let list = members.join(", ");
    let message = match members {
        [only] => format!("{what} needs its member {only}"),
        _ => format!("{what} needs exactly one of: {list}"),
    };
    json!({"rule": format!("[{}].exists_one(x, x)", has.join(", ")), "message": message})
}

/// The rules of a source.
pub(super) fn source() -> Value {
    json!([
        one_of("source", &["inline", "file"]),
        {
            "rule": "!has(self.file)",
            "message": "source.file works on a desk only; in a cluster use source.inline",
        },
    ])
}

/// The rules of a target.
pub(super) fn target() -> Value {
    json!([one_of("a publish entry", &["pvc"])])
}

/// The rules of one format.
pub(super) fn format() -> Value {
    json!([{
        "rule": "!has(self.qcow2) || self.type == 'qcow2'",
        "message": "qcow2 holds options of qcow2 files; it needs type: qcow2",
    }])
}

/// The rules over all formats.
pub(super) fn formats() -> Value {
    json!([{
        "rule": "self.all(a, self.exists_one(b, (has(a.name) ? a.name : a.type) == (has(b.name) ? b.name : b.type)))",
        "message": "every format needs its own name (the type is the name when none is given)",
    }])
}

/// The rules over the whole spec: combinations that no machine can boot or no writer can make.
pub(super) fn spec() -> Value {
    json!([
        {
            "rule": "!(has(self.boot) && has(self.boot.sector)) || self.architecture != 'arm64'",
            "message": "boot.sector is a BIOS program for x86; arm64 has no BIOS: use architecture amd64 or i386",
        },
        {
            "rule": "has(self.boot) || (has(self.disk) && has(self.disk.size))",
            "message": "nothing to build: add boot, or disk.size for an empty disk",
        },
    ])
}

/// The schema of a resource quantity.
pub(super) fn quantity() -> Value {
    json!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "maxLength": 32,
        "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
    })
}
