//! Looks fields up in the document's schema.
//!
//! Does not print. Invariant: a list is transparent (`formats.qcow2` and `formats[0].qcow2` are
//! the same field), and a field that is not there is answered with the nearest name.

use serde_json::{Value, json};

use crate::manifest::{self, API_VERSION, KIND};

/// A field that is not in the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unknown {
    /// No such member.
    #[error("{place} has no field {name:?}{}", hint(nearest.as_deref(), known))]
    Field {
        /// The object that was looked into.
        place: String,
        /// What was asked for.
        name: String,
        /// The field with the most similar name.
        nearest: Option<String>,
        /// The fields there are.
        known: Vec<String>,
    },
    /// An index or key without an end.
    #[error("{path:?} is not the path of a field, such as spec.formats[0].type")]
    Form {
        /// What was asked for.
        path: String,
    },
}

fn hint(nearest: Option<&str>, known: &[String]) -> String {
    match (nearest, known) {
        (Some(nearest), _) => format!("; did you mean {nearest}?"),
        (None, []) => ": it has no fields".to_owned(),
        (None, known) => format!("; it has: {}", known.join(", ")),
    }
}

/// The schema of a whole document.
#[must_use]
pub(super) fn document() -> Value {
    let string = |description: &str| json!({"type": "string", "description": description});
    let texts = |description: &str| {
        json!({
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": description,
        })
    };
    let mut api_version = string("The version of the document's form.");
    let mut kind = string("The kind of the document.");
    api_version["enum"] = json!([API_VERSION]);
    kind["enum"] = json!([KIND]);
    json!({
        "type": "object",
        "description": "A virtual-machine image: what to build, and where to publish it.",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "type": "object",
                "description": "Name, labels and annotations. Only the name means something to a build.",
                "required": ["name"],
                "properties": {
                    "name": string("The image's name. Names the files that are built."),
                    "namespace": string("The namespace; ignored on the desk."),
                    "labels": texts("Labels of the object; they change no image."),
                    "annotations": texts("Annotations of the object; they change no image."),
                },
            },
            "spec": manifest::schema(),
            "status": {
                "type": "object",
                "description": "Written by the controller; ignored in documents.",
            },
        },
    })
}

/// The field at `path`, with or without the leading `spec.`, and its full path.
pub(super) fn find<'a>(document: &'a Value, path: &str) -> Result<(String, &'a Value), Unknown> {
    let segments = segments(path).ok_or_else(|| Unknown::Form { path: path.to_owned() })?;
    let top = segments.first().is_none_or(|first| member(document, first).is_some());
    let mut place = String::new();
    let mut schema = document;
    let spec = (!top).then(|| "spec".to_owned());
    for name in spec.into_iter().chain(segments) {
        schema = member(schema, &name).ok_or_else(|| unknown(schema, &place, &name))?;
        if !place.is_empty() {
            place.push('.');
        }
        place.push_str(&name);
    }
    Ok((place, schema))
}

fn unknown(schema: &Value, place: &str, name: &str) -> Unknown {
    let known: Vec<String> = fields(schema).into_iter().map(|(name, _)| name.to_owned()).collect();
    let lower = name.to_lowercase();
    let score = |known: &String| strsim::jaro_winkler(&lower, &known.to_lowercase());
    let nearest = known.iter().filter(|known| score(known) > 0.75);
    let nearest = nearest.max_by(|a, b| score(a).total_cmp(&score(b))).cloned();
    let place = if place.is_empty() { "a document" } else { place }.to_owned();
    Unknown::Field { place, name: name.to_owned(), nearest, known }
}

/// `spec.formats[0]["x"].type` as names; indexes are dropped. None if a bracket is not closed.
fn segments(path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inner, behind) = after.split_once(']')?;
            let key = inner.trim_matches(['"', '\'']);
            if key != inner {
                names.push(key.to_owned());
            } else if !inner.is_empty() && inner != "*" && inner.parse::<u64>().is_err() {
                return None;
            }
            rest = behind;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            if name.is_empty() {
                return None;
            }
            names.push(name.to_owned());
            rest = behind;
        }
    }
    Some(names)
}

/// The member `name` of an object, a list of objects, or a map.
fn member<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let schema = element(schema);
    let field = schema.get("properties").and_then(|all| all.get(name));
    field.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()))
}

/// The schema of a list's elements; of anything else, itself.
#[must_use]
pub(super) fn element(schema: &Value) -> &Value {
    schema.get("items").unwrap_or(schema)
}

/// The fields of an object or of a list's elements, by name.
#[must_use]
pub(super) fn fields(schema: &Value) -> Vec<(&str, &Value)> {
    let properties = element(schema).get("properties").and_then(Value::as_object);
    let mut fields: Vec<_> =
        properties.into_iter().flatten().map(|(name, field)| (name.as_str(), field)).collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

/// Whether `name` must be given.
#[must_use]
pub(super) fn is_required(schema: &Value, name: &str) -> bool {
    let required = element(schema).get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|n| n == name))
}

/// The type in a word: `string`, `[]Object`, `map[string]string`.
#[must_use]
pub(super) fn type_of(schema: &Value) -> String {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".to_owned();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => format!("[]{}", type_of(element(schema))),
        Some("object") => match schema.get("additionalProperties").filter(|v| v.is_object()) {
            Some(values) => format!("map[string]{}", type_of(values)),
            None => "Object".to_owned(),
        },
        Some(name) => name.to_owned(),
        None if schema.get("enum").is_some() => "string".to_owned(),
        None => "Object".to_owned(),
    }
}

/// The bounds of a value, one text each.
#[must_use]
pub(super) fn bounds(schema: &Value) -> Vec<String> {
    let range = |low: &str, high: &str, what: &str| {
        let (low, high) = (schema.get(low), schema.get(high));
        let text = match (low, high) {
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(low), None) => format!("at least {low}"),
            (None, Some(high)) => format!("at most {high}"),
            (None, None) => return None,
        };
        Some(format!("{text}{what}"))
    };
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let format = schema.get("format").and_then(Value::as_str);
    [
        range("minimum", "maximum", ""),
        range("minLength", "maxLength", " characters"),
        range("minItems", "maxItems", " entries"),
        range("minProperties", "maxProperties", " entries"),
        pattern.map(|pattern| format!("must match {pattern}")),
        format.filter(|format| !format.starts_with("int")).map(|format| format!("form: {format}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The messages of the rules that a field must keep.
#[must_use]
pub(super) fn rules(schema: &Value) -> Vec<&str> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    let messages = rules.into_iter().flatten().filter_map(|rule| rule.get("message"));
    messages.filter_map(Value::as_str).collect()
}

/// The values that are allowed, where they are few.
#[must_use]
pub(super) fn allowed(schema: &Value) -> Vec<String> {
    let values = element(schema).get("enum").and_then(Value::as_array);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    values.into_iter().flatten().filter(|value| !value.is_null()).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Value {
        json!({"properties": {"kind": {"type": "string"}, "spec": {"properties": {
            "formats": {"type": "array", "items": {"type": "object", "required": ["type"],
                "properties": {"type": {"enum": ["raw", "qcow2"], "type": "string"}}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }}}})
    }

    #[test]
    fn paths_are_forgiving() {
        let document = small();
        for path in ["spec.formats.type", "formats[0].type", "formats[].type", "formats.type"] {
            let (found, schema) = find(&document, path).unwrap();
            assert_eq!(found, "spec.formats.type");
            assert_eq!(allowed(schema), ["raw", "qcow2"]);
        }
        assert_eq!(find(&document, "kind").unwrap().0, "kind");
        assert_eq!(find(&document, "labels[\"a.b\"]").unwrap().0, "spec.labels.a.b");
        let (_, formats) = find(&document, "formats").unwrap();
        assert_eq!(type_of(formats), "[]Object");
        assert!(is_required(formats, "type"));
    }

    #[test]
    fn unknown_fields_are_answered() {
        let document = small();
        let message = |path| find(&document, path).unwrap_err().to_string();
        assert_eq!(message("spec.format"), "spec has no field \"format\"; did you mean formats?");
        assert_eq!(
            message("formats[0].Typ"),
            "spec.formats has no field \"Typ\"; did you mean type?"
        );
        assert_eq!(message("spec.zz"), "spec has no field \"zz\"; it has: formats, labels");
        assert_eq!(message("kind.x"), "kind has no field \"x\": it has no fields");
        for broken in ["formats[0", "a..b", "formats[x]", "a."] {
            assert!(matches!(find(&document, broken), Err(Unknown::Form { .. })), "{broken}");
        }
    }
}
