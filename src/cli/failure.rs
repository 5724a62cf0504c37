//! What went wrong on the desk, with its place in the document.
//!
//! Does not print. Invariant: a failure that is about a field names the field, and its line and
//! column where the document's text is known.

use std::io;

use serde_json::{Value, json};

use crate::builder::{chain, code_of};
use crate::engine::base;
use crate::manifest::Place;
use crate::report::Code;

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What sort of failure it is.
    pub(super) code: Code,
    /// One sentence.
    pub(super) message: String,
    /// The document field it is about.
    pub(super) field: Option<String>,
    /// Where that is.
    pub(super) spot: Option<Box<Spot>>,
}

/// A file, or a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// The file's name.
    pub(super) file: String,
    /// The place in the file, and the text of its line.
    pub(super) place: Option<(Place, String)>,
}

/// All that went wrong; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failures {
    first: Failure,
    more: Vec<Failure>,
}

impl Failure {
    /// A failure without a place.
    #[must_use]
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, spot: None }
    }

    /// Reading or writing failed.
    #[must_use]
    pub(super) fn io(code: Code, attempt: &str, error: io::Error) -> Self {
        Self::new(code, chain(&base::Error::io(attempt, error)))
    }

    /// The same failure, about this field.
    #[must_use]
    pub(super) fn of_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same failure, in this file, and there at this place.
    #[must_use]
    pub(super) fn in_file(mut self, name: &str, text: &str, place: Option<Place>) -> Self {
        let line = |place: Place| text.lines().nth(place.line.saturating_sub(1));
        let place = place.map(|place| (place, line(place).unwrap_or_default().to_owned()));
        self.spot = Some(Box::new(Spot { file: name.to_owned(), place }));
        self
    }

    /// The failure for machines; see docs/reference/exit-codes.md.
    #[must_use]
    pub(super) fn to_json(&self) -> Value {
        let Self { code, message, field, spot } = self;
        let place = spot.as_ref().and_then(|spot| spot.place.as_ref()).map(|(place, _)| place);
        json!({
            "code": code,
            "message": message,
            "field": field,
            "file": spot.as_ref().map(|spot| &spot.file),
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
        })
    }
}

impl From<&base::Error> for Failure {
    fn from(error: &base::Error) -> Self {
        let failure = Self::new(code_of(error.kind()), chain(error));
        match error.origin() {
            Some(origin) => failure.of_field(origin.as_str()),
            None => failure,
        }
    }
}

impl From<base::Error> for Failures {
    fn from(error: base::Error) -> Self {
        Failure::from(&error).into()
    }
}

impl From<Failure> for Failures {
    fn from(first: Failure) -> Self {
        Self { first, more: Vec::new() }
    }
}

impl Failures {
    /// All of `failures`, if there are any.
    #[must_use]
    pub(super) fn collect(failures: Vec<Failure>) -> Option<Self> {
        let mut rest = failures.into_iter();
        Some(Self { first: rest.next()?, more: rest.collect() })
    }

    /// All failures in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Failure> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The exit code: that of the first failure; 130 after an interrupt, as shells have it.
    #[must_use]
    pub(super) const fn exit(&self) -> u8 {
        match self.first.code {
            Code::Stopped => super::INTERRUPTED,
            code => code.exit(),
        }
    }
}
