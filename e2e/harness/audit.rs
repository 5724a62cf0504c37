//! The apiserver's audit log: what the operator really asked for.
//!
//! Reads only. Invariant: an entry that cannot be read is a failure, but for the last line, which
//! may be half written.

use serde_json::Value;

use super::objects::text;

/// The operator's user name.
const OPERATOR: &str = "system:serviceaccount:vmimage-system:vmimage-operator";

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// `pods` or `pods/log`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) code: String,
    /// When it was received, RFC 3339 in UTC with microseconds: sorts as text.
    pub(crate) at: String,
    /// Why it was refused, if it was.
    pub(crate) message: String,
    pub(crate) path: String,
}

impl Entry {
    /// Whether it may change something.
    pub(crate) fn writes(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb.as_str())
    }
}

/// All requests whose line holds `needle`, oldest first.
pub(crate) fn audit(needle: &str) -> Vec<Entry> {
    let path = std::env::var("VMIMAGE_CLUSTER_AUDIT")
        .expect("VMIMAGE_CLUSTER_AUDIT is set by `cluster exec`");
    let log = fs_err::read_to_string(path).unwrap();
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let mut entries: Vec<Entry> = whole
        .lines()
        .filter(|line| line.contains(needle))
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let stage = text(&line, "/stage");
            (stage, entry(&line))
        })
        // A watch is written twice: when it starts and when it ends.
        .filter(|(stage, entry)| (stage == "ResponseStarted") == (entry.verb == "watch"))
        .map(|(_, entry)| entry)
        .collect();
    entries.sort_by(|a, b| a.at.cmp(&b.at));
    entries
}

/// All requests of the operator, in the cluster or as a child process.
pub(crate) fn operator_requests() -> Vec<Entry> {
    audit(&format!("\"user\":{{\"username\":\"{OPERATOR}\""))
}

fn entry(line: &Value) -> Entry {
    let object = |field: &str| text(line, &format!("/objectRef/{field}"));
    let subresource = object("subresource");
    let resource = object("resource");
    Entry {
        verb: text(line, "/verb"),
        group: object("apiGroup"),
        resource: if subresource.is_empty() {
            resource
        } else {
            format!("{resource}/{subresource}")
        },
        namespace: object("namespace"),
        name: object("name"),
        code: text(line, "/responseStatus/code"),
        at: text(line, "/requestReceivedTimestamp"),
        message: text(line, "/responseStatus/message"),
        path: text(line, "/requestURI"),
    }
}
