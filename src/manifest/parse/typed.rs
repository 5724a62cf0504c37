//! JSON values to the document's types.
//!
//! Invariant: whatever does not fit is said in the words of `walk`, with the field's path; serde's
//! own words are left for what only a type knows (sizes and amounts).

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::super::check::Problem;
use super::super::walk::{Judge, walk};
use super::super::{API_VERSION, FieldPath, KIND, Spec, VMImage, schema};
use super::tree::{Data, Node};
use super::{ErrorKind, ParseError, Place, Places};

/// A spec as the API server stored it.
pub fn from_json(value: Value) -> Result<Spec, ParseError> {
    let root = FieldPath::new("spec");
    if let Some(problem) = walk(schema::schema(), &value, &root, Judge::Shape).into_iter().next() {
        return Err(error(problem, None));
    }
    deserialize(value, &root).map_err(|problem| error(problem, None))
}

/// The document with this value.
pub(super) fn image(value: Value, places: &Places) -> Result<VMImage, ParseError> {
    let root = FieldPath::default();
    let problems = walk(schema::document(), &value, &root, Judge::Shape);
    if let Some(first) = problems.into_iter().min_by_key(|problem| places.of(&problem.path)) {
        return Err(error(first, Some(places)));
    }
    deserialize(value, &root).map_err(|problem| error(problem, Some(places)))
}

fn deserialize<T: DeserializeOwned>(value: Value, root: &FieldPath) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().iter().fold(root.clone(), |path, segment| match segment {
            Segment::Seq { index } => path.index(*index),
            Segment::Map { key } => path.member(key),
            Segment::Enum { variant } => path.member(variant),
            Segment::Unknown => path,
        });
        Problem { path, message: error.into_inner().to_string() }
    })
}

fn error(problem: Problem, places: Option<&Places>) -> ParseError {
    let Problem { path, message } = problem;
    let given = places.is_some_and(|places| places.is_given(&path));
    let place = places.filter(|_| !given).and_then(|places| places.of(&path));
    let error = ErrorKind::Field { message }.at(place).in_field(path);
    if given { error.given() } else { error }
}

/// Refuses documents of other kinds before anything else is said about them.
pub(super) fn check_kind(tree: &Node) -> Result<(), ParseError> {
    let found = match &tree.data {
        Data::Scalar(_) => "a single value",
        Data::List(_) => "a list",
        Data::Object(_) => "",
    };
    if !found.is_empty() {
        return Err(ErrorKind::NoObject { found }.at(tree.place));
    }
    let text = |name: &str| tree.member(name).and_then(Node::text);
    let (version, kind) = (text("apiVersion"), text("kind"));
    let hint = match (version, kind) {
        (Some(API_VERSION), Some(KIND)) => return Ok(()),
        (_, Some("List")) => {
            "; write the items of the list as documents of their own, separated by ---"
        }
        (Some(version), Some(KIND)) if version.starts_with(super::super::GROUP) => {
            "; this is the only version there is"
        }
        _ => "",
    };
    let part = |name: &str, value: Option<&str>| match value {
        Some(value) => format!("{name}: {}", super::super::walk::cut(value)),
        None => format!("no {name}"),
    };
    let found = format!("{} and {}", part("apiVersion", version), part("kind", kind));
    let wrong = if version == Some(API_VERSION) { "kind" } else { "apiVersion" };
    let path = FieldPath::new(wrong);
    let place: Option<Place> = Places::of_tree(tree.clone()).of(&path);
    Err(ErrorKind::OtherKind { found, hint }.at(place).in_field(path))
}
