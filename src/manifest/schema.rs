//! The JSON schema of documents in one plain form: no references, no nulls, enumerations as lists.
//!
//! The form is what a CustomResourceDefinition takes, what `explain` prints and what parsing walks.
//! Does not judge documents (see `walk`). Making it of the types takes four fifths of the time of a
//! small build: it is made once, by `e2e/generate`, and read from `schema.json` afterwards.
//! Invariants: the file is what the types say; an object has either `properties`, and then no other
//! member is known, or `additionalProperties`.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::types::Spec;
use super::{API_VERSION, KIND};

/// What `generated` gives, as text.
const STORED: &str = include_str!("schema.json");

/// The schema of a document's spec.
#[must_use]
pub fn schema() -> &'static Value {
    &document()["properties"]["spec"]
}

/// The same, made of the types.
#[must_use]
pub fn generated() -> Value {
    plain::<Spec>()
}

/// The schema of a whole document. Status and the parts of metadata that only Kubernetes writes
/// are open.
#[expect(clippy::expect_used, reason = "a test compares the text with the types")]
pub(super) fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let spec: Value = serde_json::from_str(STORED).expect("schema.json is JSON");
        let mut document = json!({
            "type": "object",
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": {
                "apiVersion": {"type": "string", "enum": [API_VERSION]},
                "kind": {"type": "string", "enum": [KIND]},
                "metadata": metadata(),
                "status": {},
            },
        });
        document["properties"]["spec"] = spec;
        document
    });
    &DOCUMENT
}

fn metadata() -> Value {
    const OPEN: [&str; 12] = [
        "clusterName",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    let mut properties: Map<_, _> =
        OPEN.map(|name| (name.to_owned(), json!({}))).into_iter().collect();
    for name in ["name", "namespace"] {
        properties.insert(name.to_owned(), json!({"type": "string"}));
    }
    for name in ["labels", "annotations"] {
        let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
        properties.insert(name.to_owned(), texts);
    }
    json!({"type": "object", "required": ["name"], "properties": properties})
}

/// The schema of `T` in the plain form.
#[must_use]
pub fn plain<T: schemars::JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut root = generator.into_root_schema_for::<T>().to_value();
    let definitions = root.get_mut("$defs").map(Value::take).unwrap_or_default();
    flatten(&mut root, &definitions);
    root
}

/// Brings `schema` and everything in it to the plain form.
fn flatten(schema: &mut Value, definitions: &Value) {
    let Value::Object(object) = schema else { return };
    for noise in ["$schema", "$defs", "title"] {
        object.remove(noise);
    }
    follow(object, definitions);
    unwrap_lines(object);
    forget_null(object);
    list_variants(object);
    if object.get("additionalProperties") == Some(&Value::Bool(false)) {
        object.remove("additionalProperties");
    }
    if matches!(
        object.get("format").and_then(Value::as_str),
        Some("uint8" | "uint16" | "uint32" | "uint64" | "uint")
    ) {
        object.remove("format");
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            flatten(inner, definitions);
        }
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(|property| flatten(property, definitions));
    }
}

/// Lines of a doc comment become one line; readers wrap it to their own width.
fn unwrap_lines(object: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.lines().collect::<Vec<_>>().join(" ");
    }
}

/// Puts a referenced definition in the place of the reference; what stands beside it wins.
fn follow(object: &mut Map<String, Value>, definitions: &Value) {
    while let Some(Value::String(reference)) = object.remove("$ref") {
        let name = reference.trim_start_matches("#/$defs/");
        if let Some(Value::Object(definition)) = definitions.get(name) {
            put_under(object, definition.clone());
        }
    }
    if let Some(Value::Array(options)) = object.get("anyOf") {
        let null = json!({"type": "null"});
        let mut others = options.iter().filter(|option| **option != null);
        if let (2, Some(Value::Object(only)), None) = (options.len(), others.next(), others.next())
            && options.contains(&null)
        {
            let only = only.clone();
            object.remove("anyOf");
            put_under(object, only);
            follow(object, definitions);
        }
    }
}

fn put_under(object: &mut Map<String, Value>, under: Map<String, Value>) {
    for (key, value) in under {
        object.entry(key).or_insert(value);
    }
}

/// An optional field is absent or has a value; null is not a value of it.
fn forget_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
}

/// `oneOf` with one constant each becomes `enum`; the meanings go to the description.
fn list_variants(object: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = object.get("oneOf") else { return };
    let constant = |variant: &Value| variant.get("const").cloned();
    let Some(names) = variants.iter().map(constant).collect::<Option<Vec<Value>>>() else { return };
    let mut meanings = String::new();
    for variant in variants {
        let text = |key: &str| variant.get(key).and_then(Value::as_str).unwrap_or_default();
        meanings.push_str(&format!("\n{}: {}", text("const"), text("description")));
    }
    let about = object.get("description").and_then(Value::as_str).unwrap_or_default();
    let about = format!("{about}{meanings}");
    object.remove("oneOf");
    object.insert("type".to_owned(), json!("string"));
    object.insert("enum".to_owned(), Value::Array(names));
    object.insert("description".to_owned(), json!(about));
}
