//! Trees to JSON values.
//!
//! Knows no fields but `status`, which is left out unread: it is the controller's. Invariant: every
//! scalar and key in the value has one meaning to all readers.

use serde_json::{Map, Value};

use super::super::{FieldPath, walk};
use super::tree::{Data, Key, Node, Scalar};
use super::{ErrorKind, ParseError, Place, ScalarError, scalar};

/// The value of the document `tree`.
pub(super) fn json(tree: &Node) -> Result<Value, ParseError> {
    node(tree, &FieldPath::default())
}

fn node(node: &Node, path: &FieldPath) -> Result<Value, ParseError> {
    Ok(match &node.data {
        Data::Scalar(scalar) => meaning(scalar).map_err(|e| located(e.into(), node.place, path))?,
        Data::List(list) => Value::Array(
            list.iter()
                .enumerate()
                .map(|(at, inner)| self::node(inner, &path.index(at)))
                .collect::<Result<_, _>>()?,
        ),
        Data::Object(members) => {
            let mut object = Map::new();
            for (key, inner) in members {
                let name = name(key, path)?;
                if path.as_str().is_empty() && name == "status" {
                    continue;
                }
                let value = self::node(inner, &path.member(&name))?;
                object.insert(name, value);
            }
            Value::Object(object)
        }
    })
}

fn meaning(scalar: &Scalar) -> Result<Value, ScalarError> {
    match scalar.tag {
        Some(tag) => scalar::tagged(&scalar.text, tag),
        None if scalar.plain => scalar::plain(&scalar.text),
        None => Ok(Value::String(scalar.text.clone())),
    }
}

fn name(key: &Key, path: &FieldPath) -> Result<String, ParseError> {
    let inside = path.member(&walk::cut(&key.scalar.text));
    let refuse = |kind: ErrorKind| located(kind, key.place, &inside);
    match meaning(&key.scalar).map_err(|e| refuse(e.into()))? {
        Value::String(name) => Ok(name),
        other => Err(refuse(ErrorKind::KeyType { found: walk::describe(&other) })),
    }
}

fn located(kind: ErrorKind, place: Option<Place>, path: &FieldPath) -> ParseError {
    let error = kind.at(place);
    let error = if place.is_none() { error.given() } else { error };
    if path.as_str().is_empty() { error } else { error.in_field(path.clone()) }
}
