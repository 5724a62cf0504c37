//! Whether an object is what a row expects.
//!
//! Asks nobody. Invariant: what differs is named with what was expected.

use serde_json::Value;

use super::row::See;

/// The whole name of an annotation or a label that the table abbreviates.
pub(crate) fn key(short: &str) -> String {
    match short {
        "AD" => "cdi.kubevirt.io/allowClaimAdoption".to_owned(),
        "PF" => "cdi.kubevirt.io/storage.populatedFor".to_owned(),
        "PP" => "cdi.kubevirt.io/storage.prePopulated".to_owned(),
        "UP" => "cdi.kubevirt.io/storage.usePopulator".to_owned(),
        "IT" => "instancetype.kubevirt.io/default-instancetype".to_owned(),
        "ITK" => "instancetype.kubevirt.io/default-instancetype-kind".to_owned(),
        "PREF" => "instancetype.kubevirt.io/default-preference".to_owned(),
        whole => whole.to_owned(),
    }
}

/// The text at a pointer, empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// All that differs, in one text.
pub(crate) fn differences(object: &Value, see: &See, noted: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(phase) = &see.phase {
        differs(&mut found, "phase", phase, text(object, "/status/phase"));
    }
    for (kind, expected) in &see.conditions {
        condition(&mut found, object, kind, expected);
    }
    for (map, expected) in [("annotations", &see.annotations), ("labels", &see.labels)] {
        for (name, value) in expected {
            let seen = object["metadata"][map][key(name)].as_str();
            if seen != value.as_deref() {
                found.push(format!("{map} {}: expected {value:?}, seen {seen:?}", key(name)));
            }
        }
    }
    if let Some(expected) = &see.owners {
        let mut expected = expected.clone();
        expected.sort();
        differs(&mut found, "owners", &format!("{expected:?}"), &format!("{:?}", owners(object)));
    }
    if !see.has.is_null() {
        lacking(&mut found, object, &see.has, "");
    }
    for pointer in &see.lacks {
        if let Some(seen) = object.pointer(pointer) {
            found.push(format!("{pointer}: expected nothing, seen {seen}"));
        }
    }
    since(&mut found, object, see, noted);
    found
}

/// What has changed since the object was noted.
fn since(found: &mut Vec<String>, object: &Value, see: &See, noted: Option<&Value>) {
    if see.same.is_empty() && !see.new {
        return;
    }
    let noted = noted.unwrap_or_else(|| panic!("{} was not noted", see.object));
    for pointer in &see.same {
        let (before, now) = (noted.pointer(pointer), object.pointer(pointer));
        if before != now {
            found.push(format!("{pointer}: noted {before:?}, seen {now:?}"));
        }
    }
    if see.new && noted["metadata"]["uid"] == object["metadata"]["uid"] {
        found.push("expected a new object, seen the old one".to_owned());
    }
}

fn differs(found: &mut Vec<String>, what: &str, expected: &str, seen: &str) {
    if expected != seen {
        found.push(format!("{what}: expected {expected:?}, seen {seen:?}"));
    }
}

fn condition(found: &mut Vec<String>, object: &Value, kind: &str, expected: &[String]) {
    let all = object["status"]["conditions"].as_array();
    let one = all.and_then(|all| all.iter().find(|c| c["type"] == kind));
    let Some(one) = one else {
        found.push(format!("condition {kind}: expected {expected:?}, there is none"));
        return;
    };
    for (field, expected) in ["/status", "/reason", "/message"].into_iter().zip(expected) {
        differs(found, &format!("condition {kind} {field}"), expected, text(one, field));
    }
}

fn owners(object: &Value) -> Vec<String> {
    let all = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let name = |owner: &Value| {
        let star = if owner["controller"] == true { "*" } else { "" };
        format!("{}/{}{star}", text(owner, "/kind"), text(owner, "/name"))
    };
    let mut names: Vec<String> = all.iter().map(name).collect();
    names.sort();
    names
}

/// Whether `part` is in `whole`.
fn lacking(found: &mut Vec<String>, whole: &Value, part: &Value, at: &str) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (field, part) in part {
                let value = whole.get(field).unwrap_or(&Value::Null);
                lacking(found, value, part, &format!("{at}/{field}"));
            }
        }
        (Value::Array(whole), Value::Array(part)) => {
            let is_in = |part: &Value, whole: &Value| {
                let mut differences = Vec::new();
                lacking(&mut differences, whole, part, at);
                differences.is_empty()
            };
            for element in part {
                if !whole.iter().any(|whole| is_in(element, whole)) {
                    found.push(format!("{at}: expected {element} in {whole:?}"));
                }
            }
        }
        _ if whole == part => {}
        _ => found.push(format!("{at}: expected {part}, seen {whole}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_difference_is_seen() {
        let claim = json!({
            "metadata": {"uid": "2", "labels": {"a": "1"}, "annotations": {"cdi.kubevirt.io/storage.populatedFor": "x"},
                "ownerReferences": [{"kind": "DataVolume", "name": "x", "controller": true}]},
            "status": {"phase": "Bound", "conditions": [{"type": "Ready", "status": "False", "reason": "No"}]},
        });
        let noted = json!({"metadata": {"uid": "1", "labels": {"a": "1"}}});
        let judge = |see: Value| {
            let see: See = serde_json::from_value(see).unwrap();
            differences(&claim, &see, Some(&noted)).len()
        };
        let pairs = [
            (json!({"phase": "Bound"}), json!({"phase": ""})),
            (
                json!({"conditions": {"Ready": ["False", "No"]}}),
                json!({"conditions": {"Ready": ["False", ""]}}),
            ),
            (json!({"conditions": {}}), json!({"conditions": {"Bound": ["True"]}})),
            (json!({"annotations": {"PF": "x"}}), json!({"annotations": {"PF": null}})),
            (json!({"annotations": {"PP": null}}), json!({"annotations": {"PP": "x"}})),
            (json!({"labels": {"a": "1"}}), json!({"labels": {"a": "2"}})),
            (json!({"owners": ["DataVolume/x*"]}), json!({"owners": ["DataVolume/x"]})),
            (
                json!({"has": {"status": {"conditions": [{"reason": "No"}]}}}),
                json!({"has": {"status": {"conditions": [{"reason": "Yes"}]}}}),
            ),
            (json!({"lacks": ["/spec"]}), json!({"lacks": ["/status/phase"]})),
            (json!({"same": ["/metadata/labels"]}), json!({"same": ["/metadata/uid"]})),
        ];
        for (right, wrong) in pairs {
            assert_eq!((judge(right.clone()), judge(wrong.clone())), (0, 1), "{right} {wrong}");
        }
        assert_eq!(judge(json!({"new": true})), 0);
    }
}
