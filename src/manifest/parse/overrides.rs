//! Values given beside the text: `--set spec.disk.size=64Mi`.
//!
//! A field of text takes the value as it stands, unless it begins with a quote; every other field
//! takes it as YAML, by the same rules as the document. A list's element is named by its index;
//! the index behind the last one appends. Objects and lists on the way are made when they are
//! missing. Invariant: a tree with overrides keeps the limits of trees.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use super::super::path::{Segment, split};
use super::super::{FieldPath, schema};
use super::tree::{self, Data, Key, Node, Scalar};
use super::{ErrorKind, ParseError};

/// A value for the field at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The field.
    pub path: FieldPath,
    /// Its value as text.
    pub value: String,
}

/// Why an override cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// Not `path=value`.
    #[error(
        "{text:?} is not of the form path=value, such as spec.disk.size=64Mi or spec.formats[0].type=qcow2"
    )]
    Form {
        /// What was given.
        text: String,
    },
    /// A member of something that is no object.
    #[error("{holder} has no members that could be set with --set: it is {found}")]
    NoMembers {
        /// The path of what was taken for an object.
        holder: FieldPath,
        /// What it is.
        found: &'static str,
    },
    /// An element that would leave a hole.
    #[error("the list has {len} elements; --set can change 0 to {last} and append with index {len}", last = len.saturating_sub(1))]
    Hole {
        /// How many there are.
        len: usize,
    },
    /// The value is not one YAML value.
    #[error("the value {value:?} given with --set is not one YAML value")]
    Value {
        /// What was given.
        value: String,
    },
}

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let form = || OverrideError::Form { text: text.to_owned() };
        let (segments, rest) = split(text).ok_or_else(form)?;
        let value = rest.strip_prefix('=').filter(|_| !segments.is_empty()).ok_or_else(form)?;
        Ok(Self { path: FieldPath::of(&segments), value: value.to_owned() })
    }
}

/// `tree` with the value of `given` in its place.
pub(super) fn apply(tree: &Node, given: &Override) -> Result<Node, ParseError> {
    let refuse =
        |error: OverrideError| ErrorKind::from(error).at(None).in_field(given.path.clone());
    let form = || OverrideError::Form { text: format!("{}={}", given.path, given.value) };
    let segments = given.path.segments().filter(|s| !s.is_empty()).ok_or_else(|| refuse(form()))?;
    let new = value(given, &segments).map_err(|e| e.in_field(given.path.clone()).given())?;
    let done = put(Some(tree), &segments, &FieldPath::default(), new).map_err(refuse)?;
    done.within_limits().map_err(|e| e.in_field(given.path.clone()).given())
}

/// The value of `given` as a tree without places.
fn value(given: &Override, segments: &[Segment]) -> Result<Node, ParseError> {
    let text = &given.value;
    if is_text(segments) && !text.starts_with(['"', '\'']) {
        let scalar = Scalar { text: text.clone(), plain: false, tag: None };
        return Ok(Node::new(None, Data::Scalar(scalar)));
    }
    let one = |mut trees: Vec<Node>| trees.pop().filter(|_| trees.is_empty());
    let read = one(tree::read(text).map_err(|error| error.kind().clone().at(None))?);
    let refused = || ErrorKind::from(OverrideError::Value { value: text.clone() }).at(None);
    read.map(|tree| without_places(&tree)).ok_or_else(refused)
}

/// Whether the schema has a text at `segments`.
fn is_text(segments: &[Segment]) -> bool {
    let mut at = schema::document();
    for segment in segments {
        let next = match segment {
            Segment::Member(name) => at
                .get("properties")
                .and_then(|known| known.get(name))
                .or_else(|| at.get("additionalProperties")),
            Segment::Index(_) => at.get("items"),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    at.get("type").and_then(Value::as_str) == Some("string")
}

fn without_places(node: &Node) -> Node {
    let data = match &node.data {
        Data::Scalar(scalar) => Data::Scalar(scalar.clone()),
        Data::List(list) => {
            Data::List(list.iter().map(|node| Arc::new(without_places(node))).collect())
        }
        Data::Object(members) => Data::Object(
            members
                .iter()
                .map(|(key, node)| {
                    let key = Key { place: None, scalar: key.scalar.clone() };
                    (key, Arc::new(without_places(node)))
                })
                .collect(),
        ),
    };
    Node::new(None, data)
}

/// `node` with `new` at `segments`.
fn put(
    node: Option<&Node>,
    segments: &[Segment],
    at: &FieldPath,
    new: Node,
) -> Result<Node, OverrideError> {
    let Some((first, rest)) = segments.split_first() else { return Ok(new) };
    let place = node.and_then(|node| node.place);
    let null = |scalar: &Scalar| scalar.plain && matches!(scalar.text.as_str(), "" | "~" | "null");
    let data =
        node.map(|node| &node.data).filter(|data| !matches!(data, Data::Scalar(s) if null(s)));
    let refuse = |found| Err(OverrideError::NoMembers { holder: at.clone(), found });
    let data = match (first, data) {
        (Segment::Member(name), None) => member(&[], name, rest, at, new)?,
        (Segment::Member(name), Some(Data::Object(members))) => {
            member(members, name, rest, at, new)?
        }
        (Segment::Index(index), None) => element(&[], *index, rest, at, new)?,
        (Segment::Index(index), Some(Data::List(list))) => element(list, *index, rest, at, new)?,
        (_, Some(Data::Scalar(_))) => return refuse("a single value"),
        (_, Some(Data::List(_))) => return refuse("a list; name an element by its index"),
        (_, Some(Data::Object(_))) => return refuse("an object, not a list"),
    };
    Ok(Node::new(place, data))
}

fn member(
    members: &[(Key, Arc<Node>)],
    name: &str,
    rest: &[Segment],
    at: &FieldPath,
    new: Node,
) -> Result<Data, OverrideError> {
    let mut members = members.to_vec();
    let inner = at.member(name);
    let found = members.iter().position(|(key, _)| key.scalar.text == name);
    let old = found.and_then(|found| members.get(found)).map(|(_, node)| Arc::clone(node));
    let node = Arc::new(put(old.as_deref(), rest, &inner, new)?);
    // A field that is only passed through keeps its place.
    let place = found.filter(|_| !rest.is_empty()).and_then(|found| members.get(found)?.0.place);
    let scalar = Scalar { text: name.to_owned(), plain: false, tag: None };
    let entry = (Key { place, scalar }, node);
    match found.and_then(|found| members.get_mut(found)) {
        Some(old) => *old = entry,
        None => members.push(entry),
    }
    Ok(Data::Object(members))
}

fn element(
    list: &[Arc<Node>],
    index: usize,
    rest: &[Segment],
    at: &FieldPath,
    new: Node,
) -> Result<Data, OverrideError> {
    let mut list = list.to_vec();
    if index > list.len() {
        return Err(OverrideError::Hole { len: list.len() });
    }
    let node = Arc::new(put(list.get(index).map(Arc::as_ref), rest, &at.index(index), new)?);
    match list.get_mut(index) {
        Some(old) => *old = node,
        None => list.push(node),
    }
    Ok(Data::List(list))
}
