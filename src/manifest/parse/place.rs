//! Where fields stand in the text.
//!
//! Does not read text. Invariant: a field that is not in the text has the place of the nearest one
//! around it that is.

use std::fmt;
use std::sync::Arc;

use super::super::FieldPath;
use super::super::path::Segment;
use super::tree::{Data, Node};

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The places of a document's fields.
#[derive(Clone, Debug)]
pub struct Places(Arc<Node>);

impl Places {
    pub(super) fn of_tree(tree: Node) -> Self {
        Self(Arc::new(tree))
    }

    /// Where the field at `path` stands: its key, or the begin of a list's element. A field that is
    /// not in the text has the place of what holds it.
    #[must_use]
    pub fn of(&self, path: &FieldPath) -> Option<Place> {
        self.down(path).into_iter().flatten().last()
    }

    /// Whether the field at `path`, or what holds it, was given beside the text.
    pub(super) fn is_given(&self, path: &FieldPath) -> bool {
        self.down(path).last().is_some_and(Option::is_none)
    }

    /// The places on the way to `path`, as far as it leads.
    fn down(&self, path: &FieldPath) -> Vec<Option<Place>> {
        let mut places = vec![self.0.place];
        let mut node = &*self.0;
        for segment in path.segments().unwrap_or_default() {
            let next = match (&node.data, segment) {
                (Data::Object(members), Segment::Member(name)) => members
                    .iter()
                    .find(|(key, _)| key.scalar.text == name)
                    .map(|(key, node)| (key.place, node)),
                (Data::List(list), Segment::Index(at)) => {
                    list.get(at).map(|node| (node.place, node))
                }
                _ => None,
            };
            let Some((place, inner)) = next else { break };
            places.push(place);
            node = inner;
        }
        places
    }
}
