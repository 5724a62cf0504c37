//! Why a text is no document.
//!
//! Prints nothing. Invariant: the sentence does not repeat the field's path, which stands beside it.

use std::fmt;

use super::super::FieldPath;
use super::{MAX_DEPTH, MAX_NODES, MAX_TEXT, OverrideError, Place, ScalarError};

/// Why a text is no document, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct ParseError {
    kind: Box<ErrorKind>,
    place: Option<Place>,
    path: Option<FieldPath>,
    given: bool,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ErrorKind {
    /// Longer than anything that is read.
    #[error("the text has {bytes} bytes; at most {MAX_TEXT} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not YAML.
    #[error("not YAML: {reason}")]
    Syntax {
        /// What the YAML scanner says.
        reason: String,
    },
    /// Nested too deep.
    #[error("lists and objects are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Too many keys and values, perhaps through aliases.
    #[error("more than {MAX_NODES} keys and values, counting those that aliases repeat")]
    TooMany,
    /// A list or an object as key.
    #[error("a key must be text, not a list or an object")]
    KeyForm,
    /// A key that is a number, a truth value or null.
    #[error("a key must be text, found {found}; put it in quotes")]
    KeyType {
        /// What it is.
        found: String,
    },
    /// A key that is there twice.
    #[error("{key:?} is already a key of this object, at {first}")]
    Duplicate {
        /// The key.
        key: String,
        /// Where it is first.
        first: Place,
    },
    /// An alias without its anchor, or inside of it.
    #[error("this alias has no finished anchor before it in the same document")]
    Alias,
    /// A tag that means something to some readers only.
    #[error(
        "the tag {tag} is not known here; known: !!str, !!int, !!bool, !!float, !!null, !!map, !!seq"
    )]
    Tag {
        /// The tag.
        tag: String,
    },
    /// A scalar without one meaning.
    #[error(transparent)]
    Scalar(#[from] ScalarError),
    /// Nothing in the text.
    #[error("there is no document in this text")]
    NoDocument,
    /// A document that is no object.
    #[error("a document is an object with apiVersion, kind, metadata and spec; found {found}")]
    NoObject {
        /// What it is.
        found: &'static str,
    },
    /// A document of another kind.
    #[error("found {found}; expected apiVersion: {API_VERSION} and kind: {KIND}{hint}", API_VERSION = super::super::API_VERSION, KIND = super::super::KIND)]
    OtherKind {
        /// Its `apiVersion` and `kind`.
        found: String,
        /// How to come by the right one.
        hint: &'static str,
    },
    /// A field that does not fit the schema.
    #[error("{message}")]
    Field {
        /// What is wrong with it.
        message: String,
    },
    /// An override that cannot be put into the document.
    #[error(transparent)]
    Override(#[from] OverrideError),
}

impl ErrorKind {
    /// The error at `place`.
    pub(super) fn at(self, place: Option<Place>) -> ParseError {
        ParseError { kind: Box::new(self), place, path: None, given: false }
    }
}

impl ParseError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Where, if it is in the text.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// The field, if it is in one.
    #[must_use]
    pub fn path(&self) -> Option<&FieldPath> {
        self.path.as_ref()
    }

    /// The same error in the field at `path`.
    pub(super) fn in_field(mut self, path: FieldPath) -> Self {
        self.path = Some(path);
        self
    }

    /// The same error in a value that was given with `--set`.
    pub(super) fn given(mut self) -> Self {
        self.given = true;
        self
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = if self.given { " (given with --set)" } else { "" };
        write!(f, "{}{origin}", self.kind)
    }
}

impl std::error::Error for ParseError {}
