//! values.yaml, its schema and its documentation: that they agree, and what the schema refuses.
//!
//! Invariant: every refusal is Helm's own, on the whole chart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::helm::{file, try_render, yaml};

fn values() -> Value {
    yaml(&file("charts/vmimage-operator/values.yaml")).remove(0)
}

fn schema() -> Value {
    serde_json::from_str(&file("charts/vmimage-operator/values.schema.json")).unwrap()
}

/// The objects of fixed fields in the schema, by path; the values themselves have the path "".
fn closed(path: &str, schema: &Value, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return };
    assert_eq!(schema["additionalProperties"], false, "{path} takes unknown fields");
    found.insert(path.to_owned(), fields.keys().cloned().collect());
    for (name, field) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        closed(&path, field, found);
    }
}

fn at<'a>(values: &'a Value, path: &str) -> &'a Map<String, Value> {
    let found = path.split('.').filter(|part| !part.is_empty()).fold(values, |v, part| &v[part]);
    found.as_object().unwrap_or_else(|| panic!("{path:?} is not a map in values.yaml"))
}

#[test]
fn the_schema_knows_the_values_and_no_others() {
    let mut objects = BTreeMap::new();
    closed("", &schema(), &mut objects);
    let values = values();
    for (path, fields) in &objects {
        // Helm and parent charts hand these two to a subchart.
        let parents =
            |name: &&String| path.is_empty() && ["global", "enabled"].contains(&name.as_str());
        let known: BTreeSet<&String> = fields.iter().filter(|name| !parents(name)).collect();
        assert_eq!(known, at(&values, path).keys().collect(), "{path:?}");
    }
    assert_eq!(objects.len(), 10, "{:?}", objects.keys());
}

#[test]
fn an_unknown_value_is_refused_wherever_it_stands() {
    let mut objects = BTreeMap::new();
    closed("", &schema(), &mut objects);
    for path in objects.keys() {
        let dot = if path.is_empty() { "" } else { "." };
        let complaint = try_render(&["--set", &format!("{path}{dot}bogus=1")]).err();
        let complaint = complaint.unwrap_or_else(|| panic!("{path}{dot}bogus is taken"));
        assert!(complaint.contains("bogus"), "{complaint}");
    }
    let pull_secret =
        try_render(&["--set", "imagePullSecrets[0].name=a,imagePullSecrets[0].bogus=1"]);
    assert!(pull_secret.is_err_and(|complaint| complaint.contains("bogus")));
}

#[test]
fn values_that_cannot_work_are_refused() {
    for setting in [
        "image.digest=5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "image.repository=",
        "image.pullPolicy=Sometimes",
        "watchNamespaces={a.b}",
        "watchNamespaces={a,a}",
        "filesystemOverhead=1",
        "filesystemOverhead=0.0000001",
        "filesystemOverhead=6%",
        "classOverhead.a=-0.1",
        "classMinimum.a=8M",
        "classMinimum.A=8Mi",
        "concurrency=0",
        "concurrency=1001",
        "logFormat=xml",
        "listenAddress=localhost:80",
        "runAsUser=0",
        "resources.limits.memory=much",
        "serviceMonitor.interval=often",
        "serviceAccount.create=false",
    ] {
        assert!(try_render(&["--set", setting]).is_err(), "{setting} is taken");
    }
}

#[test]
fn forms_that_a_command_line_gives_are_taken() {
    for setting in [
        "filesystemOverhead=0",
        "filesystemOverhead=0.1",
        "classOverhead.lvm\\.thin=0.25",
        "classMinimum.*=8Mi",
        "resources.limits.memory=1Gi",
        "resources.limits.cpu=1",
        "runAsUser=null",
        "global.anything=1",
        "serviceAccount.create=false,serviceAccount.name=given",
    ] {
        try_render(&["--set", setting])
            .unwrap_or_else(|complaint| panic!("{setting}: {complaint}"));
    }
}

/// Every value that is not a map of values itself, by path.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, value, found);
            }
        }
        _ => drop(found.insert(path.to_owned(), value.clone())),
    }
}

#[test]
fn the_readme_has_every_value_with_its_default() {
    let mut expected = BTreeMap::new();
    leaves("", &values(), &mut expected);
    let mut found = BTreeMap::new();
    for line in file("charts/vmimage-operator/README.md").lines() {
        let Some(row) = line.strip_prefix("| `") else { continue };
        let (name, rest) = row.split_once("` | `").unwrap_or_else(|| panic!("{line}"));
        let (default, meaning) = rest.split_once("` | ").unwrap_or_else(|| panic!("{line}"));
        let default = yaml(default).pop().unwrap_or(Value::Null);
        assert!(meaning.len() > "| ".len(), "{line}");
        assert_eq!(found.insert(name.to_owned(), default), None, "{name} is there twice");
    }
    assert_eq!(found, expected);
}

#[test]
fn every_value_has_a_comment() {
    let text = file("charts/vmimage-operator/values.yaml");
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let [above, line] = pair else { continue };
        if line.contains(':') && !line.trim_start().starts_with('#') {
            assert!(above.trim_start().starts_with("# "), "no comment above: {line}");
        }
    }
}
