//! Walks a value along the schema of documents and says in our words what does not fit.
//!
//! `Judge::Shape` looks at members, types and ranges of numbers: what keeps a document from being
//! typed. `Judge::Bounds` looks at lengths, patterns and uniqueness: what an API server would
//! refuse as well. Decides nothing that is not in the schema. Invariant: never panics, whatever
//! the value.

use std::collections::BTreeSet;

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::FieldPath;
use super::check::Problem;

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// Members, types, ranges of numbers.
    Shape,
    /// Lengths, patterns, uniqueness.
    Bounds,
}

/// Everything in `value` that does not fit `schema`.
pub(super) fn walk(schema: &Value, value: &Value, path: &FieldPath, judge: Judge) -> Vec<Problem> {
    let mut walk = Walk { judge, problems: Vec::new() };
    walk.node(schema, value, path);
    walk.problems
}

struct Walk {
    judge: Judge,
    problems: Vec<Problem>,
}

impl Walk {
    fn say(&mut self, path: &FieldPath, message: String) {
        self.problems.push(Problem { path: path.clone(), message });
    }

    fn node(&mut self, schema: &Value, value: &Value, path: &FieldPath) {
        let fault = match self.judge {
            Judge::Shape => shape(schema, value),
            Judge::Bounds => bounds(schema, value),
        };
        if let Some(message) = fault {
            return self.say(path, message);
        }
        match value {
            Value::Object(members) => self.members(schema, members, path),
            Value::Array(elements) => self.elements(schema, elements, path),
            _ => {}
        }
    }

    fn members(&mut self, schema: &Value, members: &Map<String, Value>, path: &FieldPath) {
        let known = schema.get("properties").and_then(Value::as_object);
        let any = schema.get("additionalProperties");
        for (name, value) in members {
            let inner = path.member(name);
            match (known.and_then(|known| known.get(name)), known, any) {
                (Some(schema), _, _) | (None, None, Some(schema)) => {
                    self.node(schema, value, &inner)
                }
                (None, Some(known), _) => self.say(&inner, unknown_field(name, known)),
                (None, None, None) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
            let allowed = known.and_then(|known| known.get(name)).and_then(allowed);
            let allowed = allowed.map(|list| format!(" ({list})")).unwrap_or_default();
            self.say(&path.member(name), format!("missing; this field is required{allowed}"));
        }
    }

    fn elements(&mut self, schema: &Value, elements: &[Value], path: &FieldPath) {
        let Some(inner) = schema.get("items") else { return };
        for (at, element) in elements.iter().enumerate() {
            self.node(inner, element, &path.index(at));
        }
        if self.judge == Judge::Bounds {
            self.unique(schema, elements, path);
        }
    }

    /// Lists that are sets or maps hold every element or key once.
    fn unique(&mut self, schema: &Value, elements: &[Value], path: &FieldPath) {
        let keys: Vec<&str> = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => Vec::new(),
            Some("map") => {
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                keys.into_iter().flatten().filter_map(Value::as_str).collect()
            }
            _ => return,
        };
        let identity = |element: &Value| match keys.as_slice() {
            [] => element.to_string(),
            keys => keys
                .iter()
                .map(|key| element.get(key).unwrap_or(&Value::Null).to_string())
                .collect(),
        };
        let mut seen = BTreeSet::new();
        for (at, element) in elements.iter().enumerate() {
            let identity = identity(element);
            let what = keys.first().map(|key| format!("{key} ")).unwrap_or_default();
            if !seen.insert(identity.clone()) {
                self.say(&path.index(at), format!("{what}{identity} is in this list already"));
            }
        }
    }
}

fn unknown_field(name: &str, known: &Map<String, Value>) -> String {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let hint = nearest(name, &names)
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or(";".to_owned());
    format!("unknown field{hint} known: {}", names.join(", "))
}

/// The known name that `name` is probably a slip of.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name: String = name.chars().take(64).collect::<String>().to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    let best = known.iter().min_by_key(|known| distance(known))?;
    let near = distance(best) <= 1 + best.len().max(name.len()) / 4;
    near.then_some(*best)
}

/// The values that a field can have, if they are listed.
fn allowed(schema: &Value) -> Option<String> {
    let values = schema.get("enum")?.as_array()?;
    Some(values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
}

fn is_int_or_string(schema: &Value) -> bool {
    schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true))
}

fn shape(schema: &Value, value: &Value) -> Option<String> {
    let kind = schema.get("type").and_then(Value::as_str);
    let integer = value.is_i64() || value.is_u64();
    let fits = match kind {
        _ if is_int_or_string(schema) => integer || value.is_string(),
        None => return None,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => integer,
        Some(_) => true,
    };
    match (fits, value) {
        (false, Value::Null) => Some(no_value(kind)),
        (false, _) => Some(mismatch(schema, kind, value)),
        (true, Value::String(text)) => unlisted(schema, text).or_else(|| too_long(schema, text)),
        (true, Value::Number(_)) => out_of_range(schema, value),
        (true, _) => None,
    }
}

fn no_value(kind: Option<&str>) -> String {
    let instead = match kind {
        Some("object") => "write {} for the defaults",
        Some("array") => "write [] for an empty list",
        _ => "give it a value",
    };
    format!("has no value (null); leave the field out or {instead}")
}

fn mismatch(schema: &Value, kind: Option<&str>, value: &Value) -> String {
    let listed = allowed(schema).map(|list| format!("one of {list}"));
    let expected = match kind {
        _ if is_int_or_string(schema) => "a whole number or text",
        Some("object") => "an object with members",
        Some("array") => "a list",
        Some("boolean") => "true or false",
        Some("integer") => "a whole number",
        _ => listed.as_deref().unwrap_or("text"),
    };
    let scalar = value.is_number() || value.is_boolean();
    let fix = if scalar && (kind == Some("string") || is_int_or_string(schema)) {
        "; put it in quotes"
    } else {
        ""
    };
    format!("expected {expected}, found {}{fix}", describe(value))
}

/// A value for an error message.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing (null)".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {:?}", cut(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// At most 40 characters of `text`.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn unlisted(schema: &Value, text: &str) -> Option<String> {
    let values = schema.get("enum")?.as_array()?;
    if values.iter().any(|value| value == text) {
        return None;
    }
    let names: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    let hint = nearest(text, &names)
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or(";".to_owned());
    Some(format!("{:?} is not known{hint} known: {}", cut(text), names.join(", ")))
}

/// Sizes and amounts lose their text when they are typed, so its length is looked at before.
fn too_long(schema: &Value, text: &str) -> Option<String> {
    is_int_or_string(schema).then(|| longer(schema, text)).flatten()
}

fn out_of_range(schema: &Value, value: &Value) -> Option<String> {
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    let (low, high) = (limit("minimum"), limit("maximum"));
    let number = value.as_f64()?;
    if low.is_none_or(|low| number >= low) && high.is_none_or(|high| number <= high) {
        return None;
    }
    Some(match (low, high) {
        (Some(low), Some(high)) => format!("{value} is outside {low} to {high}"),
        (Some(low), None) => format!("{value} is less than {low}"),
        (_, high) => format!("{value} is more than {}", high.unwrap_or_default()),
    })
}

fn limit(schema: &Value, key: &str) -> Option<usize> {
    schema.get(key).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok())
}

fn longer(schema: &Value, text: &str) -> Option<String> {
    let (has, most) = (text.chars().count(), limit(schema, "maxLength")?);
    (has > most).then(|| format!("has {has} characters, at most {most} are allowed"))
}

fn bounds(schema: &Value, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let empty =
                limit(schema, "minLength").is_some_and(|least| text.chars().count() < least);
            let empty =
                empty.then(|| "is empty; leave the field out or give it a value".to_owned());
            empty.or_else(|| longer(schema, text)).or_else(|| odd_text(schema, text))
        }
        Value::Array(list) => count(schema, list.len(), ["minItems", "maxItems"], "elements"),
        Value::Object(map) => {
            count(schema, map.len(), ["minProperties", "maxProperties"], "members")
        }
        _ => None,
    }
}

fn odd_text(schema: &Value, text: &str) -> Option<String> {
    let pattern = schema.get("pattern")?.as_str()?;
    let fits = Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text));
    (!fits).then(|| format!("{:?} does not have the form {pattern}", cut(text)))
}

fn count(schema: &Value, has: usize, keys: [&str; 2], what: &str) -> Option<String> {
    let [least, most] = keys.map(|key| limit(schema, key));
    match (least, most) {
        (Some(least), _) if has < least => {
            Some(format!("has {has} {what}, at least {least} needed"))
        }
        (_, Some(most)) if has > most => {
            Some(format!("has {has} {what}, at most {most} are allowed"))
        }
        _ => None,
    }
}
