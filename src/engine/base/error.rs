//! The engine's error: what was attempted, with its numbers, and the document field it is about.
//!
//! Does not print. Invariant: the message never repeats its source; `kind` is all a caller needs
//! to branch.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::units::SizeOverflow;

/// The document field that a product, a file or a number came from: `spec.boot.sector.message`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(Arc<str>);

impl Origin {
    /// The field with this path.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The document asks for something that cannot be made.
    Document,
    /// An input is not what it should be: wrong digest, wrong form, too long.
    Input,
    /// An image that is being read is damaged or hostile.
    Damaged,
    /// An image that is being read uses a feature that is not supported.
    Unsupported,
    /// A rule of whoever runs the program forbids it.
    Refused,
    /// Another server refuses for good what was sent to it.
    Rejected,
    /// There is no room for the output.
    NoSpace,
    /// Reading or writing failed.
    Io,
    /// The user asked to stop.
    Cancelled,
}

/// A failure of the engine.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    origin: Option<Origin>,
    message: String,
    #[source]
    source: Option<io::Error>,
}

impl Error {
    /// A failure of this kind. The message says what was found and what is allowed.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, origin: None, message: message.into(), source: None }
    }

    /// Reading or writing failed; "no space" is told apart.
    #[must_use]
    pub fn io(attempt: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
            _ => Kind::Io,
        };
        Self { kind, origin: None, message: attempt.into(), source: Some(source) }
    }

    /// The same failure, about this field (unless a field is known already).
    #[must_use]
    pub fn at(mut self, origin: &Origin) -> Self {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// What sort of failure it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The document field it is about, where there is one.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

impl From<SizeOverflow> for Error {
    fn from(overflow: SizeOverflow) -> Self {
        Self::new(Kind::Document, overflow.to_string())
    }
}
