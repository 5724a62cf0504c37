//! ConfigMaps that stand beside documents.
//!
//! Knows no other part of Kubernetes. Invariant: what is accepted is what an API server would keep:
//! values are text, or base64, under keys of the form that it demands.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;

use super::super::FieldPath;
use super::super::walk::describe;
use super::tree::Node;
use super::{ErrorKind, ParseError, Places, value};

/// Keys and their bytes by the name of the ConfigMap.
pub type ConfigMaps = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// Whether this is one.
pub(super) fn is_one(tree: &Node) -> bool {
    let text = |name: &str| tree.member(name).and_then(Node::text);
    text("apiVersion") == Some("v1") && text("kind") == Some("ConfigMap")
}

/// All of them.
pub(super) fn read(trees: Vec<Node>) -> Result<ConfigMaps, ParseError> {
    let mut maps = ConfigMaps::new();
    for tree in trees {
        let json = value::json(&tree)?;
        let places = Places::of_tree(tree);
        let refused = |(path, message): (FieldPath, String)| {
            ErrorKind::Field { message }.at(places.of(&path)).in_field(path)
        };
        let (name, keys) = one(&json).map_err(refused)?;
        if maps.insert(name.clone(), keys).is_some() {
            let message = format!("two ConfigMaps have the name {name:?}");
            return Err(refused((FieldPath::new("metadata.name"), message)));
        }
    }
    Ok(maps)
}

type Keys = BTreeMap<String, Vec<u8>>;

fn one(json: &Value) -> Result<(String, Keys), (FieldPath, String)> {
    let name = json.pointer("/metadata/name").and_then(Value::as_str);
    let name = name.filter(|name| !name.is_empty());
    let path = FieldPath::new("metadata.name");
    let name = name.ok_or_else(|| (path, "a ConfigMap needs a name, which is text".to_owned()))?;
    let mut keys = Keys::new();
    for field in ["data", "binaryData"] {
        let members = match json.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(members)) => members,
            Some(other) => {
                let message = format!("an object with keys is needed, found {}", describe(other));
                return Err((FieldPath::new(field), message));
            }
        };
        for (key, value) in members {
            let refused = |message: String| (FieldPath::new(field).member(key), message);
            if !is_key(key) {
                let message = "a key is at most 253 of the characters A-Z, a-z, 0-9, - _ .";
                return Err(refused(message.to_owned()));
            }
            let text = value.as_str().ok_or_else(|| {
                refused(format!("the value must be text, found {}", describe(value)))
            })?;
            let bytes = match field {
                "data" => text.as_bytes().to_vec(),
                _ => {
                    let compact: String =
                        text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                    let decoded = base64::engine::general_purpose::STANDARD.decode(compact);
                    decoded.map_err(|e| refused(format!("not base64: {e}")))?
                }
            };
            if keys.insert(key.clone(), bytes).is_some() {
                return Err(refused("the key stands in data and in binaryData".to_owned()));
            }
        }
    }
    Ok((name.to_owned(), keys))
}

/// What the API server takes for a key.
fn is_key(key: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    (1..=253).contains(&key.len())
        && key.bytes().all(allowed)
        && key != "."
        && !key.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::super::{parse, parse_beside_config_maps};

    const IMAGE: &str = "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: a}\n\
                         spec: {boot: {sector: {message: hi}}}\n";

    fn maps(map: &str) -> Result<super::ConfigMaps, String> {
        let text = format!("apiVersion: v1\nkind: ConfigMap\n{map}\n---\n{IMAGE}");
        assert!(parse(&text, &[]).is_err(), "alone it is no document");
        let parsed = parse_beside_config_maps(&text, &[]);
        parsed
            .map(|(documents, maps)| {
                assert_eq!(documents.len(), 1);
                maps
            })
            .map_err(|e| {
                format!("{} {e}", e.path().map(|path| path.to_string()).unwrap_or_default())
            })
    }

    #[test]
    fn data_and_binary_data() {
        let text = "metadata: {name: files, namespace: x}\ndata: {a.txt: \"hello\\n\"}\n\
                    binaryData:\n  b: |\n    AAEC\n    Aw==\nimmutable: true";
        let maps = maps(text).unwrap();
        assert_eq!(maps["files"]["a.txt"], b"hello\n");
        assert_eq!(maps["files"]["b"], [0, 1, 2, 3]);
        assert!(super::super::parse_beside_config_maps(IMAGE, &[]).unwrap().1.is_empty());
    }

    #[test]
    fn what_an_api_server_refuses_is_refused() {
        for (map, wanted) in [
            ("data: {a: b}", "metadata.name a ConfigMap needs a name"),
            ("metadata: {name: a}\ndata: {a: 5}", "data.a the value must be text"),
            ("metadata: {name: a}\ndata: [a]", "data an object with keys is needed"),
            ("metadata: {name: a}\nbinaryData: {a: \"!\"}", "binaryData.a not base64"),
            ("metadata: {name: a}\ndata: {\"a/b\": c}", "a key is at most 253"),
            ("metadata: {name: a}\ndata: {..a: c}", "a key is at most 253"),
            ("metadata: {name: a}\ndata: {a: c}\nbinaryData: {a: \"\"}", "in data and in"),
            (
                "metadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}",
                "two ConfigMaps have the name \"a\"",
            ),
        ] {
            let error = maps(map).unwrap_err();
            assert!(error.contains(wanted), "{map}: {error}");
        }
    }
}
